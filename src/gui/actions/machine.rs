//! Another machine over ssh: checked, its key accepted, dlaplan put there and removed.

use crate::engine::remote::board::Survey;
use crate::engine::remote::deploy::Deployed;
use crate::engine::remote::ssh::Host;
use crate::tasks::machine::{self, MachineError};

use crate::gui::command::Command;
use crate::gui::message::Message;
use crate::gui::state::State;

impl State {
    /// Says what a machine is and what it lacks to measure.
    pub(crate) fn check_host(&mut self, host: Host) {
        let asked = host.clone();
        let work = move || machine::check(&asked);
        self.background(
            format!("Checking {host}"),
            true,
            work,
            move |state, found| match found {
                Ok(survey) => state.messages.renew(checked(&host, &survey)),
                Err(error) => state
                    .messages
                    .renew(refused(format!("{host} could not be checked"), error)),
            },
        );
    }

    /// Takes the key that was shown, then asks the machine again.
    pub(crate) fn accept_key(&mut self, host: Host, fingerprint: String) {
        let asked = host.clone();
        let work = move || machine::accept(&asked, &fingerprint);
        self.background(
            format!("Accepting the key of {host}"),
            true,
            work,
            move |state, done| match done {
                Ok(_) if state.measuring.host.as_ref() == Some(&host) => {
                    state.measure_on(Some(host));
                }
                Ok(_) => state.check_host(host),
                Err(error) => state.messages.renew(Message::error(
                    format!("The key of {host} was not accepted"),
                    &error.to_string(),
                    "",
                )),
            },
        );
    }

    /// Puts dlaplan on a machine.
    pub(crate) fn deploy_to(&mut self, host: Host) {
        let local = self.measuring.local.as_ref();
        let own = match local.map(|l| l.command.program.clone()) {
            Some(own) => own,
            // Then packaged programs are not found either, which the message says.
            None => std::env::current_exe().unwrap_or_default(),
        };
        let asked = host.clone();
        let work = move || machine::put(&asked, None, &own);
        self.background(
            format!("Putting dlaplan on {host}"),
            true,
            work,
            move |state, done| match done {
                Ok(put) => {
                    let detail = match &put.deployed {
                        Deployed::Sent { bytes, folder } => {
                            format!("Sent {:.1} MB to ~/{folder}", *bytes as f64 / 1e6)
                        }
                        Deployed::There { folder } => format!("~/{folder} was there already"),
                    };
                    let title = format!("dlaplan is on {host}");
                    let measure = Command::MeasureOn(Some(host.clone()));
                    let message = Message::info(title, &detail);
                    if state.measuring.host.as_ref() == Some(&host) {
                        state.messages.renew(message);
                        state.measure_on(Some(host));
                    } else {
                        state
                            .messages
                            .renew(message.with_action(&measure.text(), measure));
                    }
                }
                Err(error) => state
                    .messages
                    .renew(refused(format!("dlaplan was not put on {host}"), error)),
            },
        );
    }

    /// Removes dlaplan and its caches from a machine.
    pub(crate) fn remove_from(&mut self, host: Host) {
        let asked = host.clone();
        let work = move || machine::remove(&asked);
        self.background(
            format!("Removing dlaplan from {host}"),
            true,
            work,
            move |state, done| {
                state.messages.renew(match done {
                    Ok(()) => Message::info(format!("Nothing of dlaplan is left on {host}"), ""),
                    Err(error) => refused(format!("dlaplan was not removed from {host}"), error),
                });
                if state.measuring.host.as_ref() == Some(&host) {
                    state.measure_on(Some(host));
                }
            },
        );
    }

    /// A machine that was to measure cannot: offers what would help, a key to accept or a program
    /// to send.
    pub(crate) fn offer_help(&mut self, host: &Host, found: Result<Survey, MachineError>) {
        match found {
            Err(error @ MachineError::UnknownKey { .. }) => {
                self.messages.renew(refused(String::new(), error));
            }
            Ok(survey) if no_program(&survey) => self.messages.renew(checked(host, &survey)),
            // The worker's own words are on screen.
            _ => {}
        }
    }
}

fn no_program(survey: &Survey) -> bool {
    survey.installed.is_none() && survey.deployed.is_empty()
}

/// What a machine is; the button does the next thing.
fn checked(host: &Host, survey: &Survey) -> Message {
    let rows = machine::rows(survey);
    let known = rows
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?)));
    let lacks = survey.lacks(host);
    let lacks = lacks.iter().map(|l| {
        let mark = if l.fatal { "Missing" } else { "Note" };
        format!("{mark}: {}. Remedy: {}", l.what, l.remedy)
    });
    let lines: Vec<String> = known.chain(lacks).collect();
    let command = if no_program(survey) {
        Command::DeployTo(host.clone())
    } else {
        Command::MeasureOn(Some(host.clone()))
    };
    let title = format!("{host}: {}", machine::title(survey));
    Message::info(title, &lines.join("\n")).with_action(&command.text(), command)
}

/// An error; an unknown key is shown with a button that accepts it.
fn refused(title: String, error: MachineError) -> Message {
    match error {
        MachineError::UnknownKey { host, key } => {
            let detail = format!(
                "Its {} key has the fingerprint\n{}",
                key.kind, key.fingerprint
            );
            let remedy = format!(
                "Compare it with `{}` on the machine itself; accept it only if it is the same",
                key.command()
            );
            let accept = Command::AcceptKey(host.clone(), key.fingerprint);
            Message::error(
                format!("The key of {host} is not known here"),
                &detail,
                &remedy,
            )
            .with_action(&accept.text(), accept)
        }
        error => Message::error(title, &error.to_string(), ""),
    }
}
