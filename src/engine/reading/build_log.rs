//! What a TensorRT build says about devices, line by line.
//!
//! The same sentences come through many loggers: trtexec (`[date] [I] [TRT] `), TensorRT's Python
//! API (`[date] [TRT] [I] `, before 8.2 `[TensorRT] INFO: `), DeepStream (`INFO: [TRT]: `, behind
//! `NvDsInferContext[UID 1]: ... [UID = 1]: `), jetson-inference (`[TRT]    `, with colours) and
//! Torch-TensorRT. Where two streams share a file, a line may hold several dates, or begin inside
//! another. A name is taken only where its end can be seen.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::placement::Device;

/// What TensorRT said during the build about devices, if it said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementLog {
    /// Blocks listed as running on the DLA.
    pub dla: Vec<String>,
    /// Layers listed as running on the GPU, without their type.
    pub gpu: Vec<String>,
    /// Layers that TensorRT sent to the GPU, and its words.
    pub refusals: Vec<(String, String)>,
    /// Layers or tensors, and what TensorRT said of them without saying where they run.
    pub remarks: Vec<(String, String)>,
    /// The sentence that sends the whole network to the GPU.
    pub all_on_gpu: Option<String>,
    /// Blocks and layers that no kernel or DLA program could be made for.
    pub failed: Vec<String>,
    /// The list of GPU layers has begun.
    pub lists_gpu: bool,
    /// The list that a heading announced, for TensorRT 7, whose lists follow in a line of their own.
    #[serde(skip)]
    pub announced: Option<Device>,
    /// A reason without a name: the next refused layer is meant.
    #[serde(skip)]
    pub nameless: Option<String>,
}

/// One sentence of a logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'t> {
    /// The sentence, without what loggers put before it.
    pub text: &'t str,
    /// The logger called it an error.
    pub error: bool,
    /// A logger that dlaplan knows wrote the line.
    pub logged: bool,
    /// Another line begins inside this one: its end may be missing.
    pub cut: bool,
}

/// The messages of a line: more than one where several streams wrote into it.
pub fn messages(line: &str) -> Vec<Message<'_>> {
    let mut starts: Vec<usize> = (0..line.len()).filter(|i| is_stamp(line, *i)).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    let parts = starts.iter().copied().zip(ends);
    parts
        .filter_map(|(from, to)| {
            line.get(from..to)
                .map(|part| message(part, to < line.len()))
        })
        .filter(|m| !m.text.is_empty())
        .collect()
}

/// `[01/02/2026-10:00:00]` begins at byte `at`.
fn is_stamp(text: &str, at: usize) -> bool {
    const FORM: &[u8] = b"[00/00/0000-00:00:00]";
    let bytes = text.as_bytes().get(at..at + FORM.len());
    bytes.is_some_and(|bytes| {
        bytes.iter().zip(FORM).all(|(b, form)| match form {
            b'0' => b.is_ascii_digit(),
            _ => b == form,
        })
    })
}

/// What a tag in brackets means: `None` where no logger writes it.
fn tag_error(tag: &str) -> Option<bool> {
    let date = tag.bytes().next().is_some_and(|b| b.is_ascii_digit());
    match tag {
        "E" | "F" | "ERROR" | "INTERNAL_ERROR" | "INTERNAL ERROR" => Some(true),
        "TRT" | "TensorRT" | "W" | "I" | "V" | "D" | "WARNING" | "INFO" | "VERBOSE" | "DEBUG" => {
            Some(false)
        }
        _ if date || tag.starts_with("UID") || tag.starts_with("Torch-TensorRT") => Some(false),
        _ => None,
    }
}

fn word_error(word: &str) -> Option<bool> {
    match word {
        "ERROR" | "INTERNAL_ERROR" | "INTERNAL ERROR" => Some(true),
        "WARNING" | "INFO" | "VERBOSE" | "DEBUG" => Some(false),
        _ => None,
    }
}

fn message(part: &str, cut: bool) -> Message<'_> {
    let mut found = Message {
        text: part.trim(),
        error: false,
        logged: false,
        cut,
    };
    strip(&mut found);
    // A logger inside another's line, or behind what a container or a journal put before it.
    for tag in ["[TensorRT]", "[TRT]", "[UID = "] {
        if let Some(at) = found.text.rfind(tag) {
            let before = &found.text[..at];
            found.error |= before.split([' ', '[', ']', ':']).any(|w| w == "ERROR")
                || before.trim_end().ends_with("[E]");
            found.text = &found.text[at..];
            strip(&mut found);
        }
    }
    found
}

/// Takes tags, severities and their punctuation off the front.
fn strip(found: &mut Message<'_>) {
    loop {
        let text = found.text.trim_start();
        let tag = text.strip_prefix('[').and_then(|r| r.split_once(']'));
        let tag = tag.and_then(|(tag, rest)| Some((tag_error(tag)?, rest)));
        let word = || {
            let (word, rest) = text.split_once(':')?;
            Some((word_error(word)?, rest))
        };
        let Some((error, rest)) = tag.or_else(word) else {
            found.text = text.trim_end();
            return;
        };
        found.error |= error;
        found.logged = true;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        found.text = rest.strip_prefix(" - ").unwrap_or(rest);
    }
}

/// A line without the escape sequences that colour a terminal.
pub fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.as_str().starts_with('[') {
            chars.next();
            // A control sequence ends with a letter.
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
    }
    Cow::Owned(out)
}

/// Takes what a line says about devices into `log`, and tells whether it said anything of it.
/// Knows TensorRT 7 to 10.
pub fn parse_placement(line: &str, log: &mut PlacementLog) -> bool {
    let mut known = false;
    for line in plain(line).lines() {
        for message in messages(line) {
            known |= log.hear(&message);
        }
    }
    known
}

impl PlacementLog {
    /// Whether the log says where anything runs.
    pub fn places(&self) -> bool {
        !self.dla.is_empty()
            || !self.gpu.is_empty()
            || !self.refusals.is_empty()
            || self.all_on_gpu.is_some()
    }

    /// Takes in one message; `false` where it is about something else.
    pub(super) fn hear(&mut self, message: &Message<'_>) -> bool {
        let text = message.text;
        if let Some((_, rest)) = split_ignoring_case(text, "layers running on ") {
            return self.heading(rest);
        }
        if let Some((_, name)) = text.split_once("[DlaLayer] ") {
            self.on_dla(name.trim(), message.cut);
        } else if let Some((_, rest)) = text.split_once("[GpuLayer] ") {
            self.lists_gpu = true;
            // Since 8.2 with the type first: `[GpuLayer] POOLING: /pool/GlobalAveragePool`.
            let name = match rest.split_once(": ") {
                Some((kind, name)) if is_kind(kind) => name,
                _ => rest,
            };
            if !message.cut && !name.trim().is_empty() {
                self.gpu.push(name.trim().to_owned());
            }
        } else if text.contains("No layer is running on GPU") {
            self.lists_gpu = true;
        } else if let Some((name, _)) = text.split_once(" successfully offloaded to DLA") {
            self.on_dla(name.trim(), false);
        } else if text.contains("DLA node candidates offloaded") {
        } else if text.contains("All dla layers are falling back to GPU")
            || text.contains("no layer in the network can run on DLA")
        {
            self.all_on_gpu.get_or_insert_with(|| text.to_owned());
        } else if text.starts_with("This version of DLA does not support") {
            self.nameless = Some(text.to_owned());
        } else if let Some((name, to_gpu)) = refusal(text, message.cut) {
            let name = name.to_owned();
            if text.contains("Validation failed for DLA layer")
                && let Some(why) = self.nameless.take()
            {
                self.refusals.push((name.clone(), why));
            }
            let list = if to_gpu {
                &mut self.refusals
            } else {
                &mut self.remarks
            };
            list.push((name, text.to_owned()));
        } else if let Some(name) = failed(text, message.error) {
            if !self.failed.iter().any(|n| n == name) {
                self.failed.push(name.to_owned());
            }
        } else {
            return self.list(text);
        }
        true
    }

    /// `rest` follows "layers running on".
    fn heading(&mut self, rest: &str) -> bool {
        let (device, rest) = match (rest.strip_prefix("DLA"), rest.strip_prefix("GPU")) {
            (Some(rest), _) => (Device::Dla, rest),
            (_, Some(rest)) => (Device::Gpu, rest),
            _ => return false,
        };
        self.announced = Some(device);
        self.lists_gpu |= device == Device::Gpu;
        self.list(rest.trim_start_matches([':', ' ']));
        true
    }

    fn on_dla(&mut self, name: &str, cut: bool) {
        let whole = !cut || name.ends_with('}');
        let block = !name.starts_with('{') || name.ends_with('}');
        if whole && block && !name.is_empty() && !self.dla.iter().any(|n| n == name) {
            self.dla.push(name.to_owned());
        }
    }

    /// A list of TensorRT 7: all blocks, or all layers, in one line.
    fn list(&mut self, text: &str) -> bool {
        let several = text.contains("}, {");
        if text.starts_with('{') && (several || self.announced == Some(Device::Dla)) {
            let mut rest = text;
            // A block without its end is left out.
            while let Some((block, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}'))
            {
                self.on_dla(block.trim_matches([',', ' ']), false);
                rest = after.trim_start_matches([',', ' ']);
            }
            self.announced = None;
            return true;
        }
        if self.announced == Some(Device::Gpu) && text.ends_with(',') {
            let names = items(text).into_iter().map(str::to_owned);
            self.gpu.extend(names);
            self.announced = None;
            return true;
        }
        false
    }
}

fn is_kind(kind: &str) -> bool {
    kind.bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn split_ignoring_case<'t>(text: &'t str, lower: &str) -> Option<(&'t str, &'t str)> {
    let at = text.to_ascii_lowercase().find(lower)?;
    Some((text.get(..at)?, text.get(at + lower.len()..)?))
}

/// What stands between commas that are in no bracket: `a, PWN(b, c), ` are two items.
fn items(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut out) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth <= 0 => {
                out.extend(text.get(from..at).map(str::trim));
                from = at + 1;
            }
            _ => {}
        }
    }
    out.retain(|item| !item.is_empty());
    out
}

/// Layer of a line that speaks against the DLA, and whether the line sends it to the GPU.
fn refusal(text: &str, cut: bool) -> Option<(&str, bool)> {
    let to_gpu = !text.contains("GPU fallback is not enabled");
    let named = |name: &'_ str| !name.is_empty();
    let between = |before: &str, after: &str| {
        let (_, rest) = text.split_once(before)?;
        let (name, _) = rest.split_once(after)?;
        Some(name.trim()).filter(|n| named(n))
    };
    let mut ends = [
        // `Layer 'X' (TYPE): Unsupported on DLA. Switching this layer's device type to GPU.`
        ("Layer '", "' ("),
        (
            "Default DLA is enabled but layer ",
            " is not supported on DLA",
        ),
        (
            "Default DLA is enabled but layer ",
            " is not running on DLA",
        ),
        ("Validation failed for DLA layer: ", ". Switching to GPU"),
        ("Splitting DLA subgraph at: ", " because "),
        ("DLA Layer ", " does not support"),
        (" precision type. Switching ", " device type to GPU"),
        ("Node: ", " cannot run in INT8 mode"),
    ]
    .into_iter();
    if let Some(name) = ends.find_map(|(before, after)| between(before, after))
        && text.contains("DLA")
    {
        let stays = text.contains("cannot run in INT8 mode") && !text.contains("not run on DLA");
        return Some((name, to_gpu && !stays));
    }
    if let Some(name) = between("Layer '", "' is not supported on DLA") {
        return Some((name, to_gpu));
    }
    if let Some(name) = between("zero-point for tensor ", ", expect").or_else(|| {
        between("zero-point for tensor ", " ").filter(|_| text.starts_with("Missing scale"))
    }) {
        return Some((name, false));
    }
    if text.contains("DLA supports only ")
        && let Some((_, name)) = text.split_once("Switching to GPU for layer ")
    {
        let name = name.trim_end_matches('.').trim();
        return (named(name) && !cut).then_some((name, to_gpu));
    }
    if text.contains("DLA LAYER: ")
        && let Some(name) = between(" for layer ", " exceeds")
    {
        return Some((name, to_gpu));
    }
    // `X: DLA only supports concatenation on the C dimension.`
    let (name, why) = text.split_once(": ")?;
    let against = [
        "not support",
        "unsupported",
        "only support",
        "Unsupported",
        "requires",
        "cannot",
        "exceeds",
        "will not run",
        "is not running",
    ];
    let sentence = why.contains("DLA") && against.iter().any(|a| why.contains(a));
    (sentence && named(name.trim())).then_some((name.trim(), to_gpu))
}

/// The block or layer that could not be built.
fn failed(text: &str, error: bool) -> Option<&str> {
    let rest = match text.split_once("Could not find any implementation for node ") {
        Some((_, rest)) => rest,
        None if error => text.get(text.find("{ForeignNode[")?..)?,
        None => return None,
    };
    if rest.starts_with('{') {
        let end = rest.find("]}").map(|at| at + 2)?;
        return rest.get(..end);
    }
    let rest = rest.split(" due to ").next().unwrap_or(rest).trim_end();
    let name = rest.trim_end_matches(".)").trim_end_matches('.').trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(text: &str) -> PlacementLog {
        let mut log = PlacementLog::default();
        for line in text.lines() {
            parse_placement(line, &mut log);
        }
        log
    }

    /// Lines documented in NVIDIA's DLA tutorial and issues, TensorRT 8.x.
    #[test]
    fn layers_of_a_build() {
        let log = placement(
            "[04/10/2023-11:05:01] [I] [TRT] ---------- Layers Running on DLA ----------\n\
             [04/10/2023-11:05:01] [I] [TRT] [DlaLayer] {ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}\n\
             [04/10/2023-11:05:01] [I] [TRT] [DlaLayer] {ForeignNode[/linear/Gemm]}\n\
             [04/10/2023-11:05:01] [I] [TRT] ---------- Layers Running on GPU ----------\n\
             [04/10/2023-11:05:01] [I] [TRT] [GpuLayer] POOLING: /pool/GlobalAveragePool\n\
             [GpuLayer] CONVOLUTION: a + b\n\
             [GpuLayer] Conv_0",
        );
        assert_eq!(
            log.dla,
            [
                "{ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}",
                "{ForeignNode[/linear/Gemm]}"
            ]
        );
        assert_eq!(log.gpu, ["/pool/GlobalAveragePool", "a + b", "Conv_0"]);
        assert!(log.refusals.is_empty());
    }

    #[test]
    fn reasons_of_a_fallback() {
        let names = |text: &str| -> Vec<String> {
            placement(text)
                .refusals
                .into_iter()
                .map(|(n, _)| n)
                .collect()
        };
        for (line, name) in [
            (
                "[W] [TRT] Layer '/fc/Gemm (x)' (MATRIX_MULTIPLY): Unsupported on DLA. Switching this layer's device type to GPU.",
                "/fc/Gemm (x)",
            ),
            (
                "[TRT] /cat/Concat: DLA only supports concatenation on the C dimension.",
                "/cat/Concat",
            ),
            (
                "/a/Mul: DLA cores do not support MUL with broadcast",
                "/a/Mul",
            ),
            (
                "Default DLA is enabled but layer Softmax_3 is not supported on DLA, falling back to GPU.",
                "Softmax_3",
            ),
            (
                "DLA LAYER: Batch size (64) for layer conv1 exceeds max batch size allowed of 32.",
                "conv1",
            ),
            (
                "DLA Layer conv1 does not support dynamic shapes in any dimension.",
                "conv1",
            ),
            (
                "Validation failed for DLA layer: /a/b. Switching to GPU fallback.",
                "/a/b",
            ),
            (
                "Splitting DLA subgraph at: /a/b because DLA validation failed",
                "/a/b",
            ),
            (
                "DLA supports only 16 subgraphs per DLA core. Switching to GPU for layer /z/Conv",
                "/z/Conv",
            ),
            (
                "WARNING: Default DLA is enabled but layer layer74-act is not running on DLA, falling back to GPU.",
                "layer74-act",
            ),
            (
                "ERROR: [TRT]: leaky_1: ActivationLayer (with ActivationType = LEAKY_RELU) not supported for DLA.",
                "leaky_1",
            ),
            (
                "WARNING: [TRT]: route_3: Concatenation on DLA requires at least two inputs.",
                "route_3",
            ),
            (
                "[01/02/2026-10:00:00] [TRT] [W] /m/MatMul: MatMul is unsupported on DLA, relax constraints or use Convolution layer instead.",
                "/m/MatMul",
            ),
            (
                "[TensorRT] WARNING: node_of_Y: Unary operation: CEIL is not supported on DLA.",
                "node_of_Y",
            ),
            (
                "[01/02/2026-10:00:00] [01/02/2026-10:00:00] [W] [TRT] DLA only supports FP16 and Int8 precision type. Switching (Unnamed Layer* 95) [Shape] device type to GPU.",
                "(Unnamed Layer* 95) [Shape]",
            ),
            (
                "\u{1b}[0;33m[TRT]    Node: /a/Conv cannot run in INT8 mode due to missing scale and zero point. This node will not run on DLA.\u{1b}[0m",
                "/a/Conv",
            ),
            (
                "WARNING: [Torch-TensorRT TensorRT Conversion Context] - Layer '[ADD]-x' (ELEMENTWISE): Unsupported on DLA. Switching this layer's device type to GPU.",
                "[ADD]-x",
            ),
            (
                "0:00:03.97 95 0x55 WARN nvinfer gstnvinfer.cpp:619:gst_nvinfer_logger:<nvinfer0> NvDsInferContext[UID 1]: Warning from NvDsInferContextImpl::buildModel() <nvdsinfer_context_impl.cpp:17> [UID = 1]: DLA supports only 8 subgraphs per DLA core. Switching to GPU for layer conv_6",
                "conv_6",
            ),
        ] {
            assert_eq!(names(line), [name], "{line}");
        }
        for quiet in [
            "[I] [TRT] Loaded engine size: 24 MiB\nsomething: else",
            "[W] [TRT] Missing scale and zero-point for tensor x, expect fall back to non-int8 implementation for any layer consuming or producing given tensor",
            "[E] Error Code 2: Internal Error (Assertion allowGPUFallback failed. Layer '644' is not supported on DLA but GPU fallback is not enabled.)",
        ] {
            assert!(names(quiet).is_empty(), "{quiet}");
        }
        let log = placement(
            "This version of DLA does not support reshape layers directly connected to Slice or Concat\n\
             Validation failed for DLA layer: /a/b. Switching to GPU fallback.",
        );
        assert!(log.refusals[0].1.starts_with("This version"));
        assert_eq!(log.refusals.len(), 2);
    }

    #[test]
    fn tensorrt_7_lists_blocks_in_one_line() {
        let log = placement("[I] {conv1,relu1}, {conv2}\n{onlyone}");
        assert_eq!(log.dla, ["conv1,relu1", "conv2"]);
        for prefix in [
            "[01/02/2026-10:00:00] [I] [TRT] ",
            "  INFO: [TRT]: ",
            "[TRT]    ",
        ] {
            let text = format!(
                "{prefix}\n{prefix}--------------- Layers running on DLA: \n{prefix}{{one,two}}, \n\
                 {prefix}--------------- Layers running on GPU: \n\
                 {prefix}conv1 + act/Relu, PWN(a, b), last, \n{prefix}Detected 1 inputs, 2 outputs"
            );
            let log = placement(&text);
            assert_eq!(log.dla, ["one,two"], "{prefix}");
            assert_eq!(log.gpu, ["conv1 + act/Relu", "PWN(a, b)", "last"]);
        }
        // Without its end, a name may be another's beginning.
        let cut = placement("Layers running on DLA:\n{a,b}, {c,Conv_1");
        assert_eq!(cut.dla, ["a,b"]);
    }

    #[test]
    fn a_line_that_another_interrupts_names_nothing() {
        let log = placement(
            "[01/02/2026-10:00:00] [I] [TRT] [GpuLayer] CONVOLUTION: Conv_1[01/02/2026-10:00:00] [I] [TRT] [DlaLayer] {ForeignNode[a]}",
        );
        assert!(log.gpu.is_empty());
        assert_eq!(log.dla, ["{ForeignNode[a]}"]);
    }

    #[test]
    fn blocks_that_fail_and_blocks_that_are_taken() {
        let log = placement(
            "[V] [TRT] {ForeignNode[a...b]} successfully offloaded to DLA.\n\
             [E] Error[10]: [x.cpp::y::1] Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[c...d]}.)\n\
             [E] Error[10]: Could not find any implementation for node /conv/Conv + /Relu.",
        );
        assert_eq!(log.dla, ["{ForeignNode[a...b]}"]);
        assert_eq!(log.failed, ["{ForeignNode[c...d]}", "/conv/Conv + /Relu"]);
    }
}
