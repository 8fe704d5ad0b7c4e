//! `dlaplan rules`: every DLA rule with its source, and what surveyed boards say of it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::history::data_dir;
use crate::platform::dla_rules::all_rules;
use crate::tasks::rules::Judged;
use crate::tasks::survey::kept_rules;

/// List every documented DLA restriction with its source.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RulesArgs {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: RulesArgs) -> Result<ExitCode> {
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, all_rules())?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let surveyed = data_dir().map_or_else(Vec::new, |folder| kept_rules(&folder));
    for rule in all_rules() {
        writeln!(
            out,
            "{}\n    allowed: {}\n    source: {}",
            rule.id, rule.allowed, rule.source
        )?;
        for (target, judged) in &surveyed {
            let of: Vec<&Judged> = judged.iter().filter(|j| j.rule == rule.id).collect();
            if !of.is_empty() && of.iter().all(|j| j.agrees == Some(true)) {
                writeln!(out, "    {target} agrees, asked about {} cases", of.len())?;
            }
            for case in of.iter().filter(|j| j.agrees != Some(true)) {
                let disagrees = case.agrees.map_or("says", |_| "disagrees");
                writeln!(out, "    {target} {disagrees}: {}", case.text())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
