//! Runs as evidence for the estimates.

use crate::estimate::fit::own::OwnRun;
use crate::model::{Model, OpId, OpKind};
use crate::placement::Device;
use crate::platform::Target;

use super::run::{Measurement, RowSite, Run};

/// A run of `model` on `target` as the refit of a calibration takes it; `None` where its figures
/// do not stand for its placement alone: it failed, ran beside other engines, or its engine put
/// ops elsewhere than planned.
pub fn own_run<'m>(run: &Run, model: &'m Model, target: Target) -> Option<OwnRun<'m>> {
    run.deployment
        .is_none()
        .then(|| own_share(run, model, target))?
}

/// The same of an engine that ran beside others: its figures are those of its share.
pub fn own_share<'m>(run: &Run, model: &'m Model, target: Target) -> Option<OwnRun<'m>> {
    if !run.stands_for_placement() {
        return None;
    }
    let measured = run.measurement()?;
    let (gpu_ms, reformat_ms, dla_ms) = profile(measured, model);
    Some(OwnRun {
        model,
        target,
        config: run.request.config.clone(),
        placement: run.request.placement.clone(),
        // Where the CPU set the pace it did so unevenly; the best repeat says most of the GPU.
        fps: match run.limited_by_cpu() {
            Some(_) => measured.fps.max,
            None => measured.fps.value,
        },
        gpu_ms,
        reformat_ms,
        dla_ms,
    })
}

type Times = Vec<(Vec<OpId>, f64)>;

/// GPU kernels, reformats around them and DLA subgraphs of the profile, ms. Reformats of an engine with
/// DLA subgraphs are part of the transitions and left out. Copies (`X_out copy`) are of the concatenations
/// that read X; other helpers belong to nothing.
fn profile(measured: &Measurement, model: &Model) -> (Times, Times, Times) {
    let find =
        |names: &[String]| -> Vec<OpId> { names.iter().filter_map(|n| model.find_op(n)).collect() };
    let subgraphs = &measured.actual.subgraphs;
    let (mut gpu, mut reformats, mut dla) = (Times::new(), Times::new(), Times::new());
    for row in &measured.layers {
        match &row.site {
            RowSite::Ops { ops } if row.device == Device::Gpu => {
                let ops = find(ops);
                if !ops.is_empty() {
                    gpu.push((ops, row.median_ms));
                }
            }
            // Most are left out of the engine and take no time.
            RowSite::Reformat { ops } if subgraphs.is_empty() && row.median_ms > 0.0 => {
                reformats.push((find(ops), row.median_ms));
            }
            RowSite::Helper { ops } if subgraphs.is_empty() && row.median_ms > 0.0 => {
                let joins = |op: &OpId| matches!(model.op(*op).kind, OpKind::Concat { .. });
                let made = find(ops).into_iter().flat_map(|op| &model.op(op).outputs);
                let read = made.flat_map(|t| &model.tensor(*t).consumers);
                let concats: Vec<OpId> = read.copied().filter(joins).collect();
                if row.name.contains(" copy") && !concats.is_empty() {
                    reformats.push((concats, row.median_ms));
                }
            }
            RowSite::Subgraph { subgraph } => {
                if let Some((_, ops)) = subgraphs.get(*subgraph as usize) {
                    dla.push((find(ops), row.median_ms));
                }
            }
            _ => {}
        }
    }
    (gpu, reformats, dla)
}
