//! The fixed schema of a table: which types its files may have, how the rows of a run are brought to them, and what
//! counts as a difference. Owns the spelling of types in the commit log; does not read or write rows.
//!
//! Engines spell the same data in several ways (`Utf8View`, dictionaries, nanoseconds, non-null fields), and the
//! spelling may change with the version or with the data. A table's files must not: every column is normalized to one
//! plain spelling and every field may be NULL, so that a day whose column is all NULL has the same file schema.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, SortField};
use serde::{Deserialize, Serialize};

/// The longest name of a type without fields, in bytes: there are zones of time with long names.
const MAX_TYPE_BYTES: usize = 256;

/// The schema of a table and the columns it is partitioned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    columns: SchemaRef,
    partition_by: Vec<String>,
}

impl TableSchema {
    /// Normalizes `schema`. The second part lists the columns that cannot be stored, with the reason.
    ///
    /// Partition columns that `schema` does not have are kept as they are: [`crate::TableOptions::validate`] reports
    /// them.
    pub fn normalize(schema: &Schema, partition_by: &[String]) -> (Self, Vec<(String, String)>) {
        let mut problems = Vec::new();
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            match normalize(field.data_type()) {
                Ok(data_type) => fields.push(Field::new(field.name(), data_type, true)),
                Err(reason) => {
                    problems.push((field.name().clone(), reason));
                    fields.push(Field::new(field.name(), field.data_type().clone(), true));
                }
            }
        }
        let columns = Arc::new(Schema::new(fields));
        (
            Self {
                columns,
                partition_by: partition_by.to_vec(),
            },
            problems,
        )
    }

    /// All columns, partition columns among them, in the table's order.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The partition columns, outermost folder first.
    pub fn partition_by(&self) -> &[String] {
        &self.partition_by
    }

    /// The schema of every file: all columns but the partition columns, which are in the folder names.
    pub fn file_schema(&self) -> SchemaRef {
        let fields: Fields = self
            .columns
            .fields()
            .iter()
            .filter(|field| !self.is_partition(field.name()))
            .cloned()
            .collect();
        Arc::new(Schema::new(fields))
    }

    /// A schema with these columns, which are normalized.
    pub(crate) fn of(columns: Vec<FieldRef>, partition_by: &[String]) -> Self {
        Self {
            columns: Arc::new(Schema::new(columns)),
            partition_by: partition_by.to_vec(),
        }
    }

    pub(crate) fn is_partition(&self, column: &str) -> bool {
        self.partition_by.iter().any(|name| name == column)
    }

    /// What keeps rows of `incoming` (normalized) out of this table. Another order of the columns is no difference,
    /// and neither is a type that widens to the table's without loss.
    pub fn differences(&self, incoming: &Schema) -> Vec<SchemaDifference> {
        self.differences_unless(incoming, widens)
    }

    /// Every difference but the order of the columns.
    pub(crate) fn exact_differences(&self, incoming: &Schema) -> Vec<SchemaDifference> {
        self.differences_unless(incoming, |run, table| run == table)
    }

    fn differences_unless(
        &self,
        incoming: &Schema,
        same: impl Fn(&DataType, &DataType) -> bool,
    ) -> Vec<SchemaDifference> {
        let mut differences = Vec::new();
        for field in self.columns.fields() {
            match incoming.field_with_name(field.name()) {
                Ok(other) if same(other.data_type(), field.data_type()) => {}
                Ok(other) => differences.push(SchemaDifference {
                    column: field.name().clone(),
                    table: Some(field.data_type().clone()),
                    run: Some(other.data_type().clone()),
                }),
                Err(_) => differences.push(SchemaDifference {
                    column: field.name().clone(),
                    table: Some(field.data_type().clone()),
                    run: None,
                }),
            }
        }
        for field in incoming.fields() {
            if self.columns.field_with_name(field.name()).is_err() {
                differences.push(SchemaDifference {
                    column: field.name().clone(),
                    table: None,
                    run: Some(field.data_type().clone()),
                });
            }
        }
        differences
    }
}

/// One column in which the rows of a run differ from the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDifference {
    /// The column's name.
    pub column: String,
    /// Its type in the table; `None` if the table does not have it.
    pub table: Option<DataType>,
    /// Its type in the rows of the run; `None` if they do not have it.
    pub run: Option<DataType>,
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.table, &self.run) {
            (Some(table), Some(run)) => write!(
                f,
                "column {} is {table} in the table, {run} in the run",
                self.column
            ),
            (Some(table), None) => write!(
                f,
                "column {} ({table}) of the table is missing in the run",
                self.column
            ),
            (None, Some(run)) => write!(
                f,
                "column {} ({run}) of the run is not in the table",
                self.column
            ),
            (None, None) => write!(f, "column {}", self.column),
        }
    }
}

/// The one spelling of a type in files, or why it cannot be stored.
pub(crate) fn normalize(data_type: &DataType) -> Result<DataType, String> {
    Ok(match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => normalize(values)?,
        DataType::RunEndEncoded(_, values) => normalize(values.data_type())?,
        // Microseconds are what every reader of Parquet understands; finer digits are cut.
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        // Parquet has no time in seconds: readers would see bare numbers.
        DataType::Time32(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 => DataType::Date32,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(normalize_field(item, "item")?),
        DataType::FixedSizeList(item, size) => {
            DataType::FixedSizeList(normalize_field(item, "item")?, *size)
        }
        DataType::Struct(fields) => {
            let fields: Result<Vec<_>, _> = fields
                .iter()
                .map(|field| normalize_field(field, field.name()))
                .collect();
            DataType::Struct(fields?.into())
        }
        DataType::Map(entries, sorted) => normalize_map(entries, *sorted)?,
        DataType::Null => {
            return Err(
                "it is NULL in every row and has no type: give it one, as in CAST(NULL AS TEXT)"
                    .to_owned(),
            );
        }
        DataType::Union(_, _) | DataType::Interval(_) | DataType::Duration(_) => {
            return Err(format!(
                "type {data_type} cannot be stored in Parquet so that readers agree: cast it"
            ));
        }
        other => other.clone(),
    })
}

fn normalize_field(field: &FieldRef, name: &str) -> Result<FieldRef, String> {
    Ok(Arc::new(Field::new(
        name,
        normalize(field.data_type())?,
        true,
    )))
}

/// A map's entries and keys are never NULL in Parquet, unlike every other field here.
fn normalize_map(entries: &FieldRef, sorted: bool) -> Result<DataType, String> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(format!(
            "map entries are {}, not a struct",
            entries.data_type()
        ));
    };
    let [key, value] = fields.as_ref() else {
        return Err(format!("map entries have {} fields, not 2", fields.len()));
    };
    let key = Field::new("key", normalize(key.data_type())?, false);
    let value = Field::new("value", normalize(value.data_type())?, true);
    let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
    Ok(DataType::Map(Arc::new(entries), sorted))
}

/// Whether every value of `from` is a value of `to`, so that the rows can be cast without loss.
pub fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float16, Float32, Float64};
    if from == to {
        return true;
    }
    match (from, to) {
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Decimal128(from, from_scale), Decimal128(to, to_scale)) => {
            from_scale == to_scale && from <= to
        }
        (from, to) if from.is_integer() && to.is_integer() => {
            let (from_width, to_width) = (from.primitive_width(), to.primitive_width());
            match (from.is_signed_integer(), to.is_signed_integer()) {
                (true, true) | (false, false) => from_width <= to_width,
                (false, true) => from_width < to_width,
                (true, false) => false,
            }
        }
        _ => false,
    }
}

/// Whether values of this (normalized) type may name partitions: text, integers, booleans and dates have one spelling
/// that all readers share; other types do not.
pub(crate) fn can_partition(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Utf8 | DataType::Boolean | DataType::Date32
        )
}

/// Whether rows can be put in order by values of this type.
pub(crate) fn can_sort(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// A column, or a field of a nested one, as the commit log spells it. Nested types are spelled by their fields: the
/// text form of the arrow crate does not read all names back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnRecord {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Self>,
}

impl ColumnRecord {
    fn of(name: &str, data_type: &DataType) -> Self {
        let of_fields = |fields: &Fields| {
            fields
                .iter()
                .map(|field| Self::of(field.name(), field.data_type()))
                .collect()
        };
        let (data_type, fields) = match data_type {
            DataType::List(item) => (
                "List".to_owned(),
                vec![Self::of(item.name(), item.data_type())],
            ),
            DataType::FixedSizeList(item, size) => (
                format!("FixedSizeList {size}"),
                vec![Self::of(item.name(), item.data_type())],
            ),
            DataType::Struct(fields) => ("Struct".to_owned(), of_fields(fields)),
            DataType::Map(entries, sorted) => {
                let name = if *sorted { "Map sorted" } else { "Map" };
                (
                    name.to_owned(),
                    vec![Self::of(entries.name(), entries.data_type())],
                )
            }
            plain => (plain.to_string(), Vec::new()),
        };
        Self {
            name: name.to_owned(),
            data_type,
            fields,
        }
    }

    fn to_type(&self) -> Result<DataType, String> {
        let field = |record: &Self| {
            Ok::<_, String>(Arc::new(Field::new(&record.name, record.to_type()?, true)))
        };
        let only = || match self.fields.as_slice() {
            [one] => Ok(one),
            several => Err(format!(
                "column {} has {} fields, not 1",
                self.name,
                several.len()
            )),
        };
        Ok(
            match self
                .data_type
                .split_once(' ')
                .map_or((self.data_type.as_str(), ""), |split| split)
            {
                ("List", "") => DataType::List(field(only()?)?),
                ("FixedSizeList", size) => {
                    let size = size.parse().ok().filter(|size| *size >= 0).ok_or_else(|| {
                        format!("column {} has the list size {size:?}", self.name)
                    })?;
                    DataType::FixedSizeList(field(only()?)?, size)
                }
                ("Struct", "") => DataType::Struct(
                    self.fields
                        .iter()
                        .map(field)
                        .collect::<Result<Vec<_>, _>>()?
                        .into(),
                ),
                ("Map", sorted) => normalize_map(&field(only()?)?, sorted == "sorted")?,
                _ => self.plain_type()?,
            },
        )
    }

    /// Types without fields. Long texts are not parsed: the arrow crate goes as deep as they do.
    fn plain_type(&self) -> Result<DataType, String> {
        let unknown = |reason: String| {
            let shown: String = self.data_type.chars().take(MAX_TYPE_BYTES).collect();
            format!(
                "column {} has the unknown type {shown}: {reason}",
                self.name
            )
        };
        if self.data_type.len() > MAX_TYPE_BYTES {
            return Err(unknown("it is too long".to_owned()));
        }
        let parsed: DataType =
            (self.data_type.parse()).map_err(|error: ArrowError| unknown(error.to_string()))?;
        let digits = |precision: u8, scale: i8, most: u8| {
            (1..=most).contains(&precision) && i32::from(scale) <= i32::from(precision)
        };
        let possible = match parsed {
            DataType::Decimal32(precision, scale) => digits(precision, scale, 9),
            DataType::Decimal64(precision, scale) => digits(precision, scale, 18),
            DataType::Decimal128(precision, scale) => digits(precision, scale, 38),
            DataType::Decimal256(precision, scale) => digits(precision, scale, 76),
            DataType::FixedSizeBinary(bytes) => bytes >= 0,
            _ => true,
        };
        if !possible || normalize(&parsed).as_ref() != Ok(&parsed) {
            return Err(unknown("no column of a table has it".to_owned()));
        }
        Ok(parsed)
    }
}

impl TableSchema {
    pub(crate) fn to_record(&self) -> Vec<ColumnRecord> {
        self.columns
            .fields()
            .iter()
            .map(|field| ColumnRecord::of(field.name(), field.data_type()))
            .collect()
    }

    /// Reads the log's spelling back; the error names the column and the type that this program does not know, or the
    /// column that is there twice or not at all.
    pub(crate) fn from_record(
        columns: &[ColumnRecord],
        partition_by: &[String],
    ) -> Result<Self, String> {
        let fields: Result<Vec<Field>, String> = columns
            .iter()
            .map(|column| Ok(Field::new(&column.name, column.to_type()?, true)))
            .collect();
        let mut names = HashSet::new();
        if let Some(twice) = (columns.iter()).find(|column| !names.insert(column.name.as_str())) {
            return Err(format!("two columns are called {}", twice.name));
        }
        let mut folders = HashSet::new();
        for column in partition_by {
            if !names.contains(column.as_str()) || !folders.insert(column.as_str()) {
                return Err(format!(
                    "{column} is no column, or partitions the table twice"
                ));
            }
        }
        Ok(Self {
            columns: Arc::new(Schema::new(fields?)),
            partition_by: partition_by.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, false)
    }

    #[test]
    fn engine_spellings_become_one_plain_spelling() {
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let list = DataType::LargeList(Arc::new(field("element", DataType::Utf8View)));
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        let schema = Schema::new(vec![
            field("a", DataType::Utf8View),
            field("b", dictionary),
            field("c", nanos),
            field("d", list),
            field("e", DataType::Null),
        ]);
        let (table, problems) = TableSchema::normalize(&schema, &["a".to_owned()]);
        let types: Vec<String> = table
            .columns()
            .fields()
            .iter()
            .map(|field| field.data_type().to_string())
            .collect();
        assert_eq!(
            types[..4],
            ["Utf8", "Utf8", "Timestamp(µs, \"UTC\")", "List(Utf8)"]
        );
        assert!(
            table
                .columns()
                .fields()
                .iter()
                .all(|field| field.is_nullable())
        );
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].0, "e");
        assert_eq!(
            table.file_schema().fields().len(),
            4,
            "the partition column is not in the files"
        );
    }

    #[test]
    fn the_log_spelling_of_every_type_reads_back_equal() {
        let entries = DataType::Struct(
            vec![
                field("key", DataType::Utf8),
                Field::new("value", DataType::Int64, true),
            ]
            .into(),
        );
        let nested = DataType::Struct(
            vec![
                field("x y", DataType::Int8),
                field("\"q\"", DataType::Binary),
            ]
            .into(),
        );
        let types = [
            DataType::Boolean,
            DataType::UInt64,
            DataType::Float32,
            DataType::Utf8,
            DataType::Binary,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Second, Some("+02:00".into())),
            DataType::Decimal128(38, 9),
            DataType::Decimal256(60, -2),
            DataType::FixedSizeBinary(16),
            DataType::List(Arc::new(field("i", nested.clone()))),
            DataType::FixedSizeList(Arc::new(field("i", DataType::Float64)), 3),
            nested,
            DataType::Map(Arc::new(field("entries", entries)), false),
        ];
        let fields: Vec<Field> = types
            .into_iter()
            .enumerate()
            .map(|(index, data_type)| field(&format!("c{index}"), data_type))
            .collect();
        let (table, problems) = TableSchema::normalize(&Schema::new(fields), &[]);
        assert!(problems.is_empty(), "{problems:?}");
        let again = TableSchema::from_record(&table.to_record(), &[]).unwrap();
        assert_eq!(again, table);
    }

    #[test]
    fn widening_and_another_order_are_compatible_and_the_rest_is_named() {
        let table = Schema::new(vec![
            field("a", DataType::Int64),
            field("b", DataType::Utf8),
        ]);
        let (table, _) = TableSchema::normalize(&table, &[]);
        let run = Schema::new(vec![
            field("b", DataType::Utf8),
            field("a", DataType::Int32),
        ]);
        assert!(table.differences(&run).is_empty());
        let run = Schema::new(vec![
            field("a", DataType::Utf8),
            field("c", DataType::Int32),
        ]);
        let shown: Vec<String> = table
            .differences(&run)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            shown,
            [
                "column a is Int64 in the table, Utf8 in the run",
                "column b (Utf8) of the table is missing in the run",
                "column c (Int32) of the run is not in the table",
            ]
        );
        assert!(widens(&DataType::UInt32, &DataType::Int64));
        assert!(!widens(&DataType::UInt64, &DataType::Int64));
        assert!(!widens(&DataType::Int8, &DataType::UInt64));
    }
}
