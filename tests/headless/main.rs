//! Everything that needs no window.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod architecture;
mod board_settings;
mod build_logs;
mod cli;
mod compare;
mod corpus;
mod dla_rules;
mod engine_attribution;
mod engine_client;
mod engine_environment;
mod engine_recorded;
mod engine_remote;
mod engine_sampling;
mod estimate;
mod export;
mod history;
mod io_formats;
mod model_explorer;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/networks.rs"]
mod networks;
mod onnx_cases;
#[path = "../support/open_dims.rs"]
mod open_dims;
mod own_calibration;
mod placement;
mod plan;
mod readers;
mod reliability;
mod search;
mod search_cli;
mod search_confirm;
mod search_estimate;
mod search_modes;
mod search_overrides;
mod search_request;
mod search_space;
mod shared_names;
#[cfg(target_os = "linux")]
#[path = "../support/sshd.rs"]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test's files and threads end with it"
)]
mod sshd;
mod support;
mod survey;
mod sweep;
mod targets;
