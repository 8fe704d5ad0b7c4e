//! How a worker is started: this program, or ssh to another machine's.

use std::ffi::OsString;
use std::path::PathBuf;

use super::protocol::SILENCE;
use super::remote::ssh::Host;

/// How to start a worker: a program and its arguments, never a shell line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The machine it runs on, where that is not this one: the request's files go there first.
    pub host: Option<Host>,
}

impl WorkerCommand {
    /// This program itself, as a worker on this machine.
    ///
    /// # Errors
    /// The system cannot say where this program is.
    pub fn local() -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args: vec!["worker".into()],
            host: None,
        })
    }
}

impl Host {
    /// `ssh HOST dlaplan worker`. A host key that is not known, or not the known one, ends it.
    pub fn worker(&self) -> WorkerCommand {
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ConnectTimeout=15",
            // A link that is cut is noticed within 20 s.
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            // Of a link of our own, not of one that another ssh keeps open.
            "ControlMaster=no",
            "ControlPath=none",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
        ];
        let mut args: Vec<OsString> = vec!["-T".into()];
        for option in options {
            args.extend(["-o".into(), option.into()]);
        }
        // The remote shell reads the last word; a host's program has no character it minds.
        let remote = format!("{} worker --silence {}", self.program(), SILENCE.as_secs());
        args.extend(["--".into(), self.address().into(), remote.into()]);
        WorkerCommand {
            program: "ssh".into(),
            args,
            host: Some(self.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_fixed() {
        let host: Host = "me@orin:/opt/dlaplan".parse().unwrap();
        let command = host.worker();
        assert_eq!(command.program, PathBuf::from("ssh"));
        let args: Vec<_> = command.args.iter().map(|a| a.to_str().unwrap()).collect();
        assert!(args.contains(&"StrictHostKeyChecking=yes") && args.contains(&"BatchMode=yes"));
        assert_eq!(
            args[args.len() - 3..],
            ["--", "me@orin", "/opt/dlaplan worker --silence 120"]
        );
    }
}
