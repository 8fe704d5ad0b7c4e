//! Finds placements: exact where exact is possible, anytime with a proven gap elsewhere.
//!
//! [`run`] is the whole of it for a user: a [`Goal`] and [`Constraints`] in, [`Proposal`]s judged by
//! the estimate out. Below it, [`space`] turns a model into a [`problem`], [`solvers`] chooses among
//! [`solvers::chain`], [`solvers::cut`] and [`solvers::frontier`], [`deployment`] and [`pipeline`] put engines and stages side
//! by side, and [`overrides`] writes the result as a person would. [`confirm`] measures proposals.
//!
//! What bounds a DLA subgraph (its weights, the sum of the tensors that never leave it, the number
//! of subgraphs) is counted as the plan counts it, so that the plan accepts every engine proposed:
//! nothing of it falls back that the DLA rules allow. Two things are not promised so: baselines are
//! whole devices, whatever falls back; and a pipeline's one placement of the whole network joins
//! neighbouring stages on different cores, each of which keeps the limits by itself. Where memory
//! is short, the bytes of every open subgraph are part of a state, and a lighter one beats a heavier:
//! exact all the same, or with a gap that is told, as elsewhere.

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
