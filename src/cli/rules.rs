//! `dlaplan rules`: every DLA rule with its source.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::platform::dla_rules::all_rules;

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
    for rule in all_rules() {
        writeln!(
            out,
            "{}\n    allowed: {}\n    source: {}",
            rule.id, rule.allowed, rule.source
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
