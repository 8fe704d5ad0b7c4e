//! `dlaplan boards`: every target dlaplan knows.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::figure::short;
use crate::platform::{Board, boards};

/// List the boards with their power modes and TensorRT versions.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct BoardsArgs {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Row {
    id: &'static str,
    name: &'static str,
    dla_cores: u32,
    modes: Vec<Mode>,
    tensorrt: Vec<String>,
    source: &'static str,
}

#[derive(Serialize)]
struct Mode {
    name: &'static str,
    gpu_mhz: f64,
    dla_mhz: f64,
    /// Of core 1, which some modes slow down.
    dla1_mhz: f64,
    #[serde(skip)]
    dla_clocks: Option<String>,
    dram_gb_per_s: f64,
    unconfirmed: Option<&'static str>,
}

/// Runs the command.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: BoardsArgs) -> Result<ExitCode> {
    let rows: Vec<Row> = boards().iter().map(row).collect();
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    for row in rows {
        let cores = match row.dla_cores {
            0 => "no DLA".to_owned(),
            1 => "1 DLA core".to_owned(),
            n => format!("{n} DLA cores"),
        };
        writeln!(
            out,
            "{}  {}, {cores}, TensorRT {}",
            row.id,
            row.name,
            row.tensorrt.join(", ")
        )?;
        for mode in &row.modes {
            let dla = match &mode.dla_clocks {
                Some(clocks) => format!("DLA {clocks} MHz, "),
                None => String::new(),
            };
            writeln!(
                out,
                "    @{:<10} GPU {} MHz, {dla}DRAM {} GB/s{}",
                mode.name,
                short(mode.gpu_mhz),
                short(mode.dram_gb_per_s),
                mode.unconfirmed
                    .map_or(String::new(), |u| format!(" ({u})")),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(board: &'static Board) -> Row {
    Row {
        id: board.id,
        name: board.name,
        dla_cores: board.dla_cores(),
        modes: board
            .modes
            .iter()
            .map(|m| Mode {
                name: m.name,
                gpu_mhz: m.gpu_mhz,
                dla_mhz: m.dla_mhz,
                dla1_mhz: m.dla1_mhz,
                dla_clocks: board.dla_clocks(m),
                dram_gb_per_s: m.dram_gbs,
                unconfirmed: m.unconfirmed,
            })
            .collect(),
        tensorrt: board.tensorrt.iter().map(ToString::to_string).collect(),
        source: board.source,
    }
}
