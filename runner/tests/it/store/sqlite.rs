//! The SQLite store: the contract, and what is particular to a file.

#![expect(clippy::unwrap_used, reason = "test code outside #[test] functions")]

mod damage;
mod processes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runner::store::{RunFilter, RunReader, RunStore, RunWriter, SqliteRunStore, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::contract::{
    Fixture, chunk, end, everyone_lives, last_chunk, new_run, run_store_contract, running,
};

async fn two_handles() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".pipelines/state.db");
    Fixture {
        store: Arc::new(SqliteRunStore::open(&path).await.unwrap()),
        second: Arc::new(SqliteRunStore::open(&path).await.unwrap()),
        _home: Box::new(folder),
    }
}

run_store_contract!(two_handles);

/// A connection that knows nothing of the store's rules, as another program's would be.
pub(crate) async fn stranger(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = Arc::new(folder.path().join("deep/er/state.db"));
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let path = Arc::clone(&path);
        openers.spawn(async move { SqliteRunStore::open(&path).await });
    }
    for store in openers.join_all().await {
        let runs = store.unwrap().runs(&RunFilter::default()).await.unwrap();
        assert_eq!(runs, []);
    }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteRunStore::open(&path).await.unwrap();
    let (run, attempt) = running(&store, "bugs").await;
    store
        .append_chunks(attempt, &[chunk("bugs", 0), chunk("bugs", 1)])
        .await
        .unwrap();
    let before = store.document(run.id).await.unwrap();
    drop(store);

    let store = SqliteRunStore::open(&path).await.unwrap();
    assert_eq!(store.document(run.id).await.unwrap(), before);
    store
        .finish_run(attempt, &end(runner::store::Outcome::Succeeded, 9))
        .await
        .unwrap();
    let before = store.document(run.id).await.unwrap();
    store.close().await;
    assert!(
        !folder.path().join("state.db-wal").exists(),
        "closing folds the log into the file"
    );
    let store = SqliteRunStore::open(&path).await.unwrap();
    assert_eq!(store.document(run.id).await.unwrap(), before);
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_of_a_process_that_dies_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteRunStore::open(&path).await.unwrap();
    let (run, attempt) = running(&store, "bugs").await;
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for sequence in 0..5 {
        store
            .append_chunks(attempt, &[chunk("bugs", sequence)])
            .await
            .unwrap();
        // The store stays open: what its process has not written is not in the copy.
        let copy = copies.join(format!("{sequence}.db"));
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(
            folder.path().join("state.db-wal"),
            copies.join(format!("{sequence}.db-wal")),
        )
        .unwrap();
        let found = SqliteRunStore::open(&copy).await.unwrap();
        assert_eq!(
            last_chunk(&found, run.id, "bugs").await,
            Some(chunk("bugs", sequence))
        );
    }
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteRunStore::open(&path).await.unwrap();
    let (run, _) = running(&store, "bugs").await;
    let mut writer = stranger(&path).await;
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("UPDATE runs SET pipeline = 'changed'")
        .execute(&mut *transaction)
        .await
        .unwrap();
    // Much less than the store's patience with a locked file.
    let document = tokio::time::timeout(Duration::from_secs(8), store.document(run.id))
        .await
        .expect("the reader waits for the writer")
        .unwrap();
    assert_eq!(document.run.pipeline, "bugs");
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn the_file_itself_refuses_what_the_rules_forbid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteRunStore::open(&path).await.unwrap();
    let (_, attempt) = running(&store, "bugs").await;
    store
        .append_chunks(attempt, &[chunk("bugs", 0)])
        .await
        .unwrap();
    let other = store
        .create_run(&new_run("questions", 1, 0), &everyone_lives)
        .await
        .unwrap();
    let mut stranger = stranger(&path).await;
    for (statement, refusal) in [
        (
            "UPDATE chunks SET rows = 0",
            "a ledger entry is never changed",
        ),
        (
            "DELETE FROM chunks",
            "a ledger entry is removed only together with its run",
        ),
        (
            "UPDATE runs SET pipeline = 'bugs' WHERE pipeline = 'questions'",
            "UNIQUE constraint failed: runs.pipeline",
        ),
        (
            "UPDATE runs SET state = 'paused'",
            "CHECK constraint failed",
        ),
    ] {
        let error = sqlx::query(statement)
            .execute(&mut stranger)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(refusal), "{statement}: {error}");
    }
    sqlx::query("DELETE FROM runs WHERE pipeline = 'bugs'")
        .execute(&mut stranger)
        .await
        .expect("a run goes with its chunks");
    let left = store.chunks(attempt.run, "bugs", None, 1).await.unwrap();
    assert_eq!(left, []);
    assert_eq!(store.runs(&RunFilter::default()).await.unwrap(), [other]);
}

#[tokio::test]
async fn looking_for_a_store_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".pipelines/state.db");
    let none = SqliteRunStore::open_existing(&path).await.unwrap();
    assert!(none.is_none());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    SqliteRunStore::open(&path).await.unwrap().close().await;
    let found = SqliteRunStore::open_existing(&path).await.unwrap();
    assert_eq!(found.unwrap().path(), path);
}

#[tokio::test]
async fn a_store_that_was_closed_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteRunStore::open(&folder.path().join("state.db"))
        .await
        .unwrap();
    store.close().await;
    let refusal = store.runs(&RunFilter::default()).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Query { .. }), "{refusal:?}");
}
