//! Building and measuring real engines: what a measurement is, the worker that makes it, and the
//! client that both the window and the command line use.

mod log;
mod request;
mod run;

pub use log::{Level, LogLine, LogRing, escape};
pub use request::{
    Calibration, MemoryPools, NumericReference, Request, RequestError, Timing, parse_size,
};
pub use run::{
    Actual, ActualOp, Attribution, Comparison, Contradiction, DeploymentShare, Environment,
    ErrorKind, Failure, Latency, LayerTime, Measurement, ModelRef, NumericCheck, Outcome, RowSite,
    Run, Stage, Summary, median, summarise, unix_ms,
};
