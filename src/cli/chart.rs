//! `dlaplan chart`: FPS against placement as a picture, from the series the window shows.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::chart::{Chart, Look, Palette, beside_published, estimated, kept, references, runs};
use crate::export::save_atomic;
use crate::figure::short;
use crate::history::{self, ReferenceSet, RunFilter, Store, data_dir, default_path};
use crate::placement::{Device, EngineConfig, Placement};
use crate::tasks::judge::Setup;
use crate::tasks::words::today;

use super::args::PlanArgs;
use super::members;

/// Chart the FPS of placements, estimated, measured and published.
#[derive(Clone, Debug, clap::Args)]
pub struct ChartArgs {
    /// Model, target, engine config and placement.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// More placement files to compare.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub compare: Vec<PathBuf>,
    /// The picture, `.svg` or `.png`; a table on standard output if not given.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Light text on a dark ground.
    #[arg(long)]
    pub dark: bool,
    /// History file with kept placements and runs; by default the user's.
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    pub history: Option<PathBuf>,
    /// Leave out what is kept and measured.
    #[arg(long)]
    pub no_history: bool,
    /// Leave out published measurements.
    #[arg(long)]
    pub no_references: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where more points come from.
pub(super) struct Sources<'a> {
    pub history: Option<&'a mut Store>,
    pub references: bool,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read or written, or a placement does not fit the model.
pub fn run(args: &ChartArgs) -> Result<ExitCode> {
    let compared: Vec<&Path> = args.compare.iter().map(PathBuf::as_path).collect();
    let compared = members::documents(&compared)?;
    let setup = args.plan.setup_beside(&compared)?;
    let more = compared
        .into_iter()
        .map(|(path, document)| {
            if document.target != setup.target {
                anyhow::bail!(
                    "{}: made for {}, not for {}; a chart is of one target: give --target {}",
                    path.display(),
                    document.target,
                    setup.target,
                    document.target.id()
                );
            }
            let name = path.file_stem().unwrap_or(path.as_os_str());
            Ok((
                name.to_string_lossy().into_owned(),
                document.placement,
                document.engine,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let path = args
        .history
        .clone()
        .or_else(default_path)
        .filter(|p| !args.no_history && p.exists());
    let mut store = path.map(|p| Store::open(&p)).transpose()?;
    let sources = Sources {
        history: store.as_mut(),
        references: !args.no_references,
    };
    let chart = series(&setup, &more, sources)?;
    let look = Look {
        palette: if args.dark {
            Palette::Dark
        } else {
            Palette::Light
        },
        date: Some(today()),
    };
    if let Some(path) = &args.output {
        return save(&chart, path, look);
    }
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &chart)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", chart.title)?;
    for point in &chart.points {
        let share = point.dla_mac_share.map_or(String::new(), share);
        let beside = point
            .deployment
            .as_ref()
            .map_or(String::new(), |d| format!("in {d}"));
        let energy = point.mj_per_image.as_ref().map_or(String::new(), |mj| {
            format!("{} mJ per image", short(mj.value))
        });
        writeln!(
            out,
            "{:<28} {:<18} {:<20} {:<10} {share:<14} {energy:<20} {beside}",
            point.label,
            chart.kind(point),
            point.fps.to_string(),
            point.mark.text(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a chart in the format of its file's name.
pub(super) fn save(chart: &Chart, path: &Path, look: Look) -> Result<ExitCode> {
    let bytes = match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => chart.svg(look)?.into_bytes(),
        Some("png") => chart.png(look)?,
        _ => anyhow::bail!("{}: a chart is a .svg or a .png", path.display()),
    };
    save_atomic(path, &bytes)?;
    Ok(ExitCode::SUCCESS)
}

/// The placement asked for, the two whole devices, and what there is to compare them with.
pub(super) fn series(
    setup: &Setup,
    more: &[(String, Placement, EngineConfig)],
    sources: Sources<'_>,
) -> Result<Chart> {
    let (model, target) = (&setup.model, &setup.target);
    let mut chart = Chart::new(model, target);
    let mut asked = vec![
        (
            "all GPU".to_owned(),
            Placement::all(Device::Gpu),
            setup.config.clone(),
        ),
        (
            "all DLA".to_owned(),
            Placement::all(Device::Dla),
            setup.config.clone(),
        ),
    ];
    if !asked.iter().any(|(_, p, _)| *p == setup.placement) {
        asked.push((
            setup.placement.title(),
            setup.placement.clone(),
            setup.config.clone(),
        ));
    }
    asked.extend(more.iter().cloned());
    for (label, placement, _) in &asked {
        placement.resolve(model).with_context(|| label.clone())?;
    }
    let own = history::calibration(data_dir().as_deref(), target.board.id);
    chart.points = estimated(asked, model, target, &own);
    let mut measured = Vec::new();
    if let Some(store) = sources.history {
        let hash = &model.source.structure_hash;
        let kept = kept(&store.kept(Some(hash))?, model, target, &own);
        chart.points.extend(kept);
        let filter = RunFilter {
            structure_hash: Some(hash.clone()),
            finished: true,
            ..RunFilter::default()
        };
        measured = runs(&store.runs(&filter)?, model, target);
    }
    for point in &mut chart.points {
        let here = |(p, c): &(_, _)| *p == setup.placement && *c == setup.config;
        point.current = point.load.as_ref().is_some_and(here);
    }
    chart.points.extend(measured);
    if sources.references {
        let published = references(&ReferenceSet::bundled()?, model, target);
        let beside = beside_published(&published, model, target, &own);
        chart.points.extend(published);
        chart.points.extend(beside);
    }
    Ok(chart)
}

/// `48 % on DLA`; a little is not nothing.
fn share(part: f64) -> String {
    match part * 100.0 {
        p if p > 0.0 && p < 1.0 => "<1 % on DLA".to_owned(),
        p => format!("{p:.0} % on DLA"),
    }
}
