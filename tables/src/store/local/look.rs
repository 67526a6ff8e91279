//! Looking at published files: what there is and what is in it. Changes nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::{at, names_in};
use super::{PublishedFile, StoreResult};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Every file below `table` that readers see; none if the folder does not exist. One that goes meanwhile is left out.
pub(super) fn files_below(table: &Path) -> StoreResult<Vec<PublishedFile>> {
    let mut files = Vec::new();
    let mut folders = vec![(table.to_owned(), String::new())];
    while let Some((folder, below)) = folders.pop() {
        for name in names_in(&folder)? {
            // A partition column may be called `_x`: readers do not take its folders for hidden.
            if name.starts_with(['.', '_']) && !name.contains('=') {
                continue;
            }
            let (path, key) = (folder.join(&name), format!("{below}{name}"));
            match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at("look at", &path, error)),
                Ok(metadata) if metadata.is_dir() => folders.push((path, format!("{key}/"))),
                Ok(metadata) => files.push(PublishedFile {
                    key,
                    bytes: metadata.len(),
                }),
            }
        }
    }
    Ok(files)
}

/// SHA-256 of a file, in hexadecimal; `None` if it does not exist.
pub(super) fn digest_of(path: &Path) -> StoreResult<Option<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| at("open", path, error))?,
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hex::encode(hash.finalize()))),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(at("read", path, error)),
        }
    }
}
