//! `dlaplan deploy` and `dlaplan cache`: dlaplan and its files on another machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::engine::remote::board::survey;
use crate::engine::remote::deploy::{Deployed, clear_cache, deploy, packaged, remove};
use crate::engine::remote::ssh::Host;

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
        remove(host)?;
        writeln!(out, "nothing of dlaplan is left on {host}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = survey(host)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => packaged(&found.arch)?,
    };
    match deploy(host, &found, &binary)? {
        Deployed::Sent { bytes, folder } => {
            let mb = bytes as f64 / 1e6;
            writeln!(
                out,
                "sent {} ({mb:.1} MB) to {host}:~/{folder}",
                binary.display()
            )?;
        }
        Deployed::There { folder } => writeln!(out, "{host}:~/{folder} has it already")?,
    }
    for lack in found.lacks(host).iter().filter(|l| l.what != "no dlaplan") {
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
