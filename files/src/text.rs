//! Lines of text to rows of one column. Owns what a line is: what stands before a line feed, without the carriage return in front
//! of it; in files that have carriage returns and no line feed, what stands before those. What is behind the last line end is a
//! line too, unless it is nothing. A line is never NULL.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use memchr::memchr;

use super::columns::Columns;
use super::error::{Problem, ReadError, listed};
use super::value::Values;

/// The column, if none is declared.
const COLUMN: &str = "line";

/// The columns of a table of lines: one text, which may be declared under another name.
///
/// # Errors
/// When something else is declared.
pub(crate) fn columns(location: &str, declared: Option<Schema>) -> Result<Schema, ReadError> {
    let Some(declared) = declared else {
        let line = Field::new(COLUMN, DataType::Utf8, true);
        return Ok(Schema::new(vec![line]));
    };
    let is_text = |field: &Field| {
        matches!(
            field.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    };
    match declared.fields().as_ref() {
        [only] if is_text(only) => Ok(declared),
        fields => {
            let names = fields.iter().map(|field| field.name().as_str());
            let problem = format!(
                "a line of text is one column of the type TEXT, and {} is declared",
                listed(names)
            );
            Err(ReadError::of_file(location, problem)
                .with_help("declare one column of TEXT, and take it apart in the query"))
        }
    }
}

/// Reads the lines of one file.
#[derive(Debug)]
pub(crate) struct TextDecoder {
    columns: Columns,
    /// What ends a line.
    terminator: u8,
    /// The lines, if anybody wants them.
    lines: Option<Values>,
}

impl TextDecoder {
    /// `columns` is the column of lines, or nothing where they are only counted.
    pub(crate) fn new(columns: Columns, terminator: u8) -> Self {
        let is_wanted = !columns.schema().fields().is_empty();
        Self {
            lines: is_wanted.then(|| columns.values(0)).flatten(),
            columns,
            terminator,
        }
    }

    /// The next rows of `text`, `most` of them at most, from `at` on, and where they end; `None` if there are no more.
    ///
    /// # Errors
    /// When there is no room for the lines.
    pub(crate) fn decode(
        &mut self,
        text: &str,
        at: usize,
        most: usize,
    ) -> Result<Option<(RecordBatch, usize)>, Problem> {
        let (mut end, mut rows) = (at, 0);
        while rows < most && end < text.len() {
            let rest = &text[end..];
            let found = memchr(self.terminator, rest.as_bytes());
            let mut line = &rest[..found.unwrap_or(rest.len())];
            end += found.map_or(rest.len(), |at| at + 1);
            if found.is_some() && self.terminator == b'\n' {
                line = line.strip_suffix('\r').unwrap_or(line);
            }
            if let Some(lines) = &mut self.lines {
                let added = lines.append(line);
                added.map_err(|misfit| self.columns.misfit(at, 0, line, misfit))?;
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch(rows);
        let batch = batch.map_err(|error| Problem::new(at, error.to_string()))?;
        Ok(Some((batch, end)))
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let columns: Result<Vec<ArrayRef>, ArrowError> =
            self.lines.iter_mut().map(Values::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(self.columns.schema()), columns?, &options)
    }
}
