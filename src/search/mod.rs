//! Finds placements: exact where exact is possible, anytime with a proven gap elsewhere.
//!
//! [`run`] takes a [`Goal`] and [`Constraints`] and returns [`Proposal`]s with estimates. Inside,
//! [`space`] turns a model into a [`problem`]; [`solvers`] chooses among [`solvers::chain`],
//! [`solvers::cut`] and [`solvers::frontier`]; [`deployment`] combines engines and [`pipeline`]
//! stages; [`overrides`] writes a result in the fewest overrides. [`confirm`] measures proposals.
//!
//! The search counts the limits of a DLA subgraph (bytes of weights, bytes of the tensors that
//! never leave it, number of subgraphs) as the plan does, but for memory: it takes the sum of the
//! tensors where the plan takes those alive at once. The sum is more, so the plan accepts every
//! engine proposed. Two exceptions: baselines are whole devices, whatever falls back; and the one placement
//! that stands for a pipeline joins neighbouring stages on different cores, which keep the limits
//! only by themselves. Where memory is short, the bytes of every open subgraph are part of a state,
//! and a lighter state beats a heavier one: the search stays exact, or reports a gap.

mod answer;
pub mod confirm;
mod costs;
pub mod deployment;
mod explain;
mod goal;
pub mod overrides;
pub mod pipeline;
pub mod problem;
mod run;
pub mod solvers;
pub mod space;
mod words;

pub use answer::{Answer, Progress, Proposal, ProposedEngine, ProposedStage};
pub use explain::{Move, explain, on_dla};
pub use goal::{Goal, Request, SearchError};
pub use run::run;
pub use space::{Constraints, Costs, Granularity};
