//! The layers of a built engine and how TensorRT writes their names.

use serde_json::Value;

/// A layer of a built engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineLayer {
    /// Name.
    pub name: String,
    /// `LayerType` of the inspector; empty where it gives only names.
    pub kind: String,
    /// ONNX names of the metadata (8.6 and later).
    pub onnx: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
}

/// Reads the engine inspector's JSON (also trtexec's `--exportLayerInfo`). Anything unexpected is
/// skipped: what TensorRT writes here has changed with every version.
pub fn engine_layers(json: &str) -> Vec<EngineLayer> {
    let parsed = serde_json::from_str::<Value>(json);
    let Ok(Value::Object(root)) = parsed.or_else(|_| serde_json::from_str(&escaped(json))) else {
        return Vec::new();
    };
    let Some(Value::Array(layers)) = root.get("Layers") else {
        return Vec::new();
    };
    let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_owned();
    layers
        .iter()
        .filter_map(|layer| match layer {
            Value::String(name) => Some(EngineLayer {
                name: name.clone(),
                ..EngineLayer::default()
            }),
            Value::Object(o) => {
                let outputs = o.get("Outputs").and_then(Value::as_array);
                let outputs = outputs.map(|a| a.iter().map(|t| text(t.get("Name"))).collect());
                let metadata = text(o.get("Metadata"));
                Some(EngineLayer {
                    name: text(o.get("Name")),
                    kind: text(o.get("LayerType")),
                    onnx: onnx_names(&metadata)
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                    outputs: outputs.unwrap_or_default(),
                })
            }
            _ => None,
        })
        .collect()
}

/// JSON whose strings hold characters as they are: TensorRT 8.6 puts the record separator (0x1e)
/// between the ONNX names of a fused layer, and escapes neither it nor a backslash.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 64);
    let mut inside = false;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' if inside => {
                out.push(c);
                match chars.next_if(|c| "\"\\/bfnrtu".contains(*c)) {
                    Some(next) => out.push(next),
                    None => out.push(c),
                }
            }
            c if inside && c < ' ' => {
                out.push_str("\\u00");
                let code = u32::from(c);
                out.extend([code / 16, code % 16].map(|d| char::from_digit(d, 16).unwrap_or('0')));
            }
            _ => out.push(c),
        }
    }
    out
}

/// First and last name of `{ForeignNode[A...B]}` or `{ForeignNode[A]}`.
pub(super) fn foreign_node(name: &str) -> Option<(&str, &str)> {
    let inner = name
        .trim()
        .strip_prefix('{')?
        .strip_suffix('}')?
        .strip_prefix("ForeignNode[")?
        .strip_suffix(']')?;
    // Names may hold dots themselves; the separator is the first "..." that is not longer.
    match inner.split_once("...") {
        Some((first, last)) => Some((first, last.trim_start_matches('.'))),
        None => Some((inner, inner)),
    }
}

/// Names in `[ONNX Layer: a]`, several joined by the record separator.
pub(super) fn onnx_names(metadata: &str) -> Vec<&str> {
    metadata
        .split("[ONNX Layer: ")
        .skip(1)
        .filter_map(|part| {
            let part = part.split('\u{1e}').next()?;
            let name = part.rsplit_once(']').map_or(part, |(name, _)| name);
            Some(name.split(" | Local Function: ").next().unwrap_or(name))
        })
        .collect()
}

/// A copy or a change of format beside a layer, by its name.
pub(super) fn is_copy(name: &str) -> bool {
    name.starts_with("Reformatting CopyNode")
        || [" to nvm", " from nvm", " copy finish"]
            .iter()
            .any(|s| name.ends_with(s))
        || name.contains(" input reformatter ")
        || name.contains(" output reformatter ")
}
