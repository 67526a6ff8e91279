//! Lines of errors in slices of files. Owns that a line is one of the whole file, counted when there is something to tell:
//! who reads a slice does not know how many lines are before it.

use std::io::{self, Read};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::object_store::ObjectStore;
use memchr::memchr_iter;

use super::error::{Counted, ReadError};
use super::listing::File;
use super::open::bytes_of;
use super::stores::Stores;

/// Bytes that are looked at at once.
const BYTES: usize = 1 << 20;

/// An error of reading one of these files with its line in the whole file; any other error as it is.
pub(crate) async fn in_file(
    error: DataFusionError,
    files: &[File],
    context: &TaskContext,
) -> DataFusionError {
    let error = match error {
        DataFusionError::External(inner) => inner,
        other => return other,
    };
    let mut error = match error.downcast::<ReadError>() {
        Ok(error) => error,
        Err(other) => return DataFusionError::External(other),
    };
    let (Some(counted), Some(line)) = (error.counted.take(), error.line) else {
        return (*error).into();
    };
    let file = files.iter().find(|file| file.name == error.file).cloned();
    error.line = match file {
        Some(file) => lines_before(file, *counted, context).await,
        None => None,
    }
    .map(|before| before + line);
    if error.line.is_none() {
        error.problem += &format!(" (on line {line} behind byte {})", counted.from);
    }
    (*error).into()
}

/// The lines that end before a byte; `None` if the file cannot be read any more.
async fn lines_before(file: File, counted: Counted, context: &TaskContext) -> Option<u64> {
    let registry = &context.runtime_env().object_store_registry;
    let stores = Stores::of(std::slice::from_ref(&file), registry.as_ref()).ok()?;
    let count = move || count(&file, stores.get(&file), counted);
    tokio::task::spawn_blocking(count).await.ok()?.ok()
}

fn count(file: &File, store: Option<&Arc<dyn ObjectStore>>, counted: Counted) -> io::Result<u64> {
    let mut bytes = bytes_of(file, store, 0)?.take(counted.from);
    let (mut buffer, mut lines, mut passed) = (vec![0; BYTES], 0, 0);
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) if passed == counted.from => return Ok(lines),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                passed += read as u64;
                lines += memchr_iter(counted.terminator, &buffer[..read]).count() as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
