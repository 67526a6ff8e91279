//! Why a call of the storage failed, by what a caller can do about it.

use std::{fmt, io};

use crate::storage::fault::ObjectFault;

/// The result of a storage call.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why a storage call failed, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left; free some and run again.
    #[error("cannot {action} {path}: the disk is full; free some space and run again")]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// This user may not write there, or the filesystem is read-only.
    #[error(
        "cannot {action} {path}: not permitted; check the owner and the mode of the folder, or choose another"
    )]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Any other fault of the system.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file has other bytes than those that were written, or is gone.
    #[error("{path} is not the file that was written: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// The difference.
        reason: String,
    },
    /// A file is there under its name, and the system does not say that the name would survive a loss of power.
    #[error("{path} was written and could not be made durable")]
    NotDurable {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: Box<Self>,
    },
    /// A name leads elsewhere: followed, it would let files outside the table be moved or deleted.
    #[error(
        "{path} is a symbolic link, and none is followed below a table or its control folder; nothing was done there. \
         Put a folder in its place, or remove it"
    )]
    Link {
        /// The link.
        path: String,
    },
    /// The table's folder is on another filesystem than its control folder, so a rename is not atomic.
    #[error(
        "{path} is on another filesystem than {control}, so files cannot be published in one step; choose a table \
         folder inside the mounted filesystem, not the mount point itself"
    )]
    OtherFilesystem {
        /// The table's folder.
        path: String,
        /// The control folder.
        control: String,
    },
    /// An object store did not do what it was asked, after all repetitions.
    #[error("cannot {action} {location}: {fault}")]
    Object {
        /// What was tried.
        action: &'static str,
        /// The object, with its bucket.
        location: String,
        /// Why, and what to do.
        fault: ObjectFault,
        /// What the storage said.
        #[source]
        source: Box<object_store::Error>,
    },
    /// There can be no table at that location, or not with this storage.
    #[error("cannot use {location}: {reason}")]
    Unusable {
        /// The location.
        location: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// The process is shutting down and did not carry the call out, or not to its end.
    #[error("cannot {action}: the process is shutting down")]
    Interrupted {
        /// What was tried.
        action: &'static str,
    },
}

impl StoreError {
    /// Sorts a system error by what a caller can do about it: the one place where that is decided.
    pub fn from_io(action: &'static str, path: impl fmt::Display, source: io::Error) -> Self {
        let path = path.to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                action,
                path,
                source,
            },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied {
                action,
                path,
                source,
            },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}
