//! Two placements side by side: what they share, what differs, and that nothing is lost between.

use dlaplan::estimate::board;
use dlaplan::model::Model;
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::platform::{Board, Target};
use dlaplan::tasks::compare::{Comparison, Judged, lines};
use proptest::prelude::*;

fn judged(model: &Model, dla: &[bool], precision: Precision) -> Judged {
    let target = Target::of(Board::find("agx-xavier").unwrap());
    let ops = model.op_ids().zip(dla.iter().cycle());
    let placement = ops
        .filter(|(_, on)| **on)
        .fold(Placement::all(Device::Gpu), |p, (op, _)| {
            p.with_op(&model.op(op).name, Device::Dla)
        });
    let config = EngineConfig {
        precision,
        ..EngineConfig::default()
    };
    let own = board::shipped(target.board.id);
    Judged::new("one", model, &target, &own, &placement, &config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_comparison_is_exact_and_has_two_sides(
        a in prop::collection::vec(any::<bool>(), 1..70),
        b in prop::collection::vec(any::<bool>(), 1..70),
        int8 in any::<bool>(),
    ) {
        let model = crate::networks::network("resnet18").unwrap();
        let precision = if int8 { Precision::INT8 } else { Precision::FP16 };
        let (a, b) = (judged(&model, &a, Precision::FP16), judged(&model, &b, precision));
        let there = Comparison::of(&model, a.side(), b.side());
        let back = Comparison::of(&model, b.side(), a.side());
        // Ops that run elsewhere, each once, however they are summed.
        let differ = a.plan.predicted.iter().zip(&b.plan.predicted).filter(|(x, y)| x != y);
        prop_assert_eq!(there.differing() as usize, differ.count());
        prop_assert_eq!(there.of_ops(&model.op_ids().collect::<Vec<_>>()).differs, there.differing());
        // The other way round it is the same with the sign changed.
        for (x, y) in there.modules.iter().zip(&back.modules) {
            prop_assert_eq!((x.ops, x.differs, x.this, x.that), (y.ops, y.differs, y.that, y.this));
        }
        for (x, y) in lines(a.side(), b.side()).iter().zip(lines(b.side(), a.side())) {
            let (x, y) = (x.delta().unwrap_or(0.0), y.delta().unwrap_or(0.0));
            prop_assert!((x + y).abs() < 1e-9);
        }
        // What crosses in one only is what is left of either when the common is taken away.
        let only = |c: &Comparison, this| c.crossings.iter().filter(|x| x.this == this).count();
        let (here, gone) = (only(&there, true), only(&there, false));
        prop_assert_eq!(a.plan.transitions.len() - here, b.plan.transitions.len() - gone);
        prop_assert_eq!((here, gone), (only(&back, false), only(&back, true)));
        // The causes of the difference add up to it.
        if let (Ok(x), Ok(y)) = (&a.breakdown, &b.breakdown) {
            let sum: f64 = x.waterfall.less(&y.waterfall).iter().map(|(_, ms)| ms).sum();
            let delta = x.waterfall.to.value().unwrap() - y.waterfall.to.value().unwrap();
            prop_assert!((sum - delta).abs() < 1e-4, "{} {}", sum, delta);
        }
        // A placement beside itself differs in nothing.
        let same = Comparison::of(&model, a.side(), a.side());
        prop_assert_eq!((same.differing(), same.crossings.len()), (0, 0));
        prop_assert!(same.modules.iter().all(|p| p.delta_ms().unwrap_or(0.0) == 0.0));
    }
}
