//! Every capability without a window.

pub mod args;
pub mod boards;
pub mod calibrate;
pub mod chart;
pub mod compare;
pub mod deploy;
pub mod estimate;
pub mod export;
pub mod inspect;
mod interrupt;
mod members;
pub mod modes;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod program;
pub mod rules;
pub mod runs;
pub mod search;
pub mod series;
pub mod survey;
pub mod sweep;
mod terminal;
pub mod trtexec;
pub mod worker;

use std::process::ExitCode;

use anyhow::Result;

/// The commands that need no window.
#[derive(Clone, Debug, clap::Subcommand)]
#[expect(missing_docs, reason = "clap shows the documentation of the arguments")]
pub enum Command {
    Inspect(inspect::InspectArgs),
    Plan(plan::PlanCommand),
    Estimate(estimate::EstimateArgs),
    Compare(compare::CompareArgs),
    Search(Box<search::SearchArgs>),
    Profile(Box<profile::ProfileArgs>),
    Sweep(sweep::SweepArgs),
    Survey(survey::SurveyArgs),
    Runs(runs::RunsArgs),
    Chart(chart::ChartArgs),
    Export(export::ExportArgs),
    Trtexec(trtexec::TrtexecArgs),
    Boards(boards::BoardsArgs),
    Rules(rules::RulesArgs),
    Calibrate(calibrate::CalibrateArgs),
    Probe(probe::ProbeArgs),
    Deploy(deploy::DeployArgs),
    Cache(deploy::CacheArgs),
    Worker(worker::WorkerArgs),
}

impl Command {
    /// Runs it; the exit code is 1 where it ran and the answer is bad.
    ///
    /// # Errors
    /// Bad input, or a file that cannot be written; exit code 2.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::Inspect(args) => inspect::run(&args),
            Self::Plan(args) => plan::run(&args),
            Self::Estimate(args) => estimate::run(&args),
            Self::Compare(args) => compare::run(&args),
            Self::Search(args) => search::run(&args),
            Self::Profile(args) => profile::run(&args),
            Self::Sweep(args) => sweep::run(&args),
            Self::Survey(args) => survey::run(&args),
            Self::Runs(args) => runs::run(&args),
            Self::Chart(args) => chart::run(&args),
            Self::Export(args) => export::run(&args),
            Self::Trtexec(args) => trtexec::run(&args),
            Self::Boards(args) => boards::run(args),
            Self::Rules(args) => rules::run(args),
            Self::Calibrate(args) => calibrate::run(&args),
            Self::Probe(args) => probe::run(&args),
            Self::Deploy(args) => deploy::run(&args),
            Self::Cache(args) => deploy::run_cache(&args),
            Self::Worker(args) => worker::run(&args),
        }
    }
}
