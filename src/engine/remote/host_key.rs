//! The key of a machine that nobody here knows yet: shown by its fingerprint, and taken into
//! known_hosts only where the user names that fingerprint.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::engine::log::escape;

use super::call::{CallError, call};
use super::ssh::Host;

/// Why a key is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A program of OpenSSH, or a file.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The machine shows none.
    #[error("{0} shows no host key; `ssh -v {0} true` tells why")]
    None(String),
    /// Another one than the user said.
    #[error(
        "the host key of {host} is {shown}, not {said}: somebody may sit in between, or the \
         fingerprint is mistyped; nothing was changed"
    )]
    Other {
        /// The machine.
        host: String,
        /// The key's.
        shown: String,
        /// The user's.
        said: String,
    },
}

/// A key that a machine showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// `SHA256:...`, as ssh and ssh-keygen write it.
    pub fingerprint: String,
    /// `ED25519`.
    pub kind: String,
    /// Its lines for known_hosts.
    lines: String,
}

impl HostKey {
    /// What to type on the machine itself to see the same fingerprint.
    pub fn command(&self) -> String {
        let kind = self.kind.to_ascii_lowercase();
        format!("ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub")
    }
}

/// Asks a machine for its key. Nothing of the user's is shown to it: no key, no password.
///
/// # Errors
/// It shows none, or OpenSSH's programs are missing.
pub fn ask(host: &Host) -> Result<HostKey, KeyError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| KeyError::Io { what, source }
    };
    let folder = tempfile::tempdir().map_err(io("a temporary folder"))?;
    let file = folder.path().join("known_hosts");
    let known = format!("UserKnownHostsFile={}", file.display());
    let options = [
        "StrictHostKeyChecking=accept-new",
        "GlobalKnownHostsFile=none",
        "PreferredAuthentications=none",
        &known,
    ];
    // It lets nobody in without authentication; the key came before.
    let _refused: Result<_, CallError> = call(
        host,
        &options,
        "true",
        std::io::empty(),
        Duration::from_secs(30),
    );
    let lines = fs::read_to_string(&file).unwrap_or_default();
    let output = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(io("ssh-keygen cannot be started"))?;
    // `256 SHA256:... name (ED25519)`
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let fingerprint = words.find(|w| w.starts_with("SHA256:"));
    let kind = words.next_back().unwrap_or_default();
    match fingerprint {
        Some(fingerprint) if !lines.is_empty() => Ok(HostKey {
            fingerprint: escape(fingerprint, 100),
            kind: escape(kind.trim_matches(['(', ')']), 40),
            lines,
        }),
        _ => Err(KeyError::None(host.to_string())),
    }
}

/// Writes a machine's key to the user's known_hosts, if it has the fingerprint that the user named.
/// The lines written are those of the key that was shown, so that no second one can slip in.
///
/// # Errors
/// It is another key, or known_hosts cannot be written.
pub fn accept(host: &Host, said: &str) -> Result<PathBuf, KeyError> {
    let key = ask(host)?;
    if key.fingerprint != said.trim() {
        return Err(KeyError::Other {
            host: host.to_string(),
            shown: key.fingerprint,
            said: escape(said, 100),
        });
    }
    let file = known_hosts(host)?;
    let io = |source| KeyError::Io {
        what: file.display().to_string(),
        source,
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut to = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .map_err(io)?;
    to.write_all(key.lines.as_bytes()).map_err(io)?;
    Ok(file)
}

/// The file that ssh writes a new key of this host to.
fn known_hosts(host: &Host) -> Result<PathBuf, KeyError> {
    let output = Command::new("ssh")
        .arg("-G")
        .args(host.arguments(&[]))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| KeyError::Io {
            what: "ssh cannot be started".into(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let files = text
        .lines()
        .find_map(|l| l.strip_prefix("userknownhostsfile "));
    let file = files.and_then(|f| f.split_whitespace().next());
    let home = directories::BaseDirs::new();
    let path = match (file, home) {
        (Some(file), Some(home)) => match file.strip_prefix("~/") {
            Some(rest) => Some(home.home_dir().join(rest)),
            None => Some(PathBuf::from(file)),
        },
        (Some(file), None) => Some(PathBuf::from(file)),
        (None, home) => home.map(|h| h.home_dir().join(".ssh/known_hosts")),
    };
    path.ok_or_else(|| KeyError::None(host.to_string()))
}
