//! How a partition's values become folder names, and back: `column=value`, escaped as Hive and Spark do it. Owns which
//! types and values may name a partition; does not touch any storage.
//!
//! ```text
//! <table>/year=2026/city=K%C3%B6ln…        no: only special characters are escaped, Unicode stays
//! <table>/year=2026/city=Köln/part-00000-4f1c….parquet
//! <table>/year=2026/city=a%2Fb/…           a slash in the value
//! <table>/year=2026/city=__HIVE_DEFAULT_PARTITION__/…   NULL
//! ```

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use crate::error::{Error, Result};
use crate::schema::TableSchema;

/// The folder value that stands for NULL in every Hive-style reader.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The longest folder name that common filesystems take, in bytes.
const MAX_SEGMENT_BYTES: usize = 255;

/// Whether `byte` must be escaped in a folder name: the set of Hive and Spark, plus NUL, which no filesystem takes.
fn is_special(byte: u8) -> bool {
    byte < 0x20
        || byte == 0x7F
        || matches!(
            byte,
            b'"' | b'#'
                | b'%'
                | b'\''
                | b'*'
                | b'/'
                | b':'
                | b'='
                | b'?'
                | b'\\'
                | b'{'
                | b'['
                | b']'
                | b'^'
        )
}

/// Escapes a column name or a value for use in a folder name. Reversible by [`unescape`].
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() && is_special(byte) => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Undoes [`escape`]. A `%` that is not followed by two hexadecimal digits stays as it is, as readers treat it; the
/// result of bytes that are not UTF-8 is the text unchanged.
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

/// Splits a partition path such as `year=2026/city=a%2Fb` into names and values; `None` is NULL.
pub fn split(partition: &str) -> Vec<(String, Option<String>)> {
    partition
        .split('/')
        .filter_map(|segment| segment.split_once('='))
        .map(|(name, value)| {
            let value = (value != NULL_PARTITION).then(|| unescape(value));
            (unescape(name), value)
        })
        .collect()
}

/// The partition columns of a batch: where they are and how their folder names begin.
#[derive(Debug, Clone)]
pub(crate) struct PartitionColumns {
    columns: Vec<PartitionColumn>,
}

#[derive(Debug, Clone)]
struct PartitionColumn {
    name: String,
    prefix: String,
    index: usize,
}

impl PartitionColumns {
    /// `columns` are the names with their positions in the batches, outermost folder first.
    pub(crate) fn new(columns: impl IntoIterator<Item = (String, usize)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, index)| PartitionColumn {
                prefix: format!("{}=", escape(&name)),
                name,
                index,
            })
            .collect();
        Self { columns }
    }

    /// Those of a table, in batches with all of its columns.
    pub(crate) fn of(schema: &TableSchema) -> Self {
        let index = |name: &String| Some((name.clone(), schema.columns().index_of(name).ok()?));
        Self::new(schema.partition_by().iter().filter_map(index))
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|column| column.index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The partition path of one row, `""` when the table has no partition columns.
    ///
    /// # Errors
    /// [`Error::PartitionValue`] for a value that would be read back as another one, or that no filesystem takes.
    pub(crate) fn path(&self, batch: &RecordBatch, row: usize) -> Result<String> {
        let mut path = String::new();
        for column in &self.columns {
            if !path.is_empty() {
                path.push('/');
            }
            let start = path.len();
            path.push_str(&column.prefix);
            path.push_str(&column.value(batch.column(column.index), row)?);
            if path.len() - start > MAX_SEGMENT_BYTES {
                let value: String = path[start + column.prefix.len()..]
                    .chars()
                    .take(40)
                    .collect();
                return Err(Error::PartitionValue {
                    column: column.name.clone(),
                    value: format!("{value}…"),
                    reason: "which makes a folder name of more than 255 bytes; partition by a shorter value, such as \
                             a hash or a prefix of it",
                });
            }
        }
        Ok(path)
    }
}

impl PartitionColumn {
    fn value(&self, array: &dyn Array, row: usize) -> Result<String> {
        if array.is_null(row) {
            return Ok(NULL_PARTITION.to_owned());
        }
        let text = match array.data_type() {
            DataType::Utf8 => return self.text(array.as_string::<i32>().value(row)),
            DataType::Boolean => array.as_boolean().value(row).to_string(),
            DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
            DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
            DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
            DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
            DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
            DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
            DataType::Date32 => self.date(array.as_primitive::<Date32Type>().value(row))?,
            other => {
                return Err(self.refuse(
                    &other.to_string(),
                    "a type that cannot name partitions; use text, an integer, a boolean or a date",
                ));
            }
        };
        Ok(text)
    }

    fn text(&self, value: &str) -> Result<String> {
        match value {
            NULL_PARTITION => {
                Err(self.refuse(value, "the name that stands for NULL: readers would see NULL; map it to another text"))
            }
            "" => Err(self.refuse(
                value,
                "an empty text, which readers take for NULL or refuse; map it to NULL or to another text",
            )),
            value => Ok(escape(value)),
        }
    }

    fn date(&self, days: i32) -> Result<String> {
        use chrono::Datelike as _;
        let date = chrono::NaiveDate::from_epoch_days(days)
            .filter(|date| (0..=9999).contains(&date.year()));
        match date {
            Some(date) => Ok(date.format("%Y-%m-%d").to_string()),
            None => Err(self.refuse(
                &format!("day {days}"),
                "a date outside the years 0000 to 9999",
            )),
        }
    }

    fn refuse(&self, value: &str, reason: &'static str) -> Error {
        Error::PartitionValue {
            column: self.name.clone(),
            value: value.to_owned(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn path_of(name: &str, array: ArrayRef) -> Result<String> {
        let batch = RecordBatch::try_from_iter([(name, array)]).unwrap();
        PartitionColumns::new([(name.to_owned(), 0)]).path(&batch, 0)
    }

    #[test]
    fn values_are_spelled_as_hive_spells_them() {
        let text = |value: &str| {
            path_of("k", Arc::new(StringArray::from(vec![value])) as ArrayRef).unwrap()
        };
        assert_eq!(text("a b"), "k=a b");
        assert_eq!(text("a=b/c%d"), "k=a%3Db%2Fc%25d");
        assert_eq!(text("Köln 東京"), "k=Köln 東京");
        assert_eq!(text("line\nbreak\u{7f}\0"), "k=line%0Abreak%7F%00");
        assert_eq!(
            path_of("k", Arc::new(Int64Array::from(vec![-7]))).unwrap(),
            "k=-7"
        );
        assert_eq!(
            path_of("k", Arc::new(BooleanArray::from(vec![true]))).unwrap(),
            "k=true"
        );
        assert_eq!(
            path_of("k", Arc::new(Date32Array::from(vec![20_000]))).unwrap(),
            "k=2024-10-04"
        );
        assert_eq!(
            path_of("k", Arc::new(Int64Array::from(vec![None]))).unwrap(),
            "k=__HIVE_DEFAULT_PARTITION__"
        );
        assert_eq!(
            path_of("a/b", Arc::new(Int64Array::from(vec![1]))).unwrap(),
            "a%2Fb=1"
        );
    }

    #[test]
    fn values_that_readers_would_change_are_refused_with_the_column() {
        for value in [NULL_PARTITION, "", &"ö".repeat(200)] {
            let error = path_of("city", Arc::new(StringArray::from(vec![value]))).unwrap_err();
            assert!(
                matches!(&error, Error::PartitionValue { column, .. } if column == "city"),
                "{error}"
            );
        }
        let error = path_of("day", Arc::new(Date32Array::from(vec![i32::MAX]))).unwrap_err();
        assert!(error.to_string().contains("0000 to 9999"), "{error}");
    }

    #[test]
    fn split_gives_names_and_values_back() {
        assert_eq!(
            split("a%2Fb=x%3Dy/c=__HIVE_DEFAULT_PARTITION__"),
            vec![
                ("a/b".to_owned(), Some("x=y".to_owned())),
                ("c".to_owned(), None)
            ]
        );
        assert!(split("").is_empty());
    }

    proptest! {
        #[test]
        fn escaping_is_reversible_and_safe_in_a_path(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['/', '=', '\0', '\n', '*', '?', '[']));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
