//! Modules from the metadata that `torch.onnx.export(dynamo=True)` leaves.

use super::named::{Named, Naming, common_ancestor, metadata};

/// Metadata key of the modules around a node; the last item is the node.
pub const SCOPES_KEY: &str = "pkg.torch.onnx.name_scopes";
const CLASSES_KEY: &str = "pkg.torch.onnx.class_hierarchy";

/// The module of each op.
pub fn dynamo(ops: &[Named<'_>], naming: &mut Naming) -> Vec<Option<String>> {
    let mut own: Vec<Option<String>> = ops
        .iter()
        .map(|op| {
            let mut scopes = python_list(metadata(op.node, SCOPES_KEY)?)?;
            // The last one is the fx node, not a module.
            scopes.pop()?;
            let classes = metadata(op.node, CLASSES_KEY)
                .and_then(python_list)
                .unwrap_or_default();
            let mut class = None;
            for (i, scope) in scopes.iter_mut().enumerate() {
                // `relu@1` is the second call of `relu`.
                if let Some((path, call)) = scope.split_once('@')
                    && call.bytes().all(|b| b.is_ascii_digit())
                {
                    *scope = path.to_owned();
                }
                class = classes.get(i).map(|c| short_class(c));
                let slot = naming.modules.entry(scope.clone()).or_default();
                if slot.is_none() {
                    *slot = class.map(str::to_owned);
                }
                naming.called.insert(scope.clone());
            }
            let scope = scopes.pop()?;
            // After FuseBatchNormIntoConv the node carries the batch norm's scope; the weight's
            // name is right.
            if op.heavy
                && let Some(owner) = op.owner()
                && owner != scope
                && class.is_none_or(|c| c.contains("Norm"))
            {
                return Some(owner.to_owned());
            }
            Some(scope)
        })
        .collect();
    // The exporter loses the metadata of a Split (made from chunk or split): whoever cuts a tensor
    // hands the parts on.
    for (i, op) in ops.iter().enumerate().rev() {
        if own.get(i).is_some_and(Option::is_none) && op.node.op_type == "Split" {
            let readers = op.readers.iter().filter_map(|r| own.get(*r)?.as_deref());
            let common = readers
                .map(str::to_owned)
                .reduce(|a, b| common_ancestor(&a, &b).to_owned());
            if let Some(slot) = own.get_mut(i) {
                *slot = common;
            }
        }
    }
    own
}

fn short_class(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// Parses a Python list of strings as `repr` prints it.
fn python_list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut chars = inner.chars().peekable();
    let mut items = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let Some(quote) = chars.next() else {
            return Some(items);
        };
        if quote != '\'' && quote != '"' {
            return None;
        }
        let mut item = String::new();
        loop {
            match chars.next()? {
                '\\' => match chars.next()? {
                    'n' => item.push('\n'),
                    't' => item.push('\t'),
                    other => item.push(other),
                },
                c if c == quote => break,
                c => item.push(c),
            }
        }
        items.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_lists() {
        let parsed = python_list(r#"['', 'layer1', "it's", 'a\'b']"#);
        assert_eq!(parsed.unwrap(), ["", "layer1", "it's", "a'b"]);
        assert_eq!(python_list("[]").unwrap(), [""; 0]);
        assert_eq!(python_list("['a"), None);
        assert_eq!(python_list("[a]"), None);
    }
}
