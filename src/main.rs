//! dlaplan: the window, and every command without one.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use dlaplan::cli::program::Verb;

type Program = dlaplan::cli::program::Program<window::Args>;

fn main() -> ExitCode {
    if let Some((word, command)) = std::env::args_os().nth(1).and_then(|a| misspelt(&a)) {
        writeln!(
            std::io::stderr(),
            "error: {word:?} is neither a command nor a file; did you mean `dlaplan {command}`?"
        )
        .ok();
        return ExitCode::from(2);
    }
    env_logger::Builder::from_env(env_logger::Env::new().filter_or(
        "DLAPLAN_LOG",
        "warn,tracing=off,usvg=error,egui_system_font_provider=error",
    ))
    .format_timestamp(None)
    .init();
    // Before arguments are read: a target may be one of these boards.
    if let Some(folder) = dlaplan::history::data_dir() {
        dlaplan::tasks::described::read_descriptions(&folder);
    }
    let program = Program::parse();
    let result = match program.command {
        Some(Verb::Headless(command)) => command.run(),
        Some(Verb::Demo) => window::demo(),
        None => window::open(program.window),
    };
    match result {
        Ok(code) => code,
        Err(error) if closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if stderr is closed too.
            writeln!(std::io::stderr(), "error: {}", words(&error)).ok();
            ExitCode::from(2)
        }
    }
}

/// A first word that is almost a command, and would be taken for a model.
fn misspelt(word: &std::ffi::OsStr) -> Option<(String, String)> {
    let text = word.to_str()?;
    if text.starts_with('-') || std::path::Path::new(word).exists() {
        return None;
    }
    let mut program = Program::command();
    program.build();
    let commands = program.get_subcommands().map(|c| c.get_name().to_owned());
    let (slips, command) = commands
        .map(|c| (strsim::osa_distance(text, &c), c))
        .min_by_key(|(slips, _)| *slips)?;
    matches!(slips, 1..=2).then(|| (text.to_owned(), command))
}

/// The error and its causes, without a cause that was already told: many name theirs.
fn words(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !told.contains(&text) {
            let colon = if told.is_empty() { "" } else { ": " };
            told.push_str(colon);
            told.push_str(&text);
        }
    }
    told
}

/// The reader of our output has seen enough (`dlaplan plan … | head`).
fn closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        let io = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = e
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(feature = "gui")]
mod window {
    use std::process::ExitCode;

    use anyhow::{Result, anyhow, bail};
    pub use dlaplan::cli::program::WindowArgs as Args;
    use dlaplan::gui::MadeAt;
    use dlaplan::gui::Options;
    use dlaplan::gui::run;
    use dlaplan::placement::Placement;

    const HEADLESS: &str = "use the commands that need no display: dlaplan inspect, plan, estimate, \
                            search, profile, chart, export (see dlaplan --help)";

    /// The window with a guided tour over the last session.
    pub fn demo() -> Result<ExitCode> {
        show(Options {
            demo: true,
            ..Options::default()
        })
    }

    fn show(options: Options) -> Result<ExitCode> {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        if !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
            bail!("there is no display (DISPLAY and WAYLAND_DISPLAY are not set); {HEADLESS}");
        }
        run(options).map_err(|e| anyhow!("{e:#}; {HEADLESS}"))?;
        Ok(ExitCode::SUCCESS)
    }

    pub fn open(args: Args) -> Result<ExitCode> {
        let said = args.setup.read()?;
        let placed = said.file.is_some() || said.placement != Placement::default();
        let options =
            Options {
                model: args.model,
                inputs: args.input.into_iter().collect(),
                made_at: said.file.as_ref().zip(args.setup.placement.placement).map(
                    |(file, path)| MadeAt {
                        file: path,
                        inputs: file.inputs.clone(),
                        point: None,
                    },
                ),
                target: said.target,
                config: said.config,
                batch_said: said.batch_said,
                placement: placed.then_some(said.placement),
                demo: args.demo,
            };
        show(options)
    }
}

#[cfg(not(feature = "gui"))]
mod window {
    use std::process::ExitCode;

    use anyhow::{Result, bail};
    pub use dlaplan::cli::program::NoWindowArgs as Args;

    pub fn open(_: Args) -> Result<ExitCode> {
        demo()
    }

    pub fn demo() -> Result<ExitCode> {
        bail!("this dlaplan was built without its window (feature `gui`); see dlaplan --help")
    }
}
