//! What may happen when the rows of a run have another schema than the table: the evolution policies, what each allows,
//! and the changes that follow. Decided from the two schemas alone, before a row is read; which rows do not fit is
//! found by `write`, and files of an older type are rewritten by `publish`.
//!
//! | difference | `evolve` | `freeze` | `discard_row` |
//! |---|---|---|---|
//! | a type that widens to the table's | cast | cast | cast |
//! | a column that the table does not have | added | refused | refused |
//! | a type that the table's widens to | the table's type widens | refused | rows that do not fit are left out |
//! | another type | refused | refused | the same, where single values can be told to fit |
//! | a column that the run does not have | refused | refused | refused |
//!
//! A column that is missing in the run is refused by every policy: it is a renamed or mistyped column as often as one
//! that is not wanted any more, and NULL in its place would overwrite published values. A query that means it says so
//! with `CAST(NULL AS …)`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::schema::{SchemaDifference, TableSchema, widens};

/// What happens when the rows of a run have another schema than the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchemaPolicy {
    /// A new column is added, and a type that widens without loss is widened; any other difference is refused.
    #[default]
    Evolve,
    /// Every difference is refused.
    Freeze,
    /// The schema stays; rows with a value that the table's type does not hold are left out and counted.
    DiscardRow,
}

impl SchemaPolicy {
    /// Every policy with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("evolve", Self::Evolve),
        ("freeze", Self::Freeze),
        ("discard_row", Self::DiscardRow),
    ];

    /// What a user can do about a refused difference.
    pub(crate) fn way_out(self) -> &'static str {
        match self {
            Self::Evolve => {
                "change the query, or publish with mode 'replace', which sets a new schema"
            }
            Self::Freeze => {
                "change the query, or let the table change with contract 'evolve', which adds columns and widens types"
            }
            Self::DiscardRow => {
                "change the query, or publish with contract 'evolve', which adds columns and widens types"
            }
        }
    }
}

impl fmt::Display for SchemaPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evolve => "evolve",
            Self::Freeze => "freeze",
            Self::DiscardRow => "discard_row",
        })
    }
}

/// One change of a table's schema, as its commit records it. Types are spelled for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// The column.
    pub column: String,
    /// Its type before; `None` if the table did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its type now; `None` if the table does not have it any more, which only mode `replace` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl SchemaChange {
    fn of(difference: &SchemaDifference) -> Self {
        let text = |data_type: &Option<DataType>| data_type.as_ref().map(ToString::to_string);
        Self {
            column: difference.column.clone(),
            from: text(&difference.table),
            to: text(&difference.run),
        }
    }
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "column {column} is {to} now, it was {from}"),
            (None, Some(to)) => write!(f, "column {column} ({to}) is new"),
            (Some(from), None) => write!(f, "column {column} ({from}) is gone"),
            (None, None) => write!(f, "column {column}"),
        }
    }
}

/// What a run and its table agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    /// The schema of the files that the run writes.
    pub(crate) schema: TableSchema,
    /// How it differs from the table's.
    pub(crate) changes: Vec<SchemaChange>,
    /// Columns whose values may not fit; rows in which one does not are left out.
    pub(crate) checked: Vec<String>,
    /// Whether published files hold a column in a type that is not the table's any more.
    pub(crate) widened: bool,
}

impl Agreement {
    /// The run's schema becomes the table's: the first commit, or one that replaces all files.
    pub(crate) fn new_schema(before: Option<&TableSchema>, run: TableSchema) -> Self {
        let changes = before.map_or_else(Vec::new, |table| {
            let differences = table.exact_differences(run.columns());
            differences.iter().map(SchemaChange::of).collect()
        });
        Self {
            schema: run,
            changes,
            checked: Vec::new(),
            widened: false,
        }
    }
}

/// Brings the schema of a table and that of a run's rows together. Both are partitioned by the same columns.
///
/// # Errors
/// The differences that the contract does not allow.
pub(crate) fn agree(
    table: &TableSchema,
    run: &TableSchema,
    contract: SchemaPolicy,
) -> Result<Agreement, Vec<SchemaDifference>> {
    let differences = table.differences(run.columns());
    let allowed = |difference: &SchemaDifference| match contract {
        SchemaPolicy::Evolve => is_compatible(difference),
        SchemaPolicy::Freeze => false,
        SchemaPolicy::DiscardRow => is_checkable(difference),
    };
    let refused: Vec<_> = differences
        .iter()
        .filter(|difference| !allowed(difference))
        .cloned()
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    if contract == SchemaPolicy::DiscardRow {
        return Ok(Agreement {
            schema: table.clone(),
            changes: Vec::new(),
            checked: differences
                .into_iter()
                .map(|difference| difference.column)
                .collect(),
            widened: false,
        });
    }
    let mut columns: Vec<FieldRef> = table.columns().fields().iter().cloned().collect();
    let mut widened = false;
    for difference in &differences {
        let Some(data_type) = difference.run.clone() else {
            continue;
        };
        let field = Arc::new(Field::new(&difference.column, data_type, true));
        match table.columns().index_of(&difference.column) {
            Ok(position) => {
                columns[position] = field;
                // A folder's name is the same text for every integer type.
                widened |= !table.is_partition(&difference.column);
            }
            Err(_) => columns.push(field),
        }
    }
    Ok(Agreement {
        schema: TableSchema::of(columns, table.partition_by()),
        changes: differences.iter().map(SchemaChange::of).collect(),
        checked: Vec::new(),
        widened,
    })
}

/// Whether the table can take the run's side of the difference without losing a value.
fn is_compatible(difference: &SchemaDifference) -> bool {
    match (&difference.table, &difference.run) {
        (None, Some(_)) => true,
        (Some(table), Some(run)) => widens(table, run),
        _ => false,
    }
}

/// Whether single values of the run's type can be told to fit the table's.
fn is_checkable(difference: &SchemaDifference) -> bool {
    use DataType::{Boolean, Date32, Timestamp, Utf8};
    let (Some(table), Some(run)) = (&difference.table, &difference.run) else {
        return false;
    };
    if !can_cast_types(run, table) || !can_cast_types(table, run) {
        return false;
    }
    match (run, table) {
        (Date32, Timestamp(TimeUnit::Microsecond, None))
        | (Timestamp(TimeUnit::Microsecond, None), Date32)
        | (Utf8, Boolean | Date32 | Timestamp(TimeUnit::Microsecond, _))
        | (Boolean | Date32, Utf8) => true,
        (Utf8, number) => number.is_integer() || number.is_floating(),
        (integer, Utf8) => integer.is_integer(),
        (run, table) => run.is_numeric() && table.is_numeric(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;

    use super::*;

    fn table(columns: &[(&str, DataType)]) -> TableSchema {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect();
        TableSchema::normalize(&Schema::new(fields), &["p".to_owned()]).0
    }

    #[test]
    fn each_contract_allows_what_its_table_says() {
        use DataType::{Float64, Int32, Int64, Utf8};
        let before = table(&[("p", Int32), ("v", Int32), ("t", Utf8)]);
        let same = [("t", Utf8), ("v", Int32), ("p", Int32)];
        let added = [("p", Int32), ("v", Int32), ("new", Utf8), ("t", Utf8)];
        let wider = [("p", Int32), ("v", Int64), ("t", Utf8)];
        let folders = [("p", Int64), ("v", Int32), ("t", Utf8)];
        let other = [("p", Int32), ("v", Utf8), ("t", Utf8)];
        let missing = [("p", Int32), ("v", Int32)];
        // What the rows have; then changes, columns to check and whether files are rewritten, or `None` for a refusal.
        type Wanted = Option<(usize, usize, bool)>;
        type Columns<'a> = &'a [(&'a str, DataType)];
        let cases: [(Columns<'_>, [Wanted; 3]); 6] = [
            (&same, [Some((0, 0, false)); 3]),
            (&added, [Some((1, 0, false)), None, None]),
            (&wider, [Some((1, 0, true)), None, Some((0, 1, false))]),
            (&folders, [Some((1, 0, false)), None, Some((0, 1, false))]),
            (&other, [None, None, Some((0, 1, false))]),
            (&missing, [None, None, None]),
        ];
        for (run, wanted) in cases {
            for ((_, contract), wanted) in SchemaPolicy::NAMES.iter().zip(wanted) {
                let found = agree(&before, &table(run), *contract).ok();
                let found = found.map(|agreed| {
                    let (changes, checked) = (agreed.changes.len(), agreed.checked.len());
                    (changes, checked, agreed.widened)
                });
                assert_eq!(found, wanted, "{contract}: {run:?}");
            }
        }
        let agreed = agree(&before, &table(&added), SchemaPolicy::Evolve).unwrap();
        let names = agreed.schema.columns().fields().iter();
        let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["p", "v", "t", "new"], "new columns come last");
        assert_eq!(agreed.changes[0].to_string(), "column new (Utf8) is new");
        let narrower = table(&[("p", Int32), ("v", DataType::Int8), ("t", Utf8)]);
        assert!(agree(&before, &narrower, SchemaPolicy::Freeze).is_ok());
        let lossy = table(&[("p", Int32), ("v", Float64), ("t", Utf8)]);
        assert!(agree(&before, &lossy, SchemaPolicy::Evolve).is_err());
        assert!(agree(&before, &lossy, SchemaPolicy::DiscardRow).is_ok());
    }
}
