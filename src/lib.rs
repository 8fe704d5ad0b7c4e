//! dlaplan.
