//! TensorRT itself: a C++ shim with a C ABI, safe types over it, building and timing. Runs in the
//! worker process only.

pub mod cache;
pub mod calibrate;
pub mod cuda;
#[cfg(dlaplan_tensorrt)]
mod ffi;
pub mod library;
#[cfg(dlaplan_tensorrt)]
mod make;
#[cfg(dlaplan_tensorrt)]
pub mod objects;
#[cfg(dlaplan_tensorrt)]
mod process;
#[cfg(dlaplan_tensorrt)]
mod session;
#[cfg(dlaplan_tensorrt)]
mod stop;
#[cfg(dlaplan_tensorrt)]
mod timing;

#[cfg(not(dlaplan_tensorrt))]
use std::sync::mpsc::Receiver;

use super::run::Environment;

#[cfg(dlaplan_tensorrt)]
pub(super) use session::{build, profile};

/// How this program was built: with which headers, or why without.
pub const BUILD_NOTE: &str = env!("DLAPLAN_TENSORRT_NOTE");

/// Adds GPU, driver and TensorRT to what is known of the machine. Returns what is missing to build
/// engines here, a reason each; empty where nothing is.
pub fn describe(environment: &mut Environment) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    match cuda::Device::open() {
        Ok(device) => {
            environment.gpu = device.name().ok();
            environment.compute_capability = device.compute_capability().ok();
            environment.cuda_driver = device.driver_version().ok();
            describe_tensorrt(environment, true, &mut missing);
        }
        Err(e) => {
            missing.push(e.to_string());
            describe_tensorrt(environment, false, &mut missing);
        }
    }
    missing
}

#[cfg(not(dlaplan_tensorrt))]
fn describe_tensorrt(_environment: &mut Environment, _cuda: bool, missing: &mut Vec<String>) {
    missing.push(library::Unavailable::NotCompiled { note: BUILD_NOTE }.to_string());
}

#[cfg(dlaplan_tensorrt)]
fn describe_tensorrt(environment: &mut Environment, cuda: bool, missing: &mut Vec<String>) {
    let found = process::process().and_then(|process| {
        environment.tensorrt = Some(process.libraries.version.to_string());
        process.libraries.create_parser()?;
        // Without a GPU, TensorRT prints errors of its own and knows no more.
        if cuda {
            environment.dla_cores = Some(process.logger.runtime()?.dla_cores());
        }
        Ok(())
    });
    if let Err(e) = found {
        missing.push(e.to_string());
    }
}

#[cfg(not(dlaplan_tensorrt))]
fn absent() -> super::protocol::Refusal {
    super::protocol::Refusal {
        failure: super::run::Failure {
            kind: super::run::ErrorKind::Refused,
            stage: super::run::Stage::Check,
            message: library::Unavailable::NotCompiled { note: BUILD_NOTE }.to_string(),
        },
        model: super::run::ModelRef::default(),
    }
}

#[cfg(not(dlaplan_tensorrt))]
pub(super) fn build(
    _request: &super::request::Request,
    _outbox: &super::event_sender::EventSender,
) -> Result<super::protocol::Built, super::protocol::Refusal> {
    Err(absent())
}

#[cfg(not(dlaplan_tensorrt))]
pub(super) fn profile(
    _request: &super::request::Request,
    _outbox: &super::event_sender::EventSender,
    _barrier: Option<&Receiver<super::protocol::Command>>,
) -> Result<super::protocol::Report, super::protocol::Refusal> {
    Err(absent())
}
