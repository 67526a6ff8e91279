//! Merging with a key that is unique in the whole table, and the choice among several rows with one key.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tables::{KeyScope, MergeCounts, PublishMode, SortKey, TableOptions};

use crate::lake::FIRST;
use crate::rows::run_batch;
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, events, files_below, info, ints, new_table,
    rows_below, run_with, session, stage,
};

fn by_table_key() -> TableOptions {
    TableOptions {
        key_scope: KeyScope::Table,
        ..by_city(PublishMode::Merge)
    }
}

fn row(city: &str, id: i64, at: i64, note: &str) -> String {
    format!("city={city}: {id}|1970-01-01T00:00:00.{at:06}|{note}")
}

#[tokio::test]
async fn a_row_that_moved_to_another_partition_leaves_no_copy_behind() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run_with(&table, "run-1", by_table_key(), &FIRST, info(1)).await?;
    let oulu = |files: Vec<String>| files.into_iter().find(|file| file.starts_with("city=Oulu"));
    let before = oulu(files_below(&folder));
    let arriving = [
        // To a partition that is there, to a new one which empties the old one, and nowhere.
        Event(2, "Riga", 21, Some("moved")),
        Event(4, "Turku", 41, Some("moved")),
        Event(1, "Ghent", 11, Some("changed")),
        Event(5, "Turku", 50, None),
    ];
    let (change, commit) =
        run_batch(&table, "run-2", by_table_key(), events(&arriving)?, info(2)).await?;
    let counts = MergeCounts {
        inserted: 1,
        updated: 1,
        moved: 2,
        duplicates_dropped: 0,
    };
    assert_eq!(change.merge, Some(counts));
    assert_eq!(
        rows_below(&folder)?,
        [
            row("Ghent", 1, 11, "changed"),
            row("Oulu", 3, 30, "b"),
            row("Riga", 2, 21, "moved"),
            row("Turku", 4, 41, "moved"),
            row("Turku", 5, 50, ""),
        ]
    );
    assert_eq!(commit.totals.rows, 5);
    assert_eq!(
        oulu(files_below(&folder)),
        before,
        "what no key touches stays"
    );
    let (change, _) =
        run_batch(&table, "run-3", by_table_key(), events(&arriving)?, info(2)).await?;
    assert!(change.is_empty(), "the same rows once more: {change:#?}");
    // Emptying a partition removes it.
    let (change, _) = run_batch(
        &table,
        "run-4",
        by_table_key(),
        events(&[Event(3, "Ghent", 31, None)])?,
        info(3),
    )
    .await?;
    assert_eq!(change.merge.map(|counts| counts.moved), Some(1));
    assert_eq!(oulu(files_below(&folder)), None);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn with_the_scope_of_a_partition_the_same_rows_are_two() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let options = by_city(PublishMode::Merge);
    run_with(&table, "run-1", options.clone(), &FIRST, info(1)).await?;
    let arriving = [Event(2, "Riga", 21, Some("moved"))];
    let commit = run_with(&table, "run-2", options, &arriving, info(2)).await?;
    assert_eq!(commit.totals.rows, 5);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn of_two_arrivals_in_two_partitions_the_winner_stays_and_the_loser_goes() -> TestResult {
    let arriving = [
        Event(9, "Ghent", 90, Some("older")),
        Event(9, "Turku", 91, Some("newer")),
        Event(9, "Oulu", 89, Some("oldest")),
        Event(3, "Turku", 31, Some("moved")),
        Event(3, "Oulu", 30, Some("b")),
    ];
    let reversed: Vec<Event> = arriving.iter().rev().cloned().collect();
    for arriving in [arriving.to_vec(), reversed] {
        let (_parent, folder, table) = new_table()?;
        run_with(&table, "run-1", by_table_key(), &FIRST, info(1)).await?;
        let options = TableOptions {
            order: vec![SortKey::ascending("at")],
            sort: vec![SortKey::ascending("id")],
            ..by_table_key()
        };
        let (change, _) = run_batch(&table, "run-2", options, events(&arriving)?, info(2)).await?;
        let counts = MergeCounts {
            inserted: 1,
            updated: 0,
            moved: 1,
            duplicates_dropped: 3,
        };
        assert_eq!(change.merge, Some(counts));
        let rows = rows_below(&folder)?;
        assert_eq!(rows.len(), 5, "{rows:#?}");
        for wanted in [row("Turku", 9, 91, "newer"), row("Turku", 3, 31, "moved")] {
            assert!(rows.contains(&wanted), "{wanted} in {rows:#?}");
        }
        assert_at_rest(&folder).await?;
    }
    Ok(())
}

/// Rows with a version that may be NULL and two texts.
fn versions(rows: &[(i64, Option<i64>, &str, &str)]) -> TestResult<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("id", ints(rows.iter().map(|row| Some(row.0)))),
        ("version", ints(rows.iter().map(|row| row.1))),
        (
            "a",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        ),
        (
            "b",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.3))),
        ),
    ])?)
}

#[tokio::test]
async fn the_last_row_of_the_declared_order_wins_whatever_the_order_of_the_files_and_of_arrival()
-> TestResult {
    let rows = [
        (1, Some(1), "first", "z"),
        (1, Some(3), "third", "a"),
        (1, None, "none", "zz"),
        (1, Some(2), "second", "y"),
        (2, None, "none", "b"),
        (2, None, "none", "c"),
    ];
    let by = |descending, nulls_first| SortKey {
        column: "version".to_owned(),
        descending,
        nulls_first,
    };
    let cases = [
        (vec![by(false, true)], "third|a"),
        (vec![by(true, true)], "first|z"),
        (vec![by(false, false)], "none|zz"),
        // Without an order the greatest in the order of the files: here that of `b`.
        (Vec::new(), "none|zz"),
    ];
    for (order, winner) in cases {
        for turn in 0..rows.len() {
            let (_parent, folder, table) = new_table()?;
            let options = TableOptions {
                mode: PublishMode::Merge,
                key: vec!["id".to_owned()],
                order: order.clone(),
                sort: vec![SortKey::ascending("b")],
                ..TableOptions::default()
            };
            let mut turned = rows.to_vec();
            turned.rotate_left(turn);
            let (left, right) = turned.split_at(3);
            let ctx = session(None)?;
            let parts = [vec![versions(left)?], vec![versions(right)?]];
            let (staging, change) = stage(&table, "run-1", options, &ctx, &parts).await?;
            staging.publish(change, info(1)).await?;
            let rows = rows_below(&folder)?;
            assert_eq!(rows.len(), 2, "{rows:#?}");
            assert!(
                rows.iter()
                    .any(|row| row.starts_with(": 1|") && row.ends_with(winner)),
                "{winner} with {order:?}: {rows:#?}"
            );
            assert!(rows.contains(&": 2||none|c".to_owned()), "{rows:#?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn random_merges_by_a_key_of_the_table_hold_what_a_map_holds_and_their_counts_add_up()
-> TestResult {
    const CITIES: [&str; 5] = ["Ghent", "K/ö=ln%", "Oulu", "Riga", "Turku"];
    for (seed, memory) in [(1, None), (2, None), (3, Some(24 << 20))] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (_parent, folder, table) = new_table()?;
        let mut model: BTreeMap<i64, (&str, i64)> = BTreeMap::new();
        let mut clock = 0;
        for round in 0..8 {
            let mut arriving = Vec::new();
            for _ in 0..random.random_range(1..60) {
                clock += 1;
                let city = CITIES[random.random_range(0..CITIES.len())];
                arriving.push(Event(random.random_range(0..80), city, clock, None));
            }
            let mut last: BTreeMap<i64, (&str, i64)> = BTreeMap::new();
            for Event(id, city, at, _) in &arriving {
                last.insert(*id, (*city, *at));
            }
            let mut expected = MergeCounts {
                duplicates_dropped: (arriving.len() - last.len()) as u64,
                ..MergeCounts::default()
            };
            for (id, (city, _)) in &last {
                match model.get(id) {
                    None => expected.inserted += 1,
                    Some((before, _)) if before == city => expected.updated += 1,
                    Some(_) => expected.moved += 1,
                }
            }
            model.extend(last);
            let middle = random.random_range(0..=arriving.len());
            arriving.rotate_left(middle);
            let options = TableOptions {
                order: vec![SortKey::ascending("at")],
                sort: vec![SortKey::ascending("id")],
                ..by_table_key()
            };
            let rows = events(&arriving)?;
            let half = rows.num_rows() / 2;
            let parts = [
                vec![rows.slice(0, half)],
                vec![rows.slice(half, rows.num_rows() - half)],
            ];
            let ctx = session(memory)?;
            let run_id = format!("run-{round}");
            let (staging, change) = stage(&table, &run_id, options, &ctx, &parts).await?;
            assert_eq!(change.merge, Some(expected), "seed {seed}, round {round}");
            let commit = staging.publish(change, info(round)).await?;
            assert_eq!(commit.totals.rows, model.len() as u64);
            let mut wanted: Vec<String> = model
                .iter()
                .map(|(id, (city, at))| row(&tables::layout::escape(city), *id, *at, ""))
                .collect();
            wanted.sort_unstable();
            assert_eq!(rows_below(&folder)?, wanted, "seed {seed}, round {round}");
            assert_at_rest(&folder).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn files_whose_footers_exclude_every_arriving_key_are_not_read() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let far: Vec<Event> = (1000..1400)
        .map(|id| Event(id, "Oulu", id, Some("far")))
        .collect();
    let rows: Vec<Event> = FIRST.iter().cloned().chain(far).collect();
    run_with(&table, "run-1", by_table_key(), &rows, info(1)).await?;
    let oulu = files_below(&folder)
        .into_iter()
        .find(|file| file.starts_with("city=Oulu"))
        .ok_or("no file")?;
    // The footer stays as it is; the first pages, which are those of the key, are spoilt.
    let path = folder.join(&oulu);
    let mut content = std::fs::read(&path)?;
    let whole = content.clone();
    content[4..200].fill(0xFF);
    let arriving = [Event(2000, "Ghent", 1, None), Event(2001, "Riga", 2, None)];
    std::fs::write(&path, &content)?;
    let (change, _) =
        run_batch(&table, "run-2", by_table_key(), events(&arriving)?, info(2)).await?;
    assert_eq!(change.merge.map(|counts| counts.inserted), Some(2));
    // A key that it may hold does need its pages.
    let near = events(&[Event(1100, "Riga", 3, None)])?;
    let refused = run_batch(&table, "run-3", by_table_key(), near.clone(), info(3)).await;
    assert!(refused.is_err(), "the spoilt pages were not read");
    std::fs::write(&path, &whole)?;
    let (change, _) = run_batch(&table, "run-4", by_table_key(), near, info(3)).await?;
    assert_eq!(change.merge.map(|counts| counts.moved), Some(1));
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn rows_and_keys_that_are_null_move_between_partitions_like_others() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let options = TableOptions {
        partition_by: vec!["version".to_owned()],
        mode: PublishMode::Merge,
        key: vec!["id".to_owned(), "a".to_owned()],
        key_scope: KeyScope::Table,
        ..TableOptions::default()
    };
    let null_key = |rows: RecordBatch, at: usize| -> TestResult<RecordBatch> {
        let ids: Int64Array = (0..rows.num_rows())
            .map(|row| (row != at).then_some(7))
            .collect();
        let mut columns = crate::rows::named_columns(&rows);
        columns[0].1 = Arc::new(ids);
        Ok(RecordBatch::try_from_iter(columns)?)
    };
    let to = |left: Option<i64>, right: Option<i64>| {
        null_key(versions(&[(0, left, "x", "l"), (0, right, "x", "r")])?, 0)
    };
    for (round, (left, right)) in [
        (None, Some(1)),
        (Some(1), None),
        (None, None),
        (Some(2), Some(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let run_id = format!("run-{round}");
        let rows = to(left, right)?;
        let (change, commit) = run_batch(&table, &run_id, options.clone(), rows, info(2)).await?;
        assert_eq!(commit.totals.rows, 2, "{round}: {change:#?}");
        let path = |version: Option<i64>| match version {
            Some(version) => format!("version={version}"),
            None => "version=__HIVE_DEFAULT_PARTITION__".to_owned(),
        };
        let mut wanted = [
            format!("{}: |x|l", path(left)),
            format!("{}: 7|x|r", path(right)),
        ];
        wanted.sort_unstable();
        assert_eq!(rows_below(&folder)?, wanted, "round {round}");
        assert_at_rest(&folder).await?;
    }
    Ok(())
}
