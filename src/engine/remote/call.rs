//! One command on another machine through ssh, from its start to its end.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::engine::log::escape;

use super::ssh::Host;

/// Longest answer that is taken, bytes.
const MAX_ANSWER: u64 = 16 << 20;

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
    /// It ended badly.
    #[error("{0}")]
    Failed(String),
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
    mut input: impl Read + Send,
    limit: Duration,
) -> Result<Vec<u8>, CallError> {
    let mut child = Command::new("ssh")
        .args(host.arguments(options))
        .arg(remote)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let read = |stream: Option<Box<dyn Read + Send>>| {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What was read before an error is what there is.
            let _cut = stream.take(MAX_ANSWER).read_to_end(&mut bytes);
        }
        bytes
    };
    let boxed = |s: Option<_>| s.map(|s| Box::new(s) as Box<dyn Read + Send>);
    let (stdout, stderr) = (
        boxed(stdout),
        stderr.map(|s| Box::new(s) as Box<dyn Read + Send>),
    );
    let begun = Instant::now();
    let (status, answer, said) = std::thread::scope(|scope| {
        let answer = scope.spawn(move || read(stdout));
        let said = scope.spawn(move || read(stderr));
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A command that ends early takes no more; its exit code says why.
                let _ended = std::io::copy(&mut input, &mut stdin).and_then(|_| stdin.flush());
            }
        });
        let status = loop {
            match child.try_wait() {
                Ok(None) if begun.elapsed() < limit => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(None) => {
                    let _gone = child.kill();
                    let _reaped = child.wait();
                    break Ok(None);
                }
                Ok(Some(status)) => break Ok(Some(status)),
                Err(e) => break Err(e),
            }
        };
        let bytes =
            |thread: std::thread::ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
        (status, bytes(answer), bytes(said))
    });
    let Some(status) = status? else {
        return Err(CallError::TimedOut {
            host: host.to_string(),
            seconds: limit.as_secs(),
        });
    };
    if status.success() {
        return Ok(answer);
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
