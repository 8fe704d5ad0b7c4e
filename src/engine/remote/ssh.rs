//! A worker on another machine, through the system's OpenSSH: its keys, its agent, its
//! `~/.ssh/config`. No port is opened and no password is asked for.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use nix::sys::socket::SockaddrIn;
use serde::{Deserialize, Serialize};

/// `[USER@]HOST[:PORT][:PROGRAM]`: where a worker runs, the port of its sshd where ~/.ssh/config has
/// another one, and dlaplan there where it was not put by `dlaplan deploy` and is not in the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    /// `[USER@]HOST`, as ssh takes it.
    address: String,
    port: Option<NonZeroU16>,
    program: Option<String>,
}

/// Not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not [USER@]HOST[:PORT][:PROGRAM] of letters, digits and . _ - (PROGRAM also / and ~; \
     PORT 1-65535); give IPv6 addresses and jump hosts a name in ~/.ssh/config"
)]
pub struct HostError(String);

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let wrong = || HostError(text.to_owned());
        let word = |w: &str, more: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || more.contains(c);
            !w.is_empty() && !w.starts_with('-') && w.chars().all(fits)
        };
        let (address, rest) = match text.split_once(':') {
            Some((address, rest)) => (address, Some(rest)),
            None => (text, None),
        };
        // Digits alone are a port: a program of that name is written ./22.
        let digits = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_digit());
        let (port, program) = match rest.map(|r| r.split_once(':').unwrap_or((r, ""))) {
            Some((port, program)) if digits(port) => {
                let port: NonZeroU16 = port.parse().map_err(|_none| wrong())?;
                let named = rest.is_some_and(|r| r.contains(':'));
                (Some(port), named.then_some(program))
            }
            _ => (None, rest),
        };
        let named = address
            .split_once('@')
            .is_none_or(|(user, _)| word(user, ""));
        let host = address.split_once('@').map_or(address, |(_, host)| host);
        if !named || !word(host, "") || !program.is_none_or(|p| word(p, "/~")) {
            return Err(wrong());
        }
        Ok(Self {
            address: address.to_owned(),
            port,
            program: program.map(str::to_owned),
        })
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match &self.program {
            Some(program) => write!(f, ":{program}"),
            None => Ok(()),
        }
    }
}

impl Host {
    /// A developer kit on this machine's USB port, where there is one: L4T gives the kit
    /// 192.168.55.1 and the machine at the other end 192.168.55.100.
    pub fn on_usb() -> Option<Self> {
        let mut addresses = nix::ifaddrs::getifaddrs().ok()?;
        let usb = addresses.any(|a| {
            let ip = a
                .address
                .and_then(|a| a.as_sockaddr_in().map(SockaddrIn::ip));
            ip.is_some_and(|ip| ip.octets() == [192, 168, 55, 100])
        });
        usb.then(|| "192.168.55.1".parse().ok()).flatten()
    }

    /// The program to run there, where one is named.
    pub(crate) fn named_program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// Options of ssh, and the address: what is to run there follows. A host key that is not known,
    /// or not the known one, ends it.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<OsString> {
        let options = [
            "BatchMode=yes",
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
        // ssh takes the first value of an option.
        for option in more
            .iter()
            .chain(&["StrictHostKeyChecking=yes"])
            .chain(&options)
        {
            args.extend(["-o".into(), option.into()]);
        }
        if let Some(port) = self.port {
            args.extend(["-p".into(), port.to_string().into()]);
        }
        args.extend(["--".into(), self.address.as_str().into()]);
        args
    }

    /// What the user types to reach it.
    fn by_hand(&self) -> String {
        match self.port {
            Some(port) => format!("ssh -p {port} {}", self.address),
            None => format!("ssh {}", self.address),
        }
    }

    /// dlaplan there.
    pub(crate) fn program(&self) -> &str {
        self.program.as_deref().unwrap_or("dlaplan")
    }

    /// `[USER@]HOST`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether ssh ended because nobody has said yet that the host's key is the right one. One that
    /// has changed is not unknown.
    pub(crate) fn key_is_unknown(said: &[&str]) -> bool {
        let has = |text: &str| said.iter().any(|l| l.contains(text));
        has("Host key verification failed") && !has("IDENTIFICATION HAS CHANGED")
    }

    /// What an exit code of ssh means, by what was said on stderr; `None` where the code says it.
    pub(crate) fn explain(&self, code: i32, greeted: bool, said: &[&str]) -> Option<String> {
        let address = &self.address;
        let has = |text: &str| said.iter().any(|l| l.contains(text));
        let last = said.iter().rfind(|l| !l.trim().is_empty());
        let last = last.map_or("no reason given", |l| l.trim());
        if greeted {
            // ssh ends with 255 for its own troubles, of which it speaks, and where a signal
            // ended the program, of which it does not.
            let link = [
                "timeout, server",
                "connection closed",
                "connection reset",
                "closed by remote host",
                "broken pipe",
                "disconnect",
                "corrupted mac",
            ];
            let broke = |line: &&&str| {
                let line = line.to_ascii_lowercase();
                link.iter().any(|word| line.contains(word))
            };
            return (code == 255).then(|| match said.iter().rfind(broke) {
                Some(line) => format!(
                    "the link to {address} broke: {}; check the network, then measure again",
                    line.trim().trim_end_matches('.')
                ),
                None => format!(
                    "the worker on {address} was ended by a signal: out of memory (`dmesg` there \
                     tells), or a crash inside TensorRT"
                ),
            });
        }
        match code {
            // OpenSSH's messages: sshconnect.c and sshconnect2.c.
            255 if has("IDENTIFICATION HAS CHANGED") => {
                let line = said.iter().find_map(|l| {
                    l.split_once("key in ")
                        .filter(|_| l.starts_with("Offending"))
                });
                let at = line.map_or("known_hosts", |(_, at)| at.trim());
                Some(format!(
                    "the host key of {address} is not the one this machine knows. If it was \
                     installed anew: remove the old one ({at}), then `{hand}` once to check \
                     the new key",
                    hand = self.by_hand()
                ))
            }
            255 if Self::key_is_unknown(said) => Some(format!(
                "the host key of {address} is not known here: `dlaplan probe {self}` shows its \
                 fingerprint and takes it when you say so; or connect once with `{hand}` and check \
                 its fingerprint",
                hand = self.by_hand()
            )),
            255 if has("Permission denied") => Some(format!(
                "{address} takes no key that can be used without a question: install one with \
                 `ssh-copy-id {address}`, or unlock it with `ssh-add`"
            )),
            255 if said.is_empty() => Some(format!(
                "{program} on {address} was ended by a signal before it said anything; run \
                 `ssh {address} {program} worker` to see why",
                program = self.program()
            )),
            255 if has("Could not resolve hostname") => Some(format!(
                "ssh {address}: {last}. Check the name, or give the board's IP address"
            )),
            255 if UNREACHABLE.iter().any(|words| has(words)) => Some(format!(
                "ssh {address}: {last}. Check that the board is on, in this network, and runs sshd"
            )),
            255 => Some(format!("ssh {address}: {last}")),
            126 | 127 => Some(format!(
                "{address} cannot run {program}: {last}. Put it there with `dlaplan deploy \
                 {address}`, or say where it is ({address}:/path/to/dlaplan)",
                program = self.program()
            )),
            2 if has("unexpected argument '--") => Some(format!(
                "{program} on {address} is of an earlier version; install the same dlaplan on both",
                program = self.program()
            )),
            _ if said.is_empty() => None,
            _ => Some(format!(
                "{program} on {address} ended with exit code {code}: {last}",
                program = self.program()
            )),
        }
    }
}

/// What ssh says of a machine that does not answer, as strerror(3) words it.
const UNREACHABLE: [&str; 4] = [
    "No route to host",
    "Connection refused",
    "timed out",
    "Network is unreachable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_words() {
        for good in [
            "jetson",
            "me@10.0.0.7",
            "nv_1@orin.lab:/opt/dlaplan",
            "xavier:~/bin/dlaplan",
            "board:22322",
            "me@10.0.0.7:22322:/opt/dlaplan",
            "board:./22",
        ] {
            assert_eq!(good.parse::<Host>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "a b",
            "me@",
            "@host",
            "me@-x",
            "a@b@c",
            "host:",
            "host:0",
            "host:65536",
            "host:22:",
            "host:22:23:24",
            "host:-x",
            "host:a b",
            "host:$(x)",
            "h;x",
            "[::1]",
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_of_ssh_say_what_to_do() {
        let host: Host = "me@orin".parse().unwrap();
        let explain = |code, said: &[&str]| host.explain(code, false, said).unwrap_or_default();
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @";
        let old = "Offending ED25519 key in /home/me/.ssh/known_hosts:3";
        let unknown = "Host key verification failed.";
        assert!(explain(255, &[changed, old, unknown]).contains("/home/me/.ssh/known_hosts:3"));
        assert!(explain(255, &[unknown]).contains("check its fingerprint"));
        assert!(explain(255, &["me@orin: Permission denied (publickey)."]).contains("ssh-copy-id"));
        let gone = "ssh: connect to host orin port 22: No route to host";
        let gone = explain(255, &[gone, ""]);
        assert!(
            gone.contains("No route to host. Check that the board is on"),
            "{gone}"
        );
        let unknown = "ssh: Could not resolve hostname orin: Name or service not known";
        let unknown = explain(255, &[unknown]);
        assert!(unknown.contains("not known. Check the name"), "{unknown}");
        let old = [
            "error: unexpected argument '--silence' found",
            "",
            "For more information, try '--help'.",
        ];
        assert!(explain(2, &old).contains("install the same"));
        let older = "error: unexpected argument '--lock-clocks' found";
        assert!(explain(2, &[older]).contains("install the same"));
        assert!(explain(127, &[]).contains("me@orin:/path/to/dlaplan"));
        assert_eq!(host.explain(1, true, &["x"]), None);
        let cut = host.explain(255, true, &["client_loop: send disconnect: Broken pipe"]);
        assert!(cut.unwrap().contains("link to me@orin broke"));
        let killed = host.explain(255, true, &["some warning of the program"]);
        assert!(killed.unwrap().contains("ended by a signal"));
    }
}
