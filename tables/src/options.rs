//! What a user may say about a table: partition columns, publish mode, key, order, encoding. Owns the defaults and the
//! check of the options against the rows; does not parse pipelines.

mod encoding;
mod format;
mod problem;

use std::fmt;
use std::str::FromStr;

use datafusion::arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::schema::{TableSchema, can_partition, can_sort};
use crate::schema_policy::SchemaPolicy;

pub use encoding::{Compression, Dictionary, Statistics};
pub use format::Format;
pub use problem::OptionProblem;

use problem::problem;

/// What a run does with the rows that are already published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// Adds the rows. Refuses an interval that something else committed; see [`crate::Table::begin_once`].
    Append,
    /// Replaces the partitions that this run produced; others stay as they are.
    #[default]
    Overwrite,
    /// Replaces the whole table, its schema and its partitioning included.
    Replace,
    /// Inserts or updates by key within the partitions that this run touches.
    Merge,
}

/// Where a key is unique, and so which published row an arriving one replaces in [`PublishMode::Merge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyScope {
    /// In its partition. The same key in two partitions is two rows.
    #[default]
    Partition,
    /// In the whole table: a row that arrives in another partition than its published version removes that version.
    Table,
}

impl KeyScope {
    /// Every scope with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 2] =
        [("partition", Self::Partition), ("table", Self::Table)];
}

impl PublishMode {
    /// Every mode with its name in pipelines.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("append", Self::Append),
        ("overwrite", Self::Overwrite),
        ("replace", Self::Replace),
        ("merge", Self::Merge),
    ];
}

impl fmt::Display for PublishMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, mode)| mode == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for PublishMode {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let found = Self::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, mode)| *mode).ok_or_else(|| OptionProblem {
            option: "publish",
            name: Some(text.to_owned()),
            reason: "there is no such publish mode".to_owned(),
            candidates: Self::NAMES
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        })
    }
}

/// One column of an order of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// The column's name.
    pub column: String,
    /// Greatest first.
    pub descending: bool,
    /// NULLs before all values.
    pub nulls_first: bool,
}

impl SortKey {
    /// Ascending, NULLs last, as SQL's `ORDER BY column`.
    pub fn ascending(column: impl Into<String>) -> Self {
        Self {
            column: column.into(),
            descending: false,
            nulls_first: false,
        }
    }
}

/// How a table is laid out, encoded and published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// Partition columns, outermost folder first. Default: none.
    pub partition_by: Vec<String>,
    /// What happens to published rows. Default: [`PublishMode::Overwrite`].
    pub mode: PublishMode,
    /// The columns that identify a row; needed by [`PublishMode::Merge`], otherwise unused.
    pub key: Vec<String>,
    /// Which of several arriving rows with one key [`PublishMode::Merge`] keeps: the one that comes last in this order;
    /// rows that it leaves equal are told apart by `sort`, then by the other columns. Otherwise unused. Default: none.
    pub order: Vec<SortKey>,
    /// Where `key` is unique; otherwise unused. Default: [`KeyScope::Partition`].
    pub key_scope: KeyScope,
    /// What happens when the rows have another schema than the table. Default: [`SchemaPolicy::Evolve`].
    pub contract: SchemaPolicy,
    /// The order of rows within a partition. When given, files are byte-identical for the same rows. Default: none,
    /// except that `merge` then orders by the key.
    pub sort: Vec<SortKey>,
    /// Rows of a file of a table with `sort`, about: a partition with more is split by the sort columns, so that several
    /// streams write it, at the price of reading those columns of all rows once more. Default: partitions are not split.
    pub split_rows: Option<u64>,
    /// The format of the files. Default: [`Format::Parquet`].
    pub format: Format,
    /// Whether a run writes one file, or one in each partition, however large it is. Then one stream writes each of them.
    /// Default: no.
    pub single_file: bool,
    /// Compression of the files, or of the pages in them. Default: `zstd(3)`, which every format has; a pipeline that says
    /// nothing has [`Format::default_compression`].
    pub compression: Compression,
    /// Rows in a row group, at most. Default: 1,048,576.
    pub row_group_rows: usize,
    /// Encoded bytes in a row group, about, at most: what an open file holds in memory. Default: 32 MiB.
    pub row_group_bytes: usize,
    /// A file that has about this many bytes is closed and another begun. Default: 512 MiB.
    pub target_file_bytes: u64,
    /// Dictionary-encoded columns. Default: those that repeat their values.
    pub dictionary: Dictionary,
    /// Statistics in the files. Default: for every page.
    pub statistics: Statistics,
    /// Columns with a Bloom filter in each row group. Default: none.
    pub bloom_filter: Vec<String>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            partition_by: Vec::new(),
            mode: PublishMode::Overwrite,
            key: Vec::new(),
            order: Vec::new(),
            key_scope: KeyScope::Partition,
            contract: SchemaPolicy::Evolve,
            sort: Vec::new(),
            split_rows: None,
            format: Format::Parquet,
            single_file: false,
            compression: Compression::Zstd(encoding::ZSTD_LEVEL),
            row_group_rows: 1 << 20,
            row_group_bytes: 32 << 20,
            target_file_bytes: 512 << 20,
            dictionary: Dictionary::Automatic,
            statistics: Statistics::Page,
            bloom_filter: Vec::new(),
        }
    }
}

impl TableOptions {
    /// Every problem of these options with rows of `schema`; empty when they fit. Reads nothing.
    pub fn validate(&self, schema: &Schema) -> Vec<OptionProblem> {
        let (table, unstorable) = TableSchema::normalize(schema, &self.partition_by);
        let names: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let mut problems: Vec<OptionProblem> = unstorable
            .into_iter()
            .map(|(column, reason)| problem("column", Some(&column), reason, &[]))
            .collect();
        problems.extend(repeated(&names).map(|name| {
            problem(
                "column",
                Some(name),
                "two columns have this name; rename one",
                &[],
            )
        }));
        self.validate_partition_by(&table, &names, &mut problems);
        self.validate_key(&names, &mut problems);
        validate_order("order", &self.order, &table, &names, &mut problems);
        validate_order("sort", &self.sort, &table, &names, &mut problems);
        self.validate_split(&mut problems);
        self.validate_format(&table, &mut problems);
        self.validate_encoding(&table, &names, &mut problems);
        if let Err(reason) = self.format.check_compression(self.compression) {
            problems.push(problem("compression", None, reason, &[]));
        }
        for (option, value) in [
            ("row_group_rows", self.row_group_rows as u64),
            ("row_group_bytes", self.row_group_bytes as u64),
            ("target_file_bytes", self.target_file_bytes),
        ] {
            if value == 0 {
                problems.push(problem(option, None, "must be at least 1", &[]));
            }
        }
        problems
    }

    fn validate_partition_by(
        &self,
        table: &TableSchema,
        names: &[String],
        problems: &mut Vec<OptionProblem>,
    ) {
        const OPTION: &str = "partitioned by";
        check_columns(OPTION, &self.partition_by, names, problems);
        for column in &self.partition_by {
            if let Ok(field) = table.columns().field_with_name(column)
                && !can_partition(field.data_type())
            {
                let reason = format!(
                    "type {} cannot name partitions; use text, an integer, a boolean or a date",
                    field.data_type()
                );
                problems.push(problem(OPTION, Some(column), reason, &[]));
            }
        }
        if !names.is_empty() && names.iter().all(|name| self.partition_by.contains(name)) {
            problems.push(problem(
                OPTION,
                None,
                "every column is a partition column, so files would be empty",
                &[],
            ));
        }
        if names.is_empty() {
            problems.push(problem("column", None, "the rows have no columns", &[]));
        }
    }

    fn validate_key(&self, names: &[String], problems: &mut Vec<OptionProblem>) {
        check_columns("key", &self.key, names, problems);
        if self.mode.requirements().key
            && self
                .key
                .iter()
                .all(|column| self.partition_by.contains(column))
        {
            let reason = if self.key.is_empty() {
                "mode merge needs the columns that identify a row, as in key 'event_id'"
            } else {
                "every key column is a partition column, so a partition could hold one row; name the row's own key"
            };
            problems.push(problem("key", None, reason, &[]));
        }
    }

    fn validate_split(&self, problems: &mut Vec<OptionProblem>) {
        let reason = match self.split_rows {
            None => return,
            Some(0) => "must be at least 1",
            Some(_) if self.mode.requirements().key => {
                "a merge writes each partition in one stream; leave it out"
            }
            Some(_) if self.sort.is_empty() => {
                "needs sort: without an order, all streams write a large partition already"
            }
            Some(_) if self.single_file => "splits what single_file keeps together; leave one out",
            Some(_) => return,
        };
        problems.push(problem("split_rows", None, reason, &[]));
    }

    /// What the files cannot hold, and what cannot be done without reading them.
    fn validate_format(&self, table: &TableSchema, problems: &mut Vec<OptionProblem>) {
        if self.mode.requirements().key && !self.format.is_read_back() {
            let reason = format!(
                "a merge reads published rows, and {} files are only written: publish 'overwrite' replaces whole \
                 partitions, or store the output as PARQUET",
                self.format.name()
            );
            problems.push(problem("publish", Some("merge"), reason, &[]));
        }
        for field in table.file_schema().fields() {
            if let Err(reason) = self.format.check_column(field) {
                problems.push(problem("column", Some(field.name()), reason, &[]));
            }
        }
    }

    fn validate_encoding(
        &self,
        table: &TableSchema,
        names: &[String],
        problems: &mut Vec<OptionProblem>,
    ) {
        let dictionary: &[String] = match &self.dictionary {
            Dictionary::Columns(columns) => columns,
            _ => &[],
        };
        for (option, columns) in [
            ("dictionary", dictionary),
            ("bloom_filter", self.bloom_filter.as_slice()),
        ] {
            check_columns(option, columns, names, problems);
            for column in columns {
                let reason = match table.columns().field_with_name(column) {
                    Ok(_) if table.is_partition(column) => {
                        "is a partition column, which the files do not hold"
                    }
                    Ok(field) if field.data_type().is_nested() => {
                        "is a list, a map or a struct; only plain columns can be named"
                    }
                    _ => continue,
                };
                problems.push(problem(option, Some(column), reason, &[]));
            }
        }
    }
}

fn validate_order(
    option: &'static str,
    order: &[SortKey],
    table: &TableSchema,
    names: &[String],
    problems: &mut Vec<OptionProblem>,
) {
    let columns: Vec<String> = order.iter().map(|key| key.column.clone()).collect();
    check_columns(option, &columns, names, problems);
    for column in columns {
        if let Ok(field) = table.columns().field_with_name(&column)
            && !can_sort(field.data_type())
        {
            let reason = format!("type {} has no order", field.data_type());
            problems.push(problem(option, Some(&column), reason, &[]));
        }
    }
}

fn check_columns(
    option: &'static str,
    columns: &[String],
    names: &[String],
    problems: &mut Vec<OptionProblem>,
) {
    for column in columns {
        if !names.contains(column) {
            problems.push(problem(
                option,
                Some(column),
                "there is no such column",
                names,
            ));
        }
    }
    problems
        .extend(repeated(columns).map(|name| problem(option, Some(name), "is named twice", &[])));
}

fn repeated(names: &[String]) -> impl Iterator<Item = &String> {
    names
        .iter()
        .enumerate()
        .filter(|(position, name)| names[..*position].contains(name))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn every_problem_is_reported_at_once_with_the_columns_there_are() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("amount", DataType::Float64, true),
            Field::new("nothing", DataType::Null, true),
        ]);
        let options = TableOptions {
            partition_by: vec!["yaer".to_owned(), "amount".to_owned()],
            mode: PublishMode::Merge,
            sort: vec![SortKey::ascending("id"), SortKey::ascending("id")],
            compression: Compression::Zstd(40),
            row_group_rows: 0,
            ..TableOptions::default()
        };
        let shown: Vec<String> = options
            .validate(&schema)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown.len(), 7, "{shown:#?}");
        assert!(shown[0].starts_with("column \"nothing\""), "{shown:#?}");
        assert_eq!(
            shown[1],
            "partitioned by \"yaer\": there is no such column (there are: id, amount, nothing)"
        );
        assert!(
            shown[2].starts_with("partitioned by \"amount\": type Float64"),
            "{shown:#?}"
        );
        assert!(shown[3].starts_with("key: mode merge needs"), "{shown:#?}");
        assert_eq!(shown[4], "sort \"id\": is named twice");
        assert_eq!(shown[5], "compression: zstd has levels 1 to 22, not 40");
        assert_eq!(shown[6], "row_group_rows: must be at least 1");
    }

    #[test]
    fn words_of_pipelines_are_read_or_refused_with_what_there_is() {
        assert_eq!("Merge".parse::<PublishMode>().unwrap(), PublishMode::Merge);
        assert_eq!(
            "upsert"
                .parse::<PublishMode>()
                .unwrap_err()
                .candidates
                .len(),
            4
        );
        assert_eq!("zstd".parse::<Compression>().unwrap(), Compression::Zstd(3));
        assert_eq!(
            "ZSTD(9)".parse::<Compression>().unwrap(),
            Compression::Zstd(9)
        );
        assert_eq!("none".parse::<Compression>().unwrap(), Compression::None);
        for wrong in [
            "zip",
            "zstd(x)",
            "zstd(99)",
            "snappy(1)",
            "gzip(-1)",
            "gzip(17)",
        ] {
            assert!(wrong.parse::<Compression>().is_err(), "{wrong}");
        }
    }
}
