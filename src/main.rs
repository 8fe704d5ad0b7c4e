//! dlaplan.
fn main() {}
