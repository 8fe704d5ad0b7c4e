//! `dlaplan search --modes`: what to choose from, and the table of what was chosen.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::figure::{Figure, short};
use crate::model::Model;
use crate::placement::EngineConfig;
use crate::platform::{PowerMode, Target};
use crate::tasks::modes::{Chosen, Row, batches, engines};

use super::args::whole;

/// Power modes and batches to choose from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ModesArgs {
    /// Choose the power mode too: `all` of the board's, or some (`15W,30W`). Goes with --goal latency,
    /// energy or deployment.
    #[arg(long, value_name = "MODE,…", value_delimiter = ',')]
    pub modes: Vec<String>,
    /// Choose the batch too, from these [default with --modes: 1 to 32 where the file leaves the batch
    /// open, else its own].
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "batch",
        value_parser = whole::<u32>(1..=u64::from(EngineConfig::MAX_BATCH)))]
    pub batches: Vec<u32>,
}

impl ModesArgs {
    /// Whether there is anything to choose.
    pub fn given(&self) -> bool {
        !self.modes.is_empty() || !self.batches.is_empty()
    }

    /// The power modes of a target's board that are meant.
    ///
    /// # Errors
    /// One of them is not the board's.
    pub fn modes(&self, target: &Target) -> Result<Vec<&'static PowerMode>> {
        if self.modes.is_empty() {
            return Ok(vec![target.mode]);
        }
        if self.modes.iter().any(|m| m == "all") {
            return Ok(target.board.modes.iter().collect());
        }
        let mut modes: Vec<&'static PowerMode> = Vec::new();
        for name in &self.modes {
            let mode = target.board.mode(name.trim()).with_context(|| {
                let all: Vec<&str> = target.board.modes.iter().map(|m| m.name).collect();
                format!(
                    "--modes {name:?} is no power mode of {}; give all, or some of {}",
                    target.board.name,
                    all.join(", ")
                )
            })?;
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
        Ok(modes)
    }

    /// The batches that are meant: those given, the one said, or those of the file.
    pub fn batches(&self, model: &Model, said: Option<u32>) -> Vec<u32> {
        if !self.batches.is_empty() {
            let mut batches = self.batches.clone();
            batches.sort_unstable();
            batches.dedup();
            return batches;
        }
        said.map_or_else(|| batches(model), |batch| vec![batch])
    }
}

/// The best of each mode and batch, at most `most`, and why others have none.
pub fn table(chosen: &Chosen, most: usize) -> String {
    let mut out = String::new();
    let head = [
        "mode",
        "batch",
        "engines",
        "latency",
        "throughput",
        "wall power",
        "per image",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    let rows = &chosen.rows[..chosen.rows.len().min(most)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|c| width(c).unwrap_or(0));
    for line in &lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells.map(|(cell, w)| format!("{cell:<w$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end()).ok();
    }
    let more = chosen.rows.len() - rows.len();
    if more > 0 {
        writeln!(out, "and {more} more; --proposals N or --json shows them").ok();
    }
    for why in notes(rows) {
        writeln!(out, "{why}").ok();
    }
    if !chosen.without.is_empty() {
        writeln!(out, "\nnothing of:").ok();
    }
    for without in &chosen.without {
        let batch = without.batch;
        let batch = batch.map_or_else(String::new, |n| format!(", batch {n}"));
        writeln!(out, "  {}{batch}: {}", without.mode, without.why).ok();
    }
    out
}

fn cells(row: &Row) -> [String; 7] {
    let p = &row.proposal;
    let unsure = if row.sure { "" } else { " ?" };
    [
        format!("{}{unsure}", row.target.mode.name),
        row.batch.to_string(),
        engines(p),
        cell(&row.latency_ms, "ms"),
        cell(&p.fps, "FPS"),
        cell(&p.power.wall_watts, "W"),
        cell(&p.power.wall_mj_per_image, "mJ"),
    ]
}

fn cell(figure: &Figure, unit: &str) -> String {
    match figure {
        Figure::Estimated(e) => format!("{} {unit} {}", short(e.value), e.band),
        Figure::Measured(m) => format!("{} {unit} (measured)", short(m.value)),
        Figure::None { .. } => "-".to_owned(),
    }
}

/// Where figures come from, and what a dash and a question mark mean.
fn notes(rows: &[Row]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut add = |what: &str, figure: &Figure| {
        let said = format!("{what}: {}", figure.source());
        if !notes.contains(&said) {
            notes.push(said);
        }
    };
    for row in rows {
        add("times", &row.latency_ms);
        add("power", &row.proposal.power.wall_watts);
    }
    if rows.iter().any(|r| !r.sure) {
        notes.push("?: inside the caps by the estimate, not at the far end of its band".to_owned());
    }
    notes
}
