//! Which SQLite result code means which error of the run store: decided here and nowhere else.
//!
//! Codes: <https://www.sqlite.org/rescode.html>. The low eight bits of an extended code are the primary one.

use std::path::Path;

use crate::store::StoreError;

mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const AUTH: i32 = 23;
    pub(super) const NOTADB: i32 = 26;
}

/// What the caller can do about a SQLite result code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Unwritable,
    Busy,
    Io,
    Corrupt,
    DiskFull,
    Open,
    Query,
}

impl Fault {
    const fn of_code(extended: i32) -> Self {
        // The shared-memory file cannot be given its size: there is no room for it.
        if extended == code::IOERR_SHMSIZE {
            return Self::DiskFull;
        }
        match extended & 0xff {
            code::PERM | code::READONLY | code::AUTH => Self::Unwritable,
            code::BUSY | code::LOCKED => Self::Busy,
            code::IOERR => Self::Io,
            code::CORRUPT | code::NOTADB => Self::Corrupt,
            code::FULL => Self::DiskFull,
            code::CANTOPEN => Self::Open,
            _ => Self::Query,
        }
    }

    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => database
                .code()
                .and_then(|code| code.parse().ok())
                .map_or(Self::Query, Self::of_code),
            sqlx::Error::Io(_) => Self::Io,
            sqlx::Error::PoolTimedOut => Self::Busy,
            _ => Self::Query,
        }
    }
}

/// The store's error for an error of the database, met while trying to do `operation` on the file `path`.
pub(super) fn store_error(path: &Path, operation: &'static str, error: sqlx::Error) -> StoreError {
    let path = path.to_owned();
    let fault = Fault::of(&error);
    let source = error.into();
    match fault {
        Fault::Unwritable => StoreError::Unwritable { path, source },
        Fault::Busy => StoreError::Busy {
            path,
            operation,
            source,
        },
        Fault::Io => StoreError::Io {
            path,
            operation,
            source,
        },
        Fault::Corrupt => StoreError::Corrupt { path, source },
        Fault::DiskFull => StoreError::DiskFull {
            path,
            operation,
            source,
        },
        Fault::Open => StoreError::Open { path, source },
        Fault::Query => StoreError::Query {
            path,
            operation,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_code_has_its_error() {
        for (name, code, fault) in [
            ("SQLITE_ERROR", 1, Fault::Query),
            ("SQLITE_PERM", 3, Fault::Unwritable),
            ("SQLITE_BUSY", 5, Fault::Busy),
            ("SQLITE_BUSY_RECOVERY", 261, Fault::Busy),
            ("SQLITE_BUSY_SNAPSHOT", 517, Fault::Busy),
            ("SQLITE_LOCKED", 6, Fault::Busy),
            ("SQLITE_READONLY", 8, Fault::Unwritable),
            ("SQLITE_READONLY_DIRECTORY", 1544, Fault::Unwritable),
            ("SQLITE_IOERR", 10, Fault::Io),
            ("SQLITE_IOERR_FSYNC", 1034, Fault::Io),
            ("SQLITE_CORRUPT", 11, Fault::Corrupt),
            ("SQLITE_CORRUPT_INDEX", 779, Fault::Corrupt),
            ("SQLITE_FULL", 13, Fault::DiskFull),
            ("SQLITE_CANTOPEN", 14, Fault::Open),
            ("SQLITE_CANTOPEN_ISDIR", 526, Fault::Open),
            ("SQLITE_CONSTRAINT_UNIQUE", 2067, Fault::Query),
            ("SQLITE_AUTH", 23, Fault::Unwritable),
            ("SQLITE_NOTADB", 26, Fault::Corrupt),
        ] {
            assert_eq!(Fault::of_code(code), fault, "{name}");
        }
    }

    #[test]
    fn a_pool_without_a_free_connection_is_busy() {
        let error = store_error(
            Path::new("state.db"),
            "list runs",
            sqlx::Error::PoolTimedOut,
        );
        assert_eq!(
            error.to_string(),
            "cannot list runs: the run store state.db is locked by another process; try again when it is done"
        );
    }
}
