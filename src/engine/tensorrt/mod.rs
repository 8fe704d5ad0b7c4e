//! TensorRT itself: its methods by their slots, safe types over them, building and timing. Runs in the
//! worker process only.

pub mod cache;
pub mod calibrate;
mod calls;
pub mod cuda;
pub mod library;
mod make;
pub mod objects;
mod process;
mod session;
mod slots;
mod stop;
mod timing;
pub mod version;

use super::run::Environment;

pub(super) use session::{ask, build, profile};

/// Adds GPU, driver and TensorRT to what is known of the machine. Returns what is missing to build
/// engines here, a reason each; empty where nothing is.
pub fn describe(environment: &mut Environment) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    match cuda::Device::open() {
        Ok(device) => {
            environment.gpu = device.name().ok();
            environment.compute_capability = device.compute_capability().ok();
            environment.cuda_driver = device.driver_version().ok();
            environment.gpu_facts = device.facts().ok();
            describe_tensorrt(environment, true, &mut missing);
        }
        Err(e) => {
            missing.push(e.to_string());
            describe_tensorrt(environment, false, &mut missing);
        }
    }
    missing
}

/// The PCI bus id of the GPU that measures; none of a GPU that is part of the chip, and without one.
pub fn bus_id() -> Option<String> {
    cuda::Device::open().ok()?.bus_id()
}

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
