//! `dlaplan probe`: what another machine is and what it lacks to measure.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::engine::environment;
use crate::engine::remote::board::{Lack, Survey, survey};
use crate::engine::remote::call::CallError;
use crate::engine::remote::host_key;
use crate::engine::remote::ssh::Host;

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
    let found = match survey(&host) {
        Err(CallError::UnknownKey(_)) => {
            with_key(&host, args.accept_key.as_deref())?;
            survey(&host)?
        }
        found => found?,
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

/// Takes an unknown key where the user named its fingerprint, else shows it.
fn with_key(host: &Host, accept: Option<&str>) -> Result<()> {
    if let Some(said) = accept {
        let file = host_key::accept(host, said)?;
        log::info!("the key of {host} is in {}", file.display());
        return Ok(());
    }
    let key = host_key::ask(host)?;
    bail!(
        "the host key of {host} is not known here. Its {} key has the fingerprint\n  {}\nCompare it \
         with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the machine itself; if it is the \
         same:\n  dlaplan probe {host} --accept-key {}",
        key.kind,
        key.fingerprint,
        key.kind.to_ascii_lowercase(),
        key.fingerprint
    )
}

fn print(
    out: &mut impl std::io::Write,
    host: &Host,
    survey: &Survey,
    lacks: &[Lack],
) -> std::io::Result<()> {
    let env = &survey.environment;
    let unknown = || "not known".to_owned();
    let board = match environment::target(env) {
        Some(target) => target.board.name.to_owned(),
        None => env.board.clone().unwrap_or_else(unknown),
    };
    writeln!(out, "{host}: {board}")?;
    let mut row = |name: &str, value: Option<String>| {
        let value = value.unwrap_or_else(unknown);
        writeln!(out, "  {name:<12} {value}")
    };
    row("module", env.module.clone())?;
    row("processor", Some(survey.arch.clone()))?;
    row("glibc", survey.glibc.clone())?;
    row("L4T", env.l4t.clone())?;
    row("JetPack", survey.jetpack.clone())?;
    row("TensorRT", survey.tensorrt())?;
    row("DLA cores", Some(survey.dla_nodes.to_string()))?;
    row("power mode", env.power_mode.clone())?;
    let ranges = env.clock_ranges.iter().map(|c| {
        let mhz = |v: Option<f64>| v.map_or("?".to_owned(), |v| format!("{v:.0}"));
        match c.locked() {
            Some(true) => format!("{} {} MHz, held", c.name, mhz(c.max_mhz)),
            Some(false) => format!("{} {}-{} MHz", c.name, mhz(c.min_mhz), mhz(c.max_mhz)),
            None => format!("{} up to {} MHz", c.name, mhz(c.max_mhz)),
        }
    });
    let ranges: Vec<String> = ranges.collect();
    row("clocks", (!ranges.is_empty()).then(|| ranges.join("; ")))?;
    let memory = |mb: Option<f64>| mb.map(|mb| format!("{:.1} GiB", mb / 1024.0));
    let total = memory(env.memory_mb).unwrap_or_else(unknown);
    let free = memory(env.memory_available_mb).map(|free| format!("{free} of {total} available"));
    row("memory", free)?;
    let disk = survey
        .disk_free
        .map(|b| format!("{:.1} GB free", b as f64 / 1e9));
    row("disk", disk)?;
    let program = survey.deployed.first().map(|(_, path)| path.clone());
    row("dlaplan", program.or_else(|| survey.installed.clone()))?;
    for lack in lacks {
        let mark = if lack.fatal { "missing" } else { "note" };
        writeln!(out, "{mark}: {}\n  remedy: {}", lack.what, lack.remedy)?;
    }
    Ok(())
}
