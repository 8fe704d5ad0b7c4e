//! Which ONNX ops the parser of a TensorRT version imports.
//!
//! One op without an importer and the whole file is refused, whatever the placement. The parser
//! looks for the op type alone, whatever its domain: among its importers, then (since 10.0) among
//! the file's local functions, then among the plugins that are loaded (`ModelImporter.cpp` and
//! `FallbackPluginImporter` of onnx-tensorrt). `assets/parser/operators.csv` names its sources.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::{DType, FileOp, Model, Op, OpKind, Resize, ResizeMode, TensorId};
use crate::platform::TensorRt;

/// What a version's parser makes of an op type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// An importer, one of TensorRT's own plugins or, where the version knows them, a local function.
    Imported,
    /// Nothing imports it.
    Missing {
        /// The first version that does; `None` where none dlaplan knows does.
        since: Option<TensorRt>,
    },
    /// Neither ONNX nor TensorRT has the name: only a plugin of the user's can import it.
    OwnPlugin,
}

/// A line of the table.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    kind: Kind,
    since: String,
    until: String,
    restrictions_8: String,
    restrictions_10: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Op,
    Plugin,
}

/// What the table says of a name.
#[derive(Debug)]
struct Entry {
    since: Option<TensorRt>,
    until: Option<TensorRt>,
    /// A plugin of TensorRT's own, not an op.
    plugin: bool,
    /// Of TensorRT 8 and of 10 and later; empty where nothing restricts it.
    restrictions: [String; 2],
}

impl Entry {
    fn imports(&self, version: TensorRt) -> bool {
        self.since.is_some_and(|since| since <= version)
            && self.until.is_none_or(|until| version < until)
    }
}

/// Ops and plugins by name. A line that cannot be read is left out; a test reads every line.
static TABLE: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
    let mut table: HashMap<String, Entry> = HashMap::new();
    for row in rows().filter_map(Result::ok) {
        let entry = Entry {
            since: row.since.parse().ok(),
            until: row.until.parse().ok(),
            plugin: row.kind == Kind::Plugin,
            restrictions: [row.restrictions_8, row.restrictions_10],
        };
        // A plugin stands in for an importer that came later.
        match table.get_mut(&row.name) {
            Some(op) if entry.plugin => {
                op.since = match (op.since, entry.since) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            _ => {
                table.insert(row.name, entry);
            }
        }
    }
    table
});

fn rows() -> impl Iterator<Item = Result<Row, csv::Error>> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(include_bytes!("../../assets/parser/operators.csv").as_slice())
        .into_deserialize()
}

/// Whether the ops of a domain are others' standard ops, which nobody writes as a plugin: those of
/// ONNX, ONNX Runtime and PyTorch's fallback.
fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx" | "org.pytorch.aten") || is_runtimes(domain) || is_ml(domain)
}

/// ONNX Runtime's own ops.
fn is_runtimes(domain: &str) -> bool {
    ["com.microsoft", "com.ms.internal"].iter().any(|d| {
        domain
            .strip_prefix(d)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Classic machine learning, training and ONNX Runtime's text and image processing.
fn is_ml(domain: &str) -> bool {
    [
        "ai.onnx.ml",
        "ai.onnx.training",
        "ai.onnx.preview",
        "ai.onnx.contrib",
    ]
    .iter()
    .any(|d| {
        domain
            .strip_prefix(d)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The first version whose parser writes local functions out (onnx-tensorrt's changelog, 9.0).
const LOCAL_FUNCTIONS: TensorRt = TensorRt::V10_3;

/// What the parser of a version makes of an op type of a file.
pub fn import(op: &FileOp, version: TensorRt) -> Import {
    let entry = TABLE.get(&op.op_type);
    if entry.is_some_and(|e| e.imports(version)) {
        return Import::Imported;
    }
    if op.function {
        return if version >= LOCAL_FUNCTIONS {
            Import::Imported
        } else {
            Import::Missing {
                since: Some(LOCAL_FUNCTIONS),
            }
        };
    }
    match entry {
        Some(e) if is_standard(&op.domain) || e.plugin => Import::Missing {
            since: e.since.filter(|since| *since > version),
        },
        // A name that ONNX does not have, in ONNX's domain: a plugin was meant.
        None if op.domain.is_empty() => Import::OwnPlugin,
        None if is_standard(&op.domain) => Import::Missing { since: None },
        _ => Import::OwnPlugin,
    }
}

/// What the table of a version restricts of an op it imports.
pub fn restriction(op_type: &str, version: TensorRt) -> Option<&'static str> {
    let entry = TABLE.get(op_type)?;
    let [eight, ten] = &entry.restrictions;
    let text = if version < TensorRt::V10_3 {
        eight
    } else {
        ten
    };
    (!text.is_empty()).then_some(text.as_str())
}

/// Why the parser refuses the file, one sentence per remedy; empty where it does not.
pub fn refusals(model: &Model, version: TensorRt) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&FileOp>)> = Vec::new();
    for op in &model.file_ops {
        let Import::Missing { since } = import(op, version) else {
            continue;
        };
        let remedy = remedy(op, since);
        match groups.iter_mut().find(|(r, _)| *r == remedy) {
            Some((_, ops)) => ops.push(op),
            None => groups.push((remedy, vec![op])),
        }
    }
    let sentence = |(remedy, ops): (String, Vec<&FileOp>)| {
        format!(
            "the ONNX parser of TensorRT {version} cannot import {}; {remedy}",
            listed(&ops)
        )
    };
    let mut reasons: Vec<String> = groups.into_iter().map(sentence).collect();
    reasons.extend(restricted(model, version));
    reasons
}

/// Forms of an op that its importer refuses.
struct Form {
    what: &'static str,
    remedy: &'static str,
    applies: fn(&Model, &Op, TensorRt) -> bool,
}

/// The checks at the head of the importers, in every branch the table names.
const FORMS: [Form; 3] = [
    Form {
        what: "MaxPool with its second output, the indices",
        remedy: "pool without return_indices, and unpool by Resize or a deconvolution",
        applies: |_, op, _| {
            op.domain.is_empty() && &*op.op_type == "MaxPool" && op.outputs.len() > 1
        },
    },
    Form {
        what: "a Resize by cubic interpolation",
        remedy: "use TensorRT 8.5 or later, or interpolate linearly",
        applies: |_, op, version| {
            let cubic = |r: &Resize| r.mode == ResizeMode::Cubic;
            version < TensorRt::V8_5 && matches!(&op.kind, OpKind::Resize(r) if cubic(r))
        },
    },
    Form {
        what: "QuantizeLinear to UINT8",
        remedy: "quantise symmetrically to INT8 (in ONNX Runtime: activation_type=QInt8, \
                 ActivationSymmetric)",
        // Later parsers have a flag for it, kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA.
        applies: |model, op, version| {
            let unsigned = |t: &TensorId| model.tensor(*t).dtype == DType::U8;
            version < TensorRt::V11_4
                && matches!(op.kind, OpKind::Quantize)
                && op.weights.iter().any(unsigned)
        },
    },
];

fn restricted(model: &Model, version: TensorRt) -> Vec<String> {
    let found = FORMS.iter().filter_map(|form| {
        let mut ops = model
            .ops
            .iter()
            .filter(|op| (form.applies)(model, op, version));
        let first = ops.next()?;
        let more = match ops.count() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Some(format!(
            "the ONNX parser of TensorRT {version} cannot import {} (\"{}\"{more}); {}",
            form.what,
            short(&first.name),
            form.remedy
        ))
    });
    found.collect()
}

/// Op types that only a plugin of the user's can import.
pub fn own_plugins(model: &Model, version: TensorRt) -> Vec<&FileOp> {
    let own = |op: &&FileOp| import(op, version) == Import::OwnPlugin;
    model.file_ops.iter().filter(own).collect()
}

/// `DynamicQuantizeLinear (9 nodes, first "/x")`, the first few of them.
pub fn listed(ops: &[&FileOp]) -> String {
    const SHOWN: usize = 6;
    let mut text = String::new();
    for (i, op) in ops.iter().take(SHOWN).enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        let noun = if op.nodes == 1 { "node" } else { "nodes" };
        let kind = if op.function { "local function " } else { "" };
        let domain = match op.domain.as_str() {
            "" => String::new(),
            domain => format!("{}.", short(domain)),
        };
        write!(
            text,
            "{separator}{kind}{domain}{} ({} {noun}, first \"{}\")",
            short(&op.op_type),
            op.nodes,
            short(&op.first)
        )
        .ok();
    }
    if ops.len() > SHOWN {
        write!(text, " and {} more op types", ops.len() - SHOWN).ok();
    }
    text
}

/// What a file wrote, short enough for a message.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.escape_debug().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn remedy(op: &FileOp, since: Option<TensorRt>) -> String {
    if let Some(since) = since {
        let other = if op.function {
            "write the functions out (onnx.inliner.inline_local_functions)"
        } else {
            "export with a lower opset, which writes it as several ops"
        };
        return format!("use TensorRT {since} or later, or {other}");
    }
    let name = &*op.op_type;
    let quantised = name.starts_with("QLinear")
        || name.starts_with("DynamicQuantize")
        || name.contains("Integer")
        || name.starts_with("QAttention")
        || name.starts_with("QGemm")
        || name.contains("NBits");
    if quantised {
        "start from the float model: build INT8 with calibration, or quantise with QuantizeLinear \
         and DequantizeLinear"
    } else if is_runtimes(&op.domain) || name == "SimplifiedLayerNormalization" {
        "the file was optimised by ONNX Runtime: take the one before that"
    } else if is_ml(&op.domain) {
        "cut it off (polygraphy surgeon extract) and compute it outside the engine"
    } else if op.domain == "org.pytorch.aten" || name == "ATen" {
        "export again without operator_export_type=ONNX_ATEN_FALLBACK"
    } else if ["Sequence", "Optional", "String"].iter().any(|p| name.contains(p)) {
        "TensorRT has tensors only: cut it off (polygraphy surgeon extract) or export the model \
         without it"
    } else {
        "write it with other ops, cut it off (polygraphy surgeon extract), or load a plugin of that \
         name"
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(domain: &str, op_type: &str) -> FileOp {
        FileOp {
            domain: domain.into(),
            op_type: op_type.into(),
            first: "it".into(),
            nodes: 1,
            function: false,
        }
    }

    #[test]
    fn every_line_of_the_table_is_read() {
        let mut ops = 0;
        for row in rows() {
            let row = row.unwrap();
            for version in [&row.since, &row.until] {
                assert!(
                    version.is_empty() || version.parse::<TensorRt>().is_ok(),
                    "{row:?}"
                );
            }
            let version = |text: &str| text.parse::<TensorRt>().ok();
            let until = version(&row.until);
            assert!(
                until.is_none_or(|u| version(&row.since) < Some(u)),
                "{row:?}"
            );
            assert!(TABLE.contains_key(&row.name));
            ops += usize::from(row.kind == Kind::Op);
        }
        // The table of 11.1 alone has 196 ops.
        assert!(ops > 196, "{ops}");
    }

    /// Ops by the tables of their branches: the last version without and the first with.
    #[test]
    fn ops_come_with_their_version() {
        use TensorRt::{V7_1, V8_0, V8_2, V8_4, V8_5, V8_6, V10_3, V10_7, V11_4};
        for (name, before, since) in [
            ("CumSum", V7_1, V8_0),
            ("Einsum", V8_0, V8_2),
            ("ScatterElements", V8_0, V8_2),
            ("Shrink", V8_2, V8_4),
            ("OneHot", V8_4, V8_5),
            ("GridSample", V8_4, V8_5),
            ("LayerNormalization", V8_5, V8_6),
            ("Gelu", V8_6, V10_3),
            ("DeformConv", V8_6, V10_3),
            ("STFT", V10_3, V10_7),
            ("RMSNormalization", V10_7, V11_4),
        ] {
            let op = op("", name);
            assert_eq!(
                import(&op, before),
                Import::Missing { since: Some(since) },
                "{name}"
            );
            assert_eq!(import(&op, since), Import::Imported, "{name}");
        }
        for version in TensorRt::ALL {
            for name in ["Conv", "Reciprocal", "Dropout", "If", "Loop", "LeakyRelu"] {
                assert_eq!(import(&op("", name), version), Import::Imported, "{name}");
            }
            for name in [
                "DynamicQuantizeLinear",
                "ConvInteger",
                "QLinearConv",
                "DFT",
                "Unique",
            ] {
                let missing = Import::Missing { since: None };
                assert_eq!(import(&op("", name), version), missing, "{name}");
            }
        }
    }

    #[test]
    fn plugins_are_not_refused() {
        for domain in ["", "TRT", "custom", "com.microsoft"] {
            assert_eq!(
                import(&op(domain, "EfficientNMS_TRT"), TensorRt::V8_5),
                Import::Imported
            );
        }
        let early = import(&op("", "EfficientNMS_TRT"), TensorRt::V7_1);
        assert_eq!(
            early,
            Import::Missing {
                since: Some(TensorRt::V8_0)
            }
        );
        assert_eq!(
            import(&op("mmdeploy", "TRTBatchedNMS"), TensorRt::V8_5),
            Import::OwnPlugin
        );
        assert_eq!(
            import(&op("", "MyDecoder_TRT"), TensorRt::V8_5),
            Import::OwnPlugin
        );
        assert_eq!(
            import(&op("mmcv", "GridSample"), TensorRt::V8_2),
            Import::OwnPlugin
        );
        // The parser does not look at the domain.
        assert_eq!(
            import(&op("com.microsoft", "Gelu"), TensorRt::V10_3),
            Import::Imported
        );
        let missing = Import::Missing { since: None };
        for (domain, name) in [
            ("com.microsoft", "FusedConv"),
            ("com.microsoft.nchwc", "ReorderInput"),
            ("ai.onnx.ml", "TreeEnsembleClassifier"),
            ("org.pytorch.aten", "ATen"),
        ] {
            assert_eq!(
                import(&op(domain, name), TensorRt::V10_7),
                missing,
                "{name}"
            );
        }
    }

    #[test]
    fn forms_that_importers_refuse_are_refused() {
        use crate::model::{CoordinateMode, NearestMode, Pool, PoolKind};
        use crate::net::Net;
        const IMAGE: &[u64] = &[1, 3, 8, 8];
        let model = |mode: ResizeMode, zero_point: DType, outputs: usize| {
            let mut net = Net::new("test");
            let x = net.input("x", Some(IMAGE));
            let resize = Resize {
                mode,
                coordinates: CoordinateMode::HalfPixel,
                nearest: NearestMode::Floor,
                scales: vec![1.0; 4],
                by_size: false,
            };
            let y = net.op("up", OpKind::Resize(resize), &[x], Some(IMAGE));
            let scale = net.weight(&[1]);
            net.dtype = zero_point;
            let zero = net.weight(&[1]);
            net.dtype = DType::F32;
            let y = net.op("q", OpKind::Quantize, &[y, scale, zero], Some(IMAGE));
            let pool = OpKind::Pool(Pool {
                kind: PoolKind::Max,
                window: vec![2, 2],
                stride: vec![2, 2],
                pads: vec![0; 4],
                dilation: vec![1, 1],
                count_include_pad: false,
                ceil_mode: false,
            });
            net.op("pool", pool, &[y], Some(&[1, 3, 4, 4]));
            let mut model = net.finish(&[]);
            let pool = &mut model.ops[2];
            pool.op_type = "MaxPool".into();
            pool.outputs = vec![pool.outputs[0]; outputs];
            model
        };
        let plain = model(ResizeMode::Linear, DType::I8, 1);
        for version in TensorRt::ALL {
            assert_eq!(refusals(&plain, version), Vec::<String>::new());
        }
        let odd = model(ResizeMode::Cubic, DType::U8, 2);
        let count = |version| refusals(&odd, version).len();
        assert_eq!(count(TensorRt::V8_4), 3);
        assert_eq!(count(TensorRt::V10_7), 2);
        assert_eq!(count(TensorRt::V11_4), 1);
        let said = refusals(&odd, TensorRt::V8_4).join("\n");
        for word in [
            "indices (\"pool\")",
            "cubic interpolation (\"up\")",
            "UINT8 (\"q\")",
        ] {
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn restrictions_are_those_of_the_major_version() {
        let of = |version| restriction("MaxPool", version).unwrap();
        assert!(of(TensorRt::V8_5).contains("Indices output tensor unsupported"));
        assert!(of(TensorRt::V10_3).contains("dilations"));
        assert_eq!(restriction("Relu", TensorRt::V8_5), None);
    }
}
