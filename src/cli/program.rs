//! The arguments of the whole program, with a window and without one.

use std::path::PathBuf;

use clap::Parser;

use super::Command;
use super::args::{SetupArgs, parse_input};

/// The first word of a command line, if it names something to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Verb {
    /// A command that needs no window.
    #[command(flatten)]
    Headless(Box<Command>),
    /// Open the window with a guided tour: ResNet-18 on GPU and DLA, beside published figures.
    Demo,
}

/// See, judge, measure and export which parts of a network run on the GPU and which on the DLA of a
/// Jetson. Without a command it opens the window, if it was built with one.
#[derive(Clone, Debug, Parser)]
#[command(name = "dlaplan", version, args_conflicts_with_subcommands = true)]
pub struct Program<W: clap::Args> {
    /// What to do without a window.
    #[command(subcommand)]
    pub command: Option<Verb>,
    /// What the window opens with.
    #[command(flatten)]
    pub window: W,
}

/// What the window opens with.
#[derive(Clone, Debug, clap::Args)]
pub struct WindowArgs {
    /// ONNX file, or `bundled:resnet18` and so on; the last session if not given.
    #[arg(value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Dims of an input the file leaves open, or to override the file's.
    #[arg(long, value_name = "NAME=1x3x224x224", value_parser = parse_input)]
    pub input: Vec<(String, Vec<u64>)>,
    /// Begin with a guided tour; your own work is put back after it.
    #[arg(long)]
    pub demo: bool,
    /// Target, engine config and placement.
    #[command(flatten)]
    pub setup: SetupArgs,
}

/// Nothing: a program without its window opens none.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct NoWindowArgs {}
