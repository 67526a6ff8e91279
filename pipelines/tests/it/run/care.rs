//! `pipelines tables …` and `pipelines clean`: tables that are looked at and looked after by their location.

use anyhow::Context;
use rstest::rstest;
use serde_json::Value;
use testkit::{Folder, Outcome, Workspace};

use super::launchpad::workspace;
use super::published::rows;

const APPEND: &str = "DECLARE data_date_start DATE;\nDECLARE data_date_end DATE;\n\
    CREATE EXTERNAL TABLE days (day DATE, id BIGINT) STORED AS CSV LOCATION 'days.csv' OPTIONS ('format.has_header' true);\n\
    CREATE VIEW chosen AS SELECT * FROM days;\n\
    COPY chosen TO 'table/' PARTITIONED BY (day) OPTIONS (publish 'append', sort 'id', compression 'zstd(5)');\n";

/// A table of three days, with a file of each of three appends in each.
fn appended() -> anyhow::Result<Workspace> {
    let workspace = workspace()?;
    workspace.write("days.sql", APPEND)?;
    for round in 1..=3 {
        let lines: Vec<String> = (0..6)
            .map(|id| format!("2025-01-0{},{}", id % 3 + 1, 100 - round * 10 - id))
            .collect();
        workspace.write("days.csv", &format!("day,id\n{}\n", lines.join("\n")))?;
        let (from, to) = (
            format!("2025-02-0{round}"),
            format!("2025-02-0{}", round + 1),
        );
        workspace
            .run(["run", "./days.sql", "--from", &from, "--to", &to])?
            .expect(0, &[]);
    }
    Ok(workspace)
}

fn document(outcome: &Outcome, code: i32) -> anyhow::Result<Value> {
    outcome.expect(code, &[]);
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())
}

/// The table, its control folder and the state folder.
fn everything(workspace: &Workspace) -> anyhow::Result<Folder> {
    Folder::of(workspace.path())
}

#[test]
fn a_table_is_shown_listed_and_verified_without_a_trace() -> anyhow::Result<()> {
    let workspace = appended()?;
    let before = everything(&workspace)?;
    let json = |words: &[&str]| -> anyhow::Result<Value> {
        let words = words.iter().chain(&["table/", "--output", "json"]);
        document(&workspace.run(words)?, 0)
    };
    let shown = json(&["tables", "show"])?;
    assert_eq!(
        (&shown["totals"]["files"], &shown["totals"]["rows"]),
        (&9.into(), &18.into())
    );
    assert_eq!(shown["commit"]["number"], 3);
    assert_eq!(shown["options"]["compression"], "zstd(5)");
    assert_eq!(shown["options"]["sort"][0]["column"], "id");
    assert_eq!(shown["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown["columns"][0]["name"], "day");
    assert_eq!(shown["columns"][0]["partition"], true);
    workspace.run(["tables", "show", "table/"])?.expect(
        0,
        &[
            "18 rows in 9 files of 3 partitions",
            "append",
            "sorted by",
            "zstd(5)",
            "day=2025-01-03",
        ],
    );

    let log = json(&["tables", "log", "--limit", "2"])?;
    assert_eq!(
        (&log[0]["number"], &log[1]["number"]),
        (&3.into(), &2.into())
    );
    assert_eq!(log.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&log[0]["added"]["rows"], &log[0]["removed"]["rows"]),
        (&6.into(), &0.into())
    );
    workspace
        .run(["tables", "log", "table/"])?
        .expect(0, &["COMMIT", "append", "+3 -0", "+6 -0"]);

    let files = json(&["tables", "files", "--partition", "day=2025-01-02"])?;
    assert_eq!(files.as_array().map(Vec::len), Some(3));
    assert_eq!(
        json(&["tables", "files"])?.as_array().map(Vec::len),
        Some(9)
    );
    workspace
        .run(["tables", "files", "table/"])?
        .expect(0, &["FILE", "day=2025-01-01/part-00000-"]);

    for digest in [&[][..], &["--digest"]] {
        let words = [&["tables", "verify"], digest].concat();
        assert_eq!(json(&words)?["clean"], true);
    }
    workspace
        .run(["tables", "verify", "table/", "--digest"])?
        .expect(0, &["all there with their size and SHA-256"]);
    assert_eq!(before.changes(&everything(&workspace)?), [] as [String; 0]);
    Ok(())
}

#[test]
fn small_files_are_merged_and_the_rows_stay() -> anyhow::Result<()> {
    let workspace = appended()?;
    let table = workspace.path().join("table");
    let sorted = |table| -> anyhow::Result<Vec<String>> {
        let mut rows: Vec<String> = rows(table)?
            .iter()
            .map(|row| Value::from(row.clone()).to_string())
            .collect();
        rows.sort();
        Ok(rows)
    };
    let (rows_before, files_before) = (sorted(&table)?, everything(&workspace)?);
    let dry = workspace.run(["tables", "compact", "table/", "--dry-run"])?;
    dry.expect(
        0,
        &["would merge 9 small files of 3 partitions", "512.0 MiB"],
    );
    assert_eq!(
        files_before.changes(&everything(&workspace)?),
        [] as [String; 0]
    );

    let one = [
        "tables",
        "compact",
        "table/",
        "--partition",
        "day=2025-01-02",
        "--output",
        "json",
    ];
    let done = document(&workspace.run(one)?, 0)?;
    assert_eq!(
        (&done["commit"], &done["untouched_partitions"]),
        (&4.into(), &2.into())
    );
    assert_eq!(done["partitions"][0]["files_after"], 1);
    assert!(
        done["peak_memory_bytes"]
            .as_u64()
            .is_some_and(|peak| peak > 0)
    );
    workspace
        .run([
            "tables",
            "compact",
            "table/",
            "--memory",
            "256MiB",
            "--target-size",
            "1MiB",
        ])?
        .expect(
            0,
            &[
                "merged 6 small files of 2 partitions into 2, commit 5",
                "of 256.0 MiB",
            ],
        );
    workspace
        .run(["tables", "compact", "table/"])?
        .expect(0, &["nothing to merge"]);
    assert_eq!(sorted(&table)?, rows_before);
    workspace
        .run(["tables", "verify", "table/", "--digest"])?
        .expect(0, &[]);
    let log = document(
        &workspace.run(["tables", "log", "table/", "--output", "json"])?,
        0,
    )?;
    assert_eq!(log[0]["mode"], "compact");
    assert_eq!(
        (&log[0]["removed"]["files"], &log[0]["removed"]["rows"]),
        (&6.into(), &12.into())
    );
    assert!(!workspace.path().join(".pipelines/spill").exists());
    // The pipeline goes on where it was: its intervals are still known.
    workspace
        .run([
            "run",
            "./days.sql",
            "--from",
            "2025-02-03",
            "--to",
            "2025-02-04",
        ])?
        .expect(0, &["committed already"]);
    Ok(())
}

#[test]
fn old_partitions_expire_by_their_date() -> anyhow::Result<()> {
    let workspace = appended()?;
    let expire = |more: &[&str]| {
        let words = [
            "tables",
            "expire",
            "table/",
            "--as-of",
            "2025-01-10",
            "--keep",
        ];
        workspace.run(words.iter().chain(more))
    };
    let before = everything(&workspace)?;
    expire(&["8d", "--dry-run"])?.expect(
        0,
        &["would drop 1 partition before 2025-01-02", "day=2025-01-01"],
    );
    expire(&["1d", "--dry-run"])?.expect(0, &["no partition would remain", "--allow-empty"]);
    expire(&["1d"])?.expect(
        3,
        &["all 3 partitions", "end before 2025-01-09", "--allow-empty"],
    );
    expire(&["1d", "--column", "id"])?.expect(3, &["\"id\" is not a partition column", "day"]);
    expire(&["soon"])?.expect(2, &["soon", "90d"]);
    assert_eq!(before.changes(&everything(&workspace)?), [] as [String; 0]);

    let done = document(&expire(&["8d", "--output", "json"])?, 0)?;
    assert_eq!(
        (&done["commit"], &done["kept_partitions"]),
        (&4.into(), &2.into())
    );
    assert_eq!(done["expired"][0]["partition"], "day=2025-01-01");
    expire(&["8d"])?.expect(0, &["nothing was dropped"]);
    assert_eq!(rows(&workspace.path().join("table"))?.len(), 12);
    expire(&["1d", "--allow-empty"])?.expect(0, &["dropped 2 partitions", "commit 5"]);
    assert!(rows(&workspace.path().join("table"))?.is_empty());
    workspace
        .run(["tables", "verify", "table/"])?
        .expect(0, &["0 files"]);
    // A table without rows is still one, and can be written again.
    workspace
        .run([
            "run",
            "./days.sql",
            "--from",
            "2025-03-01",
            "--to",
            "2025-03-02",
        ])?
        .expect(0, &["6 rows"]);
    Ok(())
}

#[test]
fn a_damaged_table_is_told_with_its_files_and_an_exit_code_of_its_own() -> anyhow::Result<()> {
    let workspace = appended()?;
    let listed = document(
        &workspace.run(["tables", "files", "table/", "--output", "json"])?,
        0,
    )?;
    let path = |at: usize| -> anyhow::Result<String> {
        Ok(listed[at]["path"].as_str().context("no path")?.to_owned())
    };
    let (gone, flipped) = (path(0)?, path(1)?);
    std::fs::remove_file(workspace.path().join("table").join(&gone))?;
    let damaged = workspace.path().join("table").join(&flipped);
    let mut content = std::fs::read(&damaged)?;
    content[10] ^= 1;
    std::fs::write(&damaged, content)?;
    workspace.write("table/theirs.parquet", "theirs")?;
    workspace.run(["tables", "verify", "table/"])?.expect(
        4,
        &[
            "missing",
            &gone,
            "foreign",
            "theirs.parquet",
            "1 missing, 0 different, 1 foreign",
        ],
    );
    let words = ["tables", "verify", "table/", "--digest", "--output", "json"];
    let found = document(&workspace.run(words)?, 4)?;
    assert_eq!(found["different"][0]["path"], flipped.as_str());
    assert_eq!(found["clean"], false);
    Ok(())
}

#[rstest]
#[case::show(&["show"])]
#[case::log(&["log"])]
#[case::files(&["files"])]
#[case::verify(&["verify"])]
#[case::compact(&["compact"])]
#[case::expire(&["expire", "--keep", "90d"])]
fn where_there_is_no_table_none_is_made(#[case] words: &[&str]) -> anyhow::Result<()> {
    let workspace = workspace()?;
    let words = [&["tables"], words, &["nothing/"]].concat();
    workspace
        .run(&words)?
        .expect(3, &["there is no table at", "nothing"]);
    assert!(!workspace.path().join("nothing").exists());
    assert!(!workspace.path().join(".nothing.spillway").exists());
    Ok(())
}

#[test]
fn leftovers_of_dead_runs_are_shown_and_removed() -> anyhow::Result<()> {
    let workspace = appended()?;
    let table = workspace.path().join(".table.spillway");
    workspace
        .run(["clean", "table/"])?
        .expect(0, &["nothing was left behind"]);
    // As a run leaves it that was killed while it staged, and as one that was killed after its decision.
    workspace.write(
        ".table.spillway/staging/0123456789ab/rows/day=2025-01-01/part.parquet",
        "half",
    )?;
    workspace.write(
        ".table.spillway/intents/0123456789ab.json",
        r#"{"version": 1, "run_id": "dead", "token": "0123456789ab", "epoch": 4, "base": 3, "mode": "append",
            "begun_at": "2025-01-01T00:00:00Z"}"#,
    )?;
    std::fs::remove_file(table.join("commits/00000003.done"))?;
    let before = everything(&workspace)?;
    workspace.run(["clean", "table/", "--dry-run"])?.expect(
        0,
        &[
            "commit 3 is decided but not finished",
            "staged by run dead",
            "2025-01-01",
            "unless it is at work",
        ],
    );
    workspace.run(["tables", "verify", "table/"])?.expect(
        4,
        &["commit 3 is decided and not finished", "pipelines clean"],
    );
    assert_eq!(before.changes(&everything(&workspace)?), [] as [String; 0]);
    let done = document(&workspace.run(["clean", "table/", "--output", "json"])?, 0)?;
    assert_eq!(
        (&done[0]["finished_commit"], &done[0]["dropped_runs"][0]),
        (&3.into(), &"dead".into())
    );
    assert!(!table.join("staging/0123456789ab").exists());
    workspace
        .run(["tables", "verify", "table/", "--digest"])?
        .expect(0, &[]);
    workspace
        .run(["clean", "nothing/", "table/"])?
        .expect(3, &["there is no table at", "nothing was left behind"]);
    Ok(())
}

#[test]
fn work_folders_that_no_run_can_go_on_with_are_removed() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.run(["clean"])?.expect(0, &["removed 0 folders"]);
    assert!(!workspace.path().join(".pipelines").exists());
    // A failed run that can go on, a published one that kept its records, and one that no store knows.
    workspace.write("days.sql", APPEND)?;
    workspace.write("days.csv", "day,id\n2025-01-01,many\n")?;
    let days = [
        "run",
        "./days.sql",
        "--from",
        "2025-02-01",
        "--to",
        "2025-02-02",
    ];
    workspace.run(days)?.expect(1, &[]);
    let failed: Vec<String> = folders(&workspace)?;
    assert_eq!(failed.len(), 1, "{failed:?}");
    workspace.write("n.sql", "COPY (SELECT 1 AS one) TO 'n/';")?;
    workspace
        .run(["run", "./n.sql", "--keep-landing"])?
        .expect(0, &[]);
    let unknown = "01a1f8f8-6cee-7d0b-99bf-e0720794040d";
    workspace.write(&format!(".pipelines/runs/{unknown}/landing/part"), "12345")?;
    workspace.write(".pipelines/runs/notes.txt", "mine")?;
    workspace.write(&format!(".pipelines/spill/{unknown}/lock"), "")?;
    let before = everything(&workspace)?;
    workspace.run(["clean", "--dry-run"])?.expect(
        0,
        &[
            "would remove",
            unknown,
            "the run store does not know its run",
            "its run has published",
            "spill files of a command that is gone",
            "the same request goes on from it",
        ],
    );
    assert_eq!(before.changes(&everything(&workspace)?), [] as [String; 0]);
    let done = document(&workspace.run(["clean", "--output", "json"])?, 0)?;
    assert_eq!(done["removed"].as_array().map(Vec::len), Some(3), "{done}");
    assert_eq!(done["kept"].as_array().map(Vec::len), Some(1), "{done}");
    assert_eq!(folders(&workspace)?, failed);
    assert!(workspace.path().join(".pipelines/runs/notes.txt").exists());
    // What was kept is what the run goes on from.
    workspace.write("days.csv", "day,id\n2025-01-01,1\n")?;
    workspace.run(days)?.expect(0, &["attempt 2"]);
    Ok(())
}

fn folders(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace.path().join(".pipelines/runs"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
