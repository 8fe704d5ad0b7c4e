//! Drawing with plotters onto SVG, which resvg turns into PNG. The font is embedded, so a chart
//! looks the same everywhere and needs no font on the machine.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
use resvg::usvg;

use crate::figure::{Figure, short};

use super::{Axis, Chart, Group, Mark, Point, Shape, Spot, View, elide};

/// A chart could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct DrawError(String);

/// How a chart is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its colours.
    pub palette: Palette,
    /// The day it was made, in words; none on a page that says so itself.
    pub date: Option<String>,
}

impl From<Palette> for Look {
    fn from(palette: Palette) -> Self {
        Self {
            palette,
            date: None,
        }
    }
}

/// Colours of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// For paper and light pages.
    Light,
    /// For dark pages.
    Dark,
}

/// Colours by what they are for; those of the window.
pub(crate) struct Colours {
    pub(crate) back: RGBColor,
    pub(crate) text: RGBColor,
    pub(crate) faint: RGBColor,
    pub(crate) grid: RGBColor,
    pub(crate) mine: RGBColor,
    pub(crate) published: RGBColor,
    pub(crate) current: RGBColor,
    pub(crate) line: RGBColor,
}

impl Colours {
    /// A colour of what is beside the point: most of the way to the background.
    fn muted(&self, colour: RGBColor) -> RGBColor {
        let mix = |a: u8, b: u8| ((u16::from(a) + 2 * u16::from(b)) / 3) as u8;
        RGBColor(
            mix(colour.0, self.back.0),
            mix(colour.1, self.back.1),
            mix(colour.2, self.back.2),
        )
    }
}

impl Palette {
    pub(crate) fn colours(self) -> Colours {
        match self {
            Self::Light => Colours {
                back: RGBColor(255, 255, 255),
                text: RGBColor(0x26, 0x30, 0x3c),
                faint: RGBColor(0x4d, 0x58, 0x66),
                grid: RGBColor(0xdc, 0xe1, 0xe7),
                mine: RGBColor(0x15, 0x60, 0xc4),
                published: RGBColor(0x8d, 0x98, 0xa7),
                current: RGBColor(0x0e, 0x16, 0x20),
                line: RGBColor(0x8f, 0x55, 0x00),
            },
            Self::Dark => Colours {
                back: RGBColor(0x14, 0x18, 0x1e),
                text: RGBColor(0xd2, 0xd9, 0xe3),
                faint: RGBColor(0x9f, 0xaa, 0xb9),
                grid: RGBColor(0x28, 0x2f, 0x39),
                mine: RGBColor(0x5a, 0xa2, 0xf7),
                published: RGBColor(0x7d, 0x89, 0x99),
                current: RGBColor(0xf2, 0xf5, 0xf9),
                line: RGBColor(0xf0, 0xb1, 0x3c),
            },
        }
    }
}

const WIDTH: u32 = 960;
/// Pixels of a PNG per pixel of the SVG.
const SHARPNESS: u32 = 2;
const ROW: i32 = 24;
const LABELS: i32 = 300;
const RIGHT: i32 = 110;
const TOP: i32 = 76;
/// Extra room above a section.
const SECTION: i32 = 16;
const SCATTER_HEIGHT: u32 = 420;
/// Height of a line under the chart, letters in it, and most sources named.
const NOTE: u32 = 17;
const NOTE_WIDTH: usize = 180;
const MOST_SOURCES: usize = 6;

type Area<'a, DB> = DrawingArea<DB, Shift>;
/// Draws a legend's sample at a place from the left.
type Sample<'a, DB> = Box<dyn Fn(i32) -> DynElement<'static, DB, (i32, i32)> + 'a>;

impl Chart {
    /// The chart as an SVG document.
    ///
    /// # Errors
    /// plotters cannot draw it.
    pub fn svg(&self, look: impl Into<Look>) -> Result<String, DrawError> {
        let look = look.into();
        let notes = self.notes(&look);
        let mut text = String::new();
        {
            let size = self.size(notes.len());
            let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
            self.draw(&area, look.palette, &notes)?;
        }
        Ok(text.replace(|c| !in_xml(c), "\u{fffd}"))
    }

    /// The chart as a PNG file, [`SHARPNESS`] times as large as the SVG and drawn from it.
    ///
    /// # Errors
    /// plotters cannot draw it, or resvg cannot render it.
    pub fn png(&self, look: impl Into<Look>) -> Result<Vec<u8>, DrawError> {
        let pixels = self.pixmap(look.into())?;
        pixels.encode_png().map_err(|e| DrawError(e.to_string()))
    }

    /// The same picture as pixels: width, height, and RGBA bytes row by row, for the clipboard.
    ///
    /// # Errors
    /// As [`Self::png`].
    pub fn pixels(&self, look: impl Into<Look>) -> Result<(u32, u32, Vec<u8>), DrawError> {
        let pixels = self.pixmap(look.into())?;
        let plain = pixels.pixels().iter().map(PremultipliedColorU8::demultiply);
        let rgba = plain.flat_map(|p| [p.red(), p.green(), p.blue(), p.alpha()]);
        Ok((pixels.width(), pixels.height(), rgba.collect()))
    }

    fn pixmap(&self, look: Look) -> Result<Pixmap, DrawError> {
        let size = self.size(self.notes(&look).len());
        let svg = self.svg(look)?;
        let fail = |e: &dyn std::fmt::Display| DrawError(e.to_string());
        let mut options = usvg::Options::default();
        let fonts = options.fontdb_mut();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family = fonts.faces().next().and_then(|f| f.families.first());
        let family = family.map(|(name, _)| name.clone());
        if !embedded_suffices(&svg) {
            // Slow where there are many, and of no use to most charts.
            fonts.load_system_fonts();
        }
        // Last: the system's fonts bring a choice of their own.
        if let Some(name) = family {
            fonts.set_sans_serif_family(name);
        }
        let tree = usvg::Tree::from_str(&svg, &options).map_err(|e| fail(&e))?;
        let (width, height) = size;
        let mut pixels = Pixmap::new(width * SHARPNESS, height * SHARPNESS)
            .ok_or_else(|| fail(&"too many bars for one picture"))?;
        let scale = Transform::from_scale(SHARPNESS as f32, SHARPNESS as f32);
        resvg::render(&tree, scale, &mut pixels.as_mut());
        Ok(pixels)
    }

    /// The lines under a chart: when it was made, and where its figures come from.
    fn notes(&self, look: &Look) -> Vec<String> {
        let mut notes = Vec::new();
        let version = env!("CARGO_PKG_VERSION");
        if let Some(date) = &look.date {
            notes.push(format!("{date}, dlaplan {version}"));
        }
        let mut sources: Vec<String> = Vec::new();
        for point in self.points.iter().filter(|p| p.fps.value().is_some()) {
            let source = format!("{}: {}", point.mark.text(), point.fps.source());
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        let more = sources.len().saturating_sub(MOST_SOURCES);
        for source in sources.iter().take(MOST_SOURCES) {
            notes.extend(wrapped(source, NOTE_WIDTH));
        }
        if more > 0 {
            notes.push(format!("and {more} more sources"));
        }
        notes
    }

    /// Width and height in pixels: as many rows as there are bars, and the notes below.
    fn size(&self, notes: usize) -> (u32, u32) {
        let mut height = TOP as u32 + 24;
        for (i, (_, groups)) in self.sections().iter().enumerate() {
            height += 24 + if i > 0 { SECTION as u32 } else { 0 };
            for group in groups {
                height += (ROW * group.rows() + 34) as u32;
            }
        }
        height += SCATTER_HEIGHT * self.scatters().len() as u32;
        if notes > 0 {
            height += NOTE * notes as u32 + 16;
        }
        (WIDTH, height)
    }

    fn sections(&self) -> Vec<(View, Vec<Group<'_>>)> {
        let alone = (View::Bars, self.groups());
        let together = (View::Deployments, self.deployments());
        [alone, together]
            .into_iter()
            .filter(|(_, g)| !g.is_empty())
            .collect()
    }

    /// The scatters that have something to compare.
    fn scatters(&self) -> Vec<Axis> {
        let mut all = vec![Axis::DlaShare, Axis::Energy];
        all.retain(|axis| self.spots(*axis).len() > 1);
        all
    }

    fn draw<DB: DrawingBackend>(
        &self,
        area: &Area<'_, DB>,
        palette: Palette,
        notes: &[String],
    ) -> Result<(), DrawError> {
        load_font()?;
        let colours = palette.colours();
        self.draw_all(area, &colours, notes)
            .map_err(|e| DrawError(e.to_string()))
    }

    fn draw_all<DB: DrawingBackend>(
        &self,
        area: &Area<'_, DB>,
        c: &Colours,
        notes: &[String],
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.fill(&c.back)?;
        text(area, &self.title, (24, 18), 22, c.text, HPos::Left)?;
        self.legend(area, c)?;
        let mut y = TOP;
        for (i, (view, groups)) in self.sections().into_iter().enumerate() {
            y += if i > 0 { SECTION } else { 0 };
            let heading = match view {
                View::Bars | View::Scatter | View::Energy => "FPS per placement",
                View::Deployments => "FPS of engines running at the same time",
            };
            text(area, heading, (24, y), 16, c.text, HPos::Left)?;
            y += 24;
            let scale = f64::from(WIDTH as i32 - LABELS - RIGHT) / self.max_fps(view);
            for group in &groups {
                y = bars(area, self, group, y, scale, c)?;
            }
        }
        for axis in self.scatters() {
            let (_, below) = area.split_vertically(y);
            let (plot, _) = below.split_vertically(SCATTER_HEIGHT);
            self.draw_scatter(&plot, axis, c)?;
            y += SCATTER_HEIGHT as i32;
        }
        for note in notes {
            text(area, note, (24, y + 8), 12, c.faint, HPos::Left)?;
            y += NOTE as i32;
        }
        area.present()
    }

    fn draw_scatter<DB: DrawingBackend>(
        &self,
        area: &Area<'_, DB>,
        axis: Axis,
        c: &Colours,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let top = self.scatter_top(axis) * 1.08;
        let spots = self.spots(axis);
        let (left, right) = axis.bounds(spots.iter().map(|(_, value, _)| *value));
        let several = self.precisions().len() > 1;
        let style = |size: i32, colour: RGBColor| ("sans-serif", size).into_font().color(&colour);
        let mut chart = ChartBuilder::on(area)
            .margin(24)
            .caption(axis.title(), style(16, c.text))
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(left..right, 0f64..top)?;
        chart
            .configure_mesh()
            .x_desc(axis.label())
            .y_desc("FPS")
            .label_style(style(13, c.faint))
            .axis_desc_style(style(13, c.faint))
            .bold_line_style(c.grid)
            .light_line_style(c.back)
            .axis_style(c.faint)
            .x_label_formatter(&|x| {
                let digits = usize::from(right - left < 10.0);
                format!("{x:.digits$}")
            })
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()?;
        for (precision, line) in self.fronts_over(axis) {
            let points = line.iter().map(|(_, x, y)| (axis.shown(*x), *y));
            chart.draw_series(LineSeries::new(points, c.line.stroke_width(2)))?;
            if let Some((_, x, y)) = line.first() {
                // Beside the line, which falls over the share and rises with the energy.
                let aside = match axis {
                    Axis::DlaShare => 0.02,
                    Axis::Energy => -0.06,
                };
                let at = (axis.shown(*x) + (right - left) * aside, y + top * 0.05);
                chart.draw_series([Text::new(precision.to_string(), at, style(13, c.line))])?;
            }
        }
        let (others, mut points): (Vec<_>, Vec<_>) = spots
            .into_iter()
            .partition(|(i, ..)| self.other_batch(&self.points[*i]));
        // What the chart is about lies over the rest, the placement on screen over all.
        points.sort_by_key(|(i, ..)| self.points[*i].current);
        for (i, value, fps) in others.into_iter().chain(points) {
            let point = &self.points[i];
            let colour = if self.beside(point) {
                c.muted(colour_of(point, c))
            } else {
                colour_of(point, c)
            };
            let x = axis.shown(value);
            if let (Mark::Estimated, Some((low, high))) = (point.mark, point.fps.range()) {
                chart.draw_series(LineSeries::new([(x, low), (x, high)], colour.mix(0.5)))?;
            }
            let fill: ShapeStyle = match point.mark {
                Mark::Estimated => colour.stroke_width(2),
                Mark::Measured | Mark::Published => colour.filled(),
            };
            let shape = point.shape(several);
            if point.mark == Mark::Estimated {
                let back = mark((0, 0), 6.0, shape, c.back.filled());
                chart.draw_series([EmptyElement::at((x, fps)) + back])?;
            }
            let own = mark((0, 0), 6.0, shape, fill);
            chart.draw_series([EmptyElement::at((x, fps)) + own])?;
        }
        Ok(())
    }

    /// What the colours and shapes mean, of those that are drawn.
    fn legend<DB: DrawingBackend>(
        &self,
        area: &Area<'_, DB>,
        c: &Colours,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let any = |test: &dyn Fn(&Point) -> bool| self.points.iter().any(test);
        let scatter = self.scatter();
        let box_at = |x: i32| [(x, 50), (x + 12, 60)];
        let square = |fill: ShapeStyle| move |x| Rectangle::new(box_at(x), fill).into_dyn();
        let mut entries: Vec<(&str, i32, Sample<'_, DB>)> = Vec::new();
        if any(&|p| p.mark == Mark::Estimated) {
            let hollow = square(c.mine.stroke_width(2));
            entries.push(("estimated, with its error band", 210, Box::new(hollow)));
        }
        if any(&|p| p.mark == Mark::Measured) {
            entries.push(("measured", 90, Box::new(square(c.mine.filled()))));
        }
        if any(&|p| p.mark == Mark::Published) {
            let name = self.published_name();
            let width = if name == Mark::Published.text() {
                90
            } else {
                225
            };
            entries.push((name, width, Box::new(square(c.published.filled()))));
        }
        if any(&|p| p.current) {
            entries.push(("this placement", 120, Box::new(square(c.current.filled()))));
        }
        if scatter.len() > 1 && !self.fronts().is_empty() {
            let ends = |x: i32| vec![(x - 3, 55), (x + 13, 55)];
            let style = c.line.stroke_width(2);
            let line = move |x| PathElement::new(ends(x), style).into_dyn();
            entries.push(("Pareto front", 110, Box::new(line)));
        }
        let other = |(i, ..): &Spot| self.other_batch(&self.points[*i]);
        if scatter.len() > 1 && scatter.iter().any(other) {
            let style = c.muted(c.mine).filled();
            let circle = move |x| Circle::new((x + 6, 55), 5, style).into_dyn();
            entries.push(("another batch", 110, Box::new(circle)));
        }
        let precisions = self.precisions();
        let names: Vec<String> = precisions.iter().map(ToString::to_string).collect();
        if precisions.len() > 1 {
            for (precision, name) in precisions.iter().zip(&names) {
                let (shape, style) = (Shape::of(*precision), c.faint.filled());
                let sample = move |x| mark((x + 6, 55), 5.0, shape, style);
                entries.push((name, 30 + 8 * name.len() as i32, Box::new(sample)));
            }
        }
        let mut x = 24;
        for (words, width, sample) in entries {
            area.draw(&sample(x))?;
            text(area, words, (x + 18, 48), 13, c.faint, HPos::Left)?;
            x += width;
        }
        Ok(())
    }
}

impl Group<'_> {
    fn rows(&self) -> i32 {
        self.bars.len() as i32 + i32::from(self.total_fps.is_some())
    }
}

/// Makes the embedded font plotters' `sans-serif`, once.
pub fn load_font() -> Result<(), DrawError> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let loaded =
        LOADED.get_or_init(|| register_font("sans-serif", FontStyle::Normal, font).is_ok());
    if *loaded {
        Ok(())
    } else {
        Err(DrawError("the embedded font is damaged".into()))
    }
}

/// A point's mark around a place, in pixels; its outline where the style is not filled.
fn mark<DB: DrawingBackend>(
    at: (i32, i32),
    radius: f32,
    shape: Shape,
    style: ShapeStyle,
) -> DynElement<'static, DB, (i32, i32)> {
    let corner = |(x, y): &(f32, f32)| {
        let whole = |v: f32| (v * radius).round() as i32;
        (at.0 + whole(*x), at.1 + whole(*y))
    };
    let mut corners: Vec<(i32, i32)> = shape.corners().iter().map(corner).collect();
    match corners.first().copied() {
        None => Circle::new(at, radius as i32, style).into_dyn(),
        Some(_) if style.filled => Polygon::new(corners, style).into_dyn(),
        Some(first) => {
            corners.push(first);
            PathElement::new(corners, style).into_dyn()
        }
    }
}

/// Whether the embedded font has the letters: Latin, Greek and Cyrillic, and signs.
fn embedded_suffices(text: &str) -> bool {
    text.chars()
        .all(|c| matches!(c, '\0'..='\u{52f}' | '\u{1e00}'..='\u{22ff}' | '\u{fffd}'))
}

/// Lines of at most so many letters, broken between words; a longer word is broken itself.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut left = most;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(most) {
            if piece.len() >= left {
                lines.push(String::new());
                left = most;
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    line.push(' ');
                    left = left.saturating_sub(1);
                }
                line.extend(piece);
            }
            left = left.saturating_sub(piece.len());
        }
    }
    lines.retain(|l| !l.is_empty());
    lines
}

/// Whether XML 1.0 has the character; a file's name may be anything.
fn in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn colour_of(point: &Point, c: &Colours) -> RGBColor {
    match (point.mark, point.current) {
        (Mark::Published, _) => c.published,
        (_, true) => c.current,
        (_, false) => c.mine,
    }
}

fn text<DB: DrawingBackend>(
    area: &Area<'_, DB>,
    words: &str,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    side: HPos,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let style = ("sans-serif", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(side, VPos::Top));
    area.draw(&Text::new(words.to_owned(), at, style))
}

fn bars<DB: DrawingBackend>(
    area: &Area<'_, DB>,
    chart: &Chart,
    group: &Group<'_>,
    top: i32,
    scale: f64,
    c: &Colours,
) -> Result<i32, DrawingAreaErrorKind<DB::ErrorType>> {
    text(area, &group.title, (24, top), 13, c.faint, HPos::Left)?;
    let mut y = top + 20;
    for (_, point) in &group.bars {
        text(
            area,
            &elide(&point.label, 44),
            (LABELS - 10, y + 4),
            13,
            c.text,
            HPos::Right,
        )?;
        if let Some(fps) = point.fps.value() {
            let colour = match colour_of(point, c) {
                colour if chart.elsewhere(point) => c.muted(colour),
                colour => colour,
            };
            bar(area, point, fps, y, scale, colour, c)?;
        } else {
            let why = format!("no estimate: {}", elide(point.fps.source(), 80));
            text(area, &why, (LABELS, y + 3), 13, c.faint, HPos::Left)?;
        }
        y += ROW;
    }
    if let Some(total) = group.total_fps {
        let right = LABELS + (total * scale).round() as i32;
        text(
            area,
            "together",
            (LABELS - 10, y + 4),
            13,
            c.faint,
            HPos::Right,
        )?;
        area.draw(&Rectangle::new(
            [(LABELS, y + 8), (right, y + 12)],
            c.faint.filled(),
        ))?;
        text(
            area,
            &short(total),
            (right + 8, y + 3),
            13,
            c.text,
            HPos::Left,
        )?;
        y += ROW;
    }
    Ok(y + 14)
}

fn bar<DB: DrawingBackend>(
    area: &Area<'_, DB>,
    point: &Point,
    fps: f64,
    y: i32,
    scale: f64,
    colour: RGBColor,
    c: &Colours,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let x = |v: f64| LABELS + (v * scale).round() as i32;
    let shape = [(LABELS, y + 2), (x(fps), y + ROW - 6)];
    let mut end = x(fps);
    if point.mark == Mark::Estimated {
        area.draw(&Rectangle::new(shape, colour.mix(0.15).filled()))?;
        area.draw(&Rectangle::new(shape, colour.stroke_width(2)))?;
    } else {
        area.draw(&Rectangle::new(shape, colour.filled()))?;
    }
    if let Some((low, high)) = point.fps.range()
        && high > low
    {
        let middle = y + ROW / 2 - 2;
        area.draw(&PathElement::new(
            vec![(x(low), middle), (x(high), middle)],
            c.text,
        ))?;
        for edge in [low, high] {
            let at = x(edge);
            area.draw(&PathElement::new(
                vec![(at, middle - 4), (at, middle + 4)],
                c.text,
            ))?;
        }
        end = end.max(x(high));
    }
    let words = match &point.fps {
        Figure::Estimated(e) => format!("{} {}", short(fps), e.band),
        Figure::Measured(_) | Figure::None { .. } => short(fps),
    };
    text(area, &words, (end + 8, y + 3), 13, c.text, HPos::Left)
}

#[cfg(test)]
mod tests {
    use crate::platform::Target;

    use super::super::tests::{sample, with_energy};
    use super::*;

    #[test]
    fn svg_holds_every_label_and_escapes() {
        let svg = sample().svg(Palette::Light).unwrap();
        assert!(svg.contains("resnet18_fp16_gpu_dla1"));
        assert!(svg.contains("&lt;with&gt;"), "names are escaped");
        assert!(svg.contains("380 ±10 %"));
        assert_eq!(
            svg,
            sample().svg(Palette::Light).unwrap(),
            "same data, same bytes"
        );
        assert_ne!(svg, sample().svg(Palette::Dark).unwrap());
    }

    #[test]
    fn the_legend_names_what_is_drawn() {
        let mut chart = sample();
        let svg = chart.svg(Palette::Light).unwrap();
        assert!(svg.contains("Pareto front"));
        assert!(!svg.contains("another batch") && !svg.contains("this placement"));
        chart.points[4].batch = 4;
        chart.points[3].current = true;
        let svg = chart.svg(Palette::Light).unwrap();
        assert!(svg.contains("another batch") && svg.contains("this placement"));
        chart.points.truncate(1);
        assert!(!chart.svg(Palette::Light).unwrap().contains("Pareto front"));
    }

    #[test]
    fn energy_is_an_axis_where_it_was_measured() {
        let plain = sample().svg(Palette::Light).unwrap();
        assert!(!plain.contains("mJ per image"));
        let chart = with_energy(sample());
        let svg = chart.svg(Palette::Light).unwrap();
        assert!(svg.contains("mJ per image") && svg.contains("share of the MACs on the DLA, %"));
        assert_eq!(chart.size(0).1, sample().size(0).1 + SCATTER_HEIGHT);
    }

    #[test]
    fn names_cannot_break_a_chart() {
        let mut chart = sample();
        chart.title = "a\u{1}b <&> \u{ffff}".into();
        chart.points[0].label = "x\u{2}".into();
        let svg = chart.svg(Palette::Light).unwrap();
        assert!(
            svg.chars().all(in_xml) && svg.contains("a\u{fffd}b &lt;&amp;&gt;"),
            "{svg}"
        );
        chart.png(Palette::Light).unwrap();
    }

    #[test]
    fn png_has_the_promised_size() {
        let chart = sample();
        let png = chart.png(Palette::Dark).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&png))
            .read_info()
            .unwrap();
        let (width, height) = chart.size(chart.notes(&Palette::Dark.into()).len());
        let asked = (width * SHARPNESS, height * SHARPNESS);
        assert_eq!((reader.info().width, reader.info().height), asked);
        if let Ok(path) = std::env::var("DLAPLAN_CHART_PNG") {
            crate::export::save_atomic(path.as_ref(), &png).unwrap();
        }
    }

    #[test]
    fn a_picture_says_when_and_from_what() {
        let chart = sample();
        let look = Look {
            palette: Palette::Light,
            date: Some("2026-11-28".into()),
        };
        let svg = chart.svg(look).unwrap();
        assert!(svg.contains("2026-11-28, dlaplan"));
        for point in &chart.points {
            let start: String = point.fps.source().chars().take(20).collect();
            let said = format!("{}: {start}", point.mark.text());
            assert!(svg.contains(&said), "{said}");
        }
        assert!(!chart.svg(Palette::Light).unwrap().contains("2026-11-28"));
    }

    #[test]
    fn notes_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 9), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert!(wrapped("", 4).is_empty());
    }

    #[test]
    fn other_scripts_are_drawn_with_the_fonts_of_the_system() {
        assert!(embedded_suffices("résumé ±10 % – Модель"));
        for name in ["网络", "ネット", "네트", "רשת", "شبكة", "\u{1f600}"] {
            assert!(!embedded_suffices(name), "{name}");
        }
        let mut options = usvg::Options::default();
        options.fontdb_mut().load_system_fonts();
        let titled = |title: &str| {
            let mut chart = sample();
            chart.title = title.into();
            chart.png(Palette::Light).unwrap()
        };
        // A letter that no font has, for comparison: the box both would be.
        if options.fontdb_mut().faces().any(|f| {
            let han = |(name, _): &(String, _)| name.contains("CJK") || name.contains("WenQuanYi");
            f.families.iter().any(han)
        }) {
            let same = titled("网络") == titled("\u{e123}\u{e124}");
            assert!(!same, "boxes");
        }
    }

    #[test]
    fn one_point_and_two_hundred() {
        let one = sample().points[0].clone();
        for count in [0, 1, 200] {
            let chart = Chart {
                title: String::new(),
                target: Target::default(),
                points: vec![one.clone(); count],
            };
            assert!(
                chart.svg(Palette::Light).unwrap().contains("</svg>"),
                "{count}"
            );
        }
    }
}
