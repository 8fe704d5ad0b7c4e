//! `dlaplan worker`: takes requests on stdin, answers on stdout, one JSON message per line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::board_settings::{self, BoardSettings, Held};
use super::event_sender::EventSender;
use super::protocol::{self, Command, Event, Refusal};
use super::run::{ErrorKind, Failure, ModelRef, Stage};
use super::sampler::{self, Place, Sampler};
use super::{environment, tensorrt};
use crate::engine::remote::receive::receive;

/// stdin, from which something must come every so often.
struct Heard {
    stdin: File,
    silence: Option<Duration>,
}

impl Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(silence) = self.silence {
            wait(&self.stdin, silence)?;
        }
        self.stdin.read(buffer)
    }
}

/// Waits until there is something to read, or the end.
fn wait(stdin: &File, silence: Duration) -> std::io::Result<()> {
    let begun = Instant::now();
    loop {
        // Whole milliseconds, and never fewer than are left.
        let left = silence.saturating_sub(begun.elapsed()) + Duration::from_micros(999);
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!(
                        "nothing came from the client for {} s: the link to it is cut, or it hangs",
                        silence.as_secs()
                    ),
                ));
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Runs until stdin closes, the client cancels, or nothing comes from it for `silence`. `root` is the
/// root folder of the files that tell of the machine; `settings` are in force until the first
/// command is done, or the process ends however it ends.
///
/// # Errors
/// stdout or stdin cannot be used.
pub fn run(
    root: &Path,
    silence: Option<Duration>,
    settings: BoardSettings,
) -> std::io::Result<ExitCode> {
    let mut out = take_stdout()?;
    // What a shell's start-up files have written must not run into the first message.
    out.write_all(b"\n")?;
    let events = EventSender::new(out);
    let replies = events.clone();
    let stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdin = BufReader::new(Heard { stdin, silence });
    let (sender, commands) = sync_channel(16);
    std::thread::Builder::new()
        .name("commands".into())
        .spawn(move || {
            let mut line = String::new();
            // Until the process ends.
            let mut parcels = Vec::new();
            loop {
                match stdin.read_line(&mut line) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(e) => {
                        log::error!("{e}");
                        break;
                    }
                }
                match protocol::decode::<Command>(&line) {
                    Ok(Command::Cancel) => break,
                    Ok(Command::Ping) => {}
                    Ok(Command::Receive { entries }) => {
                        match receive(&mut stdin, &entries, &replies) {
                            Ok(held) => parcels.extend(held),
                            Err(e) => {
                                replies.send(Event::Failed {
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
    // Before the machine is described: the settings are part of what it is.
    let (mut held, refused) = prepare(root, settings, &events);
    let mut environment = environment::read_under(root);
    let mut unavailable = tensorrt::describe(&mut environment);
    unavailable.extend(refused);
    events.send(Event::Hello {
        environment: Box::new(environment),
        unavailable: unavailable.clone(),
    });
    while let Ok(command) = commands.recv() {
        let done = match command {
            Command::Go | Command::Ping | Command::Cancel | Command::Receive { .. } => continue,
            _ if !unavailable.is_empty() => Err(Refusal {
                failure: Failure {
                    kind: ErrorKind::Refused,
                    stage: Stage::Check,
                    message: unavailable.join(". "),
                },
                model: ModelRef::default(),
            }),
            Command::Build { request } => {
                tensorrt::build(&request, &events).map(|b| Event::Built { built: Box::new(b) })
            }
            Command::Ask { request } => tensorrt::ask(&request, &events)
                .map(|can_run_on_dla| Event::Answered { can_run_on_dla }),
            Command::Profile { request, barrier } => {
                let place = Place::of(root, tensorrt::bus_id());
                // Ends, and sends the last samples, before the figures are sent.
                let _sampler = request
                    .sampling
                    .then(|| Sampler::start(place, sampler::EVERY, events.clone()));
                let barrier = barrier.then_some(&commands);
                tensorrt::profile(&request, &events, barrier).map(|r| Event::Measured {
                    report: Box::new(r),
                })
            }
        };
        // Before the result is known, so that nobody ends this process meanwhile.
        if let Some(held) = held.take()
            && let Err(text) = held.release()
        {
            events.send(Event::Warning { text });
        }
        events.send(done.unwrap_or_else(|refusal| Event::Failed {
            failure: refusal.failure,
            model: refusal.model,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts power mode and clocks in force that are asked for, else back what an earlier measurement left
/// behind. The second value says why they cannot be.
fn prepare(
    root: &Path,
    settings: BoardSettings,
    events: &EventSender,
) -> (Option<Held>, Option<String>) {
    let folder = board_settings::folder();
    if settings.is_none() {
        if let Some(folder) = folder {
            match board_settings::recover(&folder) {
                Ok(false) => {}
                Ok(true) => events.send(Event::Warning {
                    text:
                        "power mode and clocks were put back that an earlier measurement had left"
                            .into(),
                }),
                Err(text) => events.send(Event::Warning { text }),
            }
        }
        return (None, None);
    }
    let program = std::env::current_exe();
    let (Some(folder), Ok(program)) = (folder, program) else {
        let why = "no home folder to note in what is to be put back; set HOME";
        return (None, Some(why.into()));
    };
    match board_settings::hold(settings, root, &folder, &program) {
        Ok(held) => (Some(held), None),
        Err(why) => (None, Some(why)),
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
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn silence_counts_from_the_start_and_from_every_part() {
        let (stdin, mut client) = std::io::pipe().unwrap();
        let moment = Duration::from_millis(300);
        let mut heard = Heard {
            stdin: File::from(OwnedFd::from(stdin)),
            silence: Some(moment),
        };
        let begun = Instant::now();
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let end = heard.read(&mut buffer).unwrap_err();
            assert_eq!(end.kind(), std::io::ErrorKind::TimedOut);
            assert!(end.to_string().contains("link"), "{end}");
            client.write_all(b"part").unwrap();
            assert_eq!(heard.read(&mut buffer).unwrap(), 4);
        }
        assert!(begun.elapsed() >= 2 * moment);
        drop(client);
        assert_eq!(heard.read(&mut buffer).unwrap(), 0, "its end is no silence");
    }
}
