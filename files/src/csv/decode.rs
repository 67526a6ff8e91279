//! Records to columns. Owns that every field is looked at: a row has as many as the first record of its file, and a value is
//! what its column's type holds exactly.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::error::ArrowError;

use super::{Dialect, Records};
use crate::columns::Columns;
use crate::error::Problem;
use crate::record_starts::RecordStarts;
use crate::value::Values;

/// Reads the records of one file.
#[derive(Debug)]
pub(crate) struct CsvDecoder {
    dialect: Dialect,
    columns: Columns,
    /// For every field of a record, which column of the result it is.
    fields: Vec<Option<usize>>,
    values: Vec<Option<Values>>,
    /// Whether the file has one column only, where an empty line is a NULL.
    single: bool,
    starts: RecordStarts,
}

impl CsvDecoder {
    /// `fields` says for every field of the file which column of `columns` it is.
    pub(crate) fn new(dialect: Dialect, columns: Columns, fields: Vec<Option<usize>>) -> Self {
        let mut values: Vec<Option<Values>> = Vec::new();
        values.resize_with(columns.schema().fields().len(), || None);
        for &column in fields.iter().flatten() {
            values[column] = columns.values(column);
        }
        Self {
            single: fields.len() == 1,
            dialect,
            columns,
            fields,
            values,
            starts: RecordStarts::default(),
        }
    }

    /// Notes where records begin, if that is wanted.
    #[must_use]
    pub(crate) fn with_starts(mut self, wanted: bool) -> Self {
        self.starts = RecordStarts::kept(wanted);
        self
    }

    /// Where records begin.
    pub(crate) fn starts(&self) -> &RecordStarts {
        &self.starts
    }

    /// The next rows of `text`, `most` of them at most, from `at` on, and where they end; `None` if there are no more.
    ///
    /// # Errors
    /// With the place of a record or a value that cannot be read.
    pub(crate) fn decode(
        &mut self,
        text: &str,
        at: usize,
        most: usize,
    ) -> Result<Option<(RecordBatch, usize)>, Problem> {
        let rest = &text[at..];
        let mut records = Records::new(&self.dialect, rest);
        let mut rows = 0;
        self.starts.clear();
        while rows < most
            && let Some(start) = records.next_record(self.single)
        {
            self.starts.begin(at + start);
            self.read_record(&mut records).map_err(|mut problem| {
                problem.at += at;
                problem
            })?;
            rows += 1;
        }
        self.starts.end();
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch(rows);
        let batch = batch.map_err(|error| Problem::new(at, error.to_string()))?;
        Ok(Some((batch, at + records.position())))
    }

    fn read_record(&mut self, records: &mut Records<'_>) -> Result<(), Problem> {
        let start = records.position();
        let mut index = 0;
        loop {
            let at = records.position();
            let (field, last) = records.field()?;
            let column = match self.fields.get(index) {
                Some(column) => *column,
                None => return Err(self.with_too_many(start, index, records, last)),
            };
            if let Some(column) = column
                && let Some(values) = &mut self.values[column]
            {
                let is_null = !field.quoted && self.dialect.is_null(&field.text)
                    || field.text.is_empty() && !values.is_text();
                if is_null {
                    values.append_null();
                } else if let Err(misfit) = values.append(&field.text) {
                    return Err(self.columns.misfit(at, column, &field.text, misfit));
                }
            }
            records.reuse(field.text);
            index += 1;
            if last {
                break;
            }
        }
        if index < self.fields.len() {
            return Err(ragged(start, index, self.fields.len()));
        }
        Ok(())
    }

    /// Counts the fields of a record that has too many.
    fn with_too_many(
        &self,
        start: usize,
        index: usize,
        records: &mut Records<'_>,
        mut last: bool,
    ) -> Problem {
        let mut count = index + 1;
        while !last {
            last = records.field().is_ok_and(|(_, last)| last);
            count += 1;
        }
        ragged(start, count, self.fields.len())
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::clone(self.columns.schema());
        let columns = self.values.iter_mut().zip(schema.fields());
        let columns: Result<Vec<ArrayRef>, ArrowError> = columns
            .map(|(values, field)| match values {
                Some(values) => values.finish(),
                None => Ok(new_null_array(field.data_type(), rows)),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns?, &options)
    }
}

/// A record has another number of fields than the first one of its file.
pub(crate) fn ragged(start: usize, has: usize, should: usize) -> Problem {
    let fields = |count: usize| match count {
        1 => String::from("1 field"),
        count => format!("{count} fields"),
    };
    Problem::new(start, format!("the row has {}, and {should} are expected", fields(has)))
        .with_help("if the delimiter or the quote is another one, say so with the options `delimiter` and `quote`")
}
