//! The placement problem as the solvers see it: costs and shapes, no names.

use serde::{Deserialize, Serialize};

use crate::placement::Device;

/// A piece of work that is never split: an op, or ops in a row that always go together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Atom {
    /// Time on the GPU, ms.
    pub gpu_ms: f64,
    /// Time on the DLA, ms; meaningless when `choice` is `None`.
    pub dla_ms: f64,
    /// GPU work left behind when it goes to the DLA, ms: what the DLA refuses of the same kernel.
    #[serde(default)]
    pub left_ms: f64,
    /// Multiply-accumulates at the engine's batch.
    pub macs: u64,
    /// Bytes of weights at the DLA's precision.
    pub weight_bytes: u64,
    /// Bytes of tensors that nothing outside it reads, on the DLA side.
    #[serde(default)]
    pub tensor_bytes: u64,
    /// The choice that decides its device; `None` stays on the GPU whatever is chosen.
    pub choice: Option<u32>,
}

/// Devices a choice may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allowed {
    /// Free.
    Both,
    /// Pinned to the GPU.
    Gpu,
    /// Pinned to the DLA.
    Dla,
}

impl Allowed {
    /// Whether a device may be chosen.
    pub fn has(self, device: Device) -> bool {
        match self {
            Self::Both => true,
            Self::Gpu => device == Device::Gpu,
            Self::Dla => device == Device::Dla,
        }
    }
}

/// A tensor between atoms, with what it costs when it crosses, ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The atom that makes it; `None` is a model input, which lies in GPU memory.
    pub producer: Option<u32>,
    /// The atoms that read it, ascending, without repeats.
    pub consumers: Vec<u32>,
    /// Made on the GPU or fed by the caller, read by a DLA subgraph: per subgraph.
    pub to_dla_ms: f64,
    /// Made by one DLA subgraph, read by another: per reading subgraph.
    pub dla_to_dla_ms: f64,
    /// Made on the DLA, read on the GPU: once.
    pub to_gpu_ms: f64,
    /// Made on the DLA and a model output, with no reader on the GPU.
    pub to_caller_ms: f64,
    /// It is a model output.
    pub is_output: bool,
    /// Bytes on the DLA side. They count in the subgraph that makes it where only that reads it.
    #[serde(default)]
    pub bytes: u64,
}

/// Choose a device per choice so that the cost is least.
///
/// The cost is what [`crate::plan::Planner`] and [`crate::estimate::Estimator`] say of the same
/// placement: work per atom, each crossing tensor, and a fixed price per DLA subgraph, where
/// subgraphs form by device-change level exactly as the plan forms them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// In execution order: producers before consumers.
    pub atoms: Vec<Atom>,
    /// Per choice, what it may take.
    pub choices: Vec<Allowed>,
    /// Tensors that at least one atom makes or reads.
    pub flows: Vec<Flow>,
    /// Price of each DLA subgraph, ms.
    pub subgraph_ms: f64,
    /// Most DLA subgraphs.
    pub max_subgraphs: u32,
    /// Most bytes of weights in one DLA subgraph.
    pub max_subgraph_bytes: u64,
    /// Most bytes of tensors that never leave one DLA subgraph, together.
    #[serde(default = "unlimited")]
    pub max_subgraph_tensor_bytes: u64,
}

fn unlimited() -> u64 {
    u64::MAX
}

/// A problem that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// A position that does not exist.
    #[error("{at} names {what} {index}, and there are only {count}; dump the problem again")]
    OutOfRange {
        /// Where.
        at: String,
        /// Of what.
        what: &'static str,
        /// The position.
        index: u32,
        /// How many there are.
        count: usize,
    },
    /// Execution order is broken.
    #[error(
        "flow {flow} is read by atom {consumer}, which does not come after its producer; list \
         atoms in execution order and consumers ascending"
    )]
    Order {
        /// The flow.
        flow: usize,
        /// The reader.
        consumer: u32,
    },
    /// A cost that is negative, infinite or not a number.
    #[error("{at} has the cost {value}; costs are finite and not negative")]
    Cost {
        /// Where.
        at: String,
        /// The value, in words because floats have no total equality.
        value: String,
    },
}

/// What a choice of devices comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Time of one inference: work, transitions and subgraph prices, ms.
    pub latency_ms: f64,
    /// GPU work, ms.
    pub gpu_ms: f64,
    /// DLA work and subgraph prices, ms.
    pub dla_ms: f64,
    /// Transitions and reformats, ms.
    pub transition_ms: f64,
    /// Tensors that cross between devices, model inputs and outputs among them.
    pub transitions: u32,
    /// DLA subgraphs.
    pub subgraphs: u32,
    /// Multiply-accumulates on the DLA.
    pub dla_macs: u64,
    /// The limits on subgraphs hold.
    pub feasible: bool,
}

impl Problem {
    /// Checks positions, order and costs.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ProblemError> {
        let cost = |at: &dyn Fn() -> String, v: f64| {
            if v.is_finite() && v >= 0.0 {
                Ok(())
            } else {
                Err(ProblemError::Cost {
                    at: at(),
                    value: v.to_string(),
                })
            }
        };
        cost(&|| "the subgraph price".into(), self.subgraph_ms)?;
        for (i, a) in self.atoms.iter().enumerate() {
            cost(&|| format!("atom {i}"), a.gpu_ms)?;
            if let Some(c) = a.choice {
                cost(&|| format!("atom {i}"), a.dla_ms)?;
                cost(&|| format!("atom {i}"), a.left_ms)?;
                if c as usize >= self.choices.len() {
                    return Err(ProblemError::OutOfRange {
                        at: format!("atom {i}"),
                        what: "choice",
                        index: c,
                        count: self.choices.len(),
                    });
                }
            }
        }
        for (i, f) in self.flows.iter().enumerate() {
            for v in [f.to_dla_ms, f.dla_to_dla_ms, f.to_gpu_ms, f.to_caller_ms] {
                cost(&|| format!("flow {i}"), v)?;
            }
            let mut least = f.producer.map_or(0, |p| p + 1);
            for index in f.consumers.iter().chain(&f.producer).copied() {
                if index as usize >= self.atoms.len() {
                    return Err(ProblemError::OutOfRange {
                        at: format!("flow {i}"),
                        what: "atom",
                        index,
                        count: self.atoms.len(),
                    });
                }
            }
            for c in &f.consumers {
                if *c < least {
                    return Err(ProblemError::Order {
                        flow: i,
                        consumer: *c,
                    });
                }
                least = c + 1;
            }
        }
        Ok(())
    }

    /// Whether some subgraph could hold too many bytes of weights, and of tensors.
    pub fn may_overfill(&self) -> (bool, bool) {
        let movable = || self.atoms.iter().filter(|a| a.choice.is_some());
        let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
        let weights = sum(&mut movable().map(|a| a.weight_bytes));
        let made = self.flows.iter().filter(|f| {
            let maker = f.producer.map(|p| &self.atoms[p as usize]);
            !f.is_output && maker.is_some_and(|a| a.choice.is_some())
        });
        let mut tensors = made
            .map(|f| f.bytes)
            .chain(movable().map(|a| a.tensor_bytes));
        (
            weights > self.max_subgraph_bytes,
            sum(&mut tensors) > self.max_subgraph_tensor_bytes,
        )
    }

    /// The device of an atom under a choice of devices.
    pub fn device(&self, atom: usize, chosen: &[Device]) -> Device {
        match self.atoms[atom].choice {
            Some(c) => chosen[c as usize],
            None => Device::Gpu,
        }
    }

    /// One device for all choices, pinned ones excepted.
    pub fn uniform(&self, device: Device) -> Vec<Device> {
        self.choices
            .iter()
            .map(|a| match a {
                Allowed::Both => device,
                Allowed::Gpu => Device::Gpu,
                Allowed::Dla => Device::Dla,
            })
            .collect()
    }

    /// How many choices are free.
    pub fn free_choices(&self) -> usize {
        self.choices.iter().filter(|a| **a == Allowed::Both).count()
    }
}

/// Works out [`Score`]s, one after another, without allocating for each.
#[derive(Debug)]
pub struct Scorer<'p> {
    problem: &'p Problem,
    /// Per atom, the producers of what it reads.
    producers: Vec<Vec<u32>>,
    device: Vec<Device>,
    level: Vec<u32>,
    group: Vec<u32>,
    bytes: Vec<u64>,
    /// Bytes of tensors per group; empty where no subgraph can hold too many.
    tensors: Vec<u64>,
    readers: Vec<u32>,
}

impl<'p> Scorer<'p> {
    /// For a problem that passed [`Problem::check`].
    pub fn new(problem: &'p Problem) -> Self {
        let n = problem.atoms.len();
        let mut producers = vec![Vec::new(); n];
        for f in &problem.flows {
            if let Some(p) = f.producer {
                for c in &f.consumers {
                    let list = &mut producers[*c as usize];
                    if !list.contains(&p) {
                        list.push(p);
                    }
                }
            }
        }
        Self {
            problem,
            producers,
            device: vec![Device::Gpu; n],
            level: vec![0; n],
            group: vec![0; n],
            bytes: vec![0; n],
            tensors: vec![0; if problem.may_overfill().1 { n } else { 0 }],
            readers: Vec::new(),
        }
    }

    /// What a choice of devices comes to.
    pub fn score(&mut self, chosen: &[Device]) -> Score {
        let p = self.problem;
        let mut s = Score::default();
        for i in 0..p.atoms.len() {
            let own = p.device(i, chosen);
            self.device[i] = own;
            self.group[i] = i as u32;
            self.level[i] = self.producers[i]
                .iter()
                .map(|q| self.level[*q as usize] + u32::from(self.device[*q as usize] != own))
                .max()
                .unwrap_or(0);
            let atom = &p.atoms[i];
            if own == Device::Gpu {
                s.gpu_ms += atom.gpu_ms;
                continue;
            }
            s.dla_ms += atom.dla_ms;
            s.gpu_ms += atom.left_ms;
            s.dla_macs += atom.macs;
            self.bytes[i] = atom.weight_bytes;
            s.subgraphs += 1;
            for q in &self.producers[i] {
                if self.device[*q as usize] == Device::Dla
                    && self.level[*q as usize] == self.level[i]
                {
                    let (a, b) = (find(&mut self.group, *q), find(&mut self.group, i as u32));
                    if a != b {
                        self.group[a.max(b) as usize] = a.min(b);
                        self.bytes[a.min(b) as usize] += self.bytes[a.max(b) as usize];
                        s.subgraphs -= 1;
                    }
                }
            }
        }
        s.feasible = s.subgraphs <= p.max_subgraphs;
        if s.subgraphs > 0 {
            s.feasible &= self.tensors_fit();
            for i in 0..p.atoms.len() {
                if self.device[i] == Device::Dla
                    && find(&mut self.group, i as u32) == i as u32
                    && self.bytes[i] > p.max_subgraph_bytes
                {
                    s.feasible = false;
                }
            }
            for f in &p.flows {
                self.crossings(f, &mut s);
            }
        }
        s.dla_ms += f64::from(s.subgraphs) * p.subgraph_ms;
        s.latency_ms = s.gpu_ms + s.dla_ms + s.transition_ms;
        s
    }

    /// Whether each subgraph can hold the tensors that never leave it. As the plan counts them:
    /// all that it makes, reads alone, and that are no output of the model.
    fn tensors_fit(&mut self) -> bool {
        if self.tensors.is_empty() {
            return true;
        }
        let p = self.problem;
        self.tensors.fill(0);
        let mut fit = true;
        for (i, atom) in p.atoms.iter().enumerate() {
            if self.device[i] == Device::Dla {
                let home = find(&mut self.group, i as u32) as usize;
                self.tensors[home] = self.tensors[home].saturating_add(atom.tensor_bytes);
                fit &= self.tensors[home] <= p.max_subgraph_tensor_bytes;
            }
        }
        for f in p.flows.iter().filter(|f| !f.is_output) {
            let Some(maker) = f
                .producer
                .filter(|q| self.device[*q as usize] == Device::Dla)
            else {
                continue;
            };
            let home = find(&mut self.group, maker);
            let stays = f.consumers.iter().all(|c| {
                self.device[*c as usize] == Device::Dla && find(&mut self.group, *c) == home
            });
            if stays {
                let home = home as usize;
                self.tensors[home] = self.tensors[home].saturating_add(f.bytes);
                fit &= self.tensors[home] <= p.max_subgraph_tensor_bytes;
            }
        }
        fit
    }

    fn crossings(&mut self, f: &Flow, s: &mut Score) {
        let home = f
            .producer
            .filter(|q| self.device[*q as usize] == Device::Dla)
            .map(|q| find(&mut self.group, q));
        self.readers.clear();
        let mut gpu_reads = false;
        for c in &f.consumers {
            if self.device[*c as usize] == Device::Gpu {
                gpu_reads = true;
                continue;
            }
            let g = find(&mut self.group, *c);
            if Some(g) != home && !self.readers.contains(&g) {
                self.readers.push(g);
            }
        }
        let readers = self.readers.len() as u32;
        if home.is_some() {
            if gpu_reads {
                s.transition_ms += f.to_gpu_ms;
                s.transitions += 1;
            } else if f.is_output {
                s.transition_ms += f.to_caller_ms;
                s.transitions += 1;
            }
            s.transition_ms += f64::from(readers) * f.dla_to_dla_ms;
        } else {
            s.transition_ms += f64::from(readers) * f.to_dla_ms;
        }
        s.transitions += readers;
    }
}

fn find(group: &mut [u32], mut at: u32) -> u32 {
    while group[at as usize] != at {
        let up = group[group[at as usize] as usize];
        group[at as usize] = up;
        at = up;
    }
    at
}
