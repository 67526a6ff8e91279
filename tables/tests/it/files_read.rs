//! What the log says of the files that sources were read from: it grows from commit to commit, whatever else is done to the
//! table, and each record has little of it.

use tables::{CompactOptions, FileList, FileRead, FilesRead, PublishMode};

use crate::maintenance::{appended, compact};
use crate::support::{TestResult, by_city, info, new_table, run, run_with, table_at};

/// Files with these numbers, as the source `s` of a pipeline was read from.
fn read(pipeline: &str, files: impl IntoIterator<Item = i64>, tag: &str) -> FilesRead {
    let list: FileList = files
        .into_iter()
        .map(|number| {
            let file = FileRead {
                size: number as u64,
                tag: tag.to_owned(),
                request: String::new(),
            };
            (format!("/in/{number}.csv"), file)
        })
        .collect();
    let mut files_read = FilesRead::default();
    files_read.add(pipeline, "s", list);
    files_read
}

#[tokio::test]
async fn files_read_are_known_after_any_number_of_commits() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    // Over two records that have all of it.
    for round in 1..=70 {
        let mut info = info(round);
        info.files_read = read("p", [round], "a");
        let rows = appended(round);
        run(&table, "run", PublishMode::Append, &rows, info).await?;
        if round == 20 {
            // Another pipeline's run, one without any such source, and care.
            let mut info = crate::support::info(0);
            info.files_read = read("q", [7], "a");
            run(&table, "other", PublishMode::Append, &rows, info).await?;
            compact(&table, &CompactOptions::default()).await?;
            run(
                &table,
                "plain",
                PublishMode::Merge,
                &rows,
                crate::support::info(-1),
            )
            .await?;
        }
    }
    let commit = table_at(&folder)?.current().await?.ok_or("no table")?;
    assert_eq!(
        commit.files_read.of("p", "s"),
        read("p", 1..=70, "a").of("p", "s")
    );
    assert_eq!(
        commit.files_read.of("q", "s"),
        read("q", [7], "a").of("q", "s")
    );
    assert_eq!(commit.files_read.of("p", "t"), None);
    let record = |number: u64| -> TestResult<serde_json::Value> {
        let name = format!(".t.spillway/commits/{number:08}.json");
        let text = std::fs::read(folder.with_file_name(name))?;
        Ok(serde_json::from_slice(&text)?)
    };
    let in_record = |value: &serde_json::Value| -> TestResult<usize> {
        let files_read: FilesRead = serde_json::from_value(value["files_read"].clone())?;
        Ok(files_read.of("p", "s").map_or(0, FileList::len))
    };
    assert_eq!(in_record(&record(72)?)?, 1);
    let all = record(64)?;
    assert!(all.get("files_read").is_none(), "once is enough");
    assert_eq!(in_record(&all["snapshot"])?, 61);
    Ok(())
}

#[tokio::test]
async fn files_without_rows_are_noted_and_those_that_are_known_make_no_commit() -> TestResult {
    let (_parent, _, table) = new_table()?;
    let options = by_city(PublishMode::Overwrite);
    let with = |files: FilesRead| {
        let mut info = info(1);
        info.files_read = files;
        info
    };
    let rows = appended(1);
    for (files, number) in [
        (read("p", [1], "a"), 1),
        (read("p", [1], "a"), 1),
        (read("p", [1, 2], "a"), 2),
        (read("p", [2], "b"), 3),
        (FilesRead::default(), 3),
    ] {
        let commit = run_with(&table, "run", options.clone(), &rows, with(files)).await?;
        assert_eq!(commit.number, number);
    }
    let commit = table.current().await?.ok_or("no table")?;
    let list = commit.files_read.of("p", "s").ok_or("no list")?;
    let tags: Vec<&str> = list.iter().map(|(_, file)| file.tag.as_str()).collect();
    assert_eq!(tags, ["a", "b"]);
    let commit = run(
        &table,
        "run",
        PublishMode::Replace,
        &appended(2),
        with(read("p", [3], "a")),
    )
    .await?;
    assert_eq!(
        commit.files_read,
        read("p", [3], "a"),
        "a new table has read nothing else"
    );
    Ok(())
}
