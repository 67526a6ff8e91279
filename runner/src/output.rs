//! An output as a run needs it: what it is called, where it goes, how it is laid out, what its commit says.
//!
//! Owns the way from a declaration to the options of its sink. Writing and publishing are [`write`](super::write)'s and
//! [`commit`](super::commit)'s.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use tables::{CommitInfo, Dictionary, FilesRead, Interval, TableOptions};

use super::error::RunError;
use super::sources::absolute;
use crate::settings::RunSettings;
use language::{self, Bound, DictionaryChoice, Output};

/// What an output is called: the step that it writes, or its location when it has a query of its own.
pub fn name(output: &Output) -> String {
    output.relation.as_ref().map_or_else(
        || output.location.clone(),
        |relation| relation.value.clone(),
    )
}

/// How the table of `output` is laid out and published.
pub fn table_options(output: &Output, settings: &RunSettings) -> TableOptions {
    let options = &output.options;
    let texts = |names: &[language::Name]| names.iter().map(|name| name.value.clone()).collect();
    let number = |number: NonZeroU64| usize::try_from(number.get()).unwrap_or(usize::MAX);
    let defaults = TableOptions::default();
    TableOptions {
        partition_by: texts(&output.partition_by),
        mode: options.publish,
        key: texts(&options.key),
        order: options.order.iter().map(sort_key).collect(),
        key_scope: options.key_scope,
        contract: options.contract,
        sort: options.sort.iter().map(sort_key).collect(),
        split_rows: options.split_rows.map(NonZeroU64::get),
        format: output.format,
        single_file: options.single_file,
        compression: (options.compression).unwrap_or(output.format.default_compression()),
        row_group_rows: options
            .row_group_rows
            .map_or(settings.load_batch_size.value, number),
        row_group_bytes: options
            .row_group_size
            .map_or(defaults.row_group_bytes, number),
        target_file_bytes: options
            .target_file_size
            .map_or(defaults.target_file_bytes, NonZeroU64::get),
        dictionary: match &options.dictionary {
            None => defaults.dictionary,
            Some(DictionaryChoice::Every(true)) => Dictionary::All,
            Some(DictionaryChoice::Every(false)) => Dictionary::None,
            Some(DictionaryChoice::Columns(columns)) => Dictionary::Columns(texts(columns)),
        },
        statistics: options.statistics.unwrap_or(defaults.statistics),
        bloom_filter: texts(&options.bloom_filter),
    }
}

fn sort_key(key: &language::SortKey) -> tables::SortKey {
    tables::SortKey {
        column: key.column.value.clone(),
        descending: key.descending,
        nulls_first: key.nulls_first,
    }
}

/// Where the table of `output` is: a path from the root of the file system, or the URL as written.
pub fn table_location(output: &Output) -> String {
    if output.location.contains("://") {
        output.location.clone()
    } else {
        absolute(std::path::Path::new(&output.location))
            .display()
            .to_string()
    }
}

/// An error of the place where an output goes.
pub fn table_failed(location: &str, source: tables::Error) -> RunError {
    if source.leaves_commit() {
        return RunError::Unfinished(Box::new(source));
    }
    RunError::Table {
        location: location.to_owned(),
        source: Box::new(source),
    }
}

/// What a commit says of the run that made it; `files_read` if that covers files and no interval. The cursor of a source that is read by interval is the interval with the
/// parameters it was read with: the same request has the same cursor.
pub fn commit_info(bound: &Bound, rows_read: u64, files_read: Option<&FilesRead>) -> CommitInfo {
    let parameters: BTreeMap<&String, Option<String>> = bound
        .parameters
        .iter()
        .map(|(name, value)| (name, value.text()))
        .collect();
    CommitInfo {
        cursors: serde_json::json!({ "parameters": parameters }),
        files_read: files_read.cloned().unwrap_or_default(),
        interval: match files_read {
            Some(_) => None,
            None => interval(bound),
        },
        plan_fingerprint: Some(bound.fingerprint.clone()),
        rows_read: Some(rows_read),
    }
}

/// The interval of data that is asked for.
pub fn interval(bound: &Bound) -> Option<Interval> {
    let edge = |name: &str| bound.parameters.get(name)?.text();
    edge("data_date_start")
        .zip(edge("data_date_end"))
        .map(|(start, end)| Interval { start, end })
}
