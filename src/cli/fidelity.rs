//! `dlaplan fidelity`: predicted against measured, as a report and a chart.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::chart::load_font;
use crate::estimate::board::Mix;
use crate::estimate::fidelity::markdown;
use crate::estimate::fit::{Comparison, calibrate};

use super::calibrate::{measurements, save};

/// Compare the estimates with every published measurement.
#[derive(Clone, Debug, clap::Args)]
pub struct FidelityArgs {
    /// Measurements to compare with; the published ones that ship with dlaplan if not given.
    #[arg(long, value_name = "FILE")]
    pub measurements: Option<PathBuf>,
    /// Folder to write `fidelity.md` and `fidelity.svg` to; printed only if not given.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Unreadable measurements, a row about something that does not exist, an unwritable folder.
pub fn run(args: &FidelityArgs) -> Result<ExitCode> {
    let measurements = measurements(args.measurements.as_deref())?;
    let calibration = calibrate(&measurements)?;
    let text = markdown(&calibration, &measurements);
    let mut out = super::terminal::stdout();
    match &args.out {
        None => out.write_all(text.as_bytes())?,
        Some(dir) => {
            save(&dir.join("fidelity.md"), text.as_bytes())?;
            let svg = chart(&calibration.comparisons)?;
            save(&dir.join("fidelity.svg"), svg.as_bytes())?;
            writeln!(
                out,
                "wrote {} and {}",
                dir.join("fidelity.md").display(),
                dir.join("fidelity.svg").display()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A label, a colour and the rows that have them.
type Kind = (&'static str, RGBColor, fn(&Comparison) -> bool);

/// Predicted over measured time, both logarithmic; hollow rows only check.
///
/// # Errors
/// The chart library fails to draw.
pub fn chart(comparisons: &[Comparison]) -> Result<String> {
    const SIZE: (u32, u32) = (900, 780);
    let kinds: [Kind; 4] = [
        ("GPU", RGBColor(38, 115, 77), |c| {
            !c.concurrent && c.mix == Mix::Gpu
        }),
        ("DLA", RGBColor(178, 81, 16), |c| {
            !c.concurrent && c.mix == Mix::Dla
        }),
        ("GPU + DLA", RGBColor(52, 84, 158), |c| {
            !c.concurrent && c.mix == Mix::Both
        }),
        ("concurrent", RGBColor(140, 50, 120), |c| c.concurrent),
    ];
    load_font()?;
    let mut svg = String::new();
    {
        let wrong = |e: &dyn std::fmt::Display| anyhow!("cannot draw the chart: {e}");
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|e| wrong(&e))?;
        let (low, high) = (0.003_f64, 200.0_f64);
        let span = (low..high).log_scale();
        let mut chart = ChartBuilder::on(&root)
            .caption(
                "Predicted against measured time (hollow: check only; lines: 25 % off)",
                ("sans-serif", 18),
            )
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(span.clone(), span)
            .map_err(|e| wrong(&e))?;
        chart
            .configure_mesh()
            .x_desc("measured, ms")
            .y_desc("predicted, ms")
            .light_line_style(RGBColor(240, 240, 240))
            .bold_line_style(RGBColor(222, 222, 222))
            .draw()
            .map_err(|e| wrong(&e))?;
        for (factor, colour) in [
            (1.0_f64, RGBColor(70, 70, 70)),
            (0.8, RGBColor(170, 170, 170)),
            (1.25, RGBColor(170, 170, 170)),
        ] {
            chart
                .draw_series(LineSeries::new(
                    [
                        (low / factor.min(1.0), low * factor.max(1.0)),
                        (high / factor.max(1.0), high * factor.min(1.0)),
                    ],
                    colour,
                ))
                .map_err(|e| wrong(&e))?;
        }
        for (label, colour, keep) in kinds {
            chart
                .draw_series(comparisons.iter().filter(|c| keep(c)).map(|c| {
                    let style = if c.fitted {
                        colour.filled()
                    } else {
                        colour.stroke_width(1)
                    };
                    Circle::new((c.measured_ms, c.predicted_ms), 3, style)
                }))
                .map_err(|e| wrong(&e))?
                .label(label)
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.9))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()
            .map_err(|e| wrong(&e))?;
        root.present().map_err(|e| wrong(&e))?;
    }
    Ok(svg)
}
