//! `dlaplan deploy` and `dlaplan cache`: dlaplan and its files on another machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::engine::remote::deploy::{Deployed, clear_cache};
use crate::engine::remote::ssh::Host;
use crate::tasks::machine;

/// Put dlaplan on another machine, where `--on HOST` finds it (~/.local/lib/dlaplan there).
#[derive(Clone, Debug, clap::Args)]
pub struct DeployArgs {
    /// The machine.
    #[arg(value_name = "[USER@]HOST[:PORT]")]
    pub host: Host,
    /// The program to send [default: the packaged one for the machine's processor].
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    pub binary: Option<PathBuf>,
    /// Remove what was deployed there, and the worker's caches.
    #[arg(long)]
    pub remove: bool,
}

/// The files that workers keep on another machine.
#[derive(Clone, Debug, clap::Args)]
pub struct CacheArgs {
    /// Remove built engines, timings and models that were sent there.
    #[arg(long, value_name = "[USER@]HOST[:PORT]", required = true)]
    pub clear: Host,
}

/// Runs `dlaplan deploy`.
///
/// # Errors
/// The machine cannot be reached, or the program does not fit it.
pub fn run(args: &DeployArgs) -> Result<ExitCode> {
    let host = &args.host;
    let mut out = super::terminal::stdout();
    if args.remove {
        machine::remove(host)?;
        writeln!(out, "nothing of dlaplan is left on {host}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let own = std::env::current_exe().context("cannot find this program")?;
    let put = machine::put(host, args.binary.as_deref(), &own)?;
    match put.deployed {
        Deployed::Sent { bytes, folder } => {
            let mb = bytes as f64 / 1e6;
            writeln!(
                out,
                "sent {} ({mb:.1} MB) to {host}:~/{folder}",
                put.binary.display()
            )?;
        }
        Deployed::There { folder } => writeln!(out, "{host}:~/{folder} has it already")?,
    }
    let lacks = put.survey.lacks(host);
    for lack in lacks.iter().filter(|l| l.what != "no dlaplan") {
        writeln!(out, "{}\n  remedy: {}", lack.what, lack.remedy)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `dlaplan cache`.
///
/// # Errors
/// The machine cannot be reached, or something cannot be removed.
pub fn run_cache(args: &CacheArgs) -> Result<ExitCode> {
    let bytes = clear_cache(&args.clear)?;
    let mb = bytes as f64 / 1e6;
    writeln!(
        super::terminal::stdout(),
        "{}: {mb:.1} MB removed",
        args.clear
    )?;
    Ok(ExitCode::SUCCESS)
}
