//! Clocks outside the named power modes: `gpu=900,dla=614,emc=3199`, in MHz.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::board::{Board, PowerMode};

/// A clock may exceed the highest of the board's modes by this factor: published results overclock
/// by 3 %.
const ABOVE: f64 = 1.25;

/// Different clocks one process remembers; files may name as many as they like.
const MOST: usize = 4096;

/// Clocks asked for so far, by board and name. A [`PowerMode`] lives as long as the program, like
/// those of the boards.
static KNOWN: Mutex<BTreeMap<(&'static str, String), &'static PowerMode>> =
    Mutex::new(BTreeMap::new());

/// Whether a mode's name is a list of clocks.
pub(super) fn is_clocks(name: &str) -> bool {
    name.contains('=')
}

/// The mode with these clocks; what is left out is that of the board's first mode. `sms` may be
/// given too.
///
/// # Errors
/// A key that is no clock, a value that is no number or out of range: the reason and the remedy.
pub(super) fn mode(board: &'static Board, text: &str) -> Result<&'static PowerMode, String> {
    let first = &board.modes[0];
    let mut mode = *first;
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("{:?} is no clock; write gpu=900", shown(part)))?;
        let (key, value) = (key.trim(), value.trim());
        let number: f64 = value
            .parse()
            .map_err(|e| format!("{key}={:?} is no number of MHz: {e}", shown(value)))?;
        let most = |of: fn(&PowerMode) -> f64| {
            let highest = board.modes.iter().map(of).fold(0.0, f64::max);
            let most = highest * ABOVE;
            if number > 0.0 && number <= most {
                Ok(number)
            } else {
                Err(format!(
                    "{key}={value} is out of range; {} takes {key} up to {most:.0}",
                    board.id
                ))
            }
        };
        match key {
            "gpu" => mode.gpu_mhz = most(|m| m.gpu_mhz)?,
            "dla" if board.dla.is_none() => return Err(format!("{} has no DLA", board.id)),
            "dla" => {
                mode.dla_mhz = most(|m| m.dla_mhz)?;
                mode.dla1_mhz = mode.dla_mhz;
            }
            "emc" => mode.emc_mhz = most(|m| m.emc_mhz)?,
            "sms" if number.fract() == 0.0 && (1.0..=f64::from(first.sms)).contains(&number) => {
                mode.sms = number as u32;
            }
            "sms" => return Err(format!("sms={value} is out of range; 1 to {}", first.sms)),
            _ => {
                return Err(format!(
                    "{:?} is no clock; there are gpu, dla, emc and sms",
                    shown(key)
                ));
            }
        }
    }
    mode.dram_gbs = first.dram_gbs * mode.emc_mhz / first.emc_mhz;
    // One name per set of clocks, whatever was left out or in which order it was written.
    let mut clocks = vec![format!("gpu={}", mode.gpu_mhz)];
    if board.dla.is_some() {
        clocks.push(format!("dla={}", mode.dla_mhz));
    }
    clocks.push(format!("emc={}", mode.emc_mhz));
    if mode.sms != first.sms {
        clocks.push(format!("sms={}", mode.sms));
    }
    let name = clocks.join(",");
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(mode) = known.get(&(board.id, name.clone())) {
        return Ok(mode);
    }
    if known.len() >= MOST {
        return Err(format!("more than {MOST} different clocks in one process"));
    }
    mode.name = Box::leak(name.clone().into_boxed_str());
    mode.nvpmodel = &[];
    mode.since = None;
    mode.unconfirmed = None;
    let mode: &'static PowerMode = Box::leak(Box::new(mode));
    known.insert((board.id, name), mode);
    Ok(mode)
}

/// What a file wrote, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
