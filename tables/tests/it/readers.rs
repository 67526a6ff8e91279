//! Readers that list and read the folder while it is published to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::parquet::errors::ParquetError;
use tables::PublishMode;
use tempfile::TempDir;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, files_below, info, rows_of_file, run, table_at,
};

const CITIES: [&str; 4] = ["Ghent", "Oulu", "Riga", "Turku"];

/// Whether the file went between the listing and the reading, as a replaced file does.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let not_found = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match error.downcast_ref::<ParquetError>() {
        Some(ParquetError::External(inner)) => {
            inner.downcast_ref::<io::Error>().is_some_and(not_found)
        }
        _ => error.downcast_ref::<io::Error>().is_some_and(not_found),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_forty_publications_never_sees_a_torn_file() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let table = table_at(&folder)?;
    let rows_of = |round: i64| -> Vec<Event> {
        (0..400)
            .map(|id| {
                Event(
                    id,
                    CITIES[usize::try_from(id).unwrap_or(0) % 4],
                    id * round,
                    Some("text"),
                )
            })
            .collect()
    };
    run(
        &table,
        "run-0",
        by_city(PublishMode::Overwrite),
        &rows_of(1),
        info(0),
    )
    .await?;
    let (stop, rounds) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let reader = {
        let (folder, stop, rounds) = (folder.clone(), Arc::clone(&stop), Arc::clone(&rounds));
        std::thread::spawn(move || -> TestResult {
            while !stop.load(Ordering::SeqCst) {
                for file in files_below(&folder) {
                    match rows_of_file(&folder.join(&file)) {
                        Ok(rows) => {
                            assert_eq!(rows.len(), 100, "T-1: {file} has all rows of its partition")
                        }
                        Err(error) if is_gone(error.as_ref()) => {}
                        Err(error) => return Err(format!("T-1: {file} is torn: {error}").into()),
                    }
                }
                rounds.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    };
    for round in 1..=40 {
        let mode = if round % 2 == 0 {
            PublishMode::Merge
        } else {
            PublishMode::Overwrite
        };
        run(
            &table,
            &format!("run-{round}"),
            by_city(mode),
            &rows_of(round + 1),
            info(round),
        )
        .await?;
    }
    stop.store(true, Ordering::SeqCst);
    reader.join().map_err(|_| "the reader panicked")??;
    println!(
        "{} readings of the whole table",
        rounds.load(Ordering::SeqCst)
    );
    assert!(
        rounds.load(Ordering::SeqCst) > 1,
        "the reader did not run beside the publications"
    );
    assert_at_rest(&folder).await
}
