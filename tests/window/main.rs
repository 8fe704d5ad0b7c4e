//! The window, without a display: what a person does with it.
#![cfg(feature = "gui")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(target_os = "linux")]
mod faults;
mod insight;
mod keys;
#[cfg(target_os = "linux")]
mod machine;
mod map;
#[cfg(target_os = "linux")]
#[path = "../support/mounts.rs"]
#[expect(clippy::print_stderr, reason = "what is not tested is said")]
mod mounts;
mod narrow;
#[path = "../support/open_dims.rs"]
mod open_dims;
mod placing;
mod runs;
mod search;
mod soak;
#[cfg(target_os = "linux")]
#[path = "../support/sshd.rs"]
#[expect(
    dead_code,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test's files and threads end with it; other tests use the rest"
)]
mod sshd;
mod tensorrt;
mod tour;
mod tree;
#[path = "../support/window.rs"]
mod window;
mod work;
