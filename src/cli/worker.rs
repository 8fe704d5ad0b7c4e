//! `dlaplan worker`: the process that builds and measures engines for the window, `dlaplan
//! profile` and, over SSH, for another machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engine::{board_settings, worker};

use super::args::BoardSettingsArgs;

/// Build and measure engines for another dlaplan (JSON lines on stdin and stdout).
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerArgs {
    /// End when nothing comes from the other dlaplan for so long, s; for one on another machine,
    /// whose link may be cut without a word.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub silence: Option<u64>,
    /// What the board is set to meanwhile.
    #[command(flatten)]
    pub settings: BoardSettingsArgs,
    /// Wait for the end of stdin, then put back power mode and clocks as a note in this folder says.
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub guard: Option<PathBuf>,
    /// Read the machine's files below a folder, for tests.
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Runs until stdin closes or the client is silent for too long.
///
/// # Errors
/// stdin or stdout cannot be used.
pub fn run(args: &WorkerArgs) -> Result<ExitCode> {
    if let Some(folder) = &args.guard {
        return Ok(board_settings::guard(folder));
    }
    let silence = args.silence.map(Duration::from_secs);
    worker::run(&args.root, silence, args.settings.settings())
        .context("the worker's stdin or stdout")
}
