//! Predicted against measured as a chart.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use dlaplan::chart::load_font;
use dlaplan::estimate::board::Mix;

use crate::fit::Comparison;

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
                .draw_series(
                    comparisons
                        .iter()
                        .filter(|c| !c.relative && keep(c))
                        .map(|c| {
                            let style = if c.fitted {
                                colour.filled()
                            } else {
                                colour.stroke_width(1)
                            };
                            Circle::new((c.measured_ms, c.predicted_ms), 3, style)
                        }),
                )
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
