//! `dlaplan probe`: what another machine is and what it lacks to measure.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::engine::remote::board::{Lack, Survey};
use crate::engine::remote::ssh::Host;
use crate::tasks::machine::{self, MachineError};

/// Say what another machine is and what it lacks to measure (one ssh call; nothing is changed).
#[derive(Clone, Debug, clap::Args)]
pub struct ProbeArgs {
    /// The machine; without one, a developer kit on this machine's USB port is looked for.
    #[arg(value_name = "[USER@]HOST[:PORT]")]
    pub host: Option<Host>,
    /// Take the machine's key into known_hosts, if it has this fingerprint (SHA256:...).
    #[arg(long, value_name = "FINGERPRINT", requires = "host")]
    pub accept_key: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    host: &'a Host,
    #[serde(flatten)]
    survey: &'a Survey,
    lacks: &'a [Lack],
}

/// Runs the command; exit code 1 where the machine cannot measure.
///
/// # Errors
/// The machine cannot be reached, or its key is not known.
pub fn run(args: &ProbeArgs) -> Result<ExitCode> {
    let Some(host) = args.host.clone().or_else(Host::on_usb) else {
        bail!(
            "no developer kit is on USB (its network would be 192.168.55.0/24); name a machine: \
             dlaplan probe USER@HOST"
        );
    };
    let found = match (machine::check(&host), &args.accept_key) {
        (Err(MachineError::UnknownKey { .. }), Some(fingerprint)) => {
            let file = machine::accept(&host, fingerprint)?;
            log::info!("the key of {host} is in {}", file.display());
            machine::check(&host)?
        }
        (found, _) => found?,
    };
    let lacks = found.lacks(&host);
    let mut out = super::terminal::stdout();
    if args.json {
        let report = Report {
            host: &host,
            survey: &found,
            lacks: &lacks,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &host, &found, &lacks)?;
    }
    Ok(ExitCode::from(u8::from(lacks.iter().any(|l| l.fatal))))
}

fn print(
    out: &mut impl std::io::Write,
    host: &Host,
    survey: &Survey,
    lacks: &[Lack],
) -> std::io::Result<()> {
    writeln!(out, "{host}: {}", machine::title(survey))?;
    for (name, value) in machine::rows(survey) {
        let value = value.unwrap_or_else(|| "not known".to_owned());
        writeln!(out, "  {name:<12} {value}")?;
    }
    for lack in lacks {
        let mark = if lack.fatal { "missing" } else { "note" };
        writeln!(out, "{mark}: {}\n  remedy: {}", lack.what, lack.remedy)?;
    }
    Ok(())
}
