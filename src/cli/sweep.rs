//! `dlaplan sweep`: measures many placements in one go.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::engine::remote::ssh::Host;
use crate::engine::{Calibration, Request, environment};
use crate::export::save_atomic;
use crate::placement::{EngineConfig, Placement};
use crate::tasks::sweep::{
    self, Results, Row, Station, Sweep, Swept, markdown, preset, torch_absent,
};
use crate::tasks::torch::{Baseline, Factory};

use super::args::{BoardSettingsArgs, MachineArgs, ModelArgs, fits};
use super::series::{HistoryArgs, keep, progress, spinner};
use super::{interrupt, members};

/// Measure many placements in one go: those of torch2trt's DLA benchmark, kept ones, or files.
///
/// Results in the history are taken over, refusals and failed builds too. Ctrl-C stops; the same
/// command goes on from there.
#[derive(Clone, Debug, clap::Args)]
pub struct SweepArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where engines are built and measured.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// A further machine of the same kind, over SSH; rows are spread over all of them. May be given
    /// several times.
    #[arg(long, value_name = "[USER@]HOST[:PORT][:PROGRAM]", requires = "on")]
    pub and_on: Vec<Host>,
    /// What the machine is set to meanwhile.
    #[command(flatten)]
    pub settings: BoardSettingsArgs,
    /// Measure the kept placements of the model.
    #[arg(long, conflicts_with = "no_history")]
    pub kept: bool,
    /// Measure placement files.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub placements: Vec<PathBuf>,
    /// INT8 ranges from a calibration cache; made up without it.
    #[arg(long, value_name = "FILE")]
    pub calib: Option<PathBuf>,
    /// What gives the unconverted PyTorch module, called without arguments, for the column "torch
    /// FPS"; by default torchvision.models:NAME, NAME being the model's. Each machine's python3
    /// imports it.
    #[arg(
        long,
        value_name = "PACKAGE.MODULE:FACTORY",
        conflicts_with = "no_torch"
    )]
    pub torch: Option<Factory>,
    /// Do not measure the PyTorch module.
    #[arg(long)]
    pub no_torch: bool,
    /// Keep no built engines.
    #[arg(long)]
    pub no_cache: bool,
    /// Where results are taken from and kept.
    #[command(flatten)]
    pub history: HistoryArgs,
    /// Write the table to a Markdown file; to standard output if not given.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// As JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command; the exit code is 1 where rows are left or none has a figure.
///
/// # Errors
/// A file cannot be read or written, a placement does not fit the model, or the machine cannot
/// measure.
pub fn run(args: &SweepArgs) -> Result<ExitCode> {
    let paths: Vec<&Path> = args.placements.iter().map(PathBuf::as_path).collect();
    let files = members::documents(&paths)?;
    let for_dims: Vec<_> = files.iter().map(|(path, file)| (*path, file)).collect();
    let (model, inputs) = args.model.load_for(&for_dims)?;
    let mut history = args.history.open()?;
    let mut rows = Vec::new();
    for (path, file) in files {
        fits(&file, path, &model)?;
        let name = path.file_stem().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        rows.push(Row::alone(name, file.engine, file.placement));
    }
    if args.kept {
        let store = history
            .as_mut()
            .context("no folder for the history; name a file")?;
        let hash = &model.source.structure_hash;
        let kept = store.kept(Some(hash))?.into_iter().map(|k| k.kept);
        rows.extend(kept.map(|kept| Row::alone(kept.name, kept.config, kept.placement)));
        if rows.is_empty() {
            bail!(
                "{} has no kept placements; keep some in the window",
                model.name
            );
        }
    } else if rows.is_empty() {
        rows = preset(&model);
    }
    let mut template = Request::new(
        args.model.absolute()?,
        Placement::default(),
        EngineConfig::default(),
    );
    template.inputs = inputs;
    template.per_layer = false;
    if let Some(path) = &args.calib {
        let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
        template.calibration = Calibration::Cache { path };
    }
    if !args.no_cache {
        template.cache_dir = environment::engines_dir();
    }
    let mut machines = vec![args.machine.clone()];
    machines.extend(args.and_on.iter().cloned().map(MachineArgs::on));
    let mut stations = Vec::new();
    for on in machines {
        let machine = on.able_with(args.settings.settings())?;
        let mut worker = on.worker()?;
        worker.command = worker.command.with(args.settings.settings());
        stations.push(Station { worker, machine });
    }
    if let Some(why) = Sweep::unlike(&stations) {
        bail!("{why}");
    }
    let earlier = match &mut history {
        Some(store) => store.runs(&Sweep::earlier(&model))?,
        None => Vec::new(),
    };
    interrupt::catch()?;
    let bar = spinner();
    let mut lost = None;
    let mut keep = keep(&mut history, &mut lost);
    let sweep = Sweep {
        model: &model,
        template,
        stations: &stations,
        target: None,
        torch: (!args.no_torch).then(|| Baseline {
            factory: args.torch.clone(),
            clocks_as_found: !args.settings.settings().is_none(),
            ..Baseline::default()
        }),
    };
    let results = sweep.run(rows, earlier, &mut keep, &interrupt::pending, &mut |p| {
        bar.set_message(progress(p));
        bar.tick();
    });
    bar.finish_and_clear();
    drop(keep);
    if let Some(e) = lost {
        // The figures are worth more than their record.
        log::warn!("runs are missing from the history: {e}");
    }
    for absent in torch_absent(&results) {
        log::warn!("{absent}");
    }
    write(args, &markdown(&model, &stations, &results), &results)?;
    let left = results.rows.iter().any(|s| s.result == sweep::Result::Open);
    let figures = |s: &Swept| matches!(s.result, sweep::Result::Measured { .. });
    let bad = left || !results.rows.iter().any(figures);
    Ok(ExitCode::from(u8::from(bad)))
}

fn write(args: &SweepArgs, table: &str, results: &Results) -> Result<()> {
    let mut out = super::terminal::stdout();
    if args.json {
        let mut report = serde_json::to_value(results)?;
        if let Some(fields) = report.as_object_mut() {
            fields.shift_insert(0, "schema".into(), 1.into());
        }
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    }
    match &args.output {
        Some(path) => save_atomic(path, table.as_bytes())?,
        None if !args.json => out.write_all(table.as_bytes())?,
        None => {}
    }
    Ok(())
}
