//! Several engines at the same time: one worker each, released together, only the time in which
//! all were running counts.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::figure::{Figure, Measured};

use super::beats::between;
use super::client::{Client, Limits, Update};
use super::command::WorkerCommand;
use super::request::Request;
use super::run::{
    DeploymentShare, ErrorKind, Failure, Measurement, Outcome, Run, not_sampled, unix_ms,
};
use super::telemetry::{TimedPart, energy, marks};

/// Measures engines together. Each is built and warmed up in turn, then all are released.
/// `on` hears (member, update) and cancels all with `Break`. One failure ends all.
pub fn deploy(
    worker: &WorkerCommand,
    limits: Limits,
    requests: &[Request],
    on: &mut dyn FnMut(usize, &Update) -> ControlFlow<()>,
) -> Vec<Run> {
    let group = format!("{:x}-{:x}", unix_ms(), std::process::id());
    let mut clients: Vec<Client> = Vec::with_capacity(requests.len());
    for (i, request) in requests.iter().enumerate() {
        let mut request = request.clone();
        // They share the machine: one looks for all.
        request.sampling &= i == 0;
        let mut client = match Client::profile(worker, limits, request, true) {
            Ok(client) => client,
            Err(run) => return abandon(clients, i, *run, &group, requests.len()),
        };
        loop {
            // These wait, maybe for a long build.
            clients.iter_mut().for_each(Client::ping);
            match client.poll(Duration::from_millis(50)) {
                Update::Done(run) => return abandon(clients, i, *run, &group, requests.len()),
                Update::Ready => {
                    let stopped = on(i, &Update::Ready).is_break();
                    clients.push(client);
                    if stopped {
                        return cancel(clients, &group);
                    }
                    break;
                }
                update => {
                    if on(i, &update).is_break() {
                        clients.push(client);
                        return cancel(clients, &group);
                    }
                }
            }
        }
    }
    for client in &mut clients {
        client.go();
    }
    let mut runs: Vec<Option<Run>> = clients.iter().map(|_| None).collect();
    while runs.iter().any(Option::is_none) {
        for i in 0..clients.len() {
            if runs[i].is_some() {
                continue;
            }
            let wait = Duration::from_millis(50 / clients.len().max(1) as u64);
            match clients[i].poll(wait) {
                Update::Done(run) if run.measurement().is_some() => runs[i] = Some(*run),
                Update::Done(run) => {
                    clients.remove(i);
                    return abandon(clients, i, *run, &group, requests.len());
                }
                update => {
                    if on(i, &update).is_break() {
                        return cancel(clients, &group);
                    }
                }
            }
        }
    }
    let mut runs: Vec<Run> = runs.into_iter().flatten().collect();
    let beats: Vec<&[(u64, u64)]> = clients.iter().map(|c| c.beats.as_slice()).collect();
    settle(&mut runs, &beats, &group);
    runs
}

fn share(group: &str, member: usize, members: usize) -> DeploymentShare {
    DeploymentShare {
        group: group.to_owned(),
        member: member as u32,
        members: members as u32,
        total_fps: None,
        mj_per_image: not_sampled(),
        overlap_s: 0.0,
    }
}

fn cancel(clients: Vec<Client>, group: &str) -> Vec<Run> {
    let members = clients.len();
    clients
        .into_iter()
        .enumerate()
        .map(|(i, mut client)| {
            let mut run = *client.cancel();
            run.deployment = Some(share(group, i, members));
            run
        })
        .collect()
}

/// Ends everything because member `at` failed.
fn abandon(others: Vec<Client>, at: usize, failed: Run, group: &str, members: usize) -> Vec<Run> {
    let reason = match &failed.outcome {
        Outcome::Failed(f) => f.message.clone(),
        Outcome::Finished(_) => String::new(),
    };
    let mut runs: Vec<Run> = others
        .into_iter()
        .map(|mut client| {
            let mut run = *client.cancel();
            if let Outcome::Failed(Failure { kind, message, .. }) = &mut run.outcome {
                *kind = ErrorKind::Cancelled;
                *message = format!("ended because engine {at} of the deployment failed: {reason}");
            }
            run
        })
        .collect();
    runs.insert(at.min(runs.len()), failed);
    for (i, run) in runs.iter_mut().enumerate() {
        run.deployment = Some(share(group, i, members));
    }
    runs
}

/// Images per second of each member and in total, over slices of the time in which all ran.
fn settle(runs: &mut [Run], beats: &[&[(u64, u64)]], group: &str) {
    let members = runs.len();
    for (i, run) in runs.iter_mut().enumerate() {
        run.deployment = Some(share(group, i, members));
    }
    let start = beats.iter().filter_map(|b| b.first()).map(|b| b.0).max();
    let end = beats.iter().filter_map(|b| b.last()).map(|b| b.0).min();
    let (Some(start), Some(end)) = (start, end) else {
        return;
    };
    if end <= start || beats.iter().any(|b| b.len() < 2) {
        fail_all(
            runs,
            "the engines never ran at the same time; use a longer duration",
        );
        return;
    }
    let slices = runs
        .iter()
        .map(|r| r.request.timing.repeats)
        .min()
        .unwrap_or(5)
        .max(1);
    let mut totals = vec![0.0; slices as usize];
    for (run, beats) in runs.iter_mut().zip(beats) {
        let samples = between(beats, start, end, slices, run.request.config.batch);
        for (total, sample) in totals.iter_mut().zip(&samples) {
            *total += sample;
        }
        if let Outcome::Finished(m) = &mut run.outcome
            && let Some(fps) = Measurement::measured(&samples, m.fps.source.clone())
        {
            m.fps = fps;
            m.fps_samples = samples;
        }
    }
    let mut telemetry = runs
        .first()
        .map(|r| r.telemetry.clone())
        .unwrap_or_default();
    let slice_ns = (end - start) / u64::from(slices);
    telemetry.timed = (0u64..)
        .zip(&totals)
        .map(|(i, fps)| TimedPart {
            from_ns: start + i * slice_ns,
            to_ns: start + (i + 1) * slice_ns,
            images: fps * slice_ns as f64 / 1e9,
        })
        .collect();
    let machine = runs.first().map(|r| r.environment.summary());
    let (mj_per_image, _) = energy(&telemetry, &machine.unwrap_or_default());
    if let Some(first) = runs.first_mut() {
        first.telemetry.timed.clone_from(&telemetry.timed);
    }
    let source = runs.first().and_then(Run::fps).map(|f| f.source.clone());
    let total: Option<Measured> =
        Measurement::measured(&totals, source.unwrap_or_else(|| "".into()));
    for run in runs {
        run.marks = marks(&telemetry, run.wanted_dla());
        if let Outcome::Finished(m) = &mut run.outcome {
            m.mj_per_image = Figure::none("the engines share the machine's energy");
            m.energy = None;
        }
        if let Some(share) = &mut run.deployment {
            share.total_fps.clone_from(&total);
            share.mj_per_image = mj_per_image.clone();
            share.overlap_s = (end - start) as f64 / 1e9;
        }
    }
}

fn fail_all(runs: &mut [Run], why: &str) {
    for run in runs {
        run.outcome = Outcome::Failed(Failure {
            kind: ErrorKind::Execution,
            stage: super::run::Stage::Timing,
            message: why.to_owned(),
        });
    }
}
