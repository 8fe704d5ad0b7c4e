//! Boards, power modes, TensorRT versions, and what each one's DLA can run.

mod board;
pub mod dla_rules;
mod tensorrt;

use std::fmt;

pub use board::{Board, DlaGeneration, DlaSpec, GpuArch, GpuSpec, PowerMode, boards};
pub use tensorrt::{Dialect, DlaSupport, TensorRt};

/// Where an engine would run: board, power mode and TensorRT version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The board.
    pub board: &'static Board,
    /// The power mode; one of the board's.
    pub mode: &'static PowerMode,
    /// The TensorRT version.
    pub tensorrt: TensorRt,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, TensorRT {}",
            self.board.name, self.mode.name, self.tensorrt
        )
    }
}
