//! A partition of one file is replaced in one step, where the storage can: no reader sees it missing or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tables::PublishMode;
use tempfile::TempDir;
use testkit::s3::Behaviour;

use crate::lake::{FIRST, Lake, SECOND, rows_of, run};
use crate::support::{Event, TestResult, assert_at_rest, covered, info, table_at};

fn ghent(version: i64) -> [Event; 2] {
    [
        Event(1, "Ghent", version, Some("a")),
        Event(2, "Ghent", version, None),
    ]
}

#[tokio::test]
async fn a_partition_of_one_file_keeps_its_file_name_in_every_mode_but_append() -> TestResult {
    let parent = TempDir::new()?;
    for mode in [
        PublishMode::Overwrite,
        PublishMode::Replace,
        PublishMode::Merge,
    ] {
        let folder = parent.path().join(mode.to_string());
        let table = table_at(&folder)?;
        let first = run(
            &table,
            "run-1",
            PublishMode::Overwrite,
            &ghent(1),
            true,
            info(1),
        )
        .await?;
        let second = run(&table, "run-2", mode, &ghent(2), true, info(2)).await?;
        assert_eq!(first.files[0].path, second.files[0].path, "{mode}");
        assert_ne!(first.files[0].sha256, second.files[0].sha256, "{mode}");
        assert_eq!(second.files.len(), 1, "{mode}");
        assert_eq!(second.window, None, "{mode}: one step");
        assert_at_rest(&folder).await?;
        let third = run(
            &table,
            "run-3",
            PublishMode::Append,
            &ghent(3),
            true,
            info(3),
        )
        .await?;
        assert_eq!(third.files.len(), 2, "an append adds");
        // Two files are there now, so a new one gets a new name, and both old ones go.
        let fourth = run(
            &table,
            "run-4",
            PublishMode::Overwrite,
            &ghent(4),
            true,
            info(4),
        )
        .await?;
        assert_eq!(fourth.files.len(), 1);
        assert!(!third.files.contains(&fourth.files[0]));
        assert!(
            fourth.window.is_some(),
            "old and new were there for a moment"
        );
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_reader_never_sees_a_partition_on_s3_missing_or_doubled() -> TestResult {
    for readable in [true, false] {
        let lake = Arc::new(Lake::start(Behaviour::default())?);
        let table = lake.table()?;
        run(
            &table,
            "run-0",
            PublishMode::Overwrite,
            &ghent(0),
            readable,
            info(0),
        )
        .await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&lake));
        let reader = std::thread::spawn(move || -> Result<usize, String> {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                let files: BTreeMap<_, _> = seen.files();
                let rows = rows_of(&files).map_err(|error| error.to_string())?;
                if rows.len() != 2 {
                    return Err(format!("{rows:?}"));
                }
                looks += 1;
            }
            Ok(looks)
        });
        let mut last = None;
        for version in 1..=10 {
            let run_id = format!("run-{version}");
            let mode = PublishMode::Overwrite;
            let commit = run(
                &table,
                &run_id,
                mode,
                &ghent(version),
                readable,
                info(version),
            )
            .await?;
            assert_eq!(commit.window, None);
            last = Some(commit);
        }
        stop.store(true, Ordering::Relaxed);
        let looks = reader.join().map_err(|_| "the reader panicked")??;
        covered(&format!("{looks} looks, readable: {readable}"));
        assert!(looks > 0);
        assert_eq!(last.map(|commit| commit.files.len()), Some(1));
        lake.assert_at_rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn where_a_key_has_one_upload_new_names_are_used_and_the_window_is_measured() -> TestResult {
    let lake = Lake::start(Behaviour {
        one_upload_per_key: true,
        completed_uploads_are_forgotten: true,
        ..Behaviour::default()
    })?;
    let table = lake.table()?;
    let first = run(
        &table,
        "run-1",
        PublishMode::Overwrite,
        &FIRST,
        false,
        info(1),
    )
    .await?;
    let second = run(
        &table,
        "run-2",
        PublishMode::Overwrite,
        &SECOND,
        false,
        info(2),
    )
    .await?;
    let kept = |city: &str| {
        let of = |commit: &tables::Commit| -> Vec<String> {
            let partition = format!("city={city}");
            commit
                .files_in(&partition)
                .map(|file| file.path.clone())
                .collect()
        };
        of(&first) == of(&second)
    };
    assert!(kept("Riga") && !kept("Ghent"), "{second:#?}");
    assert!(second.window.is_some());
    lake.assert_at_rest().await
}
