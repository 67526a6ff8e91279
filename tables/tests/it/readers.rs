//! Readers that list and read the folder while it is published to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use datafusion::parquet::errors::ParquetError;
use tables::PublishMode;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, covered, files_below, info, new_table, rows_below,
    rows_of_file, run, run_with,
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
    let (_parent, folder, table) = new_table()?;
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
        PublishMode::Overwrite,
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
            mode,
            &rows_of(round + 1),
            info(round),
        )
        .await?;
    }
    stop.store(true, Ordering::SeqCst);
    reader.join().map_err(|_| "the reader panicked")??;
    covered(&format!(
        "{} readings of the whole table",
        rounds.load(Ordering::SeqCst)
    ));
    assert!(
        rounds.load(Ordering::SeqCst) > 1,
        "the reader did not run beside the publications"
    );
    assert_at_rest(&folder).await
}

/// Runs beside the reader, each with a version of the rows that differs in their time.
const VERSIONS: i64 = 20;

/// Two rows in each of two partitions; an append adds them, every other mode replaces those of the version before.
fn version(version: i64) -> [Event; 4] {
    [(1, "Ghent"), (2, "Ghent"), (3, "Oulu"), (4, "Oulu")]
        .map(|(id, city)| Event(id, city, version, Some("text")))
}

/// How many rows of each version each partition has.
type Seen = BTreeMap<String, BTreeMap<i64, usize>>;

/// One look of a reader that lists the folder and reads what it has listed. Fails on a file that cannot be read, one that
/// is gone by then among them: where partitions are replaced in one step, and never removed, there is none.
fn look(folder: &Path) -> Result<Seen, String> {
    let mut seen = Seen::new();
    for row in rows_below(folder).map_err(|error| error.to_string())? {
        let (partition, values) = row.split_once(": ").ok_or("no partition")?;
        let time = values.split('|').nth(1).ok_or("no time")?;
        let micros = time.split_once('.').and_then(|(_, it)| it.parse().ok());
        let version = micros.ok_or_else(|| format!("no version in {row:?}"))?;
        let versions = seen.entry(partition.to_owned()).or_default();
        *versions.entry(version).or_default() += 1;
    }
    Ok(seen)
}

/// Both partitions are there with two rows of every version: of all from the first to at least `published` for an append,
/// and otherwise of one that is not older than it.
fn is_whole(seen: &Seen, mode: PublishMode, published: i64) -> bool {
    seen.len() == 2
        && seen.values().all(|versions| {
            let newest = versions.last_key_value().map_or(0, |(newest, _)| *newest);
            let oldest = if mode == PublishMode::Append {
                1
            } else {
                newest
            };
            newest >= published
                && versions.values().all(|rows| *rows == 2)
                && versions.keys().copied().eq(oldest..=newest)
        })
}

async fn a_reader_beside(mode: PublishMode) -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let first = by_city(PublishMode::Overwrite);
    run_with(&table, "run-1", first, &version(1), info(1)).await?;
    let (published, looks) = (Arc::new(AtomicI64::new(1)), Arc::new(AtomicUsize::new(0)));
    let reader = {
        let (folder, published, looks) =
            (folder.clone(), Arc::clone(&published), Arc::clone(&looks));
        std::thread::spawn(move || -> Result<(), String> {
            loop {
                // Before the look: what comes meanwhile may be seen or not.
                let least = published.load(Ordering::SeqCst);
                let seen = look(&folder).map_err(|error| format!("T-1: {error}"))?;
                if !is_whole(&seen, mode, least) {
                    return Err(format!("T-2: {least} was published, and seen is {seen:?}"));
                }
                looks.fetch_add(1, Ordering::SeqCst);
                if least == VERSIONS {
                    return Ok(());
                }
            }
        })
    };
    for number in 2..=VERSIONS {
        let seen = looks.load(Ordering::SeqCst);
        let run_id = format!("run-{number}");
        run(&table, &run_id, mode, &version(number), info(number)).await?;
        published.store(number, Ordering::SeqCst);
        // At least one look ends between two publications, so that every one of them has a reader beside it.
        while looks.load(Ordering::SeqCst) == seen && !reader.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    reader.join().map_err(|_| "the reader panicked")??;
    let looks = looks.load(Ordering::SeqCst);
    covered(&format!(
        "{mode}: {looks} looks beside {} runs",
        VERSIONS - 1
    ));
    assert_at_rest(&folder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_reader_beside_appends_never_sees_a_file_unreadable_or_rows_missing_or_doubled()
-> TestResult {
    a_reader_beside(PublishMode::Append).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_reader_beside_overwrites_never_sees_a_partition_missing_or_doubled() -> TestResult
{
    a_reader_beside(PublishMode::Overwrite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_reader_beside_replacements_never_sees_a_partition_missing_or_doubled()
-> TestResult {
    a_reader_beside(PublishMode::Replace).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_reader_beside_merges_never_sees_a_partition_missing_or_doubled() -> TestResult {
    a_reader_beside(PublishMode::Merge).await
}

#[test]
fn a_table_that_is_not_whole_is_told_from_one_that_is() {
    let seen = |partitions: &[(&str, &[(i64, usize)])]| -> Seen {
        partitions
            .iter()
            .map(|(city, versions)| ((*city).to_owned(), versions.iter().copied().collect()))
            .collect()
    };
    let (append, overwrite) = (PublishMode::Append, PublishMode::Overwrite);
    let both = seen(&[("Ghent", &[(1, 2), (2, 2)]), ("Oulu", &[(1, 2)])]);
    assert!(is_whole(&both, append, 1), "the second may be under way");
    assert!(!is_whole(&both, append, 2), "the second is missing");
    assert!(!is_whole(&both, overwrite, 1), "Ghent is doubled");
    let one = seen(&[("Ghent", &[(2, 2)]), ("Oulu", &[(3, 2)])]);
    assert!(is_whole(&one, overwrite, 2));
    assert!(!is_whole(&one, overwrite, 3), "Ghent is old");
    assert!(!is_whole(&one, append, 1), "the first is missing");
    let half = seen(&[("Ghent", &[(1, 1)]), ("Oulu", &[(1, 2)])]);
    assert!(!is_whole(&half, overwrite, 1));
    assert!(!is_whole(&seen(&[("Ghent", &[(1, 2)])]), overwrite, 1));
}
