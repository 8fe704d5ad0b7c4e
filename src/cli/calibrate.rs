//! `dlaplan calibrate`: fits the estimates' parameters and writes one file per board.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::estimate::calibration::rows::Measurements;
use crate::estimate::calibration::{calibrate, to_text};

/// Fit the estimates' parameters to measurements and write one file per board.
///
/// Without options it reproduces the files that ship with dlaplan.
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// Measurements to fit on; the published ones that ship with dlaplan if not given.
    #[arg(long, value_name = "FILE")]
    pub measurements: Option<PathBuf>,
    /// Folder the files are written to.
    #[arg(long, value_name = "DIR", default_value = "assets/calibration")]
    pub out: PathBuf,
    /// Write nothing; exit 1 if a file in the folder differs from what would be written.
    #[arg(long)]
    pub check: bool,
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

/// Replaces a file in one step.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As an ordinary new file: the user's umask takes away what it wants.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder
        .tempfile_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// Unreadable measurements, a row about something that does not exist, an unwritable folder.
pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let measurements = measurements(args.measurements.as_deref())?;
    let calibration = calibrate(&measurements)?;
    let mut out = std::io::stdout().lock();
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
