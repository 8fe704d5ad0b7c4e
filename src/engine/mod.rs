//! Building and measuring real engines: what a measurement is, the worker that makes it, and the
//! client that both the window and the command line use.

pub mod attribution;
pub mod client;
mod compare;
mod deployment;
pub mod environment;
mod log;
mod namesakes;
pub mod outbox;
mod own;
pub mod parcel;
pub mod protocol;
mod request;
mod run;
pub mod ssh;
pub mod tensorrt;
pub mod trtexec;
pub mod weights;
pub mod worker;

pub use compare::compare;
pub use deployment::deploy;
pub use log::{Level, LogLine, LogRing, escape};
pub use namesakes::without_counter;
pub use own::own_run;
pub use request::{
    Calibration, MemoryPools, NumericReference, Request, RequestError, Timing, parse_size,
};
pub use run::{
    Actual, ActualOp, Attribution, Comparison, Contradiction, DeploymentShare, Environment,
    ErrorKind, Failure, Latency, LayerTime, Measurement, ModelRef, NumericCheck, Outcome, RowSite,
    Run, Stage, Summary, dla_refusal, median, summarise, unix_ms,
};
