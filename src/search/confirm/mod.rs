//! Builds and measures what the search proposes, the baselines first, the most promising next.

pub mod engines;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Measured};
use crate::placement::{EngineConfig, Placement};

/// One engine to build.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Engine {
    /// Precision, batch, core, fallback.
    pub config: EngineConfig,
    /// Where its ops are asked to run.
    pub placement: Placement,
}

/// Engines that run at the same time; mostly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setup {
    /// The engines.
    pub engines: Vec<Engine>,
}

impl Setup {
    /// A single engine.
    pub fn one(config: EngineConfig, placement: Placement) -> Self {
        Self {
            engines: vec![Engine { config, placement }],
        }
    }
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMeasured {
    /// The user ended it.
    #[error("cancelled")]
    Cancelled,
    /// It does not build here, or the measurement failed; the others go on.
    #[error("{0}")]
    Failed(String),
}

/// Where setups are measured, and what is learnt from it: the engine room, the history and the
/// estimator behind one boundary.
pub trait Bench {
    /// A figure from an earlier session with the same model, setup and target: images per second
    /// in all.
    fn known(&self, setup: &Setup) -> Option<Measured>;

    /// Builds and measures, telling the stage; `Break` cancels.
    ///
    /// # Errors
    /// Cancelled, or failed with what happened and the remedy.
    fn measure(
        &mut self,
        setup: &Setup,
        stage: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Measured, NotMeasured>;

    /// Recalibrates the estimate with a figure.
    fn learn(&mut self, setup: &Setup, measured: &Measured);

    /// What the estimate says now: images per second in all.
    fn estimate(&self, setup: &Setup) -> Figure;
}

/// A setup on its way to a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// What the user reads.
    pub name: String,
    /// The engines.
    pub setup: Setup,
    /// All GPU or all DLA: measured first, whatever the estimate.
    pub baseline: bool,
    /// What the estimate said before it was measured, recalibrated by the trials before it.
    pub estimate: Option<Figure>,
    /// The figure.
    pub measured: Option<Measured>,
    /// The figure is from an earlier session.
    pub from_history: bool,
    /// Why there is no figure.
    pub failure: Option<String>,
}

impl Trial {
    /// A trial yet to run.
    pub fn new(name: impl Into<String>, setup: Setup, baseline: bool) -> Self {
        Self {
            name: name.into(),
            setup,
            baseline,
            estimate: None,
            measured: None,
            from_history: false,
            failure: None,
        }
    }

    fn is_open(&self) -> bool {
        self.measured.is_none() && self.failure.is_none()
    }
}

/// What the caller hears.
#[derive(Debug)]
pub enum Event<'e> {
    /// A trial is at a stage of its measurement.
    Stage {
        /// The trial.
        trial: &'e Trial,
        /// As the engine room calls it.
        stage: &'e str,
        /// Trials with an outcome.
        done: usize,
        /// Trials in all.
        of: usize,
    },
    /// A trial has an outcome, and the estimate has learnt from it.
    Done {
        /// The trial.
        trial: &'e Trial,
        /// Trials with an outcome.
        done: usize,
        /// Trials in all.
        of: usize,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confirmed {
    /// Measured ones first, fastest first; then those without a figure.
    pub trials: Vec<Trial>,
    /// The user ended it; run again to go on from the history.
    pub cancelled: bool,
}

impl Confirmed {
    /// The fastest measured setup.
    pub fn best(&self) -> Option<&Trial> {
        self.trials.first().filter(|t| t.measured.is_some())
    }
}

/// Measures trials until all have an outcome. Figures the history has are taken from there, so
/// that a cancelled session goes on where it was. After each figure the estimate learns, and the
/// most promising of the remaining trials comes next.
pub fn confirm(
    mut trials: Vec<Trial>,
    bench: &mut dyn Bench,
    report: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Confirmed {
    let of = trials.len();
    for t in &mut trials {
        t.estimate = Some(bench.estimate(&t.setup));
        if let Some(known) = bench.known(&t.setup) {
            t.measured = Some(known);
            t.from_history = true;
        }
    }
    for t in &trials {
        if let Some(m) = &t.measured {
            bench.learn(&t.setup, m);
        }
    }
    let mut cancelled = false;
    loop {
        for t in trials.iter_mut().filter(|t| t.is_open()) {
            t.estimate = Some(bench.estimate(&t.setup));
        }
        let next = trials
            .iter()
            .enumerate()
            .filter(|(_, t)| t.is_open())
            .max_by(|(i, a), (j, b)| {
                let fps = |t: &Trial| {
                    t.estimate
                        .as_ref()
                        .and_then(Figure::value)
                        .unwrap_or(f64::NEG_INFINITY)
                };
                // Single engines teach the estimate what their deployments build on.
                let simple = |t: &Trial| {
                    std::cmp::Reverse(if t.baseline { t.setup.engines.len() } else { 0 })
                };
                a.baseline
                    .cmp(&b.baseline)
                    .then_with(|| simple(a).cmp(&simple(b)))
                    .then_with(|| fps(a).total_cmp(&fps(b)))
                    // The earlier of equals.
                    .then_with(|| j.cmp(i))
            });
        let Some((at, _)) = next else { break };
        let done = trials.iter().filter(|t| !t.is_open()).count();
        let trial = trials[at].clone();
        let outcome = bench.measure(&trial.setup, &mut |stage| {
            report(Event::Stage {
                trial: &trial,
                stage,
                done,
                of,
            })
        });
        match outcome {
            Ok(m) => {
                bench.learn(&trial.setup, &m);
                trials[at].measured = Some(m);
            }
            Err(NotMeasured::Failed(why)) => trials[at].failure = Some(why),
            Err(NotMeasured::Cancelled) => {
                cancelled = true;
                break;
            }
        }
        let event = Event::Done {
            trial: &trials[at],
            done: done + 1,
            of,
        };
        if report(event).is_break() {
            cancelled = trials.iter().any(Trial::is_open);
            break;
        }
    }
    trials.sort_by(|a, b| match (&a.measured, &b.measured) {
        (Some(a), Some(b)) => b.value.total_cmp(&a.value),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    Confirmed { trials, cancelled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Band;
    use crate::placement::Device;

    /// A machine whose speed is known: the true figure is `truth` times the first estimate.
    struct Machine {
        truth: f64,
        factor: f64,
        history: Vec<(Setup, Measured)>,
        measured: Vec<String>,
    }

    fn figure(value: f64) -> Measured {
        Measured {
            value,
            min: value,
            max: value,
            repeats: 5,
            source: "test".into(),
        }
    }

    fn size(setup: &Setup) -> f64 {
        setup.engines[0].placement.overrides.len() as f64 + 1.0
    }

    impl Bench for Machine {
        fn known(&self, setup: &Setup) -> Option<Measured> {
            let found = self.history.iter().find(|(s, _)| s == setup);
            found.map(|(_, m)| m.clone())
        }

        fn measure(
            &mut self,
            setup: &Setup,
            stage: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<Measured, NotMeasured> {
            if stage("build").is_break() {
                return Err(NotMeasured::Cancelled);
            }
            if setup.engines[0].placement.default == Device::Dla {
                return Err(NotMeasured::Failed("no DLA here".into()));
            }
            self.measured.push(format!("{}", size(setup)));
            let m = figure(size(setup) * self.truth);
            self.history.push((setup.clone(), m.clone()));
            Ok(m)
        }

        fn learn(&mut self, setup: &Setup, measured: &Measured) {
            self.factor = measured.value / size(setup);
        }

        fn estimate(&self, setup: &Setup) -> Figure {
            Figure::estimated(size(setup) * self.factor, Band::within(0.1), "test")
        }
    }

    fn trials() -> Vec<Trial> {
        let setup = |p: Placement| Setup::one(EngineConfig::default(), p);
        let with = |n: usize| {
            let names = (0..n).map(|i| format!("m{i}"));
            names.fold(Placement::default(), |p, m| p.with_module(&m, Device::Dla))
        };
        vec![
            Trial::new("two", setup(with(1)), false),
            Trial::new("four", setup(with(3)), false),
            Trial::new("all DLA", setup(Placement::all(Device::Dla)), true),
            Trial::new("all GPU", setup(Placement::default()), true),
        ]
    }

    #[test]
    fn baselines_first_then_the_most_promising_and_failures_do_not_stop_it() {
        let mut machine = Machine {
            truth: 3.0,
            factor: 1.0,
            history: Vec::new(),
            measured: Vec::new(),
        };
        let done = confirm(trials(), &mut machine, &mut |_| ControlFlow::Continue(()));
        assert_eq!(machine.measured, ["1", "4", "2"]);
        assert!(!done.cancelled);
        let names: Vec<&str> = done.trials.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["four", "two", "all GPU", "all DLA"]);
        assert_eq!(done.trials[3].failure.as_deref(), Some("no DLA here"));
        // The estimate had learnt from the baseline.
        let estimate = done.trials[0].estimate.as_ref().and_then(Figure::value);
        assert_eq!(estimate, Some(12.0));
    }

    #[test]
    fn a_cancelled_session_goes_on_from_the_history() {
        let mut machine = Machine {
            truth: 3.0,
            factor: 1.0,
            history: Vec::new(),
            measured: Vec::new(),
        };
        let mut done = 0;
        let half = confirm(trials(), &mut machine, &mut |e| match e {
            Event::Done { .. } => {
                done += 1;
                ControlFlow::Continue(())
            }
            Event::Stage { .. } if done == 3 => ControlFlow::Break(()),
            Event::Stage { .. } => ControlFlow::Continue(()),
        });
        assert!(half.cancelled);
        assert_eq!(half.best().map(|t| t.name.as_str()), Some("four"));
        let before = machine.measured.len();
        let whole = confirm(trials(), &mut machine, &mut |_| ControlFlow::Continue(()));
        assert!(!whole.cancelled);
        assert_eq!(machine.measured.len(), before + 1);
        assert!(whole.trials[0].from_history);
    }
}
