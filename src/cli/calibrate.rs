//! `dlaplan calibrate`: fits the estimates' parameters and writes one file per board.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::estimate::board::{BoardFile, shipped, shipped_boards};
use crate::estimate::calibration::own::refit;
use crate::estimate::calibration::rows::Measurements;
use crate::estimate::calibration::{calibrate, to_text};
use crate::export::save_atomic;
use crate::history::{RunFilter, RunModels, Store, data_dir, default_path, own_calibration_path};

/// Fit the estimates' parameters to measurements and write one file per board.
///
/// Without options it reproduces the files that ship with dlaplan. With --from-history it scales
/// the boards you measured to your own runs; estimates then use that instead, with the error seen
/// on runs left out of the fit.
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// Measurements to fit on; the published ones that ship with dlaplan if not given.
    #[arg(long, value_name = "FILE", conflicts_with = "from_history")]
    pub measurements: Option<PathBuf>,
    /// Folder the files are written to.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "assets/calibration",
        conflicts_with = "from_history"
    )]
    pub out: PathBuf,
    /// Write nothing; exit 1 if a file in the folder differs from what would be written.
    #[arg(long, conflicts_with = "from_history")]
    pub check: bool,
    /// Scale to the runs of a history instead, by default the user's, and write to the user's data
    /// folder.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub from_history: Option<Option<PathBuf>>,
    /// Delete what --from-history wrote: estimates use the shipped files again.
    #[arg(long, conflicts_with_all = ["from_history", "measurements", "out", "check"])]
    pub forget: bool,
}

/// Measurements from a file, or the shipped ones.
///
/// # Errors
/// The file cannot be read or is not a measurements file.
pub(super) fn measurements(path: Option<&Path>) -> Result<Measurements> {
    let Some(path) = path else {
        return Measurements::shipped().context("the shipped measurements do not parse");
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read measurements from {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not a measurements file; assets/calibration/measurements.json shows the format",
            path.display()
        )
    })
}

/// Saves into a folder that is made if need be.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(save_atomic(path, bytes)?)
}

/// Runs the command.
///
/// # Errors
/// Unreadable measurements or history, a row about something that does not exist, an unwritable
/// folder.
pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.forget {
        return forget(&mut out);
    }
    if let Some(history) = &args.from_history {
        return from_history(history.as_deref(), &mut out);
    }
    let measurements = measurements(args.measurements.as_deref())?;
    let calibration = calibrate(&measurements)?;
    let mut differs = false;
    for file in &calibration.files {
        let path = args.out.join(format!("{}.json", file.board));
        let text = to_text(file)?;
        if args.check {
            let same = std::fs::read_to_string(&path).is_ok_and(|t| t == text);
            differs |= !same;
            let word = if same { "same" } else { "differs" };
            writeln!(out, "{word}  {}", path.display())?;
        } else {
            save(&path, text.as_bytes())?;
            writeln!(out, "wrote {}: {}", path.display(), file.source)?;
        }
    }
    Ok(if differs {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn folder() -> Result<PathBuf> {
    data_dir().context("no folder for your own calibration; name one with DLAPLAN_DATA_DIR")
}

fn from_history(history: Option<&Path>, out: &mut impl Write) -> Result<ExitCode> {
    let folder = folder()?;
    let path = match history {
        Some(path) if !path.exists() => {
            anyhow::bail!("{}: there is no such history", path.display())
        }
        Some(path) => path.to_owned(),
        None => default_path().context("no folder for the history; name a file")?,
    };
    let runs = Store::open(&path)?.runs(&RunFilter {
        finished: true,
        ..RunFilter::default()
    })?;
    let models = RunModels::read(&runs);
    let (own, passed_over) = models.own_runs(&runs);
    for run in &passed_over {
        writeln!(out, "run {} passed over: {}", run.run, run.reason)?;
    }
    let mut wrote = false;
    for board in shipped_boards() {
        if !own.iter().any(|r| r.target.board.id == board) {
            continue;
        }
        let shipped = shipped(board);
        match refit(&shipped, &own) {
            Ok(file) => {
                let path = own_calibration_path(&folder, board);
                save(&path, to_text(&file)?.as_bytes())?;
                writeln!(out, "wrote {}: {}", path.display(), file.source)?;
                bands(out, &shipped, &file)?;
                wrote = true;
            }
            Err(e) => writeln!(out, "{board} stays as it is: {e}")?,
        }
    }
    if wrote {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "nothing to learn from in {}: {} runs with figures, {} usable; `dlaplan profile` on a \
         Jetson adds some",
        path.display(),
        runs.len(),
        own.len()
    )?;
    Ok(ExitCode::FAILURE)
}

/// What became of the bands.
fn bands(out: &mut impl Write, before: &BoardFile, after: &BoardFile) -> Result<()> {
    for band in after.bands.iter().filter(|b| !before.bands.contains(b)) {
        let old = before
            .bands
            .iter()
            .find(|b| (&b.precision, b.mix) == (&band.precision, band.mix));
        let was = old.map_or(String::new(), |b| format!(" (was {:.0} %)", b.band * 100.0));
        writeln!(
            out,
            "  {} on {}: \u{b1}{:.0} %{was}, {}",
            band.precision,
            band.mix.label(),
            band.band * 100.0,
            band.basis
        )?;
    }
    Ok(())
}

fn forget(out: &mut impl Write) -> Result<ExitCode> {
    let folder = folder()?;
    for board in shipped_boards() {
        let path = own_calibration_path(&folder, board);
        match std::fs::remove_file(&path) {
            Ok(()) => writeln!(out, "deleted {}", path.display())?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        }
    }
    Ok(ExitCode::SUCCESS)
}
