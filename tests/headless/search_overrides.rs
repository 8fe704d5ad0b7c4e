//! The shortest way to write a placement, against every way to write it.

use crate::support::ops_in;
use dlaplan::model::{Model, ModuleTreeBuilder, OpId};
use dlaplan::placement::{Device, Placement, Site};
use dlaplan::search::overrides::fewest_overrides;
use proptest::prelude::*;

fn model(paths: &[String]) -> Model {
    let mut tree = ModuleTreeBuilder::default();
    let handles: Vec<usize> = paths
        .iter()
        .zip(0..)
        .map(|(p, i)| {
            let h = tree.module(p);
            tree.add_op(h, OpId(i));
            h
        })
        .collect();
    ops_in(tree, &handles)
}

fn meets(model: &Model, placement: &Placement, required: &[Option<Device>]) -> bool {
    let asked = placement.resolve(model).unwrap().devices();
    asked
        .iter()
        .zip(required)
        .all(|(a, r)| r.is_none_or(|r| r == *a))
}

/// The fewest entries that will do, by trying them all.
fn fewest(model: &Model, required: &[Option<Device>]) -> usize {
    let mut sites: Vec<Site> = model
        .modules
        .iter()
        .skip(1)
        .map(|(_, m)| Site::Module(m.path.to_string()))
        .collect();
    sites.extend(model.ops.iter().map(|o| Site::Op(o.name.to_string())));
    let count = 3u64.pow(sites.len() as u32);
    let mut best = usize::MAX;
    for default in [Device::Gpu, Device::Dla] {
        for mut code in 0..count {
            let mut placement = Placement::all(default);
            for site in &sites {
                match code % 3 {
                    0 => {}
                    1 => drop(placement.overrides.insert(site.clone(), Device::Gpu)),
                    _ => drop(placement.overrides.insert(site.clone(), Device::Dla)),
                }
                code /= 3;
            }
            if placement.overrides.len() < best && meets(model, &placement, required) {
                best = placement.overrides.len();
            }
        }
    }
    best
}

fn required() -> impl Strategy<Value = Option<Device>> {
    prop_oneof![
        3 => Just(Some(Device::Gpu)),
        3 => Just(Some(Device::Dla)),
        1 => Just(None)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn nothing_shorter_says_the_same(
        ops in prop::collection::vec(("|[ab]|[ab]\\.[ab]", required()), 1..5),
    ) {
        let (paths, required): (Vec<String>, Vec<_>) = ops.into_iter().unzip();
        let model = model(&paths);
        prop_assume!(model.modules.len() + model.ops.len() <= 9);
        let placement = fewest_overrides(&model, &required, false);
        prop_assert!(meets(&model, &placement, &required));
        prop_assert_eq!(placement.overrides.len(), fewest(&model, &required), "{:?}", placement);
        let placement = fewest_overrides(&model, &required, true);
        prop_assert!(meets(&model, &placement, &required));
    }

    #[test]
    fn large_trees_are_met(
        ops in prop::collection::vec(("[abc](\\.[abc]){0,4}", required()), 1..200),
    ) {
        let (paths, required): (Vec<String>, Vec<_>) = ops.into_iter().unzip();
        let model = model(&paths);
        for whole in [false, true] {
            let placement = fewest_overrides(&model, &required, whole);
            prop_assert!(meets(&model, &placement, &required));
        }
    }
}

#[test]
fn a_person_would_write_the_same() {
    let paths = [
        "conv1",
        "layer1.0.conv1",
        "layer1.0.relu",
        "layer1.1.conv1",
        "fc",
    ];
    let model = model(&paths.map(str::to_owned));
    let (gpu, dla) = (Some(Device::Gpu), Some(Device::Dla));
    let written = |required: &[Option<Device>]| fewest_overrides(&model, required, false);
    assert_eq!(
        written(&[gpu, dla, dla, dla, gpu]),
        Placement::default().with_module("layer1", Device::Dla)
    );
    // The DLA refuses the last: asking for it costs nothing and saves an entry.
    assert_eq!(
        written(&[dla, dla, dla, dla, None]),
        Placement::all(Device::Dla)
    );
    // In strict mode it must not be asked.
    assert_eq!(
        written(&[dla, dla, dla, dla, gpu]),
        Placement::all(Device::Dla).with_module("fc", Device::Gpu)
    );
    assert_eq!(written(&[gpu, gpu, gpu, gpu, None]), Placement::default());
}
