//! How a worker is started: this program, or ssh to another machine's.

use std::ffi::OsString;
use std::path::PathBuf;

use super::board_settings::BoardSettings;
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

    /// The same with a power mode or clocks that are set while it measures.
    #[must_use]
    pub fn with(&self, settings: BoardSettings) -> Self {
        if let Some(host) = &self.host {
            return host.worker_with(settings);
        }
        let mut with = self.clone();
        with.args
            .extend(settings.arguments().into_iter().map(OsString::from));
        with
    }
}

/// Finds dlaplan on another machine: the one that was deployed, else one in the path, to which a
/// shell that is not interactive adds too little.
const FIND: &str = "d=$HOME/.local/lib/dlaplan/current/dlaplan; test -x \"$d\" || d=dlaplan; \
                    PATH=$PATH:$HOME/.cargo/bin:$HOME/.local/bin;";

impl Host {
    /// `ssh HOST dlaplan worker`. A host key that is not known, or not the known one, ends it.
    pub fn worker(&self) -> WorkerCommand {
        self.worker_with(BoardSettings::default())
    }

    /// The same for a worker that sets power mode or clocks.
    pub fn worker_with(&self, settings: BoardSettings) -> WorkerCommand {
        let mut args = self.arguments(&[]);
        let mut worker = format!("worker --silence {}", SILENCE.as_secs());
        // Flags and numbers, with no character that a shell minds.
        for word in settings.arguments() {
            worker += " ";
            worker += &word;
        }
        // The remote shell reads the last word; a host's program has no character it minds.
        args.push(match self.named_program() {
            Some(program) => format!("{program} {worker}").into(),
            None => format!("sh -c '{FIND} exec \"$d\" {worker}'").into(),
        });
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
        let settings = BoardSettings {
            power_mode: Some(8),
            lock_clocks: true,
        };
        let last = "/opt/dlaplan worker --silence 120 --power-mode 8 --lock-clocks";
        assert_eq!(command.with(settings).args.last().unwrap(), last);
        let port: Host = "me@orin:22322".parse().unwrap();
        let args = port.worker().args;
        let args: Vec<_> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let at = args.iter().position(|a| *a == "-p").unwrap();
        assert_eq!(args[at..at + 4], ["-p", "22322", "--", "me@orin"]);
        assert!(args[at + 4].starts_with("sh -c '"), "{args:?}");
    }
}
