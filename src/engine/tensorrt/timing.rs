//! Running an engine and taking its time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use half::{bf16, f16};

use crate::engine::run::NumericCheck;
use crate::engine::sampler;
use crate::model::onnx::weights::uniform;

use super::cuda::{Buffer, CudaError, Device, Event, Graph, Stream};
use super::library::Unavailable;
use super::objects::{Binding, ElementType, Engine, ExecutionContext};

/// Seed of the random inputs.
const SEED: u64 = 0x1ea7_f00d;
/// Length of a group where several engines share the machine.
const GROUP: Duration = Duration::from_millis(2);
/// Largest group.
const MAX_GROUP: usize = 64;

/// How far the CPU runs ahead of the GPU.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Inferences from one wait to the next.
    group: usize,
    /// Groups in flight.
    in_flight: usize,
}

impl Pace {
    /// trtexec's: waits for each inference while one more is queued.
    pub const ALONE: Self = Self {
        group: 1,
        in_flight: 2,
    };

    /// A few milliseconds ahead. With [`Self::ALONE`] two processes on one GPU starve each other
    /// in turns and their FPS swing by a third.
    pub fn beside_others(inference: Duration) -> Self {
        let group = GROUP.as_secs_f64() / inference.as_secs_f64().max(1e-9);
        Self {
            group: (group as usize).clamp(1, MAX_GROUP),
            in_flight: 3,
        }
    }
}

/// Both ends of one inference in its stream.
struct Span<'d> {
    start: Event<'d>,
    end: Event<'d>,
}

/// Why an engine did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// CUDA.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// TensorRT.
    #[error(transparent)]
    TensorRt(#[from] Unavailable),
}

/// An engine with its memory, ready to run.
pub struct Bound<'e> {
    context: ExecutionContext<'e>,
    buffers: Vec<(Binding, Buffer<'e>)>,
    pub stream: Stream<'e>,
    device: &'e Device,
}

/// Values of outputs by name; `None` for packed formats, whose values are not in plain order.
pub type Outputs = Vec<(String, Option<Vec<f64>>)>;

/// One timed repeat.
#[derive(Clone, Debug)]
pub struct Repeat {
    pub iterations: u64,
    /// Start and end on the machine's clock, ns.
    pub from_ns: u64,
    pub to_ns: u64,
    pub wall_s: f64,
    pub cpu_s: f64,
    /// Per inference, by CUDA events.
    pub latency_ms: Vec<f64>,
}

impl<'e> Bound<'e> {
    /// Allocates inputs and outputs and fills the inputs with the same random numbers each time:
    /// uniform in -1..1, in INT8 the same times 127, zeros for other integers.
    pub fn new(device: &'e Device, engine: &'e Engine<'_>) -> Result<Self, RunError> {
        let mut context = engine.context()?;
        let mut buffers = Vec::new();
        for binding in engine.bindings(&context) {
            let mut buffer = device.alloc(binding.bytes)?;
            if binding.is_input {
                buffer.write(&random(&binding))?;
            }
            // SAFETY: the buffer has the binding's size and lives in `Self` beside the context.
            unsafe { context.set_address(&binding.name, buffer.address())? };
            buffers.push((binding, buffer));
        }
        Ok(Self {
            context,
            buffers,
            stream: device.stream()?,
            device,
        })
    }

    /// One inference, and waits for it.
    pub fn once(&self) -> Result<(), RunError> {
        self.context.enqueue(&self.stream)?;
        Ok(self.stream.synchronize()?)
    }

    /// The inference as a CUDA graph.
    pub fn graph(&self) -> Result<Graph<'e>, RunError> {
        self.stream
            .capture(|| Ok(self.context.enqueue(&self.stream)?))
    }

    fn launch(&self, graph: Option<&Graph<'_>>) -> Result<(), RunError> {
        match graph {
            Some(graph) => Ok(graph.launch(&self.stream)?),
            None => Ok(self.context.enqueue(&self.stream)?),
        }
    }

    /// Runs for a time; how long one inference takes.
    pub fn warm_up(&self, graph: Option<&Graph<'_>>, ms: u64) -> Result<Duration, RunError> {
        let begun = Instant::now();
        let mut iterations = 0u32;
        while iterations < 10 || begun.elapsed() < Duration::from_millis(ms) {
            self.launch(graph)?;
            iterations += 1;
            if iterations.is_multiple_of(8) {
                self.stream.synchronize()?;
            }
        }
        self.stream.synchronize()?;
        Ok(begun.elapsed() / iterations)
    }

    /// Launches back to back for `duration`, then waits for all. Each inference lies between two
    /// timing events, as trtexec's do.
    /// `beat` hears the monotonic clock (ns) and the iterations known to be complete.
    pub fn repeat(
        &self,
        graph: Option<&Graph<'_>>,
        duration: Duration,
        pace: Pace,
        spin: bool,
        mut beat: impl FnMut(u64, u64),
    ) -> Result<Repeat, RunError> {
        let ring = (0..pace.in_flight * pace.group)
            .map(|_| {
                Ok(Span {
                    start: self.device.event(spin)?,
                    end: self.device.event(spin)?,
                })
            })
            .collect::<Result<Vec<_>, CudaError>>()?;
        let slot = |group: usize| {
            let at = group % pace.in_flight * pace.group;
            &ring[at..at + pace.group]
        };
        let mut latency_ms = Vec::new();
        let mut read = |group: usize| -> Result<(), CudaError> {
            for span in slot(group) {
                latency_ms.push(span.end.ms_since(&span.start)?);
            }
            Ok(())
        };
        self.stream.synchronize()?;
        let cpu = cpu_s();
        let begun = Instant::now();
        let from_ns = monotonic_ns();
        beat(from_ns, 0);
        let (mut launched, mut complete) = (0, 0);
        while begun.elapsed() < duration {
            for span in slot(launched) {
                span.start.record(&self.stream)?;
                self.launch(graph)?;
                span.end.record(&self.stream)?;
            }
            launched += 1;
            if launched - complete == pace.in_flight {
                if let Some(last) = slot(complete).last() {
                    last.end.synchronize()?;
                }
                read(complete)?;
                complete += 1;
                beat(monotonic_ns(), (complete * pace.group) as u64);
            }
        }
        self.stream.synchronize()?;
        let wall_s = begun.elapsed().as_secs_f64();
        let cpu_s = (cpu_s() - cpu).max(0.0);
        let iterations = (launched * pace.group) as u64;
        let to_ns = monotonic_ns();
        beat(to_ns, iterations);
        (complete..launched).try_for_each(read)?;
        Ok(Repeat {
            iterations,
            from_ns,
            to_ns,
            wall_s,
            cpu_s,
            latency_ms,
        })
    }

    /// Time per layer over some inferences, with a profiler attached: rows in engine order.
    pub fn layers(self, iterations: usize) -> Result<Vec<(String, Vec<f64>)>, RunError> {
        const WARM: usize = 3;
        let stream = &self.stream;
        let (ran, rows) = self.context.profiled(|context| {
            for _ in 0..iterations + WARM {
                context.enqueue(stream)?;
                stream.synchronize()?;
            }
            Ok(())
        })?;
        let () = ran.map_err(|e: RunError| e)?;
        // Every inference reports every layer once, in the same order.
        let per = rows.len() / (iterations + WARM);
        if per > 0 && rows.len() == per * (iterations + WARM) {
            let mut table: Vec<(String, Vec<f64>)> = rows
                .iter()
                .take(per)
                .map(|(n, _)| (n.clone(), Vec::new()))
                .collect();
            let same = rows
                .iter()
                .enumerate()
                .all(|(i, (n, _))| *n == table[i % per].0);
            if same {
                for (i, (_, ms)) in rows.into_iter().enumerate().skip(WARM * per) {
                    table[i % per].1.push(f64::from(ms));
                }
                return Ok(table);
            }
        }
        let mut order: Vec<String> = Vec::new();
        let mut sums: HashMap<String, f64> = HashMap::new();
        for (name, ms) in rows {
            let sum = sums.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                0.0
            });
            *sum += f64::from(ms);
        }
        let count = (iterations + WARM) as f64;
        Ok(order
            .into_iter()
            .map(|n| {
                let mean = sums.get(&n).copied().unwrap_or(0.0) / count;
                (n, vec![mean])
            })
            .collect())
    }

    /// Values of the outputs after an inference.
    pub fn outputs(&self) -> Result<Outputs, RunError> {
        self.once()?;
        let outputs = self.buffers.iter().filter(|(b, _)| !b.is_input);
        outputs
            .map(|(binding, buffer)| {
                let bytes = buffer.read()?;
                let values = (!binding.packed).then(|| values(binding, &bytes)).flatten();
                Ok((binding.name.clone(), values))
            })
            .collect()
    }
}

fn random(binding: &Binding) -> Vec<u8> {
    let mut state = binding.name.bytes().fold(SEED, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut next = || (2.0 * uniform(&mut state) - 1.0) as f32;
    let elements = binding.bytes / binding.element.bytes();
    match binding.element {
        ElementType::Float => (0..elements).flat_map(|_| next().to_le_bytes()).collect(),
        ElementType::Half => (0..elements)
            .flat_map(|_| f16::from_f32(next()).to_le_bytes())
            .collect(),
        ElementType::Bf16 => (0..elements)
            .flat_map(|_| bf16::from_f32(next()).to_le_bytes())
            .collect(),
        ElementType::Int8 => (0..elements)
            .flat_map(|_| ((next() * 127.0) as i8).to_le_bytes())
            .collect(),
        _ => vec![0; binding.bytes],
    }
}

fn values(binding: &Binding, bytes: &[u8]) -> Option<Vec<f64>> {
    let width = binding.element.bytes();
    let chunks = bytes.chunks_exact(width).take(binding.elements());
    let read: fn(&[u8]) -> Option<f64> = match binding.element {
        ElementType::Float => |b| Some(f64::from(f32::from_le_bytes(b.try_into().ok()?))),
        ElementType::Half => |b| Some(f16::from_le_bytes(b.try_into().ok()?).to_f64()),
        ElementType::Bf16 => |b| Some(bf16::from_le_bytes(b.try_into().ok()?).to_f64()),
        ElementType::Int32 => |b| Some(f64::from(i32::from_le_bytes(b.try_into().ok()?))),
        ElementType::Int64 => |b| Some(i64::from_le_bytes(b.try_into().ok()?) as f64),
        ElementType::Int8 => |b| Some(f64::from(b.first()?.cast_signed())),
        ElementType::Bool | ElementType::Uint8 => |b| Some(f64::from(*b.first()?)),
        ElementType::Other => return None,
    };
    chunks.map(read).collect()
}

/// Compares outputs with a reference's; `None` when no output can be compared.
pub fn compare(
    outputs: &[(String, Option<Vec<f64>>)],
    reference: &[(String, Option<Vec<f64>>)],
    name: &str,
    threshold: f64,
) -> Option<NumericCheck> {
    let mut check = NumericCheck {
        reference: name.to_owned(),
        cosine: 1.0,
        max_abs_error: 0.0,
        max_abs_reference: 0.0,
        non_finite: 0,
        passed: false,
        threshold,
    };
    let mut compared = false;
    for (name, values) in outputs {
        let theirs = reference.iter().find(|(n, _)| n == name);
        let (Some(a), Some((_, Some(b)))) = (values, theirs) else {
            continue;
        };
        if a.len() != b.len() {
            return Some(NumericCheck {
                cosine: 0.0,
                ..check
            });
        }
        compared = true;
        let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (x, y) in a.iter().zip(b) {
            if !(x.is_finite() && y.is_finite()) {
                check.non_finite += u64::from(x.is_finite() != y.is_finite());
                continue;
            }
            dot += x * y;
            aa += x * x;
            bb += y * y;
            check.max_abs_error = check.max_abs_error.max((x - y).abs());
            check.max_abs_reference = check.max_abs_reference.max(y.abs());
        }
        let cosine = match (aa > 0.0, bb > 0.0) {
            (true, true) => dot / (aa.sqrt() * bb.sqrt()),
            (false, false) => 1.0,
            _ => 0.0,
        };
        check.cosine = check.cosine.min(cosine);
    }
    check.passed = check.cosine >= threshold && check.non_finite == 0;
    compared.then_some(check)
}

fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| {
        (t.tv_sec().max(0) as u64) * 1_000_000_000 + t.tv_nsec().max(0) as u64
    })
}

/// The machine's clock that all processes share, ns.
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// CPU time of this process, all threads but those that sample, s.
fn cpu_s() -> f64 {
    clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) as f64 / 1e9 - sampler::cpu_s()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(values: &[f64]) -> Vec<(String, Option<Vec<f64>>)> {
        vec![("y".into(), Some(values.to_vec()))]
    }

    #[test]
    fn outputs_are_compared() {
        let same = compare(&out(&[1.0, 2.0]), &out(&[1.0, 2.0]), "fp32", 0.99).unwrap();
        assert!(same.passed && same.max_abs_error == 0.0 && same.max_abs_reference == 2.0);
        let wrong = compare(&out(&[-1.0, 2.0]), &out(&[1.0, 2.0]), "fp32", 0.99).unwrap();
        assert!(!wrong.passed && wrong.max_abs_error == 2.0);
        let nan = compare(&out(&[f64::NAN, 2.0]), &out(&[1.0, 2.0]), "fp32", 0.5).unwrap();
        assert!(!nan.passed && nan.non_finite == 1);
        let dead = compare(&out(&[0.0, 0.0]), &out(&[1.0, 2.0]), "fp32", 0.5).unwrap();
        assert!(!dead.passed && dead.cosine == 0.0);
        assert!(
            !compare(&out(&[1.0]), &out(&[1.0, 2.0]), "fp32", 0.5)
                .unwrap()
                .passed
        );
        assert!(compare(&[("y".into(), None)], &out(&[1.0]), "fp32", 0.5).is_none());
    }
}
