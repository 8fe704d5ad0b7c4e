//! Ctrl-C as a wish to stop in good order; the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};

/// Set by the first Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_interrupt(_signal: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Catches SIGINT and SIGTERM from here on.
///
/// # Errors
/// The system refuses the handler.
pub(super) fn catch() -> Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let action = SigAction::new(
        SigHandler::Handler(on_interrupt),
        SaFlags::SA_RESTART | SaFlags::SA_RESETHAND,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler only stores to an atomic; a second signal ends the program.
        unsafe { sigaction(signal, &action) }.context("catching Ctrl-C")?;
    }
    Ok(())
}

/// Whether the user wants to stop.
pub(super) fn pending() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
