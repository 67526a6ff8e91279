//! The record that an extraction lands, and its one Arrow schema.
//!
//! The schema never depends on the data: a chunk in which every `actor` is null has the same
//! columns and types as any other.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;

/// One entry of an API that passed the window and the actor filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The spec's name of the resource, for example `bug`, `activity` or `message`.
    pub resource: Arc<str>,
    /// The key of the unit that it came with, for example the bug's number.
    pub unit: Arc<str>,
    /// An identity that is stable between runs and unique over the extraction.
    pub key: String,
    /// Its index in its collection, from 0; `None` for an entry that is in none.
    pub position: Option<i64>,
    /// When the event happened.
    pub occurred_at: DateTime<Utc>,
    /// The address of the entry.
    pub url: String,
    /// The entry as JSON, with what the spec embeds in it.
    pub record: String,
    /// The carried fields of the parent entry as JSON.
    pub parent: Option<Arc<str>>,
    /// The carried fields of the root entry (for Launchpad, the searched person) as JSON.
    pub root: Option<Arc<str>>,
    /// The carried fields of the person who acted as JSON; `None` where that person cannot be
    /// seen or the resource names none.
    pub actor: Option<Arc<str>>,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let occurred_at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("resource", false),
        text("unit", false),
        text("key", false),
        Field::new("position", DataType::Int64, true),
        Field::new("occurred_at", occurred_at, false),
        text("url", false),
        text("record", false),
        text("parent", true),
        text("root", true),
        text("actor", true),
    ]))
});

/// The schema of landed records.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The records as one batch of [`schema`].
///
/// # Errors
/// When a text column of the batch would exceed 2 GiB; hand over fewer records at a time.
pub fn to_batch(records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let bytes = |record: &Record| {
        record
            .record
            .len()
            .max(record.parent.as_deref().map_or(0, str::len))
    };
    if records.iter().map(bytes).sum::<usize>() > i32::MAX as usize {
        return Err(ArrowError::OffsetOverflowError(records.len()));
    }
    let required = |value: fn(&Record) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(value)))
    };
    let optional = |value: fn(&Record) -> Option<&str>| -> ArrayRef {
        Arc::new(records.iter().map(value).collect::<StringArray>())
    };
    let occurred_at = TimestampMicrosecondArray::from_iter_values(
        records
            .iter()
            .map(|record| record.occurred_at.timestamp_micros()),
    )
    .with_timezone("UTC");
    RecordBatch::try_new(
        schema(),
        vec![
            required(|record| &record.resource),
            required(|record| &record.unit),
            required(|record| &record.key),
            Arc::new(
                records
                    .iter()
                    .map(|record| record.position)
                    .collect::<Int64Array>(),
            ),
            Arc::new(occurred_at),
            required(|record| &record.url),
            required(|record| &record.record),
            optional(|record| record.parent.as_deref()),
            optional(|record| record.root.as_deref()),
            optional(|record| record.actor.as_deref()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::{Record, schema, to_batch};

    #[test]
    fn an_all_null_batch_and_an_empty_one_have_the_fixed_schema() {
        let record = Record {
            resource: "bug".into(),
            unit: "1".into(),
            key: "b-1-c".into(),
            position: None,
            occurred_at: "2024-01-01T00:00:00Z".parse().unwrap(),
            url: "https://example.org/1".into(),
            record: "{}".into(),
            parent: None,
            root: None,
            actor: None,
        };
        let batch = to_batch(&[record]).unwrap();
        assert_eq!(batch.schema(), schema());
        assert_eq!(batch.column_by_name("actor").unwrap().null_count(), 1);
        assert_eq!(to_batch(&[]).unwrap().schema(), schema());
    }
}
