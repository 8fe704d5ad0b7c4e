//! `dlaplan worker`: the process that builds and measures engines for the window, `dlaplan
//! profile` and, over SSH, for another machine.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::engine::worker;

/// Build and measure engines for another dlaplan (JSON lines on stdin and stdout).
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct WorkerArgs {}

/// Runs until stdin closes.
///
/// # Errors
/// stdin or stdout cannot be used.
pub fn run(_args: WorkerArgs) -> Result<ExitCode> {
    worker::run().context("the worker's stdin or stdout")
}
