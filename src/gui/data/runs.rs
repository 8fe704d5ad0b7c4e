//! Runs of the open model as a table: columns, rows, order, filter.

use crate::engine::{ErrorKind, Mark, Run, environment, unix_ms};
use crate::figure::Measured;
use crate::gui::data::actual::{Actual, Difference, differences};
use crate::history::RunHead;
use crate::model::Model;
use crate::placement::{Device, EngineConfig, Placement};
use crate::platform::{Place, Target};
use crate::tasks::words;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Columns of the table, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
#[expect(missing_docs, reason = "each is the column of its title")]
pub enum Column {
    #[default]
    When,
    Placement,
    Precision,
    Batch,
    Target,
    Fps,
    Energy,
    Estimate,
    State,
}

impl Column {
    /// All, left to right.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Over the column.
    pub fn title(self) -> &'static str {
        match self {
            Self::When => "When",
            Self::Placement => "Placement",
            Self::Precision => "Precision",
            Self::Batch => "Batch",
            Self::Target => "Measured on",
            Self::Fps => "FPS",
            Self::Energy => "mJ",
            Self::Estimate => "vs est.",
            Self::State => "State",
        }
    }
}

/// How a run ended, for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Measured as asked.
    Measured,
    /// Measured, but ops left the DLA without a word.
    SilentFallback,
    /// Cancelled by the user.
    Cancelled,
    /// No figures.
    Failed,
}

impl Ended {
    /// For the table.
    pub fn text(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::SilentFallback => "silent fallback",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// A run as a row.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// The run.
    pub head: Arc<RunHead>,
    /// Its placement in words.
    pub name: String,
    /// The machine it ran on.
    pub target: String,
    /// The board and power mode it ran on; `None` for other machines.
    pub place: Option<Place>,
    /// How it ended.
    pub ended: Ended,
    /// Everything the filter looks at, lower case.
    text: String,
    /// Per op, what it asked for; worked out when first compared, nothing if it does not fit.
    asked: OnceCell<Option<Vec<Device>>>,
}

impl RunRow {
    fn of(head: Arc<RunHead>) -> Self {
        let name = head.placement.title();
        let environment = &head.environment;
        let place = environment::measured_at(environment);
        let target = match &place {
            Some(place) => place.to_string(),
            None => environment
                .gpu
                .clone()
                .unwrap_or_else(|| environment.host.clone()),
        };
        let ended = match &head.outcome {
            Ok(_) if head.silent_fallbacks > 0 => Ended::SilentFallback,
            Ok(_) => Ended::Measured,
            Err(f) if f.kind == ErrorKind::Cancelled => Ended::Cancelled,
            Err(_) => Ended::Failed,
        };
        let group = head.deployment.as_ref().map_or("", |d| &d.group);
        let marks: Vec<&str> = head.marks.iter().map(Mark::title).collect();
        let text = format!(
            "{name} {} {target} {} batch{} {group} {}",
            head.config.precision,
            ended.text(),
            head.config.batch,
            marks.join(" ")
        )
        .to_lowercase();
        Self {
            head,
            name,
            target,
            place,
            ended,
            text,
            asked: OnceCell::new(),
        }
    }

    /// Whether it ran on this board in this power mode with this TensorRT.
    pub fn on(&self, target: &Target) -> bool {
        self.place.is_some_and(|p| p.is(target))
    }

    /// Images per second.
    pub fn fps(&self) -> Option<&Measured> {
        self.head.outcome.as_ref().ok()
    }
}

/// The table.
#[derive(Default)]
pub struct Runs {
    /// It is shown in place of the chart.
    pub shown: bool,
    /// As typed.
    pub filter: String,
    /// Sorted by, and whether downwards.
    pub sort: (Column, bool),
    /// Chosen runs, at most two; the second is compared with the first.
    pub chosen: Vec<i64>,
    /// They are being read.
    pub loading: bool,
    /// A row to bring into sight.
    pub reveal: Option<i64>,
    pub(crate) heads: Vec<Arc<RunHead>>,
    pub(crate) energy: bool,
    pub(crate) all: Vec<RunRow>,
    pub(crate) rows: Vec<u32>,
    pub(crate) read: BTreeMap<i64, Option<Arc<Run>>>,
    pub(crate) actual: Option<(i64, Arc<Actual>)>,
    pub(crate) changes: u64,
    pub(crate) own: Option<((u64, u64), Option<i64>)>,
    pub(crate) compared: Option<((i64, i64), Vec<Difference>)>,
}

impl Runs {
    /// An empty table, newest first.
    pub fn new() -> Self {
        Self {
            sort: (Column::When, true),
            ..Self::default()
        }
    }

    /// All runs of the model, oldest first.
    pub fn heads(&self) -> &[Arc<RunHead>] {
        &self.heads
    }

    /// How many runs pass the filter.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No run passes the filter.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many runs there are.
    pub fn total(&self) -> usize {
        self.all.len()
    }

    /// The rows that pass the filter, in the order asked for.
    pub fn row(&self, at: usize) -> Option<&RunRow> {
        self.all.get(*self.rows.get(at)? as usize)
    }

    /// A run's row, whether it passes the filter or not.
    pub fn find(&self, id: i64) -> Option<&RunRow> {
        let at = self.all.binary_search_by_key(&id, |r| r.head.id).ok()?;
        self.all.get(at)
    }

    /// Where a run is in the table.
    pub fn position(&self, id: i64) -> Option<usize> {
        let is = |at: &u32| self.all.get(*at as usize).is_some_and(|r| r.head.id == id);
        self.rows.iter().position(is)
    }

    /// A run with all it has, once it is read.
    pub fn full(&self, id: i64) -> Option<&Arc<Run>> {
        self.read.get(&id)?.as_ref()
    }

    /// What the engine of the placement on screen really did.
    pub fn actual(&self) -> Option<&Arc<Actual>> {
        self.actual.as_ref().map(|(_, actual)| actual)
    }

    /// Anything was measured of the model.
    pub fn any_measured(&self) -> bool {
        self.all.iter().any(|r| r.fps().is_some())
    }

    /// The energy of any run was measured.
    pub fn any_energy(&self) -> bool {
        self.energy
    }

    /// Where two runs differ, once both are read.
    pub fn differences(&self) -> Option<&[Difference]> {
        self.compared.as_ref().map(|(_, all)| all.as_slice())
    }

    pub(crate) fn compare(&mut self) {
        let [first, second] = self.chosen[..] else {
            self.compared = None;
            return;
        };
        let key = (first, second);
        if self.compared.as_ref().is_some_and(|(at, _)| *at == key) {
            return;
        }
        self.compared = match (self.full(first), self.full(second)) {
            (Some(a), Some(b)) => Some((key, differences(a, b))),
            _ => None,
        };
    }

    /// Measured runs on other machines or in other power modes.
    pub fn elsewhere(&self, target: &Target) -> usize {
        let charted = |r: &RunRow| r.place.is_some_and(|p| p.same_mode(target));
        let other = |r: &&RunRow| r.fps().is_some() && !charted(r);
        self.all.iter().filter(other).count()
    }

    /// `250 FPS (248-253)`.
    pub(crate) fn set(&mut self, heads: Vec<RunHead>) {
        self.heads = heads.into_iter().map(Arc::new).collect();
        self.heads.sort_by_key(|h| h.id);
        self.all = self.heads.iter().cloned().map(RunRow::of).collect();
        let all = &self.all;
        let gone = |id: &i64| all.binary_search_by_key(id, |r| r.head.id).is_err();
        self.chosen.retain(|id| !gone(id));
        self.loading = false;
        self.arrange();
    }

    /// Takes a new run in.
    pub(crate) fn add(&mut self, head: RunHead, run: Arc<Run>) {
        let (id, head) = (head.id, Arc::new(head));
        self.read.insert(id, Some(run));
        if let Err(at) = self.all.binary_search_by_key(&id, |r| r.head.id) {
            self.heads.insert(at, Arc::clone(&head));
            self.all.insert(at, RunRow::of(head));
        }
        self.chosen = vec![id];
        self.reveal = Some(id);
        self.arrange();
    }

    /// Brings the rows in line with the filter and the order.
    pub(crate) fn arrange(&mut self) {
        self.changes += 1;
        let mut heads = self.heads.iter();
        self.energy = heads.any(|h| h.mj_per_image.is_measured());
        let words: Vec<String> = self
            .filter
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let all = &self.all;
        let fits = |row: &RunRow| words.iter().all(|w| row.text.contains(w.as_str()));
        let mut rows: Vec<u32> = (0..all.len() as u32)
            .filter(|i| fits(&all[*i as usize]))
            .collect();
        let (column, down) = self.sort;
        rows.sort_by(|a, b| {
            let (a, b) = (&all[*a as usize], &all[*b as usize]);
            let order = order(column, a, b).then(a.head.id.cmp(&b.head.id));
            if down { order.reverse() } else { order }
        });
        self.rows = rows;
    }

    /// The newest measured run of a placement, however it was written; one on the target on screen
    /// before others.
    pub(crate) fn of_placement(
        &self,
        model: &Model,
        placement: &Placement,
        config: &EngineConfig,
        target: &Target,
    ) -> Option<i64> {
        let asked = OnceCell::new();
        let devices = |p: &Placement| p.resolve(model).ok().map(|r| r.devices());
        let same = |r: &RunRow| {
            let theirs = r.asked.get_or_init(|| devices(&r.head.placement));
            theirs.is_some() && theirs == asked.get_or_init(|| devices(placement))
        };
        let fits = |r: &&RunRow| {
            r.fps().is_some()
                && r.head.deployment.is_none()
                && r.head.config == *config
                && (r.head.placement == *placement || same(r))
        };
        let mut newest = self.all.iter().rev().filter(fits);
        let first = newest.next()?;
        if first.on(target) {
            return Some(first.head.id);
        }
        let here = newest.find(|r| r.on(target)).unwrap_or(first);
        Some(here.head.id)
    }
}

pub(crate) fn order(column: Column, a: &RunRow, b: &RunRow) -> Ordering {
    let fps = |r: &RunRow| r.fps().map_or(f64::NEG_INFINITY, |f| f.value);
    let energy = |r: &RunRow| r.head.mj_per_image.value().unwrap_or(f64::NEG_INFINITY);
    match column {
        Column::When => a.head.started_ms.cmp(&b.head.started_ms),
        Column::Placement => a.name.cmp(&b.name),
        Column::Precision => a
            .head
            .config
            .precision
            .as_str()
            .cmp(b.head.config.precision.as_str()),
        Column::Batch => a.head.config.batch.cmp(&b.head.config.batch),
        Column::Target => a.target.cmp(&b.target),
        // The estimate they are compared with is one for all.
        Column::Fps | Column::Estimate => fps(a).total_cmp(&fps(b)),
        Column::Energy => energy(a).total_cmp(&energy(b)),
        Column::State => a.ended.cmp(&b.ended),
    }
}

/// `just now`, `5 min ago`, else the day in UTC.
pub fn when(started_ms: u64) -> String {
    let minutes = unix_ms().saturating_sub(started_ms) / 60_000;
    match minutes {
        0 => "just now".into(),
        1..60 => format!("{minutes} min ago"),
        60..1440 => format!("{} h ago", minutes / 60),
        1440..20_160 => format!("{} d ago", minutes / 1440),
        _ => date(started_ms)
            .split(' ')
            .next()
            .unwrap_or_default()
            .into(),
    }
}

/// `2026-11-21 07:12 UTC`.
pub fn date(ms: u64) -> String {
    format!("{} UTC", words::date(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_709_210_096_000), "2024-02-29 12:34 UTC");
        assert_eq!(date(1_795_245_156_000), "2026-11-21 07:12 UTC");
        assert_eq!(when(unix_ms()), "just now");
        assert_eq!(when(unix_ms() - 3 * 3_600_000), "3 h ago");
        assert_eq!(when(0), "1970-01-01");
    }
}
