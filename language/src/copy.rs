//! `COPY step TO 'location' STORED AS PARQUET PARTITIONED BY (…) OPTIONS (…)`: an output table.

use std::num::NonZeroU64;

use bytesize::ByteSize;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use tables::{Compression, KeyScope, PublishMode, SchemaPolicy, Statistics};

use super::columns::{Directions, SortKey, check_repetition, read_columns, read_sort_keys};
use super::cursor::{Cursor, Parsed};
use super::diagnostic::Report;
use super::options::{OptionError, choice, count};
use super::resolve::{Resolved, Resolver, by_key};
use super::set::describe;
use super::source::{location, resolve_location};
use super::split::DIALECT;
use super::statement::{CopyStatement, Entry, Name};
use super::suggest::nearest;

/// The names of an output's options, and what their values are.
pub const OUTPUT_OPTIONS: &[(&str, &str, &str)] = &[
    ("publish", "append, overwrite, replace, merge", "overwrite"),
    ("key", "columns: 'a, b'", "none; `merge` needs it"),
    (
        "order",
        "columns: 'a, b DESC NULLS LAST'",
        "none; `merge` uses it",
    ),
    ("key_scope", "partition, table", "partition"),
    ("contract", "evolve, freeze, discard_row", "evolve"),
    ("sort", "columns: 'a, b DESC NULLS LAST'", "none"),
    ("split_rows", "positive number", "partitions are not split"),
    (
        "compression",
        "zstd, zstd(1..22), snappy, gzip, gzip(0..9), lz4, none",
        "of the writer",
    ),
    ("row_group_rows", "positive number", "of the writer"),
    ("row_group_size", "size such as '32MiB'", "of the writer"),
    ("target_file_size", "size such as '128MiB'", "of the writer"),
    (
        "dictionary",
        "true, false, or columns: 'a, b'",
        "of the writer",
    ),
    ("statistics", "none, chunk, page", "of the writer"),
    ("bloom_filter", "columns: 'a, b'", "none"),
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
    /// The codec of the Parquet files.
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

/// An output with its parameters replaced.
#[derive(Debug, Clone)]
pub struct Output {
    /// The step or source that is written; `None` if the `COPY` has a query of its own.
    pub relation: Option<Name>,
    /// What is written, as a query.
    pub query: Box<Query>,
    /// Where to.
    pub location: String,
    /// Partition columns, outermost first.
    pub partition_by: Vec<Name>,
    /// Options.
    pub options: OutputOptions,
    /// The whole statement.
    pub span: Span,
    /// The location's place.
    pub location_span: Span,
}

/// Reads the rest of a `COPY`, after the keyword.
pub(super) fn read(cursor: &mut Cursor, report: &mut Report) -> Parsed<CopyStatement> {
    let (relation, query) = if cursor.accept_token(&Token::LParen) {
        let query = cursor.sql(Parser::parse_query)?;
        cursor.expect_token(&Token::RParen)?;
        (None, query)
    } else {
        let name = cursor.declared_name("a view's name or a query in parentheses")?;
        let query = cursor.sql(|_| select_all(&name))?;
        (Some(name), query)
    };
    cursor.expect(Keyword::TO)?;
    let (location, location_span) = location(cursor)?;
    let (mut format, mut partitioned_by, mut options) = (None, None, None);
    while cursor.peek().token != Token::EOF {
        let start = cursor.here();
        let twice = if cursor.accept(Keyword::STORED) {
            cursor.expect(Keyword::AS)?;
            format.replace(cursor.name("a format")?).is_some()
        } else if cursor.accept(Keyword::PARTITIONED) {
            cursor.expect(Keyword::BY)?;
            partitioned_by.replace(cursor.names("a column")?).is_some()
        } else if cursor.accept(Keyword::OPTIONS) {
            options.replace(cursor.options()?).is_some()
        } else {
            return Err(cursor.unexpected(&["STORED AS", "PARTITIONED BY", "OPTIONS"]));
        };
        if twice {
            return Err(cursor.error(cursor.since(start), "this clause is already there"));
        }
    }
    if let Some(format) = format
        && format.value != "parquet"
    {
        report.push(
            report
                .error_at(
                    format.span,
                    format!(
                        "an output cannot be stored as `{}`",
                        format.value.to_uppercase()
                    ),
                )
                .with_suggestion(nearest(&format.value, ["PARQUET"]))
                .with_help("outputs are stored as PARQUET"),
        );
    }
    let partitioned_by = partitioned_by.unwrap_or_default();
    check_repetition(&partitioned_by, "PARTITIONED BY", report);
    Ok(CopyStatement {
        relation,
        query,
        location,
        location_span,
        partitioned_by,
        options: options.unwrap_or_default(),
        span: cursor.span(),
    })
}

/// `SELECT * FROM name`.
fn select_all(name: &Name) -> Result<Box<Query>, ParserError> {
    let tokens = [
        Token::make_keyword("SELECT"),
        Token::Mul,
        Token::make_keyword("FROM"),
        Token::make_word(&name.value, Some('"')),
    ];
    let tokens = tokens
        .into_iter()
        .map(|token| TokenWithSpan::new(token, name.span))
        .collect();
    Parser::new(&DIALECT)
        .with_tokens_with_locations(tokens)
        .parse_query()
}

/// Checks an output and types its options. `None` if its location is unknown or wrong.
///
/// `query` is what it writes, with parameters replaced where they are known.
pub(super) fn resolve(
    statement: &CopyStatement,
    query: Box<Query>,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Option<Output> {
    let location = resolve_location(
        &statement.location,
        statement.location_span,
        resolver,
        report,
    );
    let options = resolve_options(statement, resolver, report);
    Some(Output {
        relation: statement.relation.clone(),
        query,
        location: location?,
        partition_by: statement.partitioned_by.clone(),
        options,
        span: statement.span,
        location_span: statement.location_span,
    })
}

fn resolve_options(
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
        if !OUTPUT_OPTIONS.iter().any(|(name, _, _)| *name == key) {
            let names = OUTPUT_OPTIONS.iter().map(|(name, _, _)| *name);
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
        }
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
        if let Err(error) = set(&mut options, key, &text, entry, report) {
            // A mode that is not understood may have been meant to be `merge`.
            mode_unknown |= key == "publish";
            report.push(describe(&error, entry, report));
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
        && let Some(help) = not_split(merge_at.is_some(), sort_given)
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

/// What keeps partitions from being split, if anything does.
fn not_split(merges: bool, sorts: bool) -> Option<&'static str> {
    match (merges, sorts) {
        (true, _) => Some(
            "with publish 'merge' each partition is written in one stream; leave `split_rows` out",
        ),
        (false, false) => Some(
            "without `sort` all streams write a large partition already; leave `split_rows` out, or say `sort`",
        ),
        (false, true) => None,
    }
}

fn set(
    options: &mut OutputOptions,
    key: &str,
    text: &str,
    entry: &Entry,
    report: &mut Report,
) -> Result<(), OptionError> {
    match key {
        "publish" => {
            let expected = "append, overwrite, replace or merge";
            options.publish = choice("publish", text, expected, &PublishMode::NAMES)?;
        }
        "key_scope" => {
            options.key_scope = choice("key_scope", text, "partition or table", &KeyScope::NAMES)?;
        }
        "contract" => {
            let expected = "evolve, freeze or discard_row";
            options.contract = choice("contract", text, expected, &SchemaPolicy::NAMES)?;
        }
        "key" => {
            options.key = read_columns(text, entry, report);
        }
        "sort" => options.sort = read_sort_keys(text, entry, Directions::OfSql, report),
        "order" => options.order = read_sort_keys(text, entry, Directions::NullFirst, report),
        "compression" => options.compression = Some(compression(text)?),
        "split_rows" => options.split_rows = Some(count("split_rows", text)?),
        "row_group_rows" => options.row_group_rows = Some(count("row_group_rows", text)?),
        "row_group_size" => options.row_group_size = Some(size("row_group_size", text)?),
        "target_file_size" => options.target_file_size = Some(size("target_file_size", text)?),
        "dictionary" => {
            options.dictionary = Some(match text.to_ascii_lowercase().as_str() {
                "true" => DictionaryChoice::Every(true),
                "false" => DictionaryChoice::Every(false),
                _ => DictionaryChoice::Columns(read_columns(text, entry, report)),
            });
        }
        "statistics" => {
            let expected = "none, chunk or page";
            options.statistics = Some(choice("statistics", text, expected, &Statistics::NAMES)?);
        }
        "bloom_filter" => options.bloom_filter = read_columns(text, entry, report),
        _ => {}
    }
    Ok(())
}

/// Reads a size, which cannot be zero.
fn size(name: &'static str, text: &str) -> Result<NonZeroU64, OptionError> {
    let size = text.parse::<ByteSize>().ok();
    size.and_then(|size| NonZeroU64::new(size.as_u64()))
        .ok_or_else(|| OptionError::Invalid {
            name,
            value: text.to_owned(),
            expected: "a size such as '128MiB'",
            suggestion: None,
        })
}

/// Reads `codec` or `codec(level)`, as the writer knows them.
fn compression(text: &str) -> Result<Compression, OptionError> {
    text.parse().map_err(|_| OptionError::Invalid {
        name: "compression",
        value: text.to_owned(),
        expected: "zstd, snappy, gzip, lz4 or none, with a level in parentheses where the codec has levels",
        suggestion: nearest(text, ["zstd", "snappy", "gzip", "lz4", "none"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_and_levels_are_read() {
        assert_eq!(compression("snappy"), Ok(Compression::Snappy));
        assert_eq!(compression("ZSTD(9)"), Ok(Compression::Zstd(9)));
        assert_eq!(compression("none"), Ok(Compression::None));
        for text in ["", "zstd(99)", "zstd(", "snappy(1)", "rar", "brotli"] {
            assert!(compression(text).is_err(), "{text}");
        }
    }
}
