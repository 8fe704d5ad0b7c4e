//! One command on another machine through ssh, from its start to its end.

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use crate::engine::log::escape;
use crate::engine::subprocess::{self, Ended, Unfinished};

use super::ssh::Host;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// ssh cannot be started.
    #[error("ssh cannot be started: {0}; install OpenSSH's client")]
    Start(#[from] std::io::Error),
    /// Nobody has said yet that the host's key is the right one.
    #[error("{0}")]
    UnknownKey(String),
    /// It took too long.
    #[error("{host} did not finish within {seconds} s; check the network, then try again")]
    TimedOut {
        /// The machine.
        host: String,
        /// How long it had.
        seconds: u64,
    },
    /// It was not wanted any more.
    #[error("cancelled")]
    Cancelled,
    /// It ended badly.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// Why ssh did not run to its end.
    pub(crate) fn unfinished(host: &Host, why: Unfinished, limit: Duration) -> Self {
        match why {
            Unfinished::Start(e) => Self::Start(e),
            Unfinished::Cancelled => Self::Cancelled,
            Unfinished::TimedOut => Self::TimedOut {
                host: host.to_string(),
                seconds: limit.as_secs(),
            },
        }
    }
}

/// Runs a command of the remote shell with `input` on its stdin. Returns what it wrote to stdout.
///
/// # Errors
/// ssh cannot reach the machine, or the command ended with an exit code other than 0; the message
/// holds the remedy or the last line of stderr.
pub(crate) fn call(
    host: &Host,
    options: &[&str],
    remote: &str,
    input: impl Read + Send,
    limit: Duration,
) -> Result<Vec<u8>, CallError> {
    let mut ssh = Command::new("ssh");
    ssh.args(host.arguments(options)).arg(remote);
    let ended = subprocess::run(&mut ssh, input, limit, &|| false);
    let ended = ended.map_err(|e| CallError::unfinished(host, e, limit))?;
    answer(host, ended)
}

/// What the command wrote to stdout, if it ended with exit code 0.
pub(crate) fn answer(host: &Host, ended: Ended) -> Result<Vec<u8>, CallError> {
    let Ended {
        status,
        stdout,
        stderr: said,
    } = ended;
    if status.success() {
        return Ok(stdout);
    }
    let said = String::from_utf8_lossy(&said);
    let said: Vec<String> = said.lines().map(|l| escape(l, 300)).collect();
    let lines: Vec<&str> = said.iter().map(String::as_str).collect();
    let code = status.code().unwrap_or(-1);
    let why = match host.explain(code, false, &lines) {
        Some(why) if code == 255 => why,
        _ => match lines.iter().rfind(|l| !l.trim().is_empty()) {
            Some(last) => format!("{host}: {last}"),
            None => format!("{host}: the command ended with exit code {code}"),
        },
    };
    Err(if code == 255 && Host::key_is_unknown(&lines) {
        CallError::UnknownKey(why)
    } else {
        CallError::Failed(why)
    })
}
