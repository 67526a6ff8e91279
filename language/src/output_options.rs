//! The options of an output: their names, values and meanings, and their reading. Owns the one table of them, from which the
//! page in `docs/` is made, and what they mean together.

use std::num::NonZeroU64;

use bytesize::ByteSize;

use tables::{Compression, Format, KeyScope, PublishMode, SchemaPolicy, Statistics};

use super::columns::{Directions, SortKey, read_columns, read_sort_keys};
use super::diagnostic::Report;
use super::options::{OptionError, Said};
use super::resolve::{Resolved, Resolver, by_key};
use super::set::describe;
use super::statement::{CopyStatement, Entry, Name};
use super::suggest::nearest;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct OutputOption {
    /// The name.
    pub name: &'static str,
    /// What its values are.
    pub values: &'static str,
    /// What holds if nothing is said.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Reads its value.
    read: fn(&mut OutputOptions, Said<'_>, &Entry, &mut Report) -> Result<(), OptionError>,
}

/// Every option of an output.
pub const OUTPUT_OPTIONS: &[OutputOption] = &[
    OutputOption {
        name: "publish",
        values: "append, overwrite, replace, merge",
        default: "overwrite",
        doc: "how published rows are replaced",
        read: |options, said, _, _| {
            let expected = "append, overwrite, replace or merge";
            options.publish = said.choice(expected, &PublishMode::NAMES)?;
            Ok(())
        },
    },
    OutputOption {
        name: "key",
        values: "columns: 'a, b'",
        default: "none; `merge` needs it",
        doc: "the columns that identify a row",
        read: |options, said, entry, report| {
            options.key = read_columns(said.text, entry, report);
            Ok(())
        },
    },
    OutputOption {
        name: "order",
        values: "columns: 'a, b DESC NULLS LAST'",
        default: "none; `merge` uses it",
        doc: "of several rows with one key, the last in this order is kept",
        read: |options, said, entry, report| {
            options.order = read_sort_keys(said.text, entry, Directions::NullFirst, report);
            Ok(())
        },
    },
    OutputOption {
        name: "key_scope",
        values: "partition, table",
        default: "partition",
        doc: "where a key is unique",
        read: |options, said, _, _| {
            options.key_scope = said.choice("partition or table", &KeyScope::NAMES)?;
            Ok(())
        },
    },
    OutputOption {
        name: "contract",
        values: "evolve, freeze, discard_row",
        default: "evolve",
        doc: "what happens when the rows have another schema than the table",
        read: |options, said, _, _| {
            let expected = "evolve, freeze or discard_row";
            options.contract = said.choice(expected, &SchemaPolicy::NAMES)?;
            Ok(())
        },
    },
    OutputOption {
        name: "sort",
        values: "columns: 'a, b DESC NULLS LAST'",
        default: "none",
        doc: "the order of rows within a partition",
        read: |options, said, entry, report| {
            options.sort = read_sort_keys(said.text, entry, Directions::OfSql, report);
            Ok(())
        },
    },
    OutputOption {
        name: "split_rows",
        values: "positive number",
        default: "partitions are not split",
        doc: "rows of a file, about, where a large partition is written by several streams; with `sort`",
        read: |options, said, _, _| said.count().map(|rows| options.split_rows = Some(rows)),
    },
    OutputOption {
        name: "single_file",
        values: "true, false",
        default: "false",
        doc: "whether a run writes one file, or one in each partition",
        read: |options, said, _, _| {
            options.single_file =
                said.choice("true or false", &[("true", true), ("false", false)])?;
            Ok(())
        },
    },
    OutputOption {
        name: "compression",
        values: "zstd, zstd(1..22), snappy, gzip, gzip(0..9), deflate, lz4, none",
        default: "of the format",
        doc: "the codec of the files; not every format has all",
        read: |options, said, _, _| {
            compression(said).map(|codec| options.compression = Some(codec))
        },
    },
    OutputOption {
        name: "row_group_rows",
        values: "positive number",
        default: "of the writer",
        doc: "rows per row group; PARQUET",
        read: |options, said, _, _| said.count().map(|rows| options.row_group_rows = Some(rows)),
    },
    OutputOption {
        name: "row_group_size",
        values: "size such as '32MiB'",
        default: "of the writer",
        doc: "encoded size of a row group; PARQUET",
        read: |options, said, _, _| size(said).map(|size| options.row_group_size = Some(size)),
    },
    OutputOption {
        name: "target_file_size",
        values: "size such as '128MiB'",
        default: "of the writer",
        doc: "size at which a new file is begun",
        read: |options, said, _, _| size(said).map(|size| options.target_file_size = Some(size)),
    },
    OutputOption {
        name: "dictionary",
        values: "true, false, or columns: 'a, b'",
        default: "of the writer",
        doc: "the columns that are dictionary-encoded; PARQUET",
        read: |options, said, entry, report| {
            options.dictionary = Some(match said.text.to_ascii_lowercase().as_str() {
                "true" => DictionaryChoice::Every(true),
                "false" => DictionaryChoice::Every(false),
                _ => DictionaryChoice::Columns(read_columns(said.text, entry, report)),
            });
            Ok(())
        },
    },
    OutputOption {
        name: "statistics",
        values: "none, chunk, page",
        default: "of the writer",
        doc: "least and greatest values in the files; PARQUET",
        read: |options, said, _, _| {
            let statistics = said.choice("none, chunk or page", &Statistics::NAMES)?;
            options.statistics = Some(statistics);
            Ok(())
        },
    },
    OutputOption {
        name: "bloom_filter",
        values: "columns: 'a, b'",
        default: "none",
        doc: "the columns with Bloom filters; PARQUET",
        read: |options, said, entry, report| {
            options.bloom_filter = read_columns(said.text, entry, report);
            Ok(())
        },
    },
];

/// Options that say how Parquet files are made.
const OF_PARQUET: [&str; 5] = [
    "row_group_rows",
    "row_group_size",
    "dictionary",
    "statistics",
    "bloom_filter",
];

/// The options of an output. [`None`] is "not said": the writer's default holds.
#[derive(Debug, Clone, Default)]
pub struct OutputOptions {
    /// How published rows are replaced.
    pub publish: PublishMode,
    /// The columns whose values identify a row.
    pub key: Vec<Name>,
    /// The order whose last row is kept when a run brings several rows with one key.
    pub order: Vec<SortKey>,
    /// Where the key is unique.
    pub key_scope: KeyScope,
    /// What happens when the rows have another schema than the table.
    pub contract: SchemaPolicy,
    /// The order of rows within a partition.
    pub sort: Vec<SortKey>,
    /// Rows of a file, about, where a partition is written by several streams.
    pub split_rows: Option<NonZeroU64>,
    /// Whether a run writes one file, or one in each partition.
    pub single_file: bool,
    /// The codec of the files.
    pub compression: Option<Compression>,
    /// Rows per row group.
    pub row_group_rows: Option<NonZeroU64>,
    /// Encoded size at which a row group is ended, in bytes.
    pub row_group_size: Option<NonZeroU64>,
    /// Size at which a file is closed and the next one begun, in bytes.
    pub target_file_size: Option<NonZeroU64>,
    /// Which columns are dictionary-encoded.
    pub dictionary: Option<DictionaryChoice>,
    /// Which statistics the files hold.
    pub statistics: Option<Statistics>,
    /// The columns with Bloom filters.
    pub bloom_filter: Vec<Name>,
}

/// The value of the option `dictionary`.
#[derive(Debug, Clone)]
pub enum DictionaryChoice {
    /// All columns, or none.
    Every(bool),
    /// These columns.
    Columns(Vec<Name>),
}

/// Types the options of an output.
pub(super) fn resolve_options(
    statement: &CopyStatement,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> OutputOptions {
    let mut options = OutputOptions::default();
    let mut merge_at = None;
    let mut mode_unknown = false;
    let mut key_given = false;
    let mut sort_given = false;
    let mut of_merge = Vec::new();
    let mut split_at = None;
    for (key, entry) in by_key(&statement.options, report) {
        let Some(option) = OUTPUT_OPTIONS.iter().find(|option| option.name == key) else {
            let names = OUTPUT_OPTIONS.iter().map(|option| option.name);
            let known: Vec<&str> = names.clone().collect();
            report.push(
                report
                    .error_at(
                        entry.key.span,
                        format!("unknown option `{key}` of an output"),
                    )
                    .with_suggestion(nearest(key, names))
                    .with_help(format!("options of an output: {}", known.join(", "))),
            );
            continue;
        };
        let what = format!("the value of option `{key}`");
        let resolved = resolver.text(&entry.value, entry.value_span, &what, report);
        sort_given |= key == "sort";
        key_given |= key == "key" && resolved != Resolved::Null;
        let Resolved::Text(text) = resolved else {
            continue;
        };
        if key == "publish" && text.eq_ignore_ascii_case("merge") {
            merge_at = Some(entry.value_span);
        }
        if key == "split_rows" {
            split_at = Some(entry.key.span);
        }
        if matches!(key, "order" | "key_scope") {
            of_merge.push((key, entry.key.span));
        }
        let said = Said {
            name: option.name,
            text: &text,
        };
        if let Err(error) = (option.read)(&mut options, said, entry, report) {
            // A mode that is not understood may have been meant to be `merge`.
            mode_unknown |= key == "publish";
            report.push(describe(&error, entry, report));
        } else if let Some((problem, help)) = unfit(statement.format, key, &options) {
            let span = if key == "compression" || key == "publish" {
                entry.value_span
            } else {
                entry.key.span
            };
            report.push(report.error_at(span, problem).with_help(help));
        }
    }
    if merge_at.is_none() && !mode_unknown {
        for (key, span) in of_merge {
            report.push(
                report
                    .error_at(
                        span,
                        format!("option `{key}` has a meaning for publish 'merge' only"),
                    )
                    .with_help(if key == "order" {
                        "for the order of rows in the files use `sort`"
                    } else {
                        "say publish 'merge' with the option `key`, or leave it out"
                    }),
            );
        }
    }
    if let Some(span) = split_at
        && let Some(help) = not_split(merge_at.is_some(), sort_given, options.single_file)
    {
        report.push(
            report
                .error_at(span, "option `split_rows` does nothing here")
                .with_help(help),
        );
    }
    if let Some(span) = merge_at
        && !key_given
    {
        report.push(
            report
                .error_at(span, "publish 'merge' needs the option `key`")
                .with_help(
                    "name the columns that identify a row: OPTIONS (publish 'merge', key 'id')",
                ),
        );
    }
    options
}

/// What is wrong with an option for files of that format, if anything is, and what to do.
fn unfit(format: Format, key: &str, options: &OutputOptions) -> Option<(String, String)> {
    let name = format.name();
    if format != Format::Parquet && OF_PARQUET.contains(&key) {
        return Some((
            format!("option `{key}` has a meaning for PARQUET only"),
            format!("leave it out, or store the output as PARQUET instead of {name}"),
        ));
    }
    match key {
        "publish" if options.publish == PublishMode::Merge && !format.is_read_back() => Some((
            format!("publish 'merge' reads published rows, and {name} files are only written"),
            String::from(
                "publish 'overwrite' replaces whole partitions; or store the output as PARQUET",
            ),
        )),
        "compression" => {
            let refused = format.check_compression(options.compression?).err()?;
            Some((format!("option `compression` does not fit {name}"), refused))
        }
        _ => None,
    }
}

/// What keeps partitions from being split, if anything does.
fn not_split(merges: bool, sorts: bool, in_one_file: bool) -> Option<&'static str> {
    match (merges, sorts) {
        (true, _) => Some(
            "with publish 'merge' each partition is written in one stream; leave `split_rows` out",
        ),
        (false, false) => Some(
            "without `sort` all streams write a large partition already; leave `split_rows` out, or say `sort`",
        ),
        (false, true) => in_one_file
            .then_some("`single_file` keeps together what it splits; leave one of the two out"),
    }
}

/// Reads a size, which cannot be zero.
fn size(said: Said<'_>) -> Result<NonZeroU64, OptionError> {
    let size = said.text.parse::<ByteSize>().ok();
    size.and_then(|size| NonZeroU64::new(size.as_u64()))
        .ok_or_else(|| said.refused("a size such as '128MiB'", None))
}

/// Reads `codec` or `codec(level)`, as the writer knows them.
fn compression(said: Said<'_>) -> Result<Compression, OptionError> {
    said.text.parse().map_err(|_| {
        let near = nearest(said.text, ["zstd", "snappy", "gzip", "deflate", "lz4", "none"]);
        said.refused("zstd, snappy, gzip, deflate, lz4 or none, with a level in parentheses where the codec has levels", near)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_and_levels_are_read() {
        let compression = |text| {
            compression(Said {
                name: "compression",
                text,
            })
        };
        assert_eq!(compression("snappy"), Ok(Compression::Snappy));
        assert_eq!(compression("ZSTD(9)"), Ok(Compression::Zstd(9)));
        assert_eq!(compression("none"), Ok(Compression::None));
        for text in ["", "zstd(99)", "zstd(", "snappy(1)", "rar", "brotli"] {
            assert!(compression(text).is_err(), "{text}");
        }
    }
}
