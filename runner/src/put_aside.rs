//! Bad rows that sources which are read in place put aside: kept with the run, and compared with how many there may be.
//!
//! Owns that they are in the run's record before anything is published, also if the run fails for them. What a bad row is,
//! is `files`' to say.

use std::fmt::Write;
use std::sync::Arc;

use chrono::Utc;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use files::{BadRow, BadRows, FilesTable};

use super::context::RunContext;
use super::error::{RunError, chain};
use crate::store::{Quarantined, RowPlace};
use language::Source;

/// The source's word for a bad row, in the run's record.
const CLASS: &str = "bad_row";
/// Rows that are recorded at once.
const RECORDED: usize = 1_000;

/// What the sources of a run put aside.
#[derive(Debug)]
pub struct PutAside(Vec<(String, Arc<BadRows>)>);

impl PutAside {
    /// By those sources of `ctx` that put bad rows aside.
    pub async fn of(ctx: &SessionContext, sources: &[Source]) -> Self {
        let mut put_aside = Vec::new();
        for source in sources {
            let table = TableReference::bare(source.name.as_str());
            let Ok(table) = ctx.table_provider(table).await else {
                continue;
            };
            let files = table.downcast_ref::<FilesTable>();
            if let Some(rows) = files.and_then(FilesTable::bad_rows) {
                put_aside.push((source.name.clone(), Arc::clone(rows)));
            }
        }
        Self(put_aside)
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, rows)| rows.count()).sum()
    }

    /// Records them, and refuses to go on if there are too many; `outcome` is what reading came to.
    ///
    /// # Errors
    /// The outcome's own, [`RunError::Read`] when there are too many, or when the run store refuses.
    pub async fn settle<T>(
        &self,
        run: &RunContext,
        outcome: Result<T, RunError>,
    ) -> Result<T, RunError> {
        match (self.record(run).await, outcome) {
            (Ok(()), Ok(done)) => self.check().map(|()| done),
            (Err(error), Ok(_)) => Err(error),
            (recorded, Err(error)) => {
                if let Err(unrecorded) = recorded {
                    tracing::warn!(error = %chain(&unrecorded), "bad rows could not be recorded");
                }
                Err(error)
            }
        }
    }

    async fn record(&self, run: &RunContext) -> Result<(), RunError> {
        for (source, rows) in self.0.iter().filter(|(_, rows)| rows.was_read()) {
            if run.attempt.number > 1 {
                // What an earlier attempt found is found again.
                let none = std::collections::HashSet::new();
                run.store
                    .retain_quarantined(run.attempt, source, &none)
                    .await?;
            }
            for rows in rows.rows().chunks(RECORDED) {
                let items: Vec<Quarantined> = rows.iter().map(|row| kept(source, row)).collect();
                run.store.add_quarantined(run.attempt, &items).await?;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), RunError> {
        for (source, rows) in &self.0 {
            rows.check().map_err(|error| RunError::Read {
                doing: format!("reading the source `{source}`"),
                source: Box::new(error),
            })?;
        }
        Ok(())
    }
}

fn kept(source: &str, row: &BadRow) -> Quarantined {
    let is_text = std::str::from_utf8(&row.bytes).or_else(|error| {
        // Cut within a character, it is text all the same.
        let is_cut = error.error_len().is_none() && (row.bytes.len() as u64) < row.length;
        let whole = row.bytes.get(..error.valid_up_to()).filter(|_| is_cut);
        whole.map_or(Err(error), std::str::from_utf8)
    });
    let body_hex = is_text.is_err().then(|| hexadecimal(&row.bytes));
    let body = match is_text {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(&row.bytes).into_owned(),
    };
    Quarantined {
        source: source.to_owned(),
        unit: Some(row.file.clone()),
        resource: None,
        url: format!("{}:{}", row.file, row.line),
        reason: row.reason.clone(),
        class: CLASS.to_owned(),
        body: Some(body),
        row: Some(RowPlace {
            line: row.line,
            offset: row.offset,
            length: row.length,
            column: row.column.clone(),
            body_hex,
        }),
        at: Utc::now(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a text does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_as_they_are() {
        let cases: [(&[u8], u64, &str, Option<&str>); 4] = [
            ("x,é\n".as_bytes(), 5, "x,é\n", None),
            // Cut within a character.
            (b"x,\xc3", 5, "x,", None),
            (b"x,\xff\n", 4, "x,\u{fffd}\n", Some("782cff0a")),
            // It ends within one.
            (b"x,\xc3", 3, "x,\u{fffd}", Some("782cc3")),
        ];
        for (bytes, length, body, hexadecimal) in cases {
            let row = BadRow {
                file: "a.csv".to_owned(),
                line: 7,
                offset: 40,
                length,
                column: None,
                reason: "no".to_owned(),
                bytes: bytes.to_vec(),
            };
            let kept = kept("orders", &row);
            assert_eq!(
                (kept.url.as_str(), kept.body.as_deref()),
                ("a.csv:7", Some(body))
            );
            let place = kept.row.unwrap();
            assert_eq!(place.body_hex.as_deref(), hexadecimal);
        }
    }
}
