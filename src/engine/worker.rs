//! `dlaplan worker`: takes requests on stdin, answers on stdout, one JSON message per line.

use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(dlaplan_tensorrt)]
use std::sync::mpsc::Receiver;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::environment;
use super::outbox::Outbox;
use super::parcel;
use super::protocol::{self, Command, Event};
use super::run::{ErrorKind, Failure, ModelRef, Stage};
use super::tensorrt;

/// A request that did not end in figures.
pub(super) struct Refusal {
    pub failure: Failure,
    pub model: ModelRef,
}

/// How long a client on another machine may be silent: a link that is cut is not always closed.
pub const SILENCE: Duration = Duration::from_mins(2);

/// When the client was last heard, once that is watched.
#[derive(Clone)]
struct Pulse {
    begun: Instant,
    /// ms since `begun`; 0 before the first.
    heard: Arc<AtomicU64>,
}

impl Pulse {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            heard: Arc::default(),
        }
    }

    fn beat(&self) {
        let ms = self.begun.elapsed().as_millis() as u64;
        self.heard.store(ms.max(1), Ordering::Relaxed);
    }

    fn stopped(&self, silence: Duration) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        heard > 0 && self.begun.elapsed() > Duration::from_millis(heard) + silence
    }
}

/// Runs until stdin closes or the client cancels.
///
/// # Errors
/// stdout or stdin cannot be used.
pub fn run() -> std::io::Result<ExitCode> {
    let mut out = take_stdout()?;
    // What a shell's start-up files have written must not run into the first message.
    out.write_all(b"\n")?;
    let outbox = Outbox::new(out);
    let inbox = outbox.clone();
    let pulse = Pulse::new();
    let watched = pulse.clone();
    std::thread::Builder::new()
        .name("pulse".into())
        .spawn(move || {
            while !watched.stopped(SILENCE) {
                std::thread::sleep(Duration::from_secs(1));
            }
            leave();
        })?;
    let (sender, commands) = sync_channel(16);
    std::thread::Builder::new()
        .name("commands".into())
        .spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut line = String::new();
            // Until the process ends.
            let mut parcels = Vec::new();
            while stdin.read_line(&mut line).is_ok_and(|n| n > 0) {
                match protocol::decode::<Command>(&line) {
                    Ok(Command::Cancel) => break,
                    Ok(Command::Ping) => pulse.beat(),
                    Ok(Command::Receive { entries }) => {
                        let came = &mut || pulse.beat();
                        match parcel::receive(&mut stdin, &entries, &inbox, came) {
                            Ok(held) => parcels.extend(held),
                            Err(e) => {
                                inbox.send(Event::Failed {
                                    failure: Failure {
                                        kind: ErrorKind::Refused,
                                        stage: Stage::Send,
                                        message: e.to_string(),
                                    },
                                    model: ModelRef::default(),
                                });
                                // What follows in the stream cannot be told from commands.
                                break;
                            }
                        }
                    }
                    Ok(command) => {
                        if sender.send(command).is_err() {
                            break;
                        }
                    }
                    Err(e) => log::warn!("command: {e}"),
                }
                line.clear();
            }
            // Cancelled, or the client is gone. TensorRT's build cannot be interrupted otherwise.
            leave();
        })?;
    let mut environment = environment::read();
    let unavailable = tensorrt::describe(&mut environment).err();
    outbox.send(Event::Hello {
        environment: Box::new(environment),
        unavailable: unavailable.clone(),
    });
    while let Ok(command) = commands.recv() {
        let done = match (command, &unavailable) {
            (Command::Go | Command::Ping | Command::Cancel | Command::Receive { .. }, _) => {
                continue;
            }
            (_, Some(why)) => Err(Refusal {
                failure: Failure {
                    kind: ErrorKind::Refused,
                    stage: Stage::Check,
                    message: why.clone(),
                },
                model: ModelRef::default(),
            }),
            (Command::Build { request }, None) => {
                tensorrt::build(&request, &outbox).map(|b| Event::Built { built: Box::new(b) })
            }
            (Command::Profile { request, barrier }, None) => {
                let barrier = barrier.then_some(&commands);
                tensorrt::profile(&request, &outbox, barrier).map(|r| Event::Measured {
                    report: Box::new(r),
                })
            }
        };
        outbox.send(done.unwrap_or_else(|refusal| Event::Failed {
            failure: refusal.failure,
            model: refusal.model,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for [`Command::Go`]; false when the client is gone.
#[cfg(dlaplan_tensorrt)]
pub(super) fn wait_for_go(commands: &Receiver<Command>) -> bool {
    loop {
        match commands.recv() {
            Ok(Command::Go) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Takes stdout for messages; what libraries print goes to stderr.
fn take_stdout() -> std::io::Result<File> {
    let own = std::io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(std::io::stderr())?;
    Ok(File::from(own))
}

/// Ends the process without running anybody's exit handlers: those of CUDA and TensorRT wait for
/// a build that another thread is in the middle of.
fn leave() -> ! {
    // SAFETY: always safe to call; files are written whole or not at all.
    unsafe { nix::libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_first_word() {
        let pulse = Pulse::new();
        let moment = Duration::from_millis(30);
        std::thread::sleep(2 * moment);
        assert!(!pulse.stopped(moment), "nothing was heard yet");
        pulse.beat();
        assert!(!pulse.stopped(moment));
        std::thread::sleep(2 * moment);
        assert!(pulse.stopped(moment));
        pulse.beat();
        assert!(!pulse.stopped(moment));
    }
}
