//! Chains, solved exactly by dynamic programming over position, device and subgraphs so far.

use crate::placement::Device;

use crate::search::problem::{Allowed, Problem};

/// A problem whose atoms form a chain, flattened.
#[derive(Debug)]
pub struct Chain<'p> {
    problem: &'p Problem,
    /// Per atom, cost on the GPU and on the DLA, ends and inputs included.
    work: Vec<[f64; 2]>,
    /// Per atom, cost of coming from the atom before: GPU to DLA, DLA to GPU.
    enter: Vec<[f64; 2]>,
}

impl<'p> Chain<'p> {
    /// The chain, if the problem is one: each atom reads from the atom before it only, no choice
    /// decides two atoms, and no subgraph can hold too many bytes.
    pub fn of(problem: &'p Problem) -> Option<Self> {
        let n = problem.atoms.len();
        let mut used = vec![false; problem.choices.len()];
        for atom in &problem.atoms {
            if let Some(c) = atom.choice
                && std::mem::replace(&mut used[c as usize], true)
            {
                return None;
            }
        }
        if problem.may_overfill() != (false, false) {
            return None;
        }
        let mut work: Vec<[f64; 2]> = problem
            .atoms
            .iter()
            .map(|a| [a.gpu_ms, a.dla_ms + a.left_ms])
            .collect();
        let mut enter = vec![[0.0; 2]; n];
        let mut linked = vec![false; n];
        for f in &problem.flows {
            match (f.producer, f.consumers[..].as_ref()) {
                (None, []) => {}
                (None, [c]) => work[*c as usize][1] += f.to_dla_ms,
                (Some(p), []) => {
                    if f.is_output {
                        work[p as usize][1] += f.to_caller_ms;
                    }
                }
                (Some(p), [c]) if *c == p + 1 => {
                    let c = *c as usize;
                    linked[c] = true;
                    enter[c][0] += f.to_dla_ms;
                    enter[c][1] += f.to_gpu_ms;
                    if f.is_output {
                        // Both on the DLA: the caller's copy; DLA to GPU: one copy serves both.
                        work[p as usize][1] += f.to_caller_ms;
                        enter[c][1] -= f.to_caller_ms;
                    }
                }
                _ => return None,
            }
        }
        linked.iter().skip(1).all(|l| *l).then_some(Self {
            problem,
            work,
            enter,
        })
    }

    /// The devices of least latency and that latency, ms; `None` if pins leave no way within the
    /// limit on subgraphs. Linear in atoms times subgraphs.
    pub fn solve(&self) -> Option<(f64, Vec<Device>)> {
        let p = self.problem;
        let n = p.atoms.len();
        let most = (p.max_subgraphs as usize).min(n.div_ceil(2));
        // Columns: subgraphs so far. An atom on the DLA is in the last of them.
        let mut gpu = vec![f64::INFINITY; most + 1];
        let mut dla = vec![f64::INFINITY; most + 1];
        // Per atom and column, whether the best way there came from the DLA.
        let mut from_dla = vec![[false; 2]; n * (most + 1)];
        for i in 0..n {
            let allowed = match p.atoms[i].choice {
                Some(c) => p.choices[c as usize],
                None => Allowed::Gpu,
            };
            let [to_dla, to_gpu] = self.enter[i];
            let [on_gpu, on_dla] = self.work[i];
            let on_gpu = if allowed.has(Device::Gpu) {
                on_gpu
            } else {
                f64::INFINITY
            };
            let on_dla = if allowed.has(Device::Dla) {
                on_dla
            } else {
                f64::INFINITY
            };
            let row = &mut from_dla[i * (most + 1)..(i + 1) * (most + 1)];
            if i == 0 {
                gpu[0] = on_gpu;
                if most > 0 {
                    dla[1] = on_dla + p.subgraph_ms;
                }
                continue;
            }
            // Downwards, so that column k - 1 still holds the atom before.
            for k in (0..=most).rev() {
                let (g, d) = (gpu[k], dla[k]);
                let leave = d + to_gpu;
                row[k][0] = leave < g;
                gpu[k] = g.min(leave) + on_gpu;
                let fresh = if k > 0 {
                    gpu[k - 1] + to_dla + p.subgraph_ms
                } else {
                    f64::INFINITY
                };
                row[k][1] = d <= fresh;
                dla[k] = d.min(fresh) + on_dla;
            }
        }
        let mut best = (f64::INFINITY, 0, Device::Gpu);
        for k in 0..=most {
            for (cost, device) in [(gpu[k], Device::Gpu), (dla[k], Device::Dla)] {
                if cost < best.0 {
                    best = (cost, k, device);
                }
            }
        }
        let (cost, mut k, mut device) = best;
        if n > 0 && !cost.is_finite() {
            return None;
        }
        let mut chosen = p.uniform(Device::Gpu);
        for i in (0..n).rev() {
            if let Some(c) = p.atoms[i].choice {
                chosen[c as usize] = device;
            }
            let came = from_dla[i * (most + 1) + k][usize::from(device == Device::Dla)];
            if device == Device::Dla && !came {
                k = k.saturating_sub(1);
            }
            device = if came { Device::Dla } else { Device::Gpu };
        }
        Some((if n == 0 { 0.0 } else { cost }, chosen))
    }
}
