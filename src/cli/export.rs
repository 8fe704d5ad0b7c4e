//! `dlaplan export`: a placement as a file another tool reads.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::chart::{Chart, Look, Palette};
use crate::export::{Format, save_atomic};
use crate::history::{Store, default_path};
use crate::tasks::words::today;

use super::args::PlanArgs;
use super::chart::{Sources, series};

/// Write a placement as JSON, torch2trt or TensorRT Python, trtexec, CSV, report, chart or for Model
/// Explorer.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// Model, target, engine config and placement.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// What to write [default: by the ending of the file].
    #[arg(long, short, value_name = "FORMAT", value_parser = formats(), required_unless_present = "output")]
    pub format: Option<Format>,
    /// The file; standard output if not given.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Every format by its name.
fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::all().map(Format::id)).try_map(|id| id.parse::<Format>())
}

/// Runs the command. Nothing is written unless all of it can be.
///
/// # Errors
/// A file cannot be read or written, or the format cannot say the placement.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let format = match (args.format, &args.output) {
        (Some(format), _) => format,
        (None, Some(path)) => Format::of_file(path).map_err(|e| anyhow!("{e}; give --format"))?,
        (None, None) => bail!("give --format, or a file with --output"),
    };
    let setup = args.plan.setup()?;
    let judged = setup.judge()?;
    let chart = if format.is_charted() {
        let path = default_path().filter(|p| p.exists());
        let mut store = path.map(|p| Store::open(&p)).transpose()?;
        let sources = Sources {
            history: store.as_mut(),
            references: true,
        };
        series(&setup, &[], sources)?
    } else {
        Chart::default()
    };
    let look = Look {
        palette: Palette::Light,
        date: Some(today()),
    };
    let bytes = format.render(&setup.subject(&judged), &chart, &look)?;
    if let Some(path) = &args.output {
        save_atomic(path, &bytes)?;
    } else {
        let mut out = std::io::stdout().lock();
        if !format.is_text() && out.is_terminal() {
            bail!(
                "a {} is not for a terminal; name a file with --output",
                format.id()
            );
        }
        out.write_all(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
