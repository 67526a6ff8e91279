//! Files that cannot be a store, and what the user is told.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use runner::store::{
    Chunk, RunFilter, RunReader, RunStore, RunWriter, SqliteRunStore, StoreError, read_ledger,
};
use sqlx::Connection;

use super::stranger;
use crate::store::contract::{chunk, running};

/// A closed store with enough in it to fill many pages.
async fn filled(path: &Path) -> runner::store::RunId {
    let store = SqliteRunStore::open(path).await.unwrap();
    let (run, attempt) = running(&store, "bugs").await;
    let chunks: Vec<Chunk> = (0..2_000).map(|sequence| chunk("bugs", sequence)).collect();
    store.append_chunks(attempt, &chunks).await.unwrap();
    store.close().await;
    // Connections that leave at the same moment may both leave the write-ahead log behind, which would mend the damage.
    while path.with_file_name("state.db-wal").exists() {
        SqliteRunStore::open(path).await.unwrap().close().await;
    }
    run.id
}

async fn refusal(path: &Path) -> StoreError {
    SqliteRunStore::open(path).await.unwrap_err()
}

fn assert_damaged(error: &StoreError, path: &Path) {
    assert!(
        matches!(error, StoreError::Corrupt { path: named, .. } if named == path),
        "{error:?}"
    );
    let message = error.to_string();
    for part in [
        path.display().to_string(),
        "published tables are not affected, because each table's commit log says what it holds"
            .to_owned(),
        format!(
            "mkdir -p {}/damaged && mv {}* ",
            path.parent().unwrap().display(),
            path.display()
        ),
    ] {
        assert!(message.contains(&part), "{part} is missing in: {message}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let garbage = b"this was never a database\n".repeat(400);
    std::fs::write(&path, &garbage).unwrap();
    assert_damaged(&refusal(&path).await, &path);
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn the_printed_command_makes_room_for_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(&path, b"this was never a database\n".repeat(400)).unwrap();
    let message = refusal(&path).await.to_string();
    let (_, command) = message.rsplit_once("move the damaged one away: ").unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", command])
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
    SqliteRunStore::open(&path).await.unwrap();
    assert!(folder.path().join("damaged/state.db").exists());
}

#[tokio::test]
async fn a_truncated_file_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    filled(&path).await;
    let whole = std::fs::read(&path).unwrap();
    // In the middle of the header, of the first page, between pages, and in the middle of one.
    for kept in [50, 700, whole.len() / 4096 / 2 * 4096, whole.len() - 1_000] {
        std::fs::write(&path, &whole[..kept]).unwrap();
        assert_damaged(&refusal(&path).await, &path);
        assert!(
            std::fs::read(&path).unwrap() == whole[..kept],
            "{kept} bytes, left alone"
        );
    }
}

#[tokio::test]
async fn damage_inside_the_file_is_met_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let run = filled(&path).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let error = match SqliteRunStore::open(&path).await {
        Err(error) => error,
        Ok(store) => read_ledger(&store, run, "bugs")
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err(),
    };
    assert_damaged(&error, &path);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(&path, b"").unwrap();
    let store = SqliteRunStore::open(&path).await.unwrap();
    running(&store, "bugs").await;
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    filled(&path).await;
    let mut newer = stranger(&path).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut newer)
    .await
    .unwrap();
    newer.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = refusal(&path).await;
    assert!(
        matches!(error, StoreError::NewerSchema { found: 9999, known, .. } if known < 9999),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("use the newer program"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_schema_that_was_tampered_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    filled(&path).await;
    let mut tamperer = stranger(&path).await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'")
        .execute(&mut tamperer)
        .await
        .unwrap();
    tamperer.close().await.unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, StoreError::Schema { .. }), "{error:?}");
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipes.db");
    let mut other = stranger(&path).await;
    sqlx::query("CREATE TABLE recipes (name TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Folders in which this user cannot create a file: one without write permission, unless the user is
/// root, whom permissions do not stop, and one in which the system lets nobody create files.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn closed_folders(home: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let plain = home.join("closed");
    std::fs::create_dir(&plain).unwrap();
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut folders = Vec::new();
    if std::fs::write(plain.join("probe"), b"").is_err() {
        folders.push(plain);
    } else {
        eprintln!(
            "SKIPPED: this user may write anywhere, so a folder without write permission stops nobody"
        );
    }
    let system = PathBuf::from("/sys/kernel");
    if system.is_dir() {
        folders.push(system);
    } else {
        eprintln!("SKIPPED: there is no /sys/kernel to try to write to");
    }
    folders
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    for folder in closed_folders(home.path()) {
        for path in [folder.join("state.db"), folder.join("new/state.db")] {
            let error = refusal(&path).await;
            assert!(
                matches!(&error, StoreError::Unwritable { path: named, .. } if *named == path),
                "{error:?}"
            );
            assert!(error.to_string().contains("write permission"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for path in [folder.path().to_owned(), file.join("state.db")] {
        let error = refusal(&path).await;
        assert!(
            matches!(&error, StoreError::Open { path: named, .. } if *named == path),
            "{error:?}"
        );
    }
    let store = SqliteRunStore::open(&folder.path().join("state.db"))
        .await
        .unwrap();
    assert_eq!(store.runs(&RunFilter::default()).await.unwrap(), []);
}
