//! Bad rows that are put aside. Owns what is kept of one, that each is there once however often its file is read, and how
//! many of them a source may have. Where they go from here is the run's.
//!
//! What is bad depends on the file and on what is declared of it alone: not on which columns a query wants, on how many
//! streams read, or on how often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::internal_err;
use serde::{Deserialize, Serialize};

use super::error::ReadError;

/// Bad rows that a source can put aside.
pub const MOST_BAD_ROWS: u64 = 100_000;

/// Bytes that are kept of a bad row.
const KEPT_BYTES: u64 = 4 << 10;
/// Bytes that are kept of all of them together, at about.
const KEPT_TOGETHER: u64 = 16 << 20;
/// Bytes that are kept of a row however many there may be.
const LEAST_KEPT: u64 = 160;

/// How many bad rows a source may have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// So many at most.
    pub most_rows: u64,
    /// This share of its records at most, from 0 to 1.
    pub most_share: Option<f64>,
}

/// A record that cannot be read as what was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file, as the person named it.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Where it begins, in bytes of the file's text: behind its compression, and as UTF-8.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// The column of the table.
    pub column: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// The bytes, or as many from their beginning as are kept.
    pub bytes: Vec<u8>,
}

/// The bad rows of a source.
#[derive(Debug)]
pub struct BadRows {
    location: String,
    limits: Quarantine,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By file and place.
    rows: BTreeMap<(String, u64), BadRow>,
    /// Good rows of each file.
    good: BTreeMap<String, GoodRows>,
}

#[derive(Debug, Default)]
struct GoodRows {
    /// Of the whole file, if others read it.
    whole: Option<u64>,
    /// Of the parts that were read here, by their place.
    parts: BTreeMap<u64, u64>,
}

impl BadRows {
    /// None so far, of the source at a location.
    pub(crate) fn new(location: &str, limits: Quarantine) -> Self {
        Self {
            location: location.to_owned(),
            limits,
            seen: Mutex::default(),
        }
    }

    /// How many there may be.
    pub(crate) fn limits(&self) -> Quarantine {
        self.limits
    }

    /// As many bytes as are kept of each.
    pub(crate) fn kept_bytes(&self) -> usize {
        let each = KEPT_TOGETHER / self.limits.most_rows.max(1);
        usize::try_from(each.clamp(LEAST_KEPT, KEPT_BYTES)).unwrap_or(usize::MAX)
    }

    /// Puts a row aside; one that is there already is the same.
    ///
    /// # Errors
    /// When it is one too many.
    pub(crate) fn add(&self, row: BadRow) -> Result<(), ReadError> {
        let mut seen = self.lock();
        let place = (row.file.clone(), row.offset);
        if !seen.rows.contains_key(&place) && seen.rows.len() as u64 >= self.limits.most_rows {
            return Err(self.too_many(&row));
        }
        seen.rows.insert(place, row);
        Ok(())
    }

    /// Notes that a part of a file was read, and has so many good rows.
    pub(crate) fn read_part(&self, file: &str, offset: u64, good: u64) {
        let mut seen = self.lock();
        match seen.good.get_mut(file) {
            Some(of_file) => drop(of_file.parts.insert(offset, good)),
            None => {
                let parts = BTreeMap::from([(offset, good)]);
                let of_file = GoodRows { whole: None, parts };
                seen.good.insert(file.to_owned(), of_file);
            }
        }
    }

    /// The rows that were put aside, by file and place.
    pub fn rows(&self) -> Vec<BadRow> {
        self.lock().rows.values().cloned().collect()
    }

    /// How many were put aside.
    pub fn count(&self) -> u64 {
        self.lock().rows.len() as u64
    }

    /// Whether anything was read, be it good or bad.
    pub fn was_read(&self) -> bool {
        let seen = self.lock();
        !seen.good.is_empty() || !seen.rows.is_empty()
    }

    /// Good rows of the files that were read, each file once.
    pub fn good(&self) -> u64 {
        self.lock().good.values().map(GoodRows::count).sum()
    }

    /// Notes that others have told of all of these files.
    pub(crate) fn read_all(&self, files: &[String]) {
        let mut seen = self.lock();
        for file in files {
            let of_file = seen.good.entry(file.clone()).or_default();
            of_file.whole.get_or_insert(0);
        }
    }

    /// Whether others have told of all of a file.
    pub(crate) fn has_all_of(&self, file: &str) -> bool {
        let seen = self.lock();
        seen.good.get(file).is_some_and(|good| good.whole.is_some())
    }

    /// Good rows of these files.
    pub(crate) fn good_of<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> u64 {
        let seen = self.lock();
        let good = files.into_iter().filter_map(|file| seen.good.get(file));
        good.map(GoodRows::count).sum()
    }

    /// Compares with the share that is allowed. To be asked when everything was read.
    ///
    /// # Errors
    /// When there are too many.
    pub fn check(&self) -> Result<(), ReadError> {
        let Some(most) = self.limits.most_share else {
            return Ok(());
        };
        let bad = self.count();
        let records = bad + self.good();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of more rows than a double can count is the same share"
        )]
        let allowed = records as f64 * most;
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let is_within = bad as f64 <= allowed;
        if is_within {
            return Ok(());
        }
        let problem = format!(
            "{bad} of {records} rows are bad, and `max_bad_share` allows {}%",
            most * 100.0
        );
        Err(ReadError::of_file(&self.location, problem).with_help(LOOK))
    }

    fn too_many(&self, row: &BadRow) -> ReadError {
        let most = self.limits.most_rows;
        ReadError {
            line: Some(row.line),
            column: row.column.clone(),
            ..ReadError::of_file(
                &row.file,
                format!(
                    "{}; {} has more bad rows than `max_bad_rows` allows, which is {most}",
                    row.reason, self.location
                ),
            )
            .with_help(LOOK)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOOK: &str = "`pipelines quarantine list` shows those that were put aside";

impl GoodRows {
    fn count(&self) -> u64 {
        self.whole.unwrap_or_else(|| self.parts.values().sum())
    }
}

/// The columns of bad rows on their way from another process; a row without a reason counts the good ones of its file.
pub(crate) fn sent_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::UInt64, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("length", DataType::UInt64, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, false),
        Field::new("good", DataType::UInt64, false),
    ]))
}

/// Rows in a batch on their way.
const SENT_ROWS: usize = 1_000;

impl BadRows {
    /// Everything as batches, for another process.
    pub(crate) fn to_send(&self) -> datafusion::error::Result<Vec<RecordBatch>> {
        let seen = self.lock();
        let files: BTreeSet<&String> = seen.good.keys().collect();
        let counts = files.into_iter().map(|file| {
            let row = BadRow {
                file: file.clone(),
                line: 0,
                offset: 0,
                length: 0,
                column: None,
                reason: String::new(),
                bytes: Vec::new(),
            };
            (row, Some(seen.good.get(file).map_or(0, GoodRows::count)))
        });
        let bad = seen.rows.values().map(|row| (row.clone(), None));
        let rows: Vec<(BadRow, Option<u64>)> = counts.chain(bad).collect();
        rows.chunks(SENT_ROWS).map(batch).collect()
    }

    /// Takes what another process sent.
    ///
    /// # Errors
    /// When there are too many of them, or the batches are others.
    pub(crate) fn take(&self, batches: &[RecordBatch]) -> datafusion::error::Result<()> {
        let schema = sent_schema();
        for batch in batches {
            if batch.schema().fields() != schema.fields() {
                return internal_err!("these are no bad rows: {}", batch.schema());
            }
            let text = |column: usize| batch.column(column).as_string::<i32>();
            let number = |column: usize| batch.column(column).as_primitive::<UInt64Type>();
            for row in 0..batch.num_rows() {
                let file = text(0).value(row).to_owned();
                if text(5).is_null(row) {
                    let good = number(7).value(row);
                    self.lock().good.entry(file).or_default().whole = Some(good);
                    continue;
                }
                self.add(BadRow {
                    file,
                    line: number(1).value(row),
                    offset: number(2).value(row),
                    length: number(3).value(row),
                    column: text(4).is_valid(row).then(|| text(4).value(row).to_owned()),
                    reason: text(5).value(row).to_owned(),
                    bytes: batch.column(6).as_binary::<i32>().value(row).to_vec(),
                })?;
            }
        }
        Ok(())
    }
}

/// Bad rows, and rows that count good ones.
fn batch(rows: &[(BadRow, Option<u64>)]) -> datafusion::error::Result<RecordBatch> {
    let number = |get: fn(&BadRow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(
            rows.iter().map(|(row, _)| get(row)),
        ))
    };
    let files: StringArray = rows.iter().map(|(row, _)| Some(&row.file)).collect();
    let columns: StringArray = rows.iter().map(|(row, _)| row.column.as_ref()).collect();
    let reasons: StringArray = rows
        .iter()
        .map(|(row, good)| good.is_none().then_some(&row.reason))
        .collect();
    let bytes = BinaryArray::from_iter_values(rows.iter().map(|(row, _)| &row.bytes));
    let good = UInt64Array::from_iter_values(rows.iter().map(|(_, good)| good.unwrap_or(0)));
    Ok(RecordBatch::try_new(
        sent_schema(),
        vec![
            Arc::new(files),
            number(|row| row.line),
            number(|row| row.offset),
            number(|row| row.length),
            Arc::new(columns),
            Arc::new(reasons),
            Arc::new(bytes),
            Arc::new(good),
        ],
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, offset: u64) -> BadRow {
        BadRow {
            file: file.to_owned(),
            line: offset + 1,
            offset,
            length: 3,
            column: Some("x".to_owned()),
            reason: "no number".to_owned(),
            bytes: vec![b'a', 0xff],
        }
    }

    fn limits(most_rows: u64, most_share: Option<f64>) -> Quarantine {
        Quarantine {
            most_rows,
            most_share,
        }
    }

    #[test]
    fn a_row_is_there_once_however_often_it_is_read() {
        let rows = BadRows::new("in/", limits(2, None));
        for _ in 0..3 {
            rows.add(row("a.csv", 7)).unwrap();
            rows.add(row("b.csv", 7)).unwrap();
            rows.read_part("a.csv", 0, 10);
            rows.read_part("a.csv", 90, 5);
        }
        assert_eq!((rows.rows().len(), rows.good()), (2, 15));
        let error = rows.add(row("a.csv", 8)).unwrap_err().to_string();
        assert!(
            error.contains("a.csv, line 9, column `x`") && error.contains("is 2"),
            "{error}"
        );
    }

    #[test]
    fn a_share_is_of_all_records() {
        let rows = BadRows::new("in/", limits(9, Some(0.1)));
        rows.add(row("a.csv", 7)).unwrap();
        rows.read_part("a.csv", 0, 9);
        rows.check().unwrap();
        rows.add(row("a.csv", 8)).unwrap();
        let error = rows.check().unwrap_err().to_string();
        assert!(
            error.contains("2 of 11 rows") && error.contains("10%"),
            "{error}"
        );
    }

    #[test]
    fn what_is_sent_arrives_and_counts_files_once() {
        let there = BadRows::new("in/", limits(9, None));
        there.add(row("a.csv", 7)).unwrap();
        there.read_part("a.csv", 0, 10);
        there.read_part("b.csv", 0, 0);
        let here = BadRows::new("in/", limits(9, None));
        here.read_part("a.csv", 0, 4);
        for _ in 0..2 {
            here.take(&there.to_send().unwrap()).unwrap();
        }
        assert_eq!((here.rows(), here.good()), (there.rows(), 10));
        assert!(here.has_all_of("b.csv") && !here.has_all_of("c.csv"));
        let few = BadRows::new("in/", limits(0, None));
        assert!(few.take(&there.to_send().unwrap()).is_err());
    }

    #[test]
    fn the_more_rows_the_less_of_each() {
        let kept = |most: u64| BadRows::new("in/", limits(most, None)).kept_bytes();
        assert_eq!(
            (kept(0), kept(1_000), kept(MOST_BAD_ROWS)),
            (4096, 4096, 167)
        );
    }
}
