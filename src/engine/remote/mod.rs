//! A worker on another machine: the ssh link, the files it needs, and what it keeps of them.

pub mod kept;
pub mod parcel;
pub mod ssh;
