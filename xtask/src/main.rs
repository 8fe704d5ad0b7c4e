//! What only those who build dlaplan do: fit the shipped boards' parameters, report how far off
//! the estimates are, and write what a package holds beside the program.

mod chart;
mod fit;
mod manuals;
#[path = "../../tests/support/net.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod net;
#[path = "../../tests/support/networks.rs"]
#[expect(dead_code, reason = "tests and benches use the rest")]
mod networks;
mod power;
mod report;
mod rows;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser};

use dlaplan::cli::program::{NoWindowArgs, Program, WindowArgs};
use dlaplan::export::save_atomic;

use rows::Measurements;

/// Where the shipped files are.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/calibration");
/// Where the report is.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Tasks of those who build dlaplan.
#[derive(Debug, Parser)]
enum Task {
    /// Fit the estimates' parameters to published measurements; one file per board.
    Calibrate {
        /// Measurements to fit on; the published ones if not given.
        #[arg(long, value_name = "FILE")]
        measurements: Option<PathBuf>,
        /// Folder the files are written to.
        #[arg(long, value_name = "DIR", default_value = ASSETS)]
        out: PathBuf,
        /// Write nothing; exit 1 if a file in the folder differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Compare the estimates with every published measurement.
    Fidelity {
        /// Measurements to compare with; the published ones if not given.
        #[arg(long, value_name = "FILE")]
        measurements: Option<PathBuf>,
        /// Folder to write `fidelity.md` and `fidelity.svg` to.
        #[arg(long, value_name = "DIR", default_value = DOCS)]
        out: PathBuf,
    },
    /// Write the manual pages and the completions of bash, zsh and fish.
    Manuals {
        /// Folder in the place of /usr/share.
        out: PathBuf,
        /// Those of the program without a window.
        #[arg(long)]
        headless: bool,
    },
}

fn main() -> Result<ExitCode> {
    match Task::parse() {
        Task::Calibrate {
            measurements,
            out,
            check,
        } => calibrate(measurements.as_deref(), &out, check),
        Task::Fidelity { measurements, out } => fidelity(measurements.as_deref(), &out),
        Task::Manuals { out, headless } => {
            let program = if headless {
                Program::<NoWindowArgs>::command()
            } else {
                Program::<WindowArgs>::command()
            };
            manuals::write(program, &out)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read(path: Option<&Path>) -> Result<Measurements> {
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

fn save(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(save_atomic(path, text.as_bytes())?)
}

/// Errors of rows that no fit knew, beside the bands: what the coverage test reads.
const HELD_OUT: &str = "held_out.json";

/// The fit of wall power.
const POWER: &str = "power.json";

fn calibrate(measurements: Option<&Path>, out: &Path, check: bool) -> Result<ExitCode> {
    let calibration = fit::calibrate(&read(measurements)?)?;
    let mut texts: Vec<(String, String, &str)> = Vec::new();
    for file in &calibration.files {
        texts.push((
            format!("boards/{}.json", file.board),
            file.to_text()?,
            &file.source,
        ));
    }
    let unseen = serde_json::to_string_pretty(&calibration.unseen())? + "\n";
    texts.push((HELD_OUT.to_owned(), unseen, "errors of rows no fit knew"));
    let power = serde_json::to_string_pretty(&power::fit(&calibration.files)?.file)? + "\n";
    texts.push((POWER.to_owned(), power, "power"));
    let mut differs = false;
    let mut stdout = std::io::stdout();
    for (name, text, about) in &texts {
        let path = out.join(name);
        let what = if !check {
            save(&path, text)?;
            "wrote"
        } else if std::fs::read_to_string(&path).is_ok_and(|t| t == *text) {
            "same"
        } else {
            differs = true;
            "differs"
        };
        writeln!(stdout, "{what} {}: {about}", path.display())?;
    }
    Ok(if differs {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn fidelity(measurements: Option<&Path>, out: &Path) -> Result<ExitCode> {
    let measurements = read(measurements)?;
    let calibration = fit::calibrate(&measurements)?;
    let (text, svg) = (out.join("fidelity.md"), out.join("fidelity.svg"));
    save(
        &text,
        &report::markdown(
            &calibration,
            &measurements,
            &power::fit(&calibration.files)?,
        ),
    )?;
    save(&svg, &chart::chart(&calibration.comparisons)?)?;
    writeln!(
        std::io::stdout(),
        "wrote {} and {}",
        text.display(),
        svg.display()
    )?;
    Ok(ExitCode::SUCCESS)
}
