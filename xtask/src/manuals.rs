//! Manual pages and shell completions, made of the program's own arguments.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::{Shell, generate_to};

/// Writes them below `share`, where Debian's shells and `man` look: one page for the program and
/// one for each command.
///
/// # Errors
/// A folder or file cannot be written.
pub fn write(program: Command, share: &Path) -> Result<()> {
    // A page for each page of help would say nothing.
    let mut program = program.disable_help_subcommand(true);
    let name = program.get_name().to_owned();
    for (shell, folder, file) in [
        (Shell::Bash, "bash-completion/completions", name.clone()),
        (Shell::Zsh, "zsh/vendor-completions", format!("_{name}")),
        (
            Shell::Fish,
            "fish/vendor_completions.d",
            format!("{name}.fish"),
        ),
    ] {
        let folder = share.join(folder);
        made(&folder)?;
        let written = generate_to(shell, &mut program, &name, &folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        // The generator names bash's as other packagers do.
        fs::rename(&written, folder.join(file))
            .with_context(|| format!("cannot rename {}", written.display()))?;
    }
    let pages = share.join("man/man1");
    clap_mangen::generate_to(program, made(&pages)?)
        .with_context(|| format!("cannot write into {}", pages.display()))
}

fn made(folder: &Path) -> Result<&Path> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}
