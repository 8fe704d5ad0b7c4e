//! What a board's TensorRT says of the DLA's rules: `canRunOnDLA` of each rule's last legal and first
//! illegal case, beside what the plan says.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::client::{self, Limits, Update};
use crate::engine::{Environment, ErrorKind, NumericReference, Outcome, Request};
use crate::model::ModelSource;
use crate::model::onnx::{load_bundled, rule_cases};
use crate::placement::{Device, EngineConfig, Placement, Precision};
use crate::plan::Planner;
use crate::platform::Target;
use crate::platform::dla_rules::Verdict;

use super::measure::Worker;
use super::progress::Progress;

/// Precisions that are asked about.
const PRECISIONS: [Precision; 2] = [Precision::FP16, Precision::INT8];

/// Longest time for a sign of life from a worker that is asked.
const ANSWER: Duration = Duration::from_mins(1);

/// What TensorRT said of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleAnswer {
    /// The network of cases (`dla-rules-pooling`).
    pub network: String,
    /// The case: an op of it, `pool.window: window 9x9`.
    pub op: String,
    /// Of the engine.
    pub precision: Precision,
    /// `canRunOnDLA`.
    pub runs: bool,
}

/// What a plan says of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// It may run on the DLA.
    Allows,
    /// It may not.
    Refuses {
        /// The rule that says so.
        rule: &'static str,
    },
    /// The documents do not say.
    Undecided,
}

/// A case, and what both say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The rule whose edge it is at.
    pub rule: String,
    /// The case in words.
    pub case: String,
    /// Of the engine.
    pub precision: &'static str,
    /// The plan.
    pub planned: Planned,
    /// TensorRT runs it on the DLA.
    pub tensorrt_runs: bool,
    /// Whether they agree; `None` where the plan does not decide.
    pub agrees: Option<bool>,
}

impl Judged {
    /// `conv.kernel, 64x56x56 to 64 channels, ...: the plan allows it, TensorRT refuses it (fp16)`.
    pub fn text(&self) -> String {
        let plan = match &self.planned {
            Planned::Allows => "the plan allows it".to_owned(),
            Planned::Refuses { rule } if *rule == self.rule => "the plan refuses it".to_owned(),
            Planned::Refuses { rule } => format!("the plan refuses it ({rule})"),
            Planned::Undecided => "the documents do not say".to_owned(),
        };
        let tensorrt = if self.tensorrt_runs {
            "allows"
        } else {
            "refuses"
        };
        format!(
            "{}, {}: {plan}, TensorRT {tensorrt} it ({})",
            self.rule, self.case, self.precision
        )
    }
}

/// Asks a machine about every case; nothing where it has no DLA. What cannot be asked is left out with a
/// line in the log. `stopped` is asked several times a second.
pub fn ask(
    worker: &Worker,
    machine: &Environment,
    stopped: &dyn Fn() -> bool,
    hear: &mut dyn FnMut(&Progress<'_>),
) -> Vec<RuleAnswer> {
    let mut answers = Vec::new();
    if machine.dla_cores.unwrap_or(0) == 0 {
        return answers;
    }
    let limits = Limits {
        idle: worker.limits.idle.min(ANSWER),
        ..worker.limits
    };
    for (at, kind) in rule_cases().iter().enumerate() {
        for precision in PRECISIONS {
            if stopped() {
                return answers;
            }
            hear(&Progress {
                title: kind.name,
                stage: "asking what the DLA takes",
                done: at,
                of: rule_cases().len(),
                left: None,
            });
            let config = EngineConfig {
                precision,
                ..EngineConfig::default()
            };
            let path = ModelSource::Bundled(kind.name).to_path();
            let mut request = Request::new(path, Placement::all(Device::Dla), config);
            request.numeric = NumericReference::None;
            let on = &mut |_: &Update| {
                if stopped() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            match client::ask(&worker.command, limits, request, on) {
                Ok(said) => answers.extend(said.into_iter().map(|(op, runs)| RuleAnswer {
                    network: kind.name.to_owned(),
                    op,
                    precision,
                    runs,
                })),
                Err(run) => {
                    if let Outcome::Failed(failure) = &run.outcome {
                        log::warn!("{}: {}", kind.name, failure.message);
                        // A worker of an older dlaplan does not know the question.
                        if failure.kind == ErrorKind::TimedOut {
                            return answers;
                        }
                    }
                }
            }
        }
    }
    answers
}

/// Compares answers with the plan for the target they come from. Answers about other cases than this
/// program's are passed over.
pub fn judge(answers: &[RuleAnswer], target: &Target) -> Vec<Judged> {
    let mut judged = Vec::new();
    for kind in rule_cases() {
        let Ok(model) = load_bundled(kind.name) else {
            continue;
        };
        for precision in PRECISIONS {
            let config = EngineConfig {
                precision,
                ..EngineConfig::default()
            };
            let planner = Planner::new(&model, target, &config);
            let of = answers
                .iter()
                .filter(|a| a.network == kind.name && a.precision == precision);
            for answer in of {
                let Some(op) = model.find_op(&answer.op) else {
                    continue;
                };
                let Some((rule, case)) = answer.op.split_once(": ") else {
                    continue;
                };
                let (planned, agrees) = match planner.verdict(op) {
                    Verdict::Allowed => (Planned::Allows, Some(answer.runs)),
                    Verdict::Refused(refusal) => {
                        let rule = refusal.rule.id;
                        (Planned::Refuses { rule }, Some(!answer.runs))
                    }
                    Verdict::Unknown(_) => (Planned::Undecided, None),
                };
                judged.push(Judged {
                    rule: rule.to_owned(),
                    case: case.to_owned(),
                    precision: precision.as_str(),
                    planned,
                    tensorrt_runs: answer.runs,
                    agrees,
                });
            }
        }
    }
    judged
}
