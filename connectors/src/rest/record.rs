//! The record that an extraction lands, and its one Arrow schema.
//!
//! The schema never depends on the data: a chunk in which every `actor` is null has the same
//! columns and types as any other. Texts that many records of a unit share are in its batch once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;

/// One entry of an API that passed the window and the actor filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The spec's name of the resource, for example `bug`, `activity` or `message`.
    pub(super) resource: Arc<str>,
    /// The key of the unit that it came with, for example the bug's number.
    pub(super) unit: Arc<str>,
    /// An identity that is stable between runs and unique over the extraction.
    pub(super) key: String,
    /// Its index in its collection, from 0; `None` for an entry that is in none.
    pub(super) position: Option<i64>,
    /// When the event happened.
    pub(super) occurred_at: DateTime<Utc>,
    /// The address of the entry.
    pub(super) url: String,
    /// The entry as JSON, with what the spec embeds in it.
    pub(super) record: String,
    /// The carried fields of the parent entry as JSON.
    pub(super) parent: Option<Arc<str>>,
    /// The carried fields of the root entry (for Launchpad, the searched person) as JSON.
    pub(super) root: Option<Arc<str>>,
    /// The carried fields of the person who acted as JSON; `None` where that person cannot be
    /// seen or the resource names none.
    pub(super) actor: Option<Arc<str>>,
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
pub(super) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The schema of a unit's batch: its JSON is in views, of which several may show one text.
static VIEWS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = SCHEMA
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "record" | "parent" | "root" | "actor" => {
                Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
            }
            _ => Arc::clone(field),
        });
    Arc::new(Schema::new(fields.collect::<Fields>()))
});

/// The records of a unit as one batch, and the bytes that they count towards a chunk.
///
/// # Errors
/// When a text is longer than 4 GiB.
pub(super) fn to_batch(records: &[Record]) -> Result<(RecordBatch, usize), ArrowError> {
    let required = |value: fn(&Record) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(value)))
    };
    let occurred_at = TimestampMicrosecondArray::from_iter_values(
        records
            .iter()
            .map(|record| record.occurred_at.timestamp_micros()),
    )
    .with_timezone("UTC");
    let batch = RecordBatch::try_new(
        Arc::clone(&VIEWS),
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
            Arc::new(StringViewArray::from_iter_values(
                records.iter().map(|record| &record.record),
            )),
            shared(records.iter().map(|record| record.parent.as_ref()))?,
            shared(records.iter().map(|record| record.root.as_ref()))?,
            shared(records.iter().map(|record| record.actor.as_ref()))?,
        ],
    )?;
    let bytes = records
        .iter()
        .map(|record| record.record.len() + record.url.len())
        .sum();
    Ok((batch, bytes))
}

/// Texts of which many are one and the same, which is kept once.
fn shared<'a>(texts: impl Iterator<Item = Option<&'a Arc<str>>>) -> Result<ArrayRef, ArrowError> {
    let mut builder = StringViewBuilder::new();
    let mut blocks: HashMap<*const u8, u32> = HashMap::new();
    for text in texts {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let length =
            u32::try_from(text.len()).map_err(|_| ArrowError::OffsetOverflowError(text.len()))?;
        let block = *blocks
            .entry(text.as_ptr())
            .or_insert_with(|| builder.append_block(Buffer::from(text.as_bytes())));
        builder.try_append_view(block, 0, length)?;
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::AsArray;

    use super::{Record, schema, to_batch};

    fn record(parent: Option<&Arc<str>>) -> Record {
        Record {
            resource: "bug".into(),
            unit: "1".into(),
            key: "b-1-c".into(),
            position: None,
            occurred_at: "2024-01-01T00:00:00Z".parse().unwrap(),
            url: "https://example.org/1".into(),
            record: "{}".into(),
            parent: parent.cloned(),
            root: None,
            actor: None,
        }
    }

    #[test]
    fn an_all_null_batch_and_an_empty_one_have_the_fixed_columns() {
        let (batch, bytes) = to_batch(&[record(None)]).unwrap();
        assert_eq!(batch.column_by_name("actor").unwrap().null_count(), 1);
        assert_eq!(bytes, "{}https://example.org/1".len());
        let (empty, bytes) = to_batch(&[]).unwrap();
        assert_eq!((empty.schema(), bytes), (batch.schema(), 0));
        let names = |schema: &datafusion::arrow::datatypes::Schema| {
            let fields = schema.fields().iter();
            fields
                .map(|field| (field.name().clone(), field.is_nullable()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&batch.schema()), names(&schema()));
    }

    #[test]
    fn a_parent_of_many_records_is_kept_once() {
        let parent: Arc<str> = "x".repeat(1 << 20).into();
        let records = vec![record(Some(&parent)); 100];
        let (batch, _) = to_batch(&records).unwrap();
        assert!(batch.get_array_memory_size() < 2 << 20);
        let column = batch.column_by_name("parent").unwrap().as_string_view();
        assert!(column.iter().all(|text| text == Some(&*parent)));
    }
}
