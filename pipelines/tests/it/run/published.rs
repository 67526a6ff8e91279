//! What a published table holds, read without the product: files, rows, bytes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use testkit::Folder;

/// The rows of the table at `folder`, each with the values of its partition, in no order.
pub(super) fn rows(folder: &Path) -> anyhow::Result<Vec<Map<String, Value>>> {
    let mut rows = Vec::new();
    for (path, content) in Folder::of(folder)?.files() {
        if !path.ends_with(".parquet") {
            bail!("{path} is no file of a table");
        }
        let partition: Vec<(&str, &str)> = path
            .split('/')
            .filter_map(|part| part.split_once('='))
            .collect();
        let content = bytes::Bytes::copy_from_slice(content);
        let mut lines = LineDelimitedWriter::new(Vec::new());
        for batch in ParquetRecordBatchReaderBuilder::try_new(content)?.build()? {
            lines.write(&batch?)?;
        }
        lines.finish()?;
        for line in String::from_utf8(lines.into_inner())?.lines() {
            let mut row: Map<String, Value> = serde_json::from_str(line)?;
            for (name, value) in &partition {
                row.insert(String::from(*name), Value::from(*value));
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rows of a table of events by `event_id`.
pub(super) fn events(folder: &Path) -> anyhow::Result<BTreeMap<String, Map<String, Value>>> {
    let mut events = BTreeMap::new();
    for row in rows(folder)? {
        let id = row
            .get("event_id")
            .and_then(Value::as_str)
            .context("a row without event_id")?
            .to_owned();
        if let Some(other) = events.insert(id.clone(), row) {
            bail!("{id} is there twice, once as {other:?}");
        }
    }
    Ok(events)
}

/// The contents of the files of each partition, without their names: they are those of the run that wrote them.
pub(super) fn contents(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<Vec<u8>>>> {
    Ok(by_partition(Folder::of(folder)?.files()))
}

/// The same of files by their path, wherever they are.
pub(super) fn by_partition<'a>(
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut partitions: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (path, content) in files {
        let partition = path.rsplit_once('/').map_or("", |(partition, _)| partition);
        partitions
            .entry(String::from(partition))
            .or_default()
            .push(content.to_vec());
    }
    partitions.values_mut().for_each(|files| files.sort());
    partitions
}

/// Fails with the first few differences unless both are the same events.
#[track_caller]
pub(super) fn assert_same(
    found: &BTreeMap<String, Map<String, Value>>,
    expected: &BTreeMap<String, Map<String, Value>>,
) {
    let missing: Vec<_> = expected
        .keys()
        .filter(|id| !found.contains_key(*id))
        .take(5)
        .collect();
    let surplus: Vec<_> = found
        .keys()
        .filter(|id| !expected.contains_key(*id))
        .take(5)
        .collect();
    let (count, wanted) = (found.len(), expected.len());
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{count} of {wanted}; missing {missing:?}; surplus {surplus:?}"
    );
    let other = expected
        .iter()
        .find(|(id, row)| found.get(*id) != Some(*row));
    assert!(
        other.is_none(),
        "differs from {other:?}: {:?}",
        other.and_then(|(id, _)| found.get(id))
    );
}

/// A number as the program writes it: `1,234`.
pub(super) fn thousands(number: usize) -> String {
    runner::quantity::thousands(number as u64)
}
