//! Placement resolution against a direct simulation of torch2trt's module hooks.

use std::collections::BTreeMap;

use crate::support::ops_in;
use dlaplan::model::{Model, ModuleId, ModuleTreeBuilder, OpId};
use dlaplan::placement::{Device, Document, Edit, EngineConfig, Placement, Site, UnknownSite};
use proptest::prelude::*;

/// A network as PyTorch runs it: what each module's `forward` does, in order.
#[derive(Clone, Debug)]
enum Step {
    Op,
    Call(String, Vec<Step>),
}

fn forward() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop::collection::vec(Just(Step::Op), 0..3);
    leaf.prop_recursive(5, 60, 4, |inner| {
        prop::collection::vec(
            prop_oneof![
                2 => Just(Step::Op),
                3 => ("[ab][0-9]?", inner).prop_map(|(n, s)| Step::Call(n, s)),
            ],
            0..5,
        )
    })
}

struct Built {
    tree: ModuleTreeBuilder,
    ops: Vec<usize>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn build(steps: &[Step], path: &str, built: &mut Built) {
    let handle = built.tree.module(path);
    for step in steps {
        match step {
            Step::Op => {
                built.tree.add_op(handle, OpId(built.ops.len() as u32));
                built.ops.push(handle);
            }
            Step::Call(name, inner) => build(inner, &join(path, name), built),
        }
    }
}

fn model(steps: &[Step]) -> Model {
    let mut built = Built {
        tree: ModuleTreeBuilder::default(),
        ops: Vec::new(),
    };
    build(steps, "", &mut built);
    ops_in(built.tree, &built.ops)
}

/// torch2trt's `ConversionContext`: a pre-forward hook pushes the type of a listed module, the
/// post-forward hook pops it; a layer takes the top of the stack, else the default.
fn hooks(
    steps: &[Step],
    path: &str,
    device_types: &BTreeMap<String, Device>,
    default: Device,
    stack: &mut Vec<Device>,
    layers: &mut Vec<Device>,
) {
    let listed = device_types.get(path);
    stack.extend(listed);
    for step in steps {
        match step {
            Step::Op => layers.push(stack.last().copied().unwrap_or(default)),
            Step::Call(name, inner) => {
                hooks(
                    inner,
                    &join(path, name),
                    device_types,
                    default,
                    stack,
                    layers,
                );
            }
        }
    }
    if listed.is_some() {
        stack.pop();
    }
}

fn device() -> impl Strategy<Value = Device> {
    prop_oneof![Just(Device::Gpu), Just(Device::Dla)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn resolution_equals_torch2trt_hooks(
        steps in forward(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), device()), 0..8),
        default in device(),
    ) {
        let model = model(&steps);
        let mut device_types = BTreeMap::new();
        let mut placement = Placement::all(default);
        for (pick, device) in picks {
            let id = ModuleId(pick.index(model.modules.len()) as u32);
            let path = model.modules.get(id).path.to_string();
            placement = placement.with_module(&path, device);
            device_types.insert(path, device);
        }
        let mut layers = Vec::new();
        hooks(&steps, "", &device_types, default, &mut Vec::new(), &mut layers);
        prop_assert_eq!(placement.resolve(&model).unwrap().devices(), layers);
    }

    #[test]
    fn undo_and_redo_walk_the_same_states(
        edits in prop::collection::vec((any::<bool>(), "[a-c]", device()), 1..20),
    ) {
        let mut document = Document::new(Placement::default(), EngineConfig::default());
        let mut states = vec![document.placement().clone()];
        for (assign, path, device) in edits {
            let site = vec![Site::Module(path)];
            let edit = if assign { Edit::Assign(site, device) } else { Edit::Inherit(site) };
            if document.apply(&edit) {
                states.push(document.placement().clone());
            }
        }
        for state in states.iter().rev().skip(1) {
            document.undo().unwrap();
            prop_assert_eq!(document.placement(), state);
        }
        prop_assert!(document.undo().is_none());
        for state in states.iter().skip(1) {
            document.redo().unwrap();
            prop_assert_eq!(document.placement(), state);
        }
        prop_assert!(document.redo().is_none());
    }
}

#[test]
fn the_nearest_assigned_ancestor_wins_and_says_who() {
    let steps = vec![Step::Call(
        "layer2".into(),
        vec![
            Step::Call("0".into(), vec![Step::Op]),
            Step::Call("1".into(), vec![Step::Op]),
        ],
    )];
    let model = model(&steps);
    let placement = Placement::default()
        .with_module("layer2", Device::Dla)
        .with_module("layer2.0", Device::Gpu);
    assert_eq!(
        placement.resolve(&model).unwrap().devices(),
        [Device::Gpu, Device::Dla]
    );
    let json = serde_json::to_string(&placement).unwrap();
    assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
}

#[test]
fn an_unknown_module_is_named_with_the_nearest() {
    let model = model(&[Step::Call("layer1".into(), vec![Step::Op])]);
    let error = Placement::default()
        .with_module("layer9", Device::Dla)
        .resolve(&model);
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("\"layer9\"") && text.contains("did you mean \"layer1\""),
        "{text}"
    );
}

#[test]
fn the_nearest_name_is_the_one_of_fewest_slips() {
    let layer = |n: usize| {
        let convs = ["conv1", "conv2"].map(|c| Step::Call(c.into(), vec![Step::Op]));
        Step::Call(format!("layer{n}"), convs.to_vec())
    };
    let model = model(&[layer(1), layer(2), layer(4)]);
    let suggested = |path: &str| {
        let placement = Placement::default().with_module(path, Device::Dla);
        match placement.resolve(&model).unwrap_err() {
            UnknownSite::Module { nearest, .. } => nearest,
            UnknownSite::Op { name, .. } => panic!("{name} is no op"),
        }
    };
    for (typed, meant) in [
        ("layer1.con1", Some("layer1.conv1")),
        ("layr1", Some("layer1")),
        ("Layer2", Some("layer2")),
        ("lyaer4.conv2", Some("layer4.conv2")),
        ("backbone", None),
        ("x", None),
    ] {
        assert_eq!(suggested(typed).as_deref(), meant, "{typed}");
    }
}

#[test]
fn a_site_assigned_twice_is_refused() {
    let text = r#"{"default":"GPU","overrides":[{"module":"a","device":"GPU"},{"module":"a","device":"DLA"}]}"#;
    let error = serde_json::from_str::<Placement>(text)
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"a\" is assigned twice"), "{error}");
}
