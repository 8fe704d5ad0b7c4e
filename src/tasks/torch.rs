//! FPS of the unconverted PyTorch module on the machines of a sweep, as torch2trt's tables have it.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::remote::call::{self, CallError};
use crate::engine::subprocess::{self, Ended, Unfinished};
use crate::engine::{Environment, Measurement, WorkerCommand, escape};
use crate::figure::Figure;
use crate::model::{DType, Model, by};

/// Measures; `python3 -` reads it from stdin.
const PROGRAM: &str = include_str!("../../scripts/torch_baseline.py");

/// Longest reason that is shown, characters.
const MAX_REASON: usize = 300;

/// Most dims of an input that a module is given, TensorRT's `Dims::MAX_DIMS`.
const MAX_DIMS: usize = 8;

/// `PACKAGE.MODULE:FACTORY`: a Python function without arguments that gives an `nn.Module`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factory(String);

/// Not a factory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not PACKAGE.MODULE:FACTORY of letters, digits and _; write it as \
     torchvision.models:resnet18"
)]
pub struct FactoryError(String);

impl FromStr for Factory {
    type Err = FactoryError;

    fn from_str(text: &str) -> Result<Self, FactoryError> {
        let name = |word: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !word.is_empty()
                && !word.starts_with(|c: char| c.is_ascii_digit())
                && word.chars().all(fits)
        };
        match text.split_once(':') {
            Some((module, factory)) if module.split('.').all(name) && name(factory) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(FactoryError(text.to_owned())),
        }
    }
}

impl fmt::Display for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The PyTorch module that engines are compared with, and how it is measured.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// What gives the module; torchvision's factory of the model's name where there is none.
    pub factory: Option<Factory>,
    /// Python on this machine; on another one, python3 in its path.
    pub python: PathBuf,
    /// Longest time on one machine.
    pub limit: Duration,
    /// The engines are measured in a power mode or at clocks that are set for them. PyTorch is not,
    /// which its source then says.
    pub clocks_as_found: bool,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            factory: None,
            python: "python3".into(),
            limit: Duration::from_mins(10),
            clocks_as_found: false,
        }
    }
}

/// The PyTorch module at one batch on one machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TorchFps {
    /// Host name of the machine.
    pub machine: String,
    /// What gives the module, `PACKAGE.MODULE:FACTORY`.
    pub module: String,
    /// Images at once.
    pub batch: u32,
    /// Images per second; none with the reason.
    pub fps: Figure,
}

/// What the program prints.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Measured {
        torch: String,
        device: String,
        batches: Vec<Sampled>,
    },
    None {
        why: String,
    },
}

/// One batch in it.
#[derive(Deserialize)]
struct Sampled {
    batch: u32,
    #[serde(default)]
    samples: Vec<f64>,
    why: Option<String>,
}

impl Baseline {
    /// The module's name.
    pub fn title(&self, model: &Model) -> String {
        match &self.factory {
            Some(factory) => factory.to_string(),
            None => format!("torchvision.models:{}", model.name),
        }
    }

    /// Measures the module on a worker's machine, by the method of `scripts/torch_baseline.py`: eager, FP32,
    /// on the GPU if PyTorch sees one, 100 inferences after one untimed, five times. One entry per
    /// batch, none if it was stopped. `stopped` is asked a hundred times a second.
    pub fn measure(
        &self,
        model: &Model,
        worker: &WorkerCommand,
        machine: &Environment,
        batches: &BTreeSet<u32>,
        stopped: &dyn Fn() -> bool,
    ) -> Vec<TorchFps> {
        let module = self.title(model);
        let entry = |batch: u32, fps: Figure| TorchFps {
            machine: machine.host.clone(),
            module: module.clone(),
            batch,
            fps,
        };
        let none = |why: &str| {
            let all = batches.iter();
            all.map(|batch| entry(*batch, Figure::none(escape(why, MAX_REASON))))
                .collect()
        };
        let answer = match self.ask(model, worker, batches, stopped) {
            Ok(answer) => answer,
            Err(NoAnswer::Cancelled) => return Vec::new(),
            Err(NoAnswer::Why(why)) => return none(&why),
        };
        let (torch, device, answered) = match answer {
            Answer::Measured {
                torch,
                device,
                batches,
            } => (torch, device, batches),
            Answer::None { why } => return none(&why),
        };
        let source = format!(
            "PyTorch {} eager FP32 on {}{}",
            escape(&torch, 40),
            escape(&device, 40),
            if self.clocks_as_found {
                ", without the power mode and clocks that were set for the engines"
            } else {
                ""
            }
        );
        let figure = |batch: u32| {
            let Some(of) = answered.iter().find(|b| b.batch == batch) else {
                return Figure::none(format!("python3 has not answered for batch {batch}"));
            };
            let usable = of.samples.iter().all(|s| s.is_finite() && *s > 0.0);
            match Measurement::measured(&of.samples, source.as_str()) {
                Some(fps) if usable => Figure::Measured(fps),
                _ => {
                    let why = of.why.as_deref().unwrap_or("python3 gave no samples");
                    Figure::none(format!("{} at batch {batch}", escape(why, MAX_REASON)))
                }
            }
        };
        batches.iter().map(|b| entry(*b, figure(*b))).collect()
    }

    /// Runs the program where the machine is.
    fn ask(
        &self,
        model: &Model,
        worker: &WorkerCommand,
        batches: &BTreeSet<u32>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Answer, NoAnswer> {
        let module = self.title(model);
        let factory: Factory = module
            .parse()
            .map_err(|e: FactoryError| match self.factory {
                Some(_) => NoAnswer::Why(e.to_string()),
                None => NoAnswer::Why(format!(
                    "torchvision has no factory of the name {:?}; `dlaplan sweep --torch` names another module",
                    model.name
                )),
            })?;
        // Names, numbers and no character that a shell minds.
        let mut words = vec![
            "-".to_owned(),
            factory.to_string(),
            "--input".into(),
            by(&input(model)?),
            "--limit".into(),
            self.limit.as_secs().max(1).to_string(),
        ];
        for batch in batches {
            words.extend(["--batch".into(), batch.to_string()]);
        }
        let mut command = if let Some(host) = &worker.host {
            let mut ssh = Command::new(&worker.program);
            ssh.args(host.arguments(&[]));
            // The shell stays, so that a signal that ends Python is not ssh's 255.
            ssh.arg(format!("sh -c 'python3 {}; exit $?'", words.join(" ")));
            ssh
        } else {
            let mut python = Command::new(&self.python);
            python.args(&words);
            python
        };
        // Its own group, so that ending it ends everything it started.
        command.process_group(0);
        let ended = subprocess::run(&mut command, PROGRAM.as_bytes(), self.limit, stopped);
        let stdout = match (ended, &worker.host) {
            (Err(Unfinished::Cancelled), _) => return Err(NoAnswer::Cancelled),
            (Ok(ended), Some(host)) => call::answer(host, ended)?,
            (Ok(ended), None) => self.stdout(ended)?,
            (Err(Unfinished::TimedOut), _) => {
                return Err(NoAnswer::Why(format!(
                    "python3 did not finish within {} s",
                    self.limit.as_secs_f64()
                )));
            }
            (Err(e), Some(host)) => return Err(CallError::unfinished(host, e, self.limit).into()),
            (Err(Unfinished::Start(e)), None) => {
                let python = self.python.display();
                return Err(NoAnswer::Why(format!("{python} cannot be started: {e}")));
            }
        };
        let text = String::from_utf8_lossy(&stdout);
        let line = text.lines().rfind(|l| !l.trim().is_empty());
        serde_json::from_str(line.unwrap_or_default())
            .map_err(|_other| NoAnswer::Why("python3 has not answered with figures".into()))
    }

    /// What Python on this machine wrote, if it ended well.
    fn stdout(&self, ended: Ended) -> Result<Vec<u8>, NoAnswer> {
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let last = said.lines().rfind(|l| !l.trim().is_empty());
        let python = self.python.display();
        Err(NoAnswer::Why(match last {
            Some(last) => format!("{python} ended with {}: {last}", ended.status),
            None => format!("{python} ended with {}", ended.status),
        }))
    }
}

/// Why the program has no answer.
enum NoAnswer {
    Cancelled,
    Why(String),
}

impl From<CallError> for NoAnswer {
    fn from(error: CallError) -> Self {
        Self::Why(error.to_string())
    }
}

/// Dims of the one tensor that the module is given.
fn input(model: &Model) -> Result<Vec<u64>, NoAnswer> {
    let refuse = |why: String| Err(NoAnswer::Why(why));
    let [input] = &model.inputs[..] else {
        let count = model.inputs.len();
        return refuse(format!(
            "the module is measured with one input, and {} has {count}",
            model.name
        ));
    };
    let tensor = model.tensor(input.tensor);
    if !matches!(tensor.dtype, DType::F32 | DType::F16) {
        return refuse(format!(
            "the module is measured with an FP32 input, and {} is {:?}",
            tensor.name, tensor.dtype
        ));
    }
    match &tensor.shape {
        Some(dims) if (1..=MAX_DIMS).contains(&dims.len()) => Ok(dims.clone()),
        Some(dims) => refuse(format!(
            "{} has {} dims, and the module is measured with 1 to {MAX_DIMS}",
            tensor.name,
            dims.len()
        )),
        None => refuse(format!(
            "{} has open dims; give them with --input",
            tensor.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factories_are_python_names() {
        for good in ["torchvision.models:resnet18", "nets:make_it", "_a.b2.c:D"] {
            assert_eq!(good.parse::<Factory>().unwrap().to_string(), good);
        }
        for bad in [
            "", "resnet18", "a:", ":b", "a..b:c", "a:b:c", "a b:c", "a:b()", "a:$(x)", "-a:b",
            "a:'b", "2a:b", "a:b;c",
        ] {
            assert!(bad.parse::<Factory>().is_err(), "{bad}");
        }
    }
}
