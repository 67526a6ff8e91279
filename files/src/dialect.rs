//! The dialect of CSV files, where it is to be found. Owns which files are looked at, and how much of each.

use std::io;

use super::bytes::Text;
use super::csv::detect::{Differs, detect};
use super::error::ReadError;
use super::format::{Bytes, Csv};
use super::guard::{GaveUp, guarded};
use super::listing::File;
use super::open::bytes_of;
use super::stores::Stores;

/// Bytes of a file that are looked at.
const BYTES: usize = 64 << 10;
/// Files that are looked at, from the whole list.
const FILES: usize = 8;

/// What is said of CSV, with what is found of what is not. Waits for files: to be called where that does no harm.
///
/// # Errors
/// When a file cannot be read, or two have different dialects.
pub(crate) fn find(
    csv: &Csv,
    bytes: &Bytes,
    files: &[File],
    stores: &Stores,
) -> Result<Csv, ReadError> {
    let Some(wanted) = csv.detect else {
        return Ok(csv.clone());
    };
    let step = files.len().div_ceil(FILES).max(1);
    let looked_at: Vec<&File> = files.iter().step_by(step).collect();
    let texts: Result<Vec<String>, ReadError> = looked_at
        .iter()
        .map(|file| {
            let text = beginning(file, stores, bytes);
            text.map_err(|error| ReadError::of_file(&file.name, format!("cannot be read: {error}")))
        })
        .collect();
    let texts = texts?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let name = looked_at.first().map_or("", |file| file.name.as_str());
    let found = detect(&csv.dialect_of(name), &texts, wanted);
    let dialect = found.map_err(|differs| different(&looked_at, &differs))?;
    Ok(Csv {
        delimiter: Some(dialect.delimiter),
        dialect,
        detect: None,
        ..csv.clone()
    })
}

fn beginning(file: &File, stores: &Stores, bytes: &Bytes) -> io::Result<String> {
    let raw = bytes_of(file, stores.get(file), 0)?;
    let mut text = Text::open(raw, bytes.compression, bytes.encoding())?;
    let mut beginning = Vec::new();
    text.read(&mut beginning, BYTES)?;
    // What is no UTF-8 is told where the records are read.
    Ok(String::from_utf8_lossy(&beginning).into_owned())
}

fn different(files: &[&File], differs: &Differs) -> ReadError {
    let name = |index: usize| files.get(index).map_or("", |file| file.name.as_str());
    let problem = format!(
        "it has {}, and {} has {}",
        differs.itself.words(),
        name(0),
        differs.others.words()
    );
    ReadError::of_file(name(differs.index), problem)
        .with_help("say what they have instead of `dialect 'detect'`, or read them as two tables")
}

/// What was found of the dialect of files, in words; `None` if nothing was to be found.
///
/// # Errors
/// As when the files are read.
pub async fn detected(
    csv: &Csv,
    bytes: &Bytes,
    files: &[File],
    stores: &Stores,
) -> Result<Option<String>, ReadError> {
    if csv.detect.is_none() {
        return Ok(None);
    }
    let (csv, bytes, files, stores) = (csv.clone(), bytes.clone(), files.to_vec(), stores.clone());
    let found = tokio::task::spawn_blocking(move || {
        guarded(|| find(&csv, &bytes, &files, &stores).map(|csv| csv.dialect.words()))
    });
    let gave_up = |GaveUp| ReadError::of_file("", "a reader gave up");
    let found = found.await.unwrap_or(Err(GaveUp)).map_err(gave_up)?;
    found.map(Some)
}
