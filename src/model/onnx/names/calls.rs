//! Modules of ops that stood in local functions: a function is a module's `forward`
//! (`export_modules_as_functions`, and `dynamo_export` of PyTorch 2.1 to 2.5).

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::named::{Named, Naming, common_ancestor, join, parent};
use super::torchscript::decode;
use crate::model::onnx::inline::{self, Call};

/// One call of a function.
struct Instance<'a> {
    call: Call<'a>,
    around: Option<usize>,
    /// Modules that hold the weights of its ops.
    owners: Vec<&'a str>,
    ops: usize,
    /// What the names of the function's nodes say, which are those of its first call.
    written: Option<String>,
    path: String,
}

/// Puts ops of functions into the modules of their calls.
pub fn place<'a>(
    ops: &[Named<'a>],
    known: &HashSet<String>,
    own: &mut [Option<String>],
    naming: &mut Naming,
) {
    let mut instances: Vec<Instance<'a>> = Vec::new();
    let mut by_id: HashMap<&'a str, usize> = HashMap::new();
    // Per op, its innermost call and what its own name says.
    let mut inside: Vec<Option<(usize, Option<String>)>> = Vec::with_capacity(ops.len());
    for op in ops {
        let Some((calls, name)) = inline::calls(op.node) else {
            inside.push(None);
            continue;
        };
        let written = decode(name, known);
        let mut innermost = None;
        for call in calls {
            let id = *by_id.entry(call.instance).or_insert(instances.len());
            if id == instances.len() {
                instances.push(Instance {
                    call,
                    around: innermost,
                    owners: Vec::new(),
                    ops: 0,
                    written: None,
                    path: String::new(),
                });
            }
            innermost = Some(id);
            let Some(instance) = instances.get_mut(id) else {
                continue;
            };
            instance.ops += 1;
            instance.owners.extend(
                op.weights
                    .iter()
                    .filter_map(|w| super::named::parameter_owner(w)),
            );
            if let Some(written) = &written {
                instance.written = Some(match &instance.written {
                    None => written.clone(),
                    Some(before) => common_ancestor(before, written).to_owned(),
                });
            }
        }
        inside.push(innermost.map(|id| (id, written)));
    }
    if instances.is_empty() {
        return;
    }
    let mangled: BTreeMap<String, &str> = known
        .iter()
        .map(|path| (path.replace('.', "_"), path.as_str()))
        .collect();
    for i in 0..instances.len() {
        let Some(instance) = instances.get(i) else {
            continue;
        };
        let around = instance.around.and_then(|a| instances.get(a));
        let around = around.map_or("", |a| a.path.as_str());
        let (path, class) = path_of(instance, around, &mangled);
        if let Some(class) = class {
            let slot = naming.modules.entry(path.clone()).or_default();
            if slot.is_none() {
                *slot = Some(class.to_owned());
            }
            naming.called.insert(path.clone());
        }
        if let Some(instance) = instances.get_mut(i) {
            instance.path = path;
        }
    }
    for ((op, slot), inside) in ops.iter().zip(own).zip(inside) {
        let Some((id, written)) = inside else {
            continue;
        };
        let Some(instance) = instances.get(id) else {
            continue;
        };
        let base = instance.written.as_deref().unwrap_or_default();
        let rest = written.as_deref().and_then(|w| w.strip_prefix(base));
        *slot = Some(match (op.owner(), rest) {
            (Some(owner), _) => owner.to_owned(),
            (None, Some(rest)) => join(&instance.path, rest.trim_start_matches('.')),
            (None, None) => instance.path.clone(),
        });
    }
}

/// A call's module, and its class where the function is one.
fn path_of<'a>(
    instance: &Instance<'a>,
    around: &str,
    mangled: &BTreeMap<String, &str>,
) -> (String, Option<&'a str>) {
    let Call {
        domain,
        function,
        name,
        ..
    } = instance.call;
    // Functions that stand for an operator of PyTorch.
    if domain.contains("onnxscript") || domain.contains("torch_lib") {
        return (around.to_owned(), None);
    }
    if domain.starts_with("pkg.torch.") {
        let (class, path) = of_function(function, around, mangled);
        return (path, Some(class));
    }
    // `BasicBlock.1` is another version of the same class.
    let class = function.split('.').next().unwrap_or(function);
    let holds = |path: &str| {
        let within = |owner: &&str| {
            let rest = owner.strip_prefix(path);
            rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        !instance.owners.is_empty() && instance.owners.iter().all(within)
    };
    let dotted = name.trim_matches('/').replace('/', ".");
    for path in [dotted.clone(), join(around, &dotted)] {
        if !name.is_empty() && holds(&path) {
            return (path, Some(class));
        }
    }
    let mut owners = instance.owners.iter().copied();
    let path = match owners.next() {
        Some(first) => {
            let common = owners.fold(first, |a, b| common_ancestor(a, b));
            let one = instance.owners.iter().all(|o| *o == first);
            // More than the op that holds the weights: what runs around it.
            if one && instance.ops > 1 {
                parent(common)
            } else {
                common
            }
            .to_owned()
        }
        None if name.is_empty() || name.starts_with(class) || name.contains(['/', ' ']) => {
            return (around.to_owned(), None);
        }
        None if around.is_empty() || name.starts_with(&format!("{around}.")) => name.to_owned(),
        None => join(around, name),
    };
    (path, Some(class))
}

/// Class and path of `torch_nn_modules_conv_Conv2d_layer1_0_conv1_1`, the first call of
/// `layer1.0.conv1`.
fn of_function<'a>(
    function: &'a str,
    around: &str,
    mangled: &BTreeMap<String, &str>,
) -> (&'a str, String) {
    let whole = match function.rsplit_once('_') {
        Some((whole, count)) if count.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => function,
    };
    let mut at = 0;
    let mut class = (0, whole.len());
    for token in whole.split('_') {
        if token.starts_with(|c: char| c.is_ascii_uppercase()) {
            class = (at, at + token.len());
            break;
        }
        at += token.len() + 1;
    }
    let path = whole.get(class.1..).unwrap_or_default();
    let path = path.trim_start_matches('_');
    let path = path
        .strip_prefix("self")
        .map_or(path, |p| p.trim_start_matches('_'));
    let class = whole.get(class.0..class.1).unwrap_or(whole);
    if let Some(known) = mangled.get(path) {
        return (class, (*known).to_owned());
    }
    let parent = format!("{}_", around.replace('.', "_"));
    let found = match path.strip_prefix(&parent).filter(|_| !around.is_empty()) {
        Some(rest) => join(around, &numbered(rest)),
        None => numbered(path),
    };
    (class, found)
}

/// `blocks_0_act` as `blocks.0.act`: numbers are segments of their own.
fn numbered(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    let mut before = true;
    for token in text.split('_') {
        let number = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
        if !path.is_empty() {
            path.push(if number || before { '.' } else { '_' });
        }
        path.push_str(token);
        before = number;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_pytorch_2_1() {
        let known = BTreeMap::from([("layer1_0_conv_1".to_owned(), "layer1.0.conv_1")]);
        let of = |function: &'static str, around| of_function(function, around, &known);
        let (conv, relu) = (
            "torch_nn_modules_conv_Conv2d_layer1_0_conv_1_1",
            "torch_nn_modules_activation_ReLU_layer1_0_relu_2",
        );
        assert_eq!(of(conv, ""), ("Conv2d", "layer1.0.conv_1".into()));
        assert_eq!(of(relu, "layer1.0"), ("ReLU", "layer1.0.relu".into()));
        let sequential = "torch_nn_modules_container_Sequential_self_2_1";
        assert_eq!(of(sequential, ""), ("Sequential", "2".into()));
    }
}
