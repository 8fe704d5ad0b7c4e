//! A program from its start to its end: stdin given, stdout and stderr taken, with a time limit.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};

/// Longest output that is taken, bytes.
const MAX_OUTPUT: u64 = 16 << 20;

/// What a program left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout, at most 16 MiB.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, at most 16 MiB.
    pub stderr: Vec<u8>,
}

/// Why a program did not run to its end.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// The system cannot start it.
    Start(std::io::Error),
    /// It took too long and was killed.
    TimedOut,
    /// It was killed because nobody wants its answer any more.
    Cancelled,
}

/// Runs a program with `input` on its stdin. `stopped` is asked a hundred times a second. A program
/// that leads a process group of its own is killed with the whole group.
///
/// # Errors
/// It cannot be started, took longer than `limit`, or was stopped.
pub(crate) fn run(
    command: &mut Command,
    mut input: impl Read + Send,
    limit: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<Ended, Unfinished> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Unfinished::Start)?;
    let pid = Pid::from_raw(child.id() as i32);
    let leads = getpgid(Some(pid)) == Ok(pid);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || read(stdout));
        let stderr = scope.spawn(move || read(stderr));
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A program that ends early takes no more; its exit code says why.
                let _ended = std::io::copy(&mut input, &mut stdin).and_then(|_| stdin.flush());
            }
        });
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if stopped() => {
                    kill(&mut child);
                    break Err(Unfinished::Cancelled);
                }
                Ok(None) if begun.elapsed() < limit => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(None) => {
                    kill(&mut child);
                    break Err(Unfinished::TimedOut);
                }
                Err(e) => {
                    kill(&mut child);
                    break Err(Unfinished::Start(e));
                }
            }
        };
        if leads {
            // What it started and left would keep the pipes open.
            let _gone_already = killpg(pid, Signal::SIGKILL);
        }
        let bytes =
            |thread: std::thread::ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
        let (stdout, stderr) = (bytes(stdout), bytes(stderr));
        Ok(Ended {
            status: status?,
            stdout,
            stderr,
        })
    })
}

fn kill(child: &mut Child) {
    let _gone = child.kill();
    let _reaped = child.wait();
}

fn read(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was read before an error is what there is.
        let _cut = stream.take(MAX_OUTPUT).read_to_end(&mut bytes);
    }
    bytes
}
