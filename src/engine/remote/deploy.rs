//! dlaplan on another machine: sent by digest into a folder of its version, removed without a
//! trace. `~/.local/lib/dlaplan/VERSION-DIGEST/dlaplan`, and `current` beside it is a link to the
//! folder that was deployed last.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::board::Survey;
use super::call::{CallError, call};
use super::ssh::Host;

/// Largest binary that is sent, bytes.
const MAX_BINARY: u64 = 1 << 30;

/// Why nothing was deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// ssh, or what ran there.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not a program for Linux.
    #[error("{}: no 64-bit ELF program; name a dlaplan with --binary", .0.display())]
    NoProgram(PathBuf),
    /// For another processor.
    #[error(
        "{} is built for {built} and {host} is {arch}; nothing was sent. Name one for {arch} with \
         --binary", path.display()
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What it is for.
        built: &'static str,
        /// The machine.
        host: String,
        /// What that is.
        arch: String,
    },
    /// Nothing to send.
    #[error(
        "no dlaplan for {arch} is here (looked for {}); install dlaplan's package, run \
         scripts/cross.sh in a clone, or name a program with --binary", looked.join(", ")
    )]
    NoBinary {
        /// What the machine is.
        arch: String,
        /// Where it would be.
        looked: Vec<String>,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployed {
    /// It was sent: bytes and where it lies, below the user's home.
    Sent {
        /// Size.
        bytes: u64,
        /// Folder below the home.
        folder: String,
    },
    /// The same binary was there already.
    There {
        /// Folder below the home.
        folder: String,
    },
}

/// What a program is built for, as `uname -m` names it; `None` where it is no 64-bit ELF program or
/// for something else. Offsets and numbers: System V ABI, `e_ident`, `e_machine`.
fn built_for(head: &[u8]) -> Option<&'static str> {
    let elf = head.get(..6)? == b"\x7fELF\x02\x01";
    match (elf, head.get(18..20)?) {
        (true, [183, 0]) => Some("aarch64"),
        (true, [62, 0]) => Some("x86_64"),
        _ => None,
    }
}

fn arch_of(path: &Path) -> Result<Option<&'static str>, std::io::Error> {
    let mut head = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut head)?;
    Ok(built_for(&head))
}

/// The packaged binary for a processor: the program `own` where it fits, else one beside it or in
/// its package's library folder.
///
/// # Errors
/// There is none.
pub fn packaged(arch: &str, own: &Path) -> Result<PathBuf, DeployError> {
    let name = format!("dlaplan-{arch}");
    let folder = own.parent().unwrap_or(Path::new("."));
    let places = [
        own.to_owned(),
        folder.join(&name),
        folder.join("../lib/dlaplan").join(&name),
    ];
    let fits = |place: &&PathBuf| arch_of(place).is_ok_and(|a| a == Some(arch));
    match places.iter().find(fits) {
        Some(place) => Ok(place.clone()),
        None => Err(DeployError::NoBinary {
            arch: arch.to_owned(),
            looked: places.iter().map(|p| p.display().to_string()).collect(),
        }),
    }
}

/// Sends a binary, unless it is there, and makes it the one that `--on HOST` starts.
///
/// # Errors
/// It is for another processor (found before anything is sent), it cannot be read, or it did not
/// arrive whole or does not run there; what was deployed before is unchanged.
pub fn deploy(host: &Host, survey: &Survey, binary: &Path) -> Result<Deployed, DeployError> {
    let file_error = |source| DeployError::File {
        path: binary.to_owned(),
        source,
    };
    let built = arch_of(binary)
        .map_err(file_error)?
        .ok_or_else(|| DeployError::NoProgram(binary.to_owned()))?;
    if built != survey.arch {
        return Err(DeployError::Architecture {
            path: binary.to_owned(),
            built,
            host: host.to_string(),
            arch: survey.arch.clone(),
        });
    }
    let mut file = File::open(binary).map_err(file_error)?;
    let mut hasher = Sha256::new();
    let bytes = std::io::copy(&mut (&file).take(MAX_BINARY), &mut hasher).map_err(file_error)?;
    file.rewind().map_err(file_error)?;
    let digest = format!("{:x}", hasher.finalize());
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("{version}-{}", digest.get(..16).unwrap_or_default());
    let folder = format!(".local/lib/dlaplan/{name}");
    let place = format!("/{folder}/dlaplan");
    // Only one that is in its place counts: a part file has another name.
    let there = (survey.deployed.iter()).any(|(d, path)| *d == digest && path.ends_with(&place));
    let link = format!("ln -sfn {name} \"$b/.next\" && mv -Tf \"$b/.next\" \"$b/current\"");
    let base = "b=$HOME/.local/lib/dlaplan";
    if there {
        let remote = format!("sh -c '{base}; {link}'");
        call(host, &[], &remote, std::io::empty(), Duration::from_mins(1))?;
        return Ok(Deployed::There { folder });
    }
    let remote = format!(
        "sh -c 'umask 077; {base}; d=$b/{name}; p=$d/.part; mkdir -p \"$d\" && cat >\"$p\" || exit 71; \
         h=$(sha256sum <\"$p\" | cut -c1-64); test \"$h\" = {digest} || \
         {{ echo \"the program arrived cut or damaged; deploy again\" >&2; exit 72; }}; \
         chmod 700 \"$p\" && \"$p\" --version >&2 || {{ rm -f \"$p\"; rmdir \"$d\"; \
         echo \"the program does not run there: see dlaplan probe\" >&2; exit 73; }}; \
         mv -f \"$p\" \"$d/dlaplan\" && {link}'"
    );
    // Compressed on the way: a binary shrinks to less than half.
    call(
        host,
        &["Compression=yes"],
        &remote,
        file.take(bytes),
        Duration::from_mins(30),
    )?;
    Ok(Deployed::Sent { bytes, folder })
}

/// Removes all that was deployed and the worker's caches: nothing of dlaplan stays but runs that a
/// dlaplan used there has stored itself.
///
/// # Errors
/// The machine cannot be reached, or something cannot be removed.
pub fn remove(host: &Host) -> Result<(), CallError> {
    let remote = format!("sh -c '{CACHE}; rm -rf \"$HOME/.local/lib/dlaplan\" \"$c\"'");
    call(host, &[], &remote, std::io::empty(), Duration::from_mins(2)).map(drop)
}

/// The worker's caches: engines, timings and files that were sent.
const CACHE: &str = "c=${XDG_CACHE_HOME:-$HOME/.cache}/dlaplan";

/// Removes the caches. Returns the bytes they took.
///
/// # Errors
/// The machine cannot be reached, or something cannot be removed.
pub fn clear_cache(host: &Host) -> Result<u64, CallError> {
    let remote = format!(
        "sh -c '{CACHE}; test -e \"$c\" || {{ echo 0; exit 0; }}; du -sk \"$c\" && rm -rf \"$c\"'"
    );
    let answer = call(host, &[], &remote, std::io::empty(), Duration::from_mins(2))?;
    let text = String::from_utf8_lossy(&answer);
    // A shell's start-up files may have printed before.
    let last = text
        .lines()
        .last()
        .and_then(|l| l.split_whitespace().next());
    let kb = last.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0);
    Ok(kb.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_what_they_are_built_for() {
        let head = |machine: u8| {
            let mut head = b"\x7fELF\x02\x01\x01".to_vec();
            head.resize(18, 0);
            head.extend([machine, 0]);
            head
        };
        assert_eq!(built_for(&head(183)), Some("aarch64"));
        assert_eq!(built_for(&head(62)), Some("x86_64"));
        assert_eq!(built_for(&head(40)), None);
        assert_eq!(built_for(&head(183)[..19]), None);
        assert_eq!(built_for(b"#!/bin/sh\nexec something else"), None);
    }
}
