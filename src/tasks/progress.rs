//! Where a series of measurements is.

use std::time::Duration;

/// Where a sweep or a survey is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// What is measured.
    pub title: &'p str,
    /// The stage of its measurement.
    pub stage: &'p str,
    /// How many have a result.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// Time left, if those to come take as long as those so far, or until a limit.
    pub left: Option<Duration>,
}
