//! Building and measuring real engines: what a measurement is, the worker that makes it, and the
//! client that both the window and the command line use.

mod beats;
pub mod board_settings;
pub mod client;
mod command;
mod compare;
mod deployment;
pub mod environment;
pub mod event_sender;
mod log;
mod memory;
mod own;
pub mod protocol;
pub mod reading;
pub mod remote;
mod request;
mod run;
pub mod sampler;
pub(crate) mod subprocess;
pub mod telemetry;
pub mod tensorrt;
pub mod worker;

pub use board_settings::BoardSettings;
pub use command::WorkerCommand;
pub use compare::compare;
pub use deployment::deploy;
pub use log::{Level, LogLine, LogRing, escape};
pub use own::{own_run, own_share};
pub use reading::shared_names::without_counter;
pub use request::{
    Calibration, MemoryPools, NumericReference, Request, RequestError, Timing, parse_size,
};
pub use run::{
    Actual, ActualOp, Attribution, ClockRange, Comparison, Contradiction, DeploymentShare,
    Environment, ErrorKind, Failure, GpuFacts, Latency, LayerTime, Measurement, ModelRef,
    NumericCheck, Outcome, PowerMode, RowSite, Run, Stage, Summary, dla_refusal, median,
    not_sampled, summarise, unix_ms,
};
pub use telemetry::{Energy, EnergyKind, Mark, Quantity, Telemetry, TimedPart};
