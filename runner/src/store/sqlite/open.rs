//! Opening the file: folder, write-ahead mode, schema, connections.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use language::regular::require;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::fault::store_error;
use crate::store::StoreError;

/// The schema's versions, embedded in the program.
static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process's write. Writes take milliseconds, so a store that is
/// locked for so long is held by something that is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a task waits for one of the connections; longer than one statement may wait for the file.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before write-ahead mode is asked for again.
const WAL_RETRY: Duration = Duration::from_millis(20);

const READERS: u32 = 4;

/// The connections to a store that is in order.
#[derive(Debug)]
pub(super) struct Connections {
    /// One: SQLite has one writer at a time anyway, and waiting here is fair.
    pub(super) writer: SqlitePool,
    /// A few that cannot write.
    pub(super) readers: SqlitePool,
}

pub(super) async fn open(path: &Path) -> Result<Connections, StoreError> {
    make_folder(path).await?;
    let absolute = std::path::absolute(path).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source: source.into(),
    })?;
    let options = SqliteConnectOptions::new()
        .filename(absolute)
        .create_if_missing(true)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);

    refuse_irregular(path).await?;
    refuse_cut_short(path).await?;
    keep_private(path);
    match prepare(path, &options).await {
        Ok(()) => {}
        Err(StoreError::Open { source, .. }) => return Err(why_not_opened(path, source).await),
        Err(error) => return Err(error),
    }

    let pool = SqlitePoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Connections to a local file neither break nor age.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(Connections {
        writer: pool
            .clone()
            .max_connections(1)
            .connect_lazy_with(options.clone()),
        readers: pool
            .max_connections(READERS)
            .connect_lazy_with(options.pragma("query_only", "ON")),
    })
}

async fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    engine::private::make_folder(folder).map_err(|source| {
        let path = path.to_owned();
        if is_refusal(&source) {
            StoreError::Unwritable {
                path,
                source: source.into(),
            }
        } else {
            StoreError::Open {
                path,
                source: source.into(),
            }
        }
    })
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// SQLite has one code for all reasons why a file cannot be opened. The system's answer to the same
/// request tells a missing permission from the others.
async fn why_not_opened(
    path: &Path,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> StoreError {
    let attempt = tokio::fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .await;
    let path = path.to_owned();
    match attempt {
        Err(refusal) if is_refusal(&refusal) => StoreError::Unwritable {
            path,
            source: refusal.into(),
        },
        Err(reason) => StoreError::Open {
            path,
            source: reason.into(),
        },
        Ok(_) => StoreError::Open { path, source },
    }
}

/// To open a FIFO waits for whoever writes to it, and SQLite does not look.
async fn refuse_irregular(path: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        let file = PathBuf::from(file);
        // One that is not there yet is made; one that cannot be looked at is SQLite's to refuse.
        if let Ok(metadata) = tokio::fs::metadata(&file).await {
            require(&metadata).map_err(|source| StoreError::Open {
                path: file,
                source: source.into(),
            })?;
        }
    }
    Ok(())
}

/// What runs were told and what went wrong is their user's alone. SQLite gives its files beside this one the permissions that
/// this one has. A file that cannot be opened is SQLite's to refuse.
fn keep_private(path: &Path) {
    if let Err(error) = engine::private::keep_file(path) {
        tracing::debug!(path = %path.display(), %error, "the run store's permissions stay");
    }
}

/// SQLite notices by itself when whole pages are missing at the end of the file, but takes one that was
/// cut inside its last page for whole. A write-ahead log with pages in it may be about to mend the end of the file; an empty
/// one, which every connection leaves beside the file while it is open, mends nothing.
async fn refuse_cut_short(path: &Path) -> Result<(), StoreError> {
    const HEADER: usize = 100;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log_is_empty = match tokio::fs::metadata(Path::new(&log)).await {
        Ok(log) => log.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !log_is_empty {
        return Ok(());
    }
    // A file that is not there yet or cannot be read is SQLite's to judge, as is one without a header.
    let Ok(mut file) = tokio::fs::File::open(path).await else {
        return Ok(());
    };
    let mut header = [0; HEADER];
    if file.read_exact(&mut header).await.is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Ok(());
    }
    let Ok(metadata) = file.metadata().await else {
        return Ok(());
    };
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    if page > 0 && !metadata.len().is_multiple_of(page) {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            source: io::Error::from(io::ErrorKind::UnexpectedEof).into(),
        });
    }
    Ok(())
}

/// Checks the file, sets write-ahead mode (which the file keeps) and brings the schema up to date.
async fn prepare(path: &Path, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    const OPERATION: &str = "open the run store";
    let mut connection = SqliteConnection::connect_with(options)
        .await
        .map_err(|error| store_error(path, OPERATION, error))?;
    let prepared = async {
        refuse_foreign(path, &mut connection).await?;
        set_write_ahead(path, &mut connection).await?;
        migrate(path, &mut connection).await
    }
    .await;
    let closed = connection.close().await;
    prepared?;
    closed.map_err(|error| store_error(path, OPERATION, error))
}

/// A database that holds tables but no record of our schema belongs to someone else.
async fn refuse_foreign(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let foreign: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema) \
         AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| store_error(path, "open the run store", error))?;
    if foreign {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// The change to write-ahead mode needs the file for itself, and SQLite does not wait for that: of two
/// processes that open a new file at the same moment one is told that it is locked, and asks again.
async fn set_write_ahead(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const OPERATION: &str = "set write-ahead mode";
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let answer = sqlx::query_scalar::<_, String>("PRAGMA journal_mode = WAL")
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| store_error(path, OPERATION, error));
        match answer {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                tracing::warn!(
                    path = %path.display(),
                    mode,
                    "run store is not in write-ahead mode, so readers wait for writers"
                );
                return Ok(());
            }
            Err(StoreError::Busy { .. }) if Instant::now() < deadline => sleep(WAL_RETRY).await,
            Err(error) => return Err(error),
        }
    }
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const OPERATION: &str = "bring the schema up to date";
    let fault = |error| store_error(path, OPERATION, error);
    if up_to_date(path, connection).await? {
        // Nothing to apply, so this only compares checksums and takes no lock.
        return apply(path, connection).await;
    }
    // sqlx has no lock between SQLite processes that migrate at once, so the whole of it is one
    // transaction that holds the write lock. Whoever comes second finds everything applied.
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(fault)?;
    up_to_date(path, &mut transaction).await?;
    apply(path, &mut transaction).await?;
    transaction.commit().await.map_err(fault)
}

/// Whether the schema is the newest that this program knows. One that is newer still is refused.
async fn up_to_date(path: &Path, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let versions = MIGRATOR.iter().map(|migration| migration.version);
    let known = versions.max().unwrap_or(0);
    let found = applied(path, connection).await?;
    if found > known {
        return Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(found == known)
}

/// The newest schema version in the file; 0 when it has none.
async fn applied(path: &Path, connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let fault = |error| store_error(path, "read the schema version", error);
    let recorded: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(fault)?;
    if !recorded {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(fault)
}

async fn apply(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    MIGRATOR
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                store_error(path, "bring the schema up to date", error)
            }
            other => StoreError::Schema {
                path: path.to_owned(),
                source: other.into(),
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_durable_writers_and_readers_that_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("state.db")).await.unwrap();
        let pragma = async |pool: &SqlitePool, statement: &'static str| -> i64 {
            sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
        };
        const FULL: i64 = 2;
        assert_eq!(pragma(&store.writer, "PRAGMA synchronous").await, FULL);
        assert_eq!(pragma(&store.writer, "PRAGMA foreign_keys").await, 1);
        assert_eq!(pragma(&store.readers, "PRAGMA query_only").await, 1);
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&store.readers)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }
}
