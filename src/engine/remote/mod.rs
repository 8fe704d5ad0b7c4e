//! A worker on another machine: the ssh link, the files it needs, and what it keeps of them.

pub mod board;
pub mod call;
pub mod deploy;
pub(crate) mod error;
pub mod host_key;
pub mod kept;
pub mod parcel;
pub(crate) mod receive;
pub mod ssh;
