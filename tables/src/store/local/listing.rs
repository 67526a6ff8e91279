//! Looking at published files: what there is and what is in it. Changes nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::folder::{Folder, Kind, at};
use crate::store::{PublishedFile, StoreResult};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Every file below `table` that readers see. One that goes meanwhile is left out; a link is a file, whatever it leads to.
pub(super) fn files_below(table: &Folder) -> StoreResult<Vec<PublishedFile>> {
    let mut files = Vec::new();
    // A partition column may be called `_x`: readers do not take its folders for hidden.
    let hidden = |name: &str| name.starts_with(['.', '_']) && !name.contains('=');
    walk(table, hidden, |key, bytes| {
        files.push(PublishedFile { key, bytes });
        true
    })?;
    Ok(files)
}

/// Any file below `table` that is not hidden, as a key.
pub(super) fn any_below(table: &Folder) -> StoreResult<Option<String>> {
    let mut any = None;
    walk(
        table,
        |name| name.starts_with('.'),
        |key, _| {
            any = Some(key);
            false
        },
    )?;
    Ok(any)
}

/// Shows files with their sizes, as long as `seen` wants more. Has one folder open at a time, of however many there are.
fn walk(
    table: &Folder,
    hidden: impl Fn(&str) -> bool,
    mut seen: impl FnMut(String, u64) -> bool,
) -> StoreResult<()> {
    let mut folders = vec![String::new()];
    while let Some(key) = folders.pop() {
        let Some(folder) = table.below(&key)? else {
            continue;
        };
        for name in folder.names()? {
            if hidden(&name) {
                continue;
            }
            let slash = if key.is_empty() { "" } else { "/" };
            let inner = format!("{key}{slash}{name}");
            match folder.kind(&name)? {
                Some(Kind::Folder) => folders.push(inner),
                Some(Kind::File(bytes)) if !seen(inner, bytes) => return Ok(()),
                Some(Kind::File(_)) | None => {}
            }
        }
    }
    Ok(())
}

/// SHA-256 of a file, opened at `path`, in hexadecimal.
pub(super) fn digest_of(mut file: File, path: &Path) -> StoreResult<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(at("read", path, error)),
        }
    }
}
