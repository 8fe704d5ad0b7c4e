//! Measuring many placements of a model in one go.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::client::Update;
use crate::engine::{Environment, ErrorKind, Outcome, Request, Run, environment};
use crate::figure::{Figure, Measured, short};
use crate::history::{RunFilter, StoredRun};
use crate::model::Model;
use crate::placement::{Device, EngineConfig, IoFormats, Placement, Precision, Site};
use crate::platform::Target;
use crate::search::confirm::engines::{same_terms, verdict};
use crate::search::confirm::{Engine, NotMeasured, Setup};
use crate::tasks::progress::Progress;

use super::confirm::same_machine;
use super::measure::{Worker, measure};
use super::torch::{Baseline, TorchFps};

/// What a sweep measures in one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The engines at the same time, such as `2GPU`; none where one engine runs alone.
    pub concurrent: Option<&'static str>,
    /// A name for each engine.
    pub names: Vec<String>,
    /// The engines.
    pub setup: Setup,
}

impl Row {
    /// One engine alone.
    pub fn alone(name: String, config: EngineConfig, placement: Placement) -> Self {
        Self {
            concurrent: None,
            names: vec![name],
            setup: Setup::one(config, placement),
        }
    }

    /// The engines in words.
    pub fn title(&self) -> String {
        self.names.join(" + ")
    }

    fn batch(&self) -> Option<u32> {
        Some(self.setup.engines.first()?.config.batch)
    }

    fn precision(&self) -> Precision {
        let first = self.setup.engines.first();
        first.map_or(Precision::FP16, |engine| engine.config.precision)
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Result {
    /// Measured.
    Measured {
        /// Images per second of each engine.
        fps: Vec<Measured>,
        /// The figures are from an earlier sweep or run.
        from_history: bool,
    },
    /// There is no figure, and why.
    Failed {
        /// What happened.
        why: String,
        /// It happened in an earlier sweep or run.
        from_history: bool,
    },
    /// Not measured yet.
    Open,
}

/// A row and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// What became of it.
    pub result: Result,
}

/// The configurations of torch2trt's `benchmark_dla.py` for a model: three concurrent tables in
/// INT8 and FP16, and ten engines alone. Where that script moves `layer1` to `layer3` of ResNet-18
/// to the DLA, this moves the model's first three modules that have children.
pub fn preset(model: &Model) -> Vec<Row> {
    let config = |precision, dla_core| EngineConfig {
        precision,
        batch: EngineConfig::own_batch(model),
        dla_core,
        gpu_fallback: true,
        io: IoFormats::default(),
    };
    let name = |precision: Precision, what: &str| format!("{}_{precision}_{what}", model.name);
    let whole = |device: Device| match device {
        Device::Gpu => "gpu",
        Device::Dla => "dla",
    };
    let mut rows = Vec::new();
    for precision in [Precision::INT8, Precision::FP16] {
        for (title, devices) in [
            ("2GPU", [(Device::Gpu, 0), (Device::Gpu, 0)]),
            ("1GPU - 1DLA", [(Device::Gpu, 0), (Device::Dla, 0)]),
            (
                "2DLA (separate cores)",
                [(Device::Dla, 1), (Device::Dla, 0)],
            ),
        ] {
            let engine = |(device, core)| Engine {
                config: config(precision, core),
                placement: Placement::all(device),
            };
            rows.push(Row {
                concurrent: Some(title),
                names: devices.map(|(d, _)| name(precision, whole(d))).to_vec(),
                setup: Setup {
                    engines: devices.map(engine).to_vec(),
                },
            });
        }
    }
    for precision in [Precision::FP16, Precision::INT8] {
        for device in [Device::Gpu, Device::Dla] {
            rows.push(Row::alone(
                name(precision, whole(device)),
                config(precision, 0),
                Placement::all(device),
            ));
        }
    }
    let modules = &model.modules;
    let blocks = modules.root().children.iter().map(|id| modules.get(*id));
    let blocks: Vec<_> = blocks.filter(|m| !m.children.is_empty()).take(3).collect();
    for precision in [Precision::FP16, Precision::INT8] {
        let mut placement = Placement::all(Device::Gpu);
        let mut what = "gpu_dla".to_owned();
        for (number, block) in (1u32..).zip(&blocks) {
            placement = placement.with_module(&block.path, Device::Dla);
            what += &number.to_string();
            rows.push(Row::alone(
                name(precision, &what),
                config(precision, 0),
                placement.clone(),
            ));
        }
    }
    rows
}

/// A machine that a sweep measures on.
#[derive(Clone, Debug)]
pub struct Station {
    /// What builds and measures there.
    pub worker: Worker,
    /// The machine.
    pub machine: Environment,
}

/// A sweep of a model on one machine, or on several of the same kind.
pub struct Sweep<'s> {
    /// The network.
    pub model: &'s Model,
    /// What every request has in common; placement and config are filled in.
    pub template: Request,
    /// Where rows are measured; each machine takes the next open row.
    pub stations: &'s [Station],
    /// The rules that what was built is compared with; the machine's own where it is a board.
    pub target: Option<Target>,
    /// The unconverted PyTorch module that is measured on each machine, if any.
    pub torch: Option<Baseline>,
}

/// What a sweep has come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// The rows, in the order given.
    pub rows: Vec<Swept>,
    /// The unconverted PyTorch module: one entry per batch of the engines alone and machine; none
    /// where it was not asked for or not reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub torch: Vec<TorchFps>,
}

/// What the threads of a sweep share.
struct Shared<'a> {
    swept: Vec<Swept>,
    /// Positions of the rows to come.
    order: std::vec::IntoIter<usize>,
    runs: Vec<Run>,
    torch: Vec<TorchFps>,
    measured: u32,
    spent: Duration,
    ended: bool,
    keep: &'a mut (dyn FnMut(&Run) + Send),
    hear: &'a mut (dyn FnMut(&Progress<'_>) + Send),
}

impl Shared<'_> {
    /// The next row without a result, unless the sweep has ended.
    fn next(&mut self) -> Option<(usize, Row)> {
        while !self.ended {
            let at = self.order.next()?;
            let swept = self.swept.get_mut(at)?;
            if swept.result == Result::Open {
                // The same engines may stand in two rows.
                swept.result = known(&self.runs, &swept.row.setup, false);
            }
            if swept.result == Result::Open {
                return Some((at, swept.row.clone()));
            }
        }
        None
    }

    fn tell(&mut self, title: &str, stage: &str, begun: Instant, stations: usize) {
        let open = self.swept.iter().filter(|s| s.result == Result::Open);
        let open = open.count();
        let each = self.spent.checked_div(self.measured);
        let left = each.map(|each| {
            let all = each * open as u32 / stations as u32;
            all.saturating_sub(begun.elapsed())
        });
        (self.hear)(&Progress {
            title,
            stage,
            done: self.swept.len() - open,
            of: self.swept.len(),
            left,
        });
    }
}

impl Sweep<'_> {
    /// The runs whose results a sweep takes over.
    pub fn earlier(model: &Model) -> RunFilter {
        RunFilter {
            structure_hash: Some(model.source.structure_hash.clone()),
            ..RunFilter::default()
        }
    }

    /// Why these machines cannot share a sweep, if so: their figures would not belong into one
    /// table.
    pub fn unlike(stations: &[Station]) -> Option<String> {
        let kind = |m: &Environment| {
            let place = environment::place(m).ok();
            (place, m.board.clone(), m.gpu.clone(), m.tensorrt.clone())
        };
        let [first, rest @ ..] = stations else {
            return None;
        };
        let other = rest
            .iter()
            .find(|s| kind(&s.machine) != kind(&first.machine))?;
        Some(format!(
            "{} and {} are of different kinds, so their figures do not belong into one table; \
             sweep them one by one",
            first.machine.summary(),
            other.machine.summary()
        ))
    }

    /// Measures rows. Results of `earlier` runs on the same machines and TensorRT are taken over,
    /// refusals and failed builds too; what was cancelled, crashed or hung is tried again. `keep`
    /// gets each new run. `stopped` is asked at least ten times a second.
    ///
    /// Rows of one precision follow each other, engines alone first: they share a timing cache,
    /// and engines at the same time find the engines that were built alone. The PyTorch module comes
    /// before them, while the machine does nothing else; its figures are not kept for another sweep.
    pub fn run(
        &self,
        rows: Vec<Row>,
        earlier: Vec<StoredRun>,
        keep: &mut (dyn FnMut(&Run) + Send),
        stopped: &(dyn Fn() -> bool + Sync),
        hear: &mut (dyn FnMut(&Progress<'_>) + Send),
    ) -> Results {
        let usable = |run: &Run| {
            let here = self.stations.iter().any(|s| {
                same_machine(&run.environment, &s.machine)
                    && run.environment.tensorrt == s.machine.tensorrt
            });
            here && same_terms(self.model, &run.request, &self.template)
        };
        let earlier = earlier.into_iter().map(|stored| stored.run);
        let runs: Vec<Run> = earlier.filter(usable).collect();
        let mut swept: Vec<Swept> = rows.into_iter().map(Swept::open).collect();
        for s in &mut swept {
            s.result = known(&runs, &s.row.setup, true);
        }
        let mut order: Vec<usize> = (0..swept.len()).collect();
        order.sort_by_key(|at| {
            let row = &swept[*at].row;
            let first = swept
                .iter()
                .position(|s| s.row.precision() == row.precision());
            (first, row.setup.engines.len())
        });
        let alone = swept.iter().filter(|s| s.row.concurrent.is_none());
        let batches: BTreeSet<u32> = alone.filter_map(|s| s.row.batch()).collect();
        let shared = Mutex::new(Shared {
            swept,
            order: order.into_iter(),
            runs,
            torch: Vec::new(),
            measured: 0,
            spent: Duration::ZERO,
            ended: false,
            keep,
            hear,
        });
        std::thread::scope(|scope| {
            for station in self.stations {
                scope.spawn(|| self.work(station, &batches, &shared, stopped));
            }
        });
        let shared = shared.into_inner();
        let mut shared = shared.unwrap_or_else(PoisonError::into_inner);
        let place = |fps: &TorchFps| {
            let mut stations = self.stations.iter();
            (
                fps.batch,
                stations.position(|s| s.machine.host == fps.machine),
            )
        };
        shared.torch.sort_by_key(place);
        Results {
            rows: shared.swept,
            torch: shared.torch,
        }
    }

    /// Measures the PyTorch module at these batches, then open rows, on one machine until none is
    /// left or the sweep ends.
    fn work(
        &self,
        station: &Station,
        batches: &BTreeSet<u32>,
        shared: &Mutex<Shared<'_>>,
        stopped: &(dyn Fn() -> bool + Sync),
    ) {
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(torch) = &self.torch
            && !batches.is_empty()
            && !stopped()
        {
            let (stations, title) = (self.stations.len(), torch.title(self.model));
            lock().tell(&title, "measuring with PyTorch", Instant::now(), stations);
            let figures = torch.measure(
                self.model,
                &station.worker.command,
                &station.machine,
                batches,
                stopped,
            );
            lock().torch.extend(figures);
        }
        loop {
            if stopped() {
                lock().ended = true;
            }
            let Some((at, row)) = lock().next() else {
                return;
            };
            let begun = Instant::now();
            let title = row.title();
            let mut tell = |stage: &str| lock().tell(&title, stage, begun, self.stations.len());
            tell("starting");
            let new = self.measure(&station.worker, &row, stopped, &mut tell);
            let mut shared = lock();
            for run in &new {
                (shared.keep)(run);
            }
            let all: Vec<&Run> = new.iter().collect();
            let result = result(&all, false);
            if result == Result::Open {
                shared.ended = true;
                return;
            }
            shared.swept[at].result = result;
            shared.spent += begun.elapsed();
            shared.measured += 1;
            shared.runs.extend(new);
        }
    }

    fn measure(
        &self,
        worker: &Worker,
        row: &Row,
        stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(&str),
    ) -> Vec<Run> {
        let engines = row.setup.engines.iter();
        let requests: Vec<Request> = engines
            .map(|engine| Request {
                placement: engine.placement.clone(),
                config: engine.config.clone(),
                ..self.template.clone()
            })
            .collect();
        let rules = |built_on: &Environment| environment::target(built_on).or(self.target);
        measure(worker, self.model, &requests, &rules, &mut |_, update| {
            match update {
                Update::Progress { stage, .. } => tell(stage.label()),
                Update::Warning(text) => log::warn!("{text}"),
                _ => {}
            }
            if stopped() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }
}

impl Swept {
    fn open(row: Row) -> Self {
        Self {
            row,
            result: Result::Open,
        }
    }
}

/// What runs at the same time came to; open where they were cancelled.
pub(super) fn result(runs: &[&Run], from_history: bool) -> Result {
    match verdict(runs) {
        Ok(()) => Result::Measured {
            fps: runs.iter().filter_map(|run| run.fps().cloned()).collect(),
            from_history,
        },
        Err(NotMeasured::Failed(why)) => Result::Failed { why, from_history },
        Err(NotMeasured::Cancelled) => Result::Open,
    }
}

/// The newest result that runs hold of a setup. Only what would come out the same again counts:
/// figures, refusals and failed builds.
pub(super) fn known(runs: &[Run], setup: &Setup, from_history: bool) -> Result {
    let lasting = |run: &&Run| match &run.outcome {
        Outcome::Finished(_) => true,
        Outcome::Failed(f) => matches!(f.kind, ErrorKind::Refused | ErrorKind::Build),
    };
    let is = |run: &Run, engine: &Engine| {
        (&run.request.placement, &run.request.config) == (&engine.placement, &engine.config)
    };
    if let [engine] = &setup.engines[..] {
        let mut alone = runs.iter().rev().filter(|run| run.deployment.is_none());
        let newest = alone.find(|run| is(run, engine) && lasting(run));
        return newest.map_or(Result::Open, |run| result(&[run], from_history));
    }
    let groups = runs.iter().rev().filter_map(|run| run.deployment.as_ref());
    for share in groups.filter(|share| share.member == 0) {
        let of_group = |run: &&Run| {
            let own = run.deployment.as_ref();
            own.is_some_and(|own| own.group == share.group)
        };
        let mut members: Vec<&Run> = runs.iter().filter(of_group).collect();
        members.sort_by_key(|run| run.deployment.as_ref().map(|d| d.member));
        // An engine that fails ends the others, also those that were not started yet.
        let same = share.members as usize == setup.engines.len()
            && members
                .iter()
                .zip(&setup.engines)
                .all(|(run, e)| is(run, e));
        let failed = |run: &&&Run| run.measurement().is_none() && lasting(run);
        let whole = members.len() == setup.engines.len();
        let ended = members.iter().any(|run| failed(&run))
            || whole && members.iter().all(|run| run.measurement().is_some());
        if same && ended {
            return result(&members, from_history);
        }
    }
    Result::Open
}

/// The results as Markdown, in the form of torch2trt's `dla_benchmarks.md`. The column "torch FPS"
/// is left out where the PyTorch module has no figure; notes say where it comes from or why not.
pub fn markdown(model: &Model, stations: &[Station], results: &Results) -> String {
    let mut machines: Vec<String> = stations.iter().map(|s| s.machine.summary()).collect();
    machines.dedup();
    let machines = machines.join(" and ");
    let mut out = format!("# {} on {}\n", cell(&model.name), cell(&machines));
    let swept = &results.rows;
    let together = || swept.iter().filter(|s| s.row.concurrent.is_some());
    let alone: Vec<&Swept> = swept
        .iter()
        .filter(|s| s.row.concurrent.is_none())
        .collect();
    let mut precision = None;
    for s in together() {
        if precision.is_none() {
            out += "\n## Concurrent Model Execution\n";
        }
        if precision != Some(s.row.precision()) {
            precision = Some(s.row.precision());
            // Writing to a String cannot fail.
            let _ok = write!(out, "\n### {}\n", s.row.precision().title());
        }
        let _ok = write!(out, "\n#### {}\n", s.row.concurrent.unwrap_or_default());
        out += "\n| config | torch2trt_kwargs | tensorrt FPS |\n|---|---|---|\n";
        lines(&mut out, s, true, None);
    }
    if !alone.is_empty() {
        let torch = &results.torch;
        let measured = torch.iter().any(|t| t.fps.is_measured());
        out += "\n## Heterogeneous Model\n";
        out += if measured {
            "\n| config | torch2trt kwargs | torch FPS | tensorrt FPS |\n|---|---|---|---|\n"
        } else {
            "\n| config | torch2trt kwargs | tensorrt FPS |\n|---|---|---|\n"
        };
        for s in alone {
            lines(&mut out, s, false, measured.then_some(torch));
        }
        let notes = torch_notes(torch);
        if !notes.is_empty() {
            out += "\n";
        }
        for note in notes {
            let _ok = writeln!(out, "- {}", cell(&note));
        }
    }
    out
}

/// Where the torch FPS come from and why some have no figure, a sentence each.
fn torch_notes(torch: &[TorchFps]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for t in torch {
        let note = match &t.fps {
            Figure::None { reason } => format!("no torch FPS from {}: {reason}", t.machine),
            figure => format!("torch FPS of {}: {}", t.module, figure.source()),
        };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// Why there are no torch FPS, a sentence per machine and reason.
pub fn torch_absent(results: &Results) -> Vec<String> {
    let absent = results.torch.iter().filter(|t| !t.fps.is_measured());
    torch_notes(&absent.cloned().collect::<Vec<_>>())
}

/// The PyTorch module's figures at a row's batch; each with its machine where there are several.
fn torch_cell(torch: &[TorchFps], batch: Option<u32>) -> String {
    let here = torch.iter().filter(|t| Some(t.batch) == batch);
    let figures: Vec<(&str, &Measured)> = here
        .clone()
        .filter_map(|t| match &t.fps {
            Figure::Measured(m) => Some((t.machine.as_str(), m)),
            _ => None,
        })
        .collect();
    match &figures[..] {
        [] => match here.map(|t| t.fps.source()).next() {
            Some(why) => format!("no figure: {why}"),
            None => "not measured yet".to_owned(),
        },
        [(_, only)] => spread(only),
        several => {
            let each = several
                .iter()
                .map(|(on, m)| format!("{} on {on}", spread(m)));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

fn spread(m: &Measured) -> String {
    format!(
        "{} (median of {}, {} to {})",
        m.value,
        m.repeats,
        short(m.min),
        short(m.max)
    )
}

fn lines(out: &mut String, swept: &Swept, with_core: bool, torch: Option<&Vec<TorchFps>>) {
    let engines = swept.row.setup.engines.iter().zip(&swept.row.names);
    for (at, (engine, name)) in engines.enumerate() {
        let fps = match &swept.result {
            Result::Measured { fps, .. } => fps.get(at).map_or(String::new(), spread),
            Result::Failed { why, .. } => format!("no figure: {why}"),
            Result::Open => "not measured yet".to_owned(),
        };
        let mut cells = vec![name.clone(), kwargs(engine, with_core)];
        if let Some(torch) = torch {
            cells.push(torch_cell(torch, swept.row.batch()));
        }
        cells.push(fps);
        for text in cells {
            // Writing to a String cannot fail.
            let _ok = write!(out, "| {} ", cell(&text));
        }
        out.push_str("|\n");
    }
}

/// The arguments of `torch2trt` as the benchmark script prints them. Single ops have no argument
/// there: they follow in words.
fn kwargs(engine: &Engine, with_core: bool) -> String {
    let (config, placement) = (&engine.config, &engine.placement);
    let python = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
    let mut all = Vec::new();
    for (set, mode) in [
        (config.precision.fp16, "fp16_mode"),
        (config.precision.int8, "int8_mode"),
    ] {
        if set {
            all.push(format!("'{mode}': True"));
        }
    }
    all.push(format!(
        "'default_device_type': DeviceType.{}",
        placement.default
    ));
    let (mut types, mut ops) = (Vec::new(), Vec::new());
    for (site, device) in &placement.overrides {
        match site {
            Site::Module(path) => types.push(format!("{}: '{device}'", python(path))),
            Site::Op(name) => ops.push(format!("; op {name} on {device}")),
        }
    }
    if !types.is_empty() {
        all.push(format!("'device_types': \"{{{}}}\"", types.join(", ")));
    }
    all.push(format!("'max_batch_size': {}", config.batch));
    if with_core {
        all.push(format!("'dla_core': {}", config.dla_core));
    }
    format!("{{{}}}{}", all.join(", "), ops.concat())
}

/// Text that stays in its cell of a Markdown table.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|").replace('<', "&lt;")
}
