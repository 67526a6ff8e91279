//! Why extracted records could not be kept.

use std::io;
use std::path::{Path, PathBuf};

use datafusion::arrow::error::ArrowError;
use datafusion::parquet::errors::ParquetError;

use crate::store::StoreError;

/// Why landing failed.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    /// The work folder cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A chunk cannot be encoded.
    #[error("cannot encode the chunk {path}")]
    Encode {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ParquetError,
    },
    /// Records cannot be put into columns.
    #[error("cannot put the records of {path} into columns")]
    Columns {
        /// The chunk's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ArrowError,
    },
    /// A chunk of an earlier attempt is not what the ledger says.
    #[error("the landed chunk {path} is {problem}; run again with `--restart` to extract anew")]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The ledger refused an entry.
    #[error("cannot enter a chunk in the ledger")]
    Ledger(#[from] StoreError),
    /// A writing thread ended by a defect of this program.
    #[error("a chunk writer did not end as it should")]
    Task(#[from] tokio::task::JoinError),
}

impl LandingError {
    /// What makes it of an I/O error.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
