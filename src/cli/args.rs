//! What several commands take: a model, a target, an engine config, a placement.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::engine::client::{self, Limits};
use crate::engine::remote::ssh::Host;
use crate::engine::{BoardSettings, Environment, Outcome, WorkerCommand, environment};
use crate::export::Document;
use crate::model::{Model, ModelSource};
use crate::placement::{Device, EngineConfig, IoFormats, Placement, Precision};
use crate::platform::{DlaSupport, Target};
use crate::tasks::judge::Setup;
use crate::tasks::measure::Worker;
use crate::tasks::open::{Dims, open};

/// A model file.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// ONNX file, or `bundled:resnet18` and so on.
    #[arg(value_name = "MODEL", value_parser = text_path())]
    pub model: String,
    /// Dims of an input the file leaves open, or to override the file's.
    #[arg(long, value_name = "NAME=1x3x224x224", value_parser = parse_input)]
    pub input: Vec<(String, Vec<u64>)>,
}

impl ModelArgs {
    /// Reads the model.
    ///
    /// # Errors
    /// The file cannot be read; the message names file, place and remedy.
    pub fn load(&self) -> Result<Model> {
        Ok(self.load_for(&[])?.0)
    }

    /// Reads the model at the dims that placement files were made at; `--input` wins over them.
    /// The second value holds all dims that were given.
    ///
    /// # Errors
    /// The model cannot be read, the files' dims do not fit it, or they contradict each other.
    pub fn load_for(&self, files: &[(&Path, &Document)]) -> Result<(Model, Dims)> {
        let given: Dims = self.input.iter().cloned().collect();
        let files: Vec<(&Path, &Dims)> = files.iter().map(|(p, d)| (*p, &d.inputs)).collect();
        Ok(open(Path::new(&self.model), &given, &files)?)
    }

    /// The model as a worker finds it: absolute, or a `bundled:` name.
    ///
    /// # Errors
    /// There is no current folder.
    pub fn absolute(&self) -> Result<PathBuf> {
        let absolute = ModelSource::of(Path::new(&self.model)).absolute();
        absolute.with_context(|| self.model.clone())
    }
}

/// A path as text: commands print it, write it into files, and tell it to a worker.
#[expect(
    clippy::unnecessary_debug_formatting,
    reason = "the bytes that are no text are what must be seen"
)]
fn text_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        path.into_string()
            .map_err(|path| format!("{path:?} is not UTF-8; rename it"))
    })
}

/// Which machine builds and measures.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MachineArgs {
    /// Another machine, over SSH, with the dlaplan there: the one of `dlaplan deploy`, else in
    /// its path, else PROGRAM.
    /// The model goes there and stays in its cache (the eight used last, at most 16 GiB or half
    /// of a smaller disk); names, keys and ports are those of ~/.ssh/config.
    #[arg(long, value_name = "[USER@]HOST[:PORT][:PROGRAM]")]
    pub on: Option<Host>,
}

impl MachineArgs {
    /// Another machine.
    pub fn on(host: Host) -> Self {
        Self { on: Some(host) }
    }

    /// How its worker is started.
    ///
    /// # Errors
    /// The system cannot say where this program is.
    pub fn worker(&self) -> Result<Worker> {
        let command = match &self.on {
            Some(host) => host.worker(),
            None => WorkerCommand::local().context("finding this program")?,
        };
        Ok(Worker {
            command,
            limits: Limits::default(),
        })
    }

    /// What it is.
    ///
    /// # Errors
    /// It does not answer.
    pub fn environment(&self) -> Result<Environment> {
        let Some(host) = &self.on else {
            return Ok(environment::read());
        };
        Ok(probe(&host.worker())?.0)
    }

    /// The machine, which must be able to measure.
    ///
    /// # Errors
    /// The machine does not answer or cannot build engines, and why.
    pub fn able(&self) -> Result<Environment> {
        self.able_with(BoardSettings::default())
    }

    /// The same, as it is while a power mode or clocks are set.
    ///
    /// # Errors
    /// As [`Self::able`], or the settings are refused.
    pub fn able_with(&self, settings: BoardSettings) -> Result<Environment> {
        let (machine, why_not) = probe(&self.worker()?.command.with(settings))?;
        if why_not.is_empty() {
            return Ok(machine);
        }
        bail!("{} cannot measure: {}", machine.host, why_not.join("; "))
    }
}

/// What a Jetson is set to while it measures; as it was afterwards, however the measurement ends.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct BoardSettingsArgs {
    /// Measure in a power mode of nvpmodel, by its id (`sudo -n nvpmodel -m ID`), and go back to the
    /// present one afterwards. Refused where the mode needs a reboot.
    #[arg(long, value_name = "ID", value_parser = whole::<u32>(0..=1000))]
    pub power_mode: Option<u32>,
    /// Hold the clocks at their highest (`sudo -n jetson_clocks`), and put them back afterwards.
    #[arg(long)]
    pub lock_clocks: bool,
}

impl BoardSettingsArgs {
    /// As the engine room takes them.
    pub fn settings(self) -> BoardSettings {
        BoardSettings {
            power_mode: self.power_mode,
            lock_clocks: self.lock_clocks,
        }
    }
}

/// Asks a worker what its machine is, and why it cannot build engines.
fn probe(worker: &WorkerCommand) -> Result<(Environment, Vec<String>)> {
    match client::probe(worker, Limits::default()) {
        Ok((machine, why_not)) => Ok((*machine, why_not)),
        Err(run) => match run.outcome {
            Outcome::Failed(failure) => bail!("{}", failure.message),
            Outcome::Finished(_) => bail!("the worker does not say what its machine is"),
        },
    }
}

/// How an engine is built; what is not said comes from the placement file, else the default.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EngineArgs {
    /// fp16, int8, int8+fp16 or fp32 [default: fp16].
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Images per inference [default: the model's own].
    #[arg(long, value_parser = whole::<u32>(1..=u64::from(EngineConfig::MAX_BATCH)))]
    pub batch: Option<u32>,
    /// DLA core of the engine [default: 0].
    #[arg(long, value_name = "CORE", value_parser = whole::<u32>(0..=15))]
    pub dla_core: Option<u32>,
    /// No GPU fallback: the build fails where the DLA refuses an op.
    #[arg(long)]
    pub strict: bool,
    /// Type and layout of inputs and outputs, as trtexec names them: one for both (`fp16:chw`) or
    /// `INPUT,OUTPUT` (`int8:dla_hwc4,int8:chw32`) [default: fp32:chw].
    #[arg(long, value_name = "FORMAT[,FORMAT]")]
    pub io_formats: Option<IoFormats>,
}

impl EngineArgs {
    /// The config, starting from a placement file's or the default one.
    pub fn config(&self, from: &EngineConfig) -> EngineConfig {
        EngineConfig {
            precision: self.precision.unwrap_or(from.precision),
            batch: self.batch.unwrap_or(from.batch),
            dla_core: self.dla_core.unwrap_or(from.dla_core),
            gpu_fallback: from.gpu_fallback && !self.strict,
            io: self.io_formats.unwrap_or(from.io),
        }
    }
}

/// A placement: a file, and what is said over it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PlacementArgs {
    /// Placement file, as `dlaplan export` writes it; its engine config, target and input dims
    /// hold too.
    #[arg(long, value_name = "FILE")]
    pub placement: Option<PathBuf>,
    /// Default device for modules without their own setting [default: GPU].
    #[arg(long, value_name = "DEVICE", value_parser = parse_device)]
    pub default: Option<Device>,
    /// Modules on the DLA (`--dla layer1,layer2`).
    #[arg(long, value_name = "MODULE,…", value_delimiter = ',', value_parser = parse_name)]
    pub dla: Vec<String>,
    /// Modules on the GPU (`--gpu layer2.0`).
    #[arg(long, value_name = "MODULE,…", value_delimiter = ',', value_parser = parse_name)]
    pub gpu: Vec<String>,
    /// A single op on the DLA.
    #[arg(long, value_name = "OP", value_parser = parse_name)]
    pub dla_op: Vec<String>,
    /// A single op on the GPU.
    #[arg(long, value_name = "OP", value_parser = parse_name)]
    pub gpu_op: Vec<String>,
}

impl PlacementArgs {
    /// The file, if one is named.
    ///
    /// # Errors
    /// The file is no placement.
    pub fn document(&self) -> Result<Option<Document>> {
        Ok(self.placement.as_deref().map(Document::load).transpose()?)
    }

    /// The placement: what the file says, and the flags over it.
    ///
    /// # Errors
    /// A module or op on both devices.
    pub fn over(&self, file: Option<&Document>) -> Result<Placement> {
        let mut placement = file.map_or_else(Placement::default, |f| f.placement.clone());
        if let Some(default) = self.default {
            placement.default = default;
        }
        for (dla, gpu) in [(&self.dla, &self.gpu), (&self.dla_op, &self.gpu_op)] {
            if let Some(both) = dla.iter().find(|d| gpu.contains(d)) {
                anyhow::bail!("{both:?} is asked onto the DLA and onto the GPU; say one of them");
            }
        }
        for (device, modules) in [(Device::Dla, &self.dla), (Device::Gpu, &self.gpu)] {
            for path in modules {
                placement = placement.with_module(path, device);
            }
        }
        for (device, ops) in [(Device::Dla, &self.dla_op), (Device::Gpu, &self.gpu_op)] {
            for name in ops {
                placement = placement.with_op(name, device);
            }
        }
        Ok(placement)
    }
}

/// Target, engine config and placement of one engine.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SetupArgs {
    /// Where it would run: `board`, `board@mode`, `board:tensorrt` or `board@mode:tensorrt`;
    /// `dlaplan boards` lists them [default: xavier-nx].
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,
    /// How it is built.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What runs where.
    #[command(flatten)]
    pub placement: PlacementArgs,
}

/// What [`SetupArgs`] say before the model is known.
#[derive(Debug)]
pub struct Said {
    /// The placement file, if one is named.
    pub file: Option<Document>,
    /// Where it would run.
    pub target: Target,
    /// How it would be built.
    pub config: EngineConfig,
    /// Whether the batch is said; else it is the model's own.
    pub batch_said: bool,
    /// What is asked.
    pub placement: Placement,
}

impl SetupArgs {
    /// Reads the placement file and what is said over it.
    ///
    /// # Errors
    /// The file is no placement, or the flags contradict each other.
    pub fn read(&self) -> Result<Said> {
        let file = self.placement.document()?;
        let from = file.as_ref().map(|f| f.engine.clone()).unwrap_or_default();
        let theirs = file.as_ref().map(|f| f.target).unwrap_or_default();
        let target = self.target.unwrap_or(theirs);
        if let Some(core) = self.engine.dla_core {
            has_core(&target, core)?;
        }
        Ok(Said {
            target,
            config: self.engine.config(&from),
            batch_said: file.is_some() || self.engine.batch.is_some(),
            placement: self.placement.over(file.as_ref())?,
            file,
        })
    }
}

/// A core that is asked for must be there. On a board without a DLA, core 0 says nothing.
pub(super) fn has_core(target: &Target, core: u32) -> Result<()> {
    let board = target.board.name;
    match target.dla_support() {
        DlaSupport::None(why) if core > 0 => bail!("--dla-core {core}: {board} has no DLA: {why}"),
        DlaSupport::Cores(1) if core > 0 => {
            bail!("--dla-core {core}: {board} has one DLA core; give 0")
        }
        DlaSupport::Cores(cores) if core >= cores => bail!(
            "--dla-core {core}: {board} has {cores} DLA cores; give 0 to {}",
            cores - 1
        ),
        DlaSupport::None(_) | DlaSupport::Cores(_) => Ok(()),
    }
}

/// A whole number within a range.
///
/// # Errors
/// Anything else, in plain words.
pub fn whole<T>(
    range: std::ops::RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + Clone + Send + Sync + 'static,
{
    move |text| {
        let text = text.trim();
        let (least, most) = (*range.start(), *range.end());
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|n| range.contains(n));
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(number) => Ok(number),
            None if !digits => Err(match text.strip_prefix('-') {
                Some(rest) if rest.parse::<f64>().is_ok() => {
                    format!("this number cannot be negative; give {least} or more")
                }
                _ => "not a whole number".to_owned(),
            }),
            None => Err(format!("give {least} to {most}")),
        }
    }
}

/// A number from zero on, with a fraction or without.
///
/// # Errors
/// Anything else, in plain words.
pub fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
        Ok(n) if n < 0.0 => Err("this number cannot be negative".to_owned()),
        Ok(_) => Err("too large".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}

/// Model, target, engine config and placement of one engine.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// What becomes of it.
    #[command(flatten)]
    pub setup: SetupArgs,
}

impl PlanArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or the flags contradict each other.
    pub fn setup(&self) -> Result<Setup> {
        self.setup_beside(&[])
    }

    /// As [`Self::setup`], with the dims of further placement files.
    ///
    /// # Errors
    /// As [`Self::setup`].
    pub fn setup_beside(&self, more: &[(&Path, Document)]) -> Result<Setup> {
        let said = self.setup.read()?;
        let own = self
            .setup
            .placement
            .placement
            .as_deref()
            .zip(said.file.as_ref());
        let files = own
            .into_iter()
            .chain(more.iter().map(|(path, file)| (*path, file)));
        let (model, _) = self.model.load_for(&files.collect::<Vec<_>>())?;
        if let (Some(file), Some(path)) = (&said.file, &self.setup.placement.placement) {
            fits(file, path, &model)?;
        }
        let mut config = said.config;
        if !said.batch_said {
            config.batch = EngineConfig::own_batch(&model);
        }
        Ok(Setup {
            model,
            target: said.target,
            config,
            placement: said.placement,
        })
    }
}

/// A placement file must speak of this model.
pub(super) fn fits(file: &Document, path: &Path, model: &Model) -> Result<()> {
    let place = || path.display().to_string();
    file.placement.resolve(model).with_context(place)?;
    let hash = &file.model.structure_hash;
    if !hash.is_empty() && *hash != model.source.structure_hash {
        log::warn!(
            "{}: made for another {} than {}; its modules are here, their work may differ",
            path.display(),
            file.model.name,
            model.source.path.display()
        );
    }
    Ok(())
}

/// `NAME=1x3x224x224`.
///
/// # Errors
/// Anything else.
pub fn parse_input(text: &str) -> Result<(String, Vec<u64>), String> {
    let wrong = || format!("{text:?} is not NAME=1x3x224x224");
    let (name, dims) = text.rsplit_once('=').ok_or_else(wrong)?;
    let dim = |text: &str| {
        let number = text.parse::<u64>().ok();
        number.ok_or_else(|| format!("{}: {text:?} is not a whole number", wrong()))
    };
    let dims: Result<Vec<u64>, _> = dims.split('x').map(dim).collect();
    Ok((name.to_owned(), dims?))
}

/// A module or op. An empty name would be the whole network, and is what an unset variable or a
/// stray comma leaves.
///
/// # Errors
/// Nothing but blanks.
pub fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() {
        return Err("a name is missing; for the whole network say --default".to_owned());
    }
    Ok(name.to_owned())
}

/// `GPU` or `DLA`, in either case.
///
/// # Errors
/// Anything else.
pub fn parse_device(text: &str) -> Result<Device, String> {
    match text.to_ascii_uppercase().as_str() {
        "GPU" => Ok(Device::Gpu),
        "DLA" => Ok(Device::Dla),
        _ => Err(format!("device {text:?} is not GPU or DLA")),
    }
}
