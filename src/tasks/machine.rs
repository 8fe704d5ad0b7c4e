//! Another machine over ssh: its key, what it is and lacks, dlaplan put there and removed.

use std::path::{Path, PathBuf};

use crate::engine::environment;
use crate::engine::remote::board::{Survey, survey};
use crate::engine::remote::call::CallError;
use crate::engine::remote::deploy::{self, DeployError, Deployed};
use crate::engine::remote::host_key::{self, HostKey, KeyError};
use crate::engine::remote::ssh::Host;

/// Why a machine is not asked, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Nobody has said yet that its key is the right one.
    #[error(
        "the host key of {host} is not known here. Its {} key has the fingerprint\n  {}\nCompare it \
         with `{}` on the machine itself; if it is the same:\n  dlaplan probe {host} --accept-key {}",
        key.kind, key.fingerprint, key.command(), key.fingerprint
    )]
    UnknownKey {
        /// The machine.
        host: Host,
        /// What it shows.
        key: Box<HostKey>,
    },
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// ssh, or what ran there.
    #[error(transparent)]
    Call(CallError),
    /// The program.
    #[error(transparent)]
    Deploy(DeployError),
}

/// dlaplan, put on a machine.
#[derive(Debug)]
pub struct Put {
    /// What the machine is.
    pub survey: Survey,
    /// The program that was sent, or would have been.
    pub binary: PathBuf,
    /// Where it lies now.
    pub deployed: Deployed,
}

/// Asks a machine what it is. Changes nothing.
///
/// # Errors
/// It cannot be reached. An unknown key is shown, never taken.
pub fn check(host: &Host) -> Result<Survey, MachineError> {
    survey(host).map_err(|e| error(host, e))
}

/// Takes a machine's key into known_hosts, if it has the fingerprint that the user has seen.
///
/// # Errors
/// It has another one, or the file cannot be written.
pub fn accept(host: &Host, fingerprint: &str) -> Result<PathBuf, KeyError> {
    host_key::accept(host, fingerprint)
}

/// Sends dlaplan: `binary`, or the one that is packaged with the program `own` for the machine's
/// processor.
///
/// # Errors
/// The machine cannot be reached, there is no program for it, or it does not run there.
pub fn put(host: &Host, binary: Option<&Path>, own: &Path) -> Result<Put, MachineError> {
    let survey = check(host)?;
    let binary = match binary {
        Some(binary) => binary.to_owned(),
        None => deploy::packaged(&survey.arch, own).map_err(MachineError::Deploy)?,
    };
    let deployed = deploy::deploy(host, &survey, &binary).map_err(MachineError::Deploy)?;
    Ok(Put {
        survey,
        binary,
        deployed,
    })
}

/// Removes what was deployed, and the worker's caches.
///
/// # Errors
/// The machine cannot be reached, or something cannot be removed.
pub fn remove(host: &Host) -> Result<(), MachineError> {
    deploy::remove(host).map_err(|e| error(host, e))
}

fn error(host: &Host, error: CallError) -> MachineError {
    if !matches!(error, CallError::UnknownKey(_)) {
        return MachineError::Call(error);
    }
    match host_key::ask(host) {
        Ok(key) => MachineError::UnknownKey {
            host: host.clone(),
            key: Box::new(key),
        },
        Err(error) => MachineError::Key(error),
    }
}

/// What a machine is, in a few words.
pub fn title(survey: &Survey) -> String {
    let env = &survey.environment;
    let board = environment::target(env).map(|t| t.board.name.to_owned());
    board
        .or_else(|| env.board.clone())
        .unwrap_or_else(|| "no Jetson that dlaplan knows".into())
}

/// What a machine is, line by line: a name and its value; `None` where it is not known.
pub fn rows(survey: &Survey) -> Vec<(&'static str, Option<String>)> {
    let env = &survey.environment;
    let ranges = env.clock_ranges.iter().map(|c| {
        let mhz = |v: Option<f64>| v.map_or("?".to_owned(), |v| format!("{v:.0}"));
        match c.locked() {
            Some(true) => format!("{} {} MHz, held", c.name, mhz(c.max_mhz)),
            Some(false) => format!("{} {}-{} MHz", c.name, mhz(c.min_mhz), mhz(c.max_mhz)),
            None => format!("{} up to {} MHz", c.name, mhz(c.max_mhz)),
        }
    });
    let ranges: Vec<String> = ranges.collect();
    let memory = |mb: Option<f64>| mb.map(|mb| format!("{:.1} GiB", mb / 1024.0));
    let total = memory(env.memory_mb).unwrap_or_else(|| "not known".into());
    let program = survey.deployed.first().map(|(_, path)| path.clone());
    vec![
        ("module", env.module.clone()),
        ("processor", Some(survey.arch.clone())),
        ("glibc", survey.glibc.clone()),
        ("L4T", env.l4t.clone()),
        ("JetPack", survey.jetpack.clone()),
        ("TensorRT", survey.tensorrt()),
        ("DLA cores", Some(survey.dla_nodes.to_string())),
        ("power mode", env.power_mode.clone()),
        ("clocks", (!ranges.is_empty()).then(|| ranges.join("; "))),
        (
            "memory",
            memory(env.memory_available_mb).map(|free| format!("{free} of {total} available")),
        ),
        (
            "disk",
            survey
                .disk_free
                .map(|b| format!("{:.1} GB free", b as f64 / 1e9)),
        ),
        ("dlaplan", program.or_else(|| survey.installed.clone())),
    ]
}
