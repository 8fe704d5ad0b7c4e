//! The SQLite file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use serde::de::DeserializeOwned;

use crate::engine::{Outcome, Run, unix_ms};

use super::head::{RunHead, Slim};
use super::{HistoryError, Item, Kept, NewKept, ReferenceSet, RunFilter, StoredRun, csv};

/// What makes each layout of the file out of the one before; `PRAGMA user_version` counts them.
const LAYOUTS: [&str; 2] = [LAYOUT_1, LAYOUT_2];

const LAYOUT_1: &str = "
CREATE TABLE kept (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  created_ms INTEGER NOT NULL,
  structure_hash TEXT NOT NULL,
  json TEXT NOT NULL,
  deleted_ms INTEGER
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  started_ms INTEGER NOT NULL,
  model TEXT NOT NULL,
  structure_hash TEXT NOT NULL,
  state TEXT NOT NULL,
  fps REAL,
  deployment TEXT,
  json TEXT NOT NULL,
  deleted_ms INTEGER
) STRICT;
CREATE INDEX runs_by_structure ON runs (structure_hash, started_ms);
CREATE INDEX runs_by_deployment ON runs (deployment);
CREATE TABLE samples (
  run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (run, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE refs (
  title TEXT PRIMARY KEY,
  json TEXT NOT NULL
) STRICT;
";

/// Notes on kept placements.
const LAYOUT_2: &str = "
ALTER TABLE kept ADD COLUMN note TEXT NOT NULL DEFAULT '';
";

/// The user's data folder: `DLAPLAN_DATA_DIR`, else the platform's; `None` without a home folder.
pub fn data_dir() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("DLAPLAN_DATA_DIR").filter(|d| !d.is_empty()) {
        return Some(dir.into());
    }
    let dirs = directories::ProjectDirs::from("", "", "dlaplan")?;
    Some(dirs.data_dir().to_owned())
}

/// The history file of a user: `history.sqlite` in [`data_dir`].
pub fn default_path() -> Option<PathBuf> {
    Some(data_dir()?.join("history.sqlite"))
}

/// An open history. Every change is one transaction, on the disk before the call returns.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens a history, made new with its folder where there is none, and imports the published
    /// references that come with the program.
    ///
    /// # Errors
    /// The file cannot be made, is no history, or was written by a later version.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| HistoryError::Io {
                path: folder.to_owned(),
                source,
            })?;
        }
        let db = Connection::open(path).map_err(|source| HistoryError::Sqlite {
            path: path.to_owned(),
            what: "opening",
            source,
        })?;
        Self::prepare(db, path)
    }

    /// A history that lives as long as the value: where no file can be written.
    ///
    /// # Errors
    /// None that were seen.
    pub fn in_memory() -> Result<Self, HistoryError> {
        let path = Path::new(":memory:");
        let db = Connection::open_in_memory().map_err(|source| HistoryError::Sqlite {
            path: path.to_owned(),
            what: "opening",
            source,
        })?;
        Self::prepare(db, path)
    }

    fn prepare(db: Connection, path: &Path) -> Result<Self, HistoryError> {
        let mut store = Self {
            db,
            path: path.to_owned(),
        };
        store.wrap("opening", |db| {
            db.busy_timeout(Duration::from_secs(5))?;
            // Fails on file systems without shared memory, where the rollback journal serves.
            db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)
        })?;
        store.migrate()?;
        for set in ReferenceSet::bundled()? {
            store.import_references(&set)?;
        }
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), HistoryError> {
        let known = LAYOUTS.len() as i64;
        let found = self.wrap("reading the layout", |db| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
            let missing = LAYOUTS.get(usize::try_from(found).unwrap_or(0)..);
            for layout in missing.unwrap_or_default() {
                tx.execute_batch(layout)?;
            }
            if found < known {
                tx.pragma_update(None, "user_version", known)?;
            }
            tx.commit()?;
            Ok(found)
        })?;
        if found > known {
            return Err(HistoryError::Newer {
                path: self.path.clone(),
                found,
                known,
            });
        }
        Ok(())
    }

    fn wrap<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        work(&mut self.db).map_err(|source| HistoryError::Sqlite {
            path: self.path.clone(),
            what,
            source,
        })
    }

    fn parse<T: DeserializeOwned>(
        &self,
        table: &'static str,
        id: i64,
        json: &str,
    ) -> Result<T, HistoryError> {
        serde_json::from_str(json).map_err(|source| HistoryError::Row {
            path: self.path.clone(),
            table,
            id,
            source,
        })
    }

    fn json<T: serde::Serialize>(
        &self,
        table: &'static str,
        value: &T,
    ) -> Result<String, HistoryError> {
        serde_json::to_string(value).map_err(|source| HistoryError::Row {
            path: self.path.clone(),
            table,
            id: 0,
            source,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a placement; its id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, kept: &NewKept) -> Result<i64, HistoryError> {
        let json = self.json("kept placement", kept)?;
        self.wrap("keeping a placement", |db| {
            db.execute(
                "INSERT INTO kept (created_ms, structure_hash, json) VALUES (?1, ?2, ?3)",
                params![unix_ms() as i64, kept.structure_hash, json],
            )?;
            Ok(db.last_insert_rowid())
        })
    }

    /// Writes a kept placement anew, in its place; false where there is none with this id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rewrite_kept(&mut self, id: i64, kept: &NewKept) -> Result<bool, HistoryError> {
        let json = self.json("kept placement", kept)?;
        self.wrap("renaming a placement", |db| {
            let n = db.execute(
                "UPDATE kept SET json = ?1 WHERE id = ?2 AND deleted_ms IS NULL",
                params![json, id],
            )?;
            Ok(n == 1)
        })
    }

    /// Writes the note on a kept placement; false where there is none with this id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_kept(&mut self, id: i64, note: &str) -> Result<bool, HistoryError> {
        self.wrap("writing a note", |db| {
            let n = db.execute(
                "UPDATE kept SET note = ?1 WHERE id = ?2 AND deleted_ms IS NULL",
                params![note, id],
            )?;
            Ok(n == 1)
        })
    }

    /// Kept placements, oldest first; of one model structure where one is given.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept(&mut self, structure_hash: Option<&str>) -> Result<Vec<Kept>, HistoryError> {
        let rows: Vec<(i64, i64, String, String)> = self.wrap("listing kept placements", |db| {
            db.prepare_cached(
                "SELECT id, created_ms, note, json FROM kept WHERE deleted_ms IS NULL \
                 AND (?1 IS NULL OR structure_hash = ?1) ORDER BY id",
            )?
            .query_map(params![structure_hash], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })?
            .collect()
        })?;
        rows.into_iter()
            .map(|(id, created_ms, note, json)| {
                Ok(Kept {
                    id,
                    created_ms: created_ms.max(0) as u64,
                    note,
                    kept: self.parse("kept placement", id, &json)?,
                })
            })
            .collect()
    }

    /// Stores a run; its id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn insert_run(&mut self, run: &Run) -> Result<i64, HistoryError> {
        let mut slim = run.clone();
        let log = self.json("run", &std::mem::take(&mut slim.log))?;
        let mut samples = vec![("log", log)];
        if !slim.telemetry.is_empty() {
            let telemetry = std::mem::take(&mut slim.telemetry);
            samples.push(("telemetry", self.json("run", &telemetry)?));
        }
        if let Outcome::Finished(m) = &mut slim.outcome {
            let latency = std::mem::take(&mut m.latency_samples_ms);
            samples.push(("latency_ms", self.json("run", &latency)?));
            if let Some(inspector) = m.inspector.take() {
                samples.push(("inspector", inspector.to_string()));
            }
        }
        let json = self.json("run", &slim)?;
        let state = match &run.outcome {
            Outcome::Finished(_) => "finished",
            Outcome::Failed(_) => "failed",
        };
        self.wrap("storing a run", |db| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute(
                "INSERT INTO runs (started_ms, model, structure_hash, state, fps, deployment, json) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    run.started_ms as i64,
                    run.model.name,
                    run.model.structure_hash,
                    state,
                    run.fps().map(|f| f.value),
                    run.deployment.as_ref().map(|d| &d.group),
                    json
                ],
            )?;
            let id = tx.last_insert_rowid();
            for (kind, json) in &samples {
                tx.execute(
                    "INSERT INTO samples (run, kind, json) VALUES (?1, ?2, ?3)",
                    params![id, kind, json],
                )?;
            }
            tx.commit()?;
            Ok(id)
        })
    }

    /// Runs that pass a filter, oldest first.
    ///
    /// # Errors
    /// The file cannot be read. A run that does not parse is left out, with a warning in the log.
    pub fn runs(&mut self, filter: &RunFilter) -> Result<Vec<StoredRun>, HistoryError> {
        let rows = self.run_rows(filter, str::to_owned)?;
        let mut runs = Vec::with_capacity(rows.len());
        for (id, json) in rows {
            let Some(mut run) = listed(self.parse::<Run>("run", id, &json)) else {
                continue;
            };
            if filter.details {
                self.details(id, &mut run)?;
            }
            runs.push(StoredRun { id, run });
        }
        Ok(runs)
    }

    /// The heads of runs that pass a filter, oldest first; quick for thousands.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn run_heads(&mut self, filter: &RunFilter) -> Result<Vec<RunHead>, HistoryError> {
        // Read row by row: the JSON of thousands of runs does not fit beside them.
        let rows = self.run_rows(filter, |json| serde_json::from_str::<Slim>(json))?;
        let heads = rows.into_iter().filter_map(|(id, slim)| {
            listed(
                slim.map(|s| s.head(id))
                    .map_err(|source| HistoryError::Row {
                        path: self.path.clone(),
                        table: "run",
                        id,
                        source,
                    }),
            )
        });
        Ok(heads.collect())
    }

    /// Id and what is made of the JSON of runs that pass a filter, oldest first.
    fn run_rows<T>(
        &mut self,
        filter: &RunFilter,
        make: impl Fn(&str) -> T,
    ) -> Result<Vec<(i64, T)>, HistoryError> {
        let limit = filter.limit.map_or(-1, i64::from);
        let mut rows: Vec<(i64, T)> = self.wrap("listing runs", |db| {
            db.prepare_cached(
                "SELECT id, json FROM runs WHERE deleted_ms IS NULL \
                 AND (?1 IS NULL OR structure_hash = ?1) AND (?2 IS NULL OR model = ?2) \
                 AND (?3 IS NULL OR deployment = ?3) AND (NOT ?4 OR state = 'finished') \
                 ORDER BY id DESC LIMIT ?5",
            )?
            .query_map(
                params![
                    filter.structure_hash,
                    filter.model,
                    filter.group,
                    filter.finished,
                    limit
                ],
                |r: &Row<'_>| Ok((r.get(0)?, make(r.get_ref(1)?.as_str()?))),
            )?
            .collect()
        })?;
        rows.reverse();
        Ok(rows)
    }

    /// One run with its samples, log and inspector output; `None` when there is none of that id
    /// or it was deleted.
    ///
    /// # Errors
    /// The file cannot be read, or the run does not parse.
    pub fn run(&mut self, id: i64) -> Result<Option<StoredRun>, HistoryError> {
        let json: Option<String> = self.wrap("reading a run", |db| {
            db.query_row(
                "SELECT json FROM runs WHERE id = ?1 AND deleted_ms IS NULL",
                [id],
                |r| r.get(0),
            )
            .optional()
        })?;
        let Some(json) = json else { return Ok(None) };
        let mut run: Run = self.parse("run", id, &json)?;
        self.details(id, &mut run)?;
        Ok(Some(StoredRun { id, run }))
    }

    fn details(&mut self, id: i64, run: &mut Run) -> Result<(), HistoryError> {
        let rows: Vec<(String, String)> = self.wrap("reading a run's samples", |db| {
            db.prepare_cached("SELECT kind, json FROM samples WHERE run = ?1")?
                .query_map([id], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect()
        })?;
        for (kind, json) in rows {
            match (kind.as_str(), &mut run.outcome) {
                ("log", _) => run.log = self.parse("log of run", id, &json)?,
                ("telemetry", _) => run.telemetry = self.parse("samples of run", id, &json)?,
                ("latency_ms", Outcome::Finished(m)) => {
                    m.latency_samples_ms = self.parse("samples of run", id, &json)?;
                }
                ("inspector", Outcome::Finished(m)) => m.inspector = Some(json.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Median build time, s, of up to 50 finished, uncached runs of a model structure, for the
    /// "time left" of the next build.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn typical_build_s(&mut self, structure_hash: &str) -> Result<Option<f64>, HistoryError> {
        let runs = self.runs(&RunFilter {
            structure_hash: Some(structure_hash.to_owned()),
            finished: true,
            limit: Some(50),
            ..RunFilter::default()
        })?;
        let mut builds: Vec<f64> = runs
            .iter()
            .filter_map(|r| r.run.measurement())
            .filter(|m| !m.cached)
            .map(|m| m.build_s)
            .collect();
        builds.sort_by(f64::total_cmp);
        Ok(crate::engine::median(&builds))
    }

    /// Deletes items; [`Self::restore`] takes it back. Returns those that were there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn delete(&mut self, items: &[Item]) -> Result<Vec<Item>, HistoryError> {
        self.mark(items, Some(unix_ms() as i64))
    }

    /// Brings deleted items back. Returns those that were deleted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restore(&mut self, items: &[Item]) -> Result<Vec<Item>, HistoryError> {
        self.mark(items, None)
    }

    fn mark(&mut self, items: &[Item], deleted: Option<i64>) -> Result<Vec<Item>, HistoryError> {
        self.wrap("deleting", |db| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut done = Vec::new();
            for item in items {
                let (sql, id) = match item {
                    Item::Run(id) => (
                        "UPDATE runs SET deleted_ms = ?1 \
                         WHERE id = ?2 AND (deleted_ms IS NULL) = (?1 IS NOT NULL)",
                        id,
                    ),
                    Item::Kept(id) => (
                        "UPDATE kept SET deleted_ms = ?1 \
                         WHERE id = ?2 AND (deleted_ms IS NULL) = (?1 IS NOT NULL)",
                        id,
                    ),
                };
                if tx.execute(sql, params![deleted, id])? > 0 {
                    done.push(*item);
                }
            }
            tx.commit()?;
            Ok(done)
        })
    }

    /// Forgets what was deleted more than `days` ago, for good. Returns how many items went.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn purge(&mut self, days: u32) -> Result<usize, HistoryError> {
        let before = unix_ms().saturating_sub(u64::from(days) * 86_400_000) as i64;
        self.wrap("forgetting deleted items", |db| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let runs = tx.execute("DELETE FROM runs WHERE deleted_ms <= ?1", [before])?;
            let kept = tx.execute("DELETE FROM kept WHERE deleted_ms <= ?1", [before])?;
            tx.commit()?;
            Ok(runs + kept)
        })
    }

    /// Takes a table of published references in; one of the same title is replaced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn import_references(&mut self, set: &ReferenceSet) -> Result<(), HistoryError> {
        let json = self.json("reference table", set)?;
        self.wrap("importing references", |db| {
            db.execute(
                "INSERT INTO refs (title, json) VALUES (?1, ?2) \
                 ON CONFLICT (title) DO UPDATE SET json = ?2 WHERE json <> ?2",
                params![set.title, json],
            )?;
            Ok(())
        })
    }

    /// All tables of published references.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn references(&mut self) -> Result<Vec<ReferenceSet>, HistoryError> {
        let rows: Vec<String> = self.wrap("listing references", |db| {
            db.prepare_cached("SELECT json FROM refs ORDER BY title")?
                .query_map([], |r| r.get(0))?
                .collect()
        })?;
        rows.iter()
            .map(|json| self.parse("reference table", 0, json))
            .collect()
    }

    /// Runs that pass a filter as CSV text.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn export_csv(&mut self, filter: &RunFilter) -> Result<String, HistoryError> {
        Ok(csv::write(&self.runs(filter)?))
    }

    /// Some runs as CSV, header first, oldest first; those that are gone are left out.
    ///
    /// # Errors
    /// The file cannot be read, or one of them does not parse.
    pub fn csv_of(&mut self, ids: &[i64]) -> Result<String, HistoryError> {
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let mut runs = Vec::with_capacity(ids.len());
        for id in ids {
            runs.extend(self.run(id)?);
        }
        Ok(csv::write(&runs))
    }
}

/// One damaged run does not hide the others; it stays in the file.
fn listed<T>(row: Result<T, HistoryError>) -> Option<T> {
    row.inspect_err(|e| log::warn!("{e}; it is left out of lists"))
        .ok()
}
