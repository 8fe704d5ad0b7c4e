//! Rows of the tree as a table, for files and the clipboard.

use crate::gui::data::tree_index::Node;
use crate::gui::data::tree_view::Row;
use crate::history::csv;
use crate::model::Model;
use crate::placement::Device;

/// What the columns are.
const COLUMNS: [&str; 11] = [
    "module_or_op",
    "ops",
    "requested",
    "predicted_dla_ops",
    "falls_back",
    "gpu_ms",
    "gpu_ms_of_ops",
    "dla_ms",
    "dla_ms_of_ops",
    "other_dla_ops",
    "ms_more_than_other",
];

/// A row's cells. A time is of the ops that have one; how many stands behind it.
fn cells(model: &Model, row: &Row) -> [String; 11] {
    let sums = &row.sums;
    let requested = match &row.chip {
        None => String::new(),
        Some(chip) if chip.mixed => format!("{} and {}", Device::Gpu, Device::Dla),
        Some(chip) => chip.device.to_string(),
    };
    let ms = |known: u32, ms: f64| match known {
        0 => String::new(),
        _ => format!("{ms:.6}"),
    };
    let title = match row.node {
        Node::Module(crate::model::ModuleId::ROOT) => &model.name,
        node => node.title(model),
    };
    [
        title.to_owned(),
        sums.ops.to_string(),
        requested,
        sums.dla.to_string(),
        sums.falling.to_string(),
        ms(sums.gpu_known, sums.gpu_ms),
        sums.gpu_known.to_string(),
        ms(sums.dla_known, sums.dla_ms),
        sums.dla_known.to_string(),
        row.pair.map_or(String::new(), |p| p.that.dla.to_string()),
        row.pair
            .and_then(|p| p.delta_ms())
            .map_or(String::new(), |ms| format!("{ms:.6}")),
    ]
}

/// As CSV, with a header.
pub fn csv<'a>(model: &Model, rows: impl Iterator<Item = &'a Row>) -> String {
    csv::table(&COLUMNS.join(","), rows.map(|row| cells(model, row)))
}

/// How many rows, and the rows with tabs between their cells and a header, as spreadsheets paste them.
pub fn tabbed<'a>(model: &Model, rows: impl Iterator<Item = &'a Row>) -> (usize, String) {
    let mut text = COLUMNS.join("\t");
    let mut n = 0;
    for row in rows {
        text.push('\n');
        // A name of the file must not make cells of its own.
        let cells = cells(model, row).map(|c| csv::guarded(c.replace(['\t', '\n', '\r'], " ")));
        text.push_str(&cells.join("\t"));
        n += 1;
    }
    text.push('\n');
    (n, text)
}
