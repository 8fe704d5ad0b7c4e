//! FPS against placement: data to series once, drawn here as SVG or PNG and interactively in the
//! window.

mod draw;
mod series;

use serde::Serialize;

use crate::figure::{Figure, Measured};
use crate::model::Model;
use crate::placement::{EngineConfig, Placement, Precision};
use crate::platform::{Place, Target};

pub use draw::{DrawError, Look, Palette, load_font};
pub use series::{beside_published, estimated, kept, references, runs};

/// Where a point's figure comes from; drawn hollow, solid, or solid in the reference colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Predicted here.
    Estimated,
    /// Measured here.
    Measured,
    /// Measured by somebody else and published.
    Published,
}

impl Mark {
    /// For legends.
    pub fn text(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Measured => "measured",
            Self::Published => "published",
        }
    }
}

/// One placement (or one engine of a deployment) on the chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The name the user or the publication gave it.
    pub label: String,
    /// Images per second.
    pub fps: Figure,
    /// Energy per image, mJ, where it was measured; its source says which energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mj_per_image: Option<Measured>,
    /// Where the figure comes from.
    pub mark: Mark,
    /// Where it was measured; of an estimate the target it is for.
    pub place: Place,
    /// Share of the multiply-accumulates on the DLA, 0 to 1, where known.
    pub dla_mac_share: Option<f64>,
    /// Precision; bars are grouped by it.
    pub precision: Precision,
    /// Images per inference; bars are grouped by it too, since FPS of several are not alike.
    pub batch: u32,
    /// The deployment it ran in (`1GPU - 1DLA`); `None` alone.
    pub deployment: Option<String>,
    /// It is the placement on screen now.
    pub current: bool,
    /// The publication names no power mode; its usual one is assumed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mode_assumed: bool,
    /// What a click loads, where it is known.
    pub load: Option<(Placement, EngineConfig)>,
}

/// All points, and what the chart is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chart {
    /// Model and target.
    pub title: String,
    /// What the title names. Points of another place have a group of their own under the bars, and
    /// no part in the scatter.
    pub target: Target,
    /// In the order they are listed.
    pub points: Vec<Point>,
}

/// Where a point is in a scatter: its index in [`Chart::points`], its value on the horizontal axis,
/// its FPS.
pub type Spot = (usize, f64, f64);

/// What the FPS of a scatter are drawn against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The share of the multiply-accumulates on the DLA, 0-1; more leaves more of the GPU free.
    DlaShare,
    /// Energy per image, mJ; less is better.
    Energy,
}

impl Axis {
    /// Over the picture.
    pub fn title(self) -> &'static str {
        match self {
            Self::DlaShare => "FPS against the share of multiply-accumulates on the DLA",
            Self::Energy => "FPS against the measured energy per image",
        }
    }

    /// Beside the axis.
    pub fn label(self) -> &'static str {
        match self {
            Self::DlaShare => "share of the MACs on the DLA, %",
            Self::Energy => "mJ per image at the board's input",
        }
    }

    /// What the axis shows of a value of [`Spot`]: the share in %.
    pub fn shown(self, value: f64) -> f64 {
        match self {
            Self::DlaShare => value * 100.0,
            Self::Energy => value,
        }
    }

    /// Bounds of the axis, as it shows values.
    pub fn bounds(self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        match self {
            Self::DlaShare => share_bounds(values),
            // From nothing, so that twice as far is twice as much.
            Self::Energy => (0.0, values.fold(0.0, f64::max).max(1e-3) * 1.1),
        }
    }
}

/// Shape of a point in the scatter, by its precision where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "shapes of their names")]
pub enum Shape {
    Circle,
    Square,
    Diamond,
    Triangle,
}

impl Shape {
    /// The shape that stands for a precision.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::INT8 => Self::Square,
            Precision::INT8_FP16 => Self::Diamond,
            Precision::FP16 => Self::Circle,
            _ => Self::Triangle,
        }
    }

    /// Its corners around its centre, x to the right and y down, as large to the eye as a circle of
    /// radius 1; none for the circle.
    pub fn corners(self) -> &'static [(f32, f32)] {
        match self {
            Self::Circle => &[],
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Triangle => &[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)],
        }
    }
}

impl Point {
    /// Its shape beside others of another precision, or among its like.
    pub fn shape(&self, several: bool) -> Shape {
        if several {
            Shape::of(self.precision)
        } else {
            Shape::Circle
        }
    }
}

/// Bounds of the scatter's axis of shares, %: around the shares (0 to 1), at least 1 % wide; all of
/// the axis where they are one and the same.
pub fn share_bounds(shares: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = shares.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), share| {
        (low.min(share * 100.0), high.max(share * 100.0))
    });
    if low >= high {
        return (-4.0, 104.0);
    }
    let span = (high - low).max(1.0);
    // Room for a whole point at either end.
    let edge = span * 0.05;
    let middle = f64::midpoint(low, high);
    let low = low.min((middle - span / 2.0).max(0.0));
    let high = high.max((low + span).min(100.0));
    (low - edge, high + edge)
}

/// Which way the points are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, strum::VariantArray)]
pub enum View {
    /// A bar per placement, grouped by precision.
    #[default]
    Bars,
    /// FPS against the share of multiply-accumulates on the DLA.
    Scatter,
    /// FPS against the energy per image.
    Energy,
    /// FPS of engines running at the same time, and their sum.
    Deployments,
}

impl View {
    /// In tab order.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Name of the view on its tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bars => "FPS per placement",
            Self::Scatter => "FPS against DLA share",
            Self::Energy => "FPS against energy",
            Self::Deployments => "Engines side by side",
        }
    }

    /// The same where tabs have little room.
    pub fn short_title(self) -> &'static str {
        match self {
            Self::Bars => "Placements",
            Self::Scatter => "DLA share",
            Self::Energy => "Energy",
            Self::Deployments => "Side by side",
        }
    }
}

/// Bars that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    /// Precision, batch where there are several, and deployment.
    pub title: String,
    /// Each bar's index in [`Chart::points`] and its point, in the order of that list.
    pub bars: Vec<(usize, &'a Point)>,
    /// For deployments: the sum over the engines, where every engine has a figure.
    pub total_fps: Option<f64>,
}

impl Chart {
    /// A chart of a model on a target, without points.
    pub fn new(model: &Model, target: &Target) -> Self {
        Self {
            title: format!("{} on {target}", model.name),
            target: *target,
            points: Vec::new(),
        }
    }

    /// Whether a point was measured on another board, in another power mode or with another
    /// TensorRT than the chart is about.
    pub fn elsewhere(&self, point: &Point) -> bool {
        !point.place.is(&self.target)
    }

    /// Whether a point has another batch, board, power mode or TensorRT than the chart is about;
    /// drawn muted.
    pub fn beside(&self, point: &Point) -> bool {
        self.other_batch(point) || self.elsewhere(point)
    }

    /// The batch the chart is about: of the placement on screen, else of the first point.
    pub fn batch(&self) -> u32 {
        let current = self.points.iter().find(|p| p.current);
        current.or(self.points.first()).map_or(1, |p| p.batch)
    }

    /// Whether a point has another batch than the chart is about.
    pub fn other_batch(&self, point: &Point) -> bool {
        point.batch != self.batch()
    }

    /// A point's precision, its batch where the chart has several, and its place where that is not
    /// the chart's.
    pub fn kind(&self, point: &Point) -> String {
        let mut parts = vec![point.precision.to_string()];
        if self.points.iter().any(|p| p.batch != point.batch) {
            parts.push(format!("batch {}", point.batch));
        }
        if self.elsewhere(point) {
            parts.push(format!("on {}", point.place));
        }
        parts.join(", ")
    }

    /// What the legend says of published points, in full.
    pub fn published_name(&self) -> &'static str {
        let published = |p: &&Point| p.mark == Mark::Published;
        if self.points.iter().filter(published).any(|p| p.mode_assumed) {
            "published, power mode assumed"
        } else {
            Mark::Published.text()
        }
    }

    /// Single-engine bars by precision, batch and place, in order of first appearance; those of
    /// other places last.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups = self.grouped(|p| p.deployment.is_none().then(|| self.kind(p)));
        groups.sort_by_key(|g| g.bars.iter().any(|(_, p)| self.elsewhere(p)));
        groups
    }

    /// Engines of deployments, by deployment, precision and batch; what was published of one stands
    /// beside its estimate.
    pub fn deployments(&self) -> Vec<Group<'_>> {
        let mut groups = self.grouped(|p| {
            p.deployment
                .as_ref()
                .map(|d| format!("{d}, {}, {}", self.kind(p), p.mark.text()))
        });
        for group in &mut groups {
            group.total_fps = group.bars.iter().map(|(_, p)| p.fps.value()).sum();
        }
        let same = |p: &Point| {
            let of = |q: &Point| {
                let place = q.deployment == p.deployment && q.batch == p.batch;
                place && q.precision == p.precision
            };
            self.points.iter().position(of)
        };
        groups.sort_by_key(|g| g.bars.first().and_then(|(_, p)| same(p)));
        groups
    }

    fn grouped(&self, key: impl Fn(&Point) -> Option<String>) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (i, point) in self.points.iter().enumerate() {
            let Some(title) = key(point) else { continue };
            match groups.iter_mut().find(|g| g.title == title) {
                Some(group) => group.bars.push((i, point)),
                None => groups.push(Group {
                    title,
                    bars: vec![(i, point)],
                    total_fps: None,
                }),
            }
        }
        groups
    }

    /// Points of single engines on the chart's target that have FPS and a share on the DLA.
    pub fn scatter(&self) -> Vec<Spot> {
        self.spots(Axis::DlaShare)
    }

    /// Points of single engines on the chart's target that have both coordinates.
    pub fn spots(&self, axis: Axis) -> Vec<Spot> {
        let points = self
            .points
            .iter()
            .enumerate()
            .filter(|(_, p)| p.deployment.is_none() && !self.elsewhere(p));
        let value = |p: &Point| match axis {
            Axis::DlaShare => p.dla_mac_share,
            Axis::Energy => p.mj_per_image.as_ref().map(|mj| mj.value),
        };
        points
            .filter_map(|(i, p)| Some((i, value(p)?, p.fps.value()?)))
            .collect()
    }

    /// The precisions in the scatter, in the order of [`Precision::ALL`].
    pub fn precisions(&self) -> Vec<Precision> {
        let spots = self.scatter();
        let there = |p: &Precision| spots.iter().any(|(i, ..)| self.points[*i].precision == *p);
        Precision::ALL.into_iter().filter(there).collect()
    }

    /// The Pareto lines over the share on the DLA, one per precision that has two points or more.
    pub fn fronts(&self) -> Vec<(Precision, Vec<Spot>)> {
        self.fronts_over(Axis::DlaShare)
    }

    /// The same over an axis.
    pub fn fronts_over(&self, axis: Axis) -> Vec<(Precision, Vec<Spot>)> {
        let mut precisions = Vec::new();
        for point in &self.points {
            if !precisions.contains(&point.precision) {
                precisions.push(point.precision);
            }
        }
        let line =
            |p: Precision| Some((p, self.pareto_over(axis, p))).filter(|(_, line)| line.len() > 1);
        precisions.into_iter().filter_map(line).collect()
    }

    /// The Pareto line over the share on the DLA for one precision at [`Self::batch`]: no other point
    /// has both more work off the GPU and more FPS. By growing share.
    pub fn pareto(&self, precision: Precision) -> Vec<Spot> {
        self.pareto_over(Axis::DlaShare, precision)
    }

    /// The same over an axis, by growing value: less energy is better.
    fn pareto_over(&self, axis: Axis, precision: Precision) -> Vec<Spot> {
        let mut points = self.spots(axis);
        points.retain(|(i, _, _)| {
            let point = &self.points[*i];
            point.precision == precision && !self.other_batch(point)
        });
        points.sort_by(|a, b| {
            let order = match axis {
                Axis::DlaShare => b.1.total_cmp(&a.1),
                Axis::Energy => a.1.total_cmp(&b.1),
            };
            order.then(b.2.total_cmp(&a.2))
        });
        let mut best = f64::NEG_INFINITY;
        points.retain(|(_, _, fps)| {
            let better = *fps > best;
            best = best.max(*fps);
            better
        });
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        points
    }

    /// The upper edge of a scatter, FPS.
    pub fn scatter_top(&self, axis: Axis) -> f64 {
        let edge = |(i, _, fps): &Spot| {
            let range = self.points.get(*i).and_then(|p| p.fps.range());
            range.map_or(*fps, |(_, high)| high)
        };
        let top = self.spots(axis).iter().map(edge).fold(0.0, f64::max);
        if top > 0.0 { top } else { 1.0 }
    }

    /// The upper edge of everything drawn in a view, FPS.
    pub fn max_fps(&self, view: View) -> f64 {
        let edge = |p: &Point| p.fps.range().map_or(0.0, |(_, high)| high);
        let top = match view {
            View::Deployments => {
                let groups = self.deployments();
                let totals = groups.iter().filter_map(|g| g.total_fps);
                let parts = self.points.iter().filter(|p| p.deployment.is_some());
                totals.chain(parts.map(edge)).fold(0.0, f64::max)
            }
            View::Bars | View::Scatter | View::Energy => {
                let drawn = |p: &&Point| {
                    p.deployment.is_none() && (view == View::Bars || !self.elsewhere(p))
                };
                let alone = self.points.iter().filter(drawn);
                alone.map(edge).fold(0.0, f64::max)
            }
        };
        if top > 0.0 { top } else { 1.0 }
    }
}

/// A label cut to a length in characters, with an ellipsis in the middle: the ends of module
/// paths tell most.
pub fn elide(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max || max < 3 {
        return text.to_owned();
    }
    let head = (max - 1) / 2;
    let tail = max - 1 - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::figure::{Band, Estimated};

    pub(crate) fn point(label: &str, share: f64, fps: f64, mark: Mark) -> Point {
        Point {
            label: label.into(),
            fps: Figure::estimated(fps, Band::within(0.1), "test"),
            mj_per_image: None,
            mark,
            place: Target::default().into(),
            dla_mac_share: Some(share),
            precision: Precision::FP16,
            batch: 1,
            deployment: None,
            current: false,
            mode_assumed: false,
            load: None,
        }
    }

    pub(crate) fn sample() -> Chart {
        let mut points = vec![
            point("resnet18_fp16_gpu", 0.0, 456.3, Mark::Published),
            point("resnet18_fp16_dla", 1.0, 274.6, Mark::Published),
            point("resnet18_fp16_gpu_dla1", 0.25, 394.6, Mark::Published),
            point(
                "mine <with> a rather long name & signs in it",
                0.25,
                380.0,
                Mark::Estimated,
            ),
            point("dominated", 0.2, 300.0, Mark::Measured),
        ];
        for fps in [355.9, 209.6] {
            let mut engine = point("engine", 0.0, fps, Mark::Published);
            engine.deployment = Some("1GPU - 1DLA".into());
            points.push(engine);
        }
        Chart {
            title: "resnet18 on Jetson Xavier NX".into(),
            target: Target::default(),
            points,
        }
    }

    #[test]
    fn groups_and_sums() {
        let chart = sample();
        assert_eq!(chart.groups().len(), 1);
        assert_eq!(chart.groups()[0].bars.len(), 5);
        let deployments = chart.deployments();
        assert_eq!(deployments.len(), 1);
        assert!((deployments[0].total_fps.unwrap() - 565.5).abs() < 1e-9);
        assert!((chart.max_fps(View::Deployments) - 565.5).abs() < 1e-9);
    }

    /// An engine's band may reach beyond what all engines of its deployment make together.
    #[test]
    fn the_axis_of_deployments_holds_the_bands() {
        let mut chart = sample();
        let engine = &mut chart.points[5];
        engine.fps = Figure::Estimated(Estimated {
            value: 355.9,
            band: Band {
                low: -0.7,
                high: 0.7,
            },
            source: "test".into(),
        });
        let (_, high) = engine.fps.range().unwrap();
        assert!((chart.max_fps(View::Deployments) - high).abs() < 1e-9 && high > 600.0);
    }

    #[test]
    fn pareto_leaves_dominated_points_out() {
        let line = sample().pareto(Precision::FP16);
        let indices: Vec<usize> = line.iter().map(|(i, _, _)| *i).collect();
        assert_eq!(indices, [0, 2, 1]);
    }

    pub(crate) fn with_energy(mut chart: Chart) -> Chart {
        for (point, value) in chart.points.iter_mut().zip([40.0, 25.0, 30.0, 50.0]) {
            point.mj_per_image = Some(Measured {
                value,
                min: value,
                max: value,
                repeats: 1,
                source: "board input rails".into(),
            });
        }
        chart
    }

    #[test]
    fn less_energy_is_better() {
        let chart = with_energy(sample());
        let spots = chart.spots(Axis::Energy);
        assert_eq!(spots.len(), 4, "others were not measured: {spots:?}");
        let [(_, line)] = &chart.fronts_over(Axis::Energy)[..] else {
            panic!("one precision")
        };
        let line: Vec<(usize, f64)> = line.iter().map(|(i, mj, _)| (*i, *mj)).collect();
        assert_eq!(
            line,
            [(1, 25.0), (2, 30.0), (0, 40.0)],
            "slow and hungry is dominated"
        );
        let (left, right) = Axis::Energy.bounds(spots.iter().map(|s| s.1));
        assert!(left == 0.0 && right > 50.0);
        assert!(sample().spots(Axis::Energy).is_empty());
    }

    #[test]
    fn batches_are_not_alike() {
        let mut chart = sample();
        assert_eq!(chart.kind(&chart.points[0]), "fp16");
        let mut four = point("four", 0.25, 900.0, Mark::Estimated);
        four.batch = 4;
        chart.points.push(four);
        let titles = |chart: &Chart| -> Vec<String> {
            let groups = chart.groups();
            groups.iter().map(|g| g.title.clone()).collect()
        };
        assert_eq!(titles(&chart), ["fp16, batch 1", "fp16, batch 4"]);
        assert_eq!(
            chart.deployments()[0].title,
            "1GPU - 1DLA, fp16, batch 1, published"
        );
        let [(_, line)] = &chart.fronts()[..] else {
            panic!("one precision")
        };
        let indices: Vec<usize> = line.iter().map(|(i, _, _)| *i).collect();
        assert_eq!(
            indices,
            [0, 2, 1],
            "the faster point of batch 4 is no match"
        );
        chart.points[7].current = true;
        assert_eq!(chart.batch(), 4);
        assert!(chart.other_batch(&chart.points[0]) && chart.fronts().is_empty());
    }

    #[test]
    fn places_are_not_mixed() {
        let mut chart = sample();
        let slow = Target::parse("xavier-nx@10W").unwrap();
        chart.points[2].place = slow.into();
        chart.points[4].place = Place {
            mode: None,
            ..slow.into()
        };
        let titles: Vec<String> = chart.groups().into_iter().map(|g| g.title).collect();
        assert_eq!(
            titles,
            [
                "fp16",
                "fp16, on Xavier NX, 10W, TensorRT 8.5",
                "fp16, on Xavier NX, unknown power mode, TensorRT 8.5"
            ]
        );
        assert!(chart.beside(&chart.points[2]) && !chart.beside(&chart.points[0]));
        let spots: Vec<usize> = chart.scatter().iter().map(|(i, ..)| *i).collect();
        assert_eq!(spots, [0, 1, 3]);
        let line = chart.pareto(Precision::FP16);
        assert!(line.iter().all(|(i, ..)| ![2, 4].contains(i)), "{line:?}");
        chart.points[0].place = slow.into();
        assert!(chart.max_fps(View::Scatter) < chart.max_fps(View::Bars));
    }

    #[test]
    fn elision_keeps_both_ends() {
        assert_eq!(elide("layer1.0.conv1", 9), "laye…onv1");
        assert_eq!(elide("short", 9), "short");
    }

    #[test]
    fn the_axis_fits_its_points() {
        for shares in [vec![0.0, 0.01, 0.02], vec![0.0, 1.0], vec![0.995, 1.0]] {
            let (left, right) = share_bounds(shares.iter().copied());
            for share in &shares {
                let x = share * 100.0;
                assert!(left < x && x < right, "{shares:?}: {left} {right}");
            }
            let most = (shares.len() == 2 && shares[1] - shares[0] > 0.9) || right - left < 12.0;
            assert!(most, "{shares:?}: {left} {right}");
            assert!(left >= -5.0 && right <= 105.0, "{shares:?}: {left} {right}");
        }
        for alone in [None, Some(0.4), Some(0.0)] {
            assert_eq!(share_bounds(alone.into_iter()), (-4.0, 104.0));
        }
    }
}
