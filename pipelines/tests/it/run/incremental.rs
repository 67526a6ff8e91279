//! Sources that are read file by file: each run reads what is new, once, however runs end, and the table is the one that a
//! plain read of all files gives.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use rstest::rstest;
use serde_json::Value;
use testkit::s3::{S3Options, S3Server};
use testkit::{CallFault, FileCalls, Folder, Outcome, Workspace};

use super::cluster::on_cluster;
use super::launchpad::workspace;
use super::published::rows;

const COLUMNS: &str = "(id BIGINT, region TEXT, amount DECIMAL(10,2))";
const NEW: &str = "OPTIONS (incremental 'files')";

/// A pipeline over the files in `in/`, which are read as `source` says, and published as `output` says.
fn pipeline(source: &str, output: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE orders {COLUMNS} STORED AS CSV LOCATION 'in/' {source};\n\
         COPY (SELECT id, region, amount * 2 AS twice FROM orders WHERE amount > 0) TO 'out/' OPTIONS ({output});\n"
    )
}

/// Writes a file of orders with these ids, whose amounts are the ids and more.
fn orders(
    workspace: &Workspace,
    name: &str,
    ids: std::ops::Range<u32>,
    more: u32,
) -> anyhow::Result<()> {
    let mut text = String::from("id,region,amount\n");
    for id in ids {
        writeln!(text, "{id},\"r\n{}\",{}.50", id % 3, id + more)?;
    }
    workspace.write(&format!("in/{name}"), &text).map(drop)
}

/// The rows of a table, as sorted lines.
fn lines(folder: &Path) -> anyhow::Result<Vec<String>> {
    let lines = rows(folder)?
        .into_iter()
        .map(|row| serde_json::to_string(&row));
    let mut lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    lines.sort();
    Ok(lines)
}

/// The table is what a plain read of all files gives.
fn assert_whole(workspace: &Workspace) -> anyhow::Result<()> {
    let plain = pipeline("", "publish replace").replace("'out/'", "'plain/'");
    workspace.write("plain.sql", &plain)?;
    workspace.run(["run", "./plain.sql"])?.expect(0, &[]);
    let table = |name: &str| lines(&workspace.path().join(name));
    assert_eq!(table("out")?, table("plain")?);
    Ok(())
}

fn commits(workspace: &Workspace) -> anyhow::Result<usize> {
    let folder = Folder::of(&workspace.path().join(".out.spillway/commits"))?;
    let records = folder.files().filter(|(name, _)| name.ends_with(".json"));
    Ok(records.count())
}

fn counts(run: &Outcome) -> anyhow::Result<Value> {
    let document: Value = serde_json::from_str(&run.stdout).with_context(|| run.all())?;
    Ok(document["run"]["counts"].clone())
}

#[test]
fn an_append_reads_each_file_once_and_refuses_changed_ones() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, "a.csv", 0..20, 0)?;
    orders(&workspace, "deep/b.csv", 20..30, 0)?;
    workspace.write("p.sql", &pipeline(NEW, "publish append"))?;
    workspace
        .run(["plan", "./p.sql"])?
        .expect(0, &["in/ with 2 new files"]);
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["30 rows", "files        2 new"]);
    assert_whole(&workspace)?;
    let before = Folder::of(workspace.path())?;
    workspace.run(["run", "./p.sql"])?.expect(
        0,
        &["nothing new, and nothing was published", "2 read before"],
    );
    workspace
        .run(["plan", "./p.sql"])?
        .expect(0, &["in/ with nothing new; 2 files read before"]);
    assert_eq!(commits(&workspace)?, 1);
    let after = Folder::of(workspace.path())?;
    let changed: Vec<String> = before.changes(&after);
    assert!(
        !changed.iter().any(|name| name.contains("out")),
        "{changed:?}"
    );
    orders(&workspace, "c.csv", 30..35, 0)?;
    orders(&workspace, "d.csv", 35..36, 0)?;
    orders(&workspace, "a.csv", 0..21, 0)?;
    for command in ["run", "plan"] {
        workspace.run([command, "./p.sql"])?.expect(
            1,
            &[
                "the new files of `orders` cannot be read: 1 file changed since",
                "in/a.csv among them",
                "publish with 'merge'",
            ],
        );
    }
    assert_eq!(commits(&workspace)?, 1);
    // As it was, and gone at last: neither is read again.
    orders(&workspace, "a.csv", 0..20, 0)?;
    std::fs::File::options()
        .write(true)
        .open(workspace.path().join("in/a.csv"))?
        .set_modified(SystemTime::now() - Duration::from_secs(60))?;
    let touched = workspace.run(["run", "./p.sql"])?;
    touched.expect(1, &["1 file changed since"]);
    std::fs::remove_file(workspace.path().join("in/a.csv"))?;
    let run = workspace.run(["run", "./p.sql", "--output", "json"])?;
    run.expect(0, &[]);
    let counts = counts(&run)?;
    for (name, files) in [("new", 2), ("changed", 0), ("read_before", 1), ("gone", 1)] {
        assert_eq!(counts["other"][format!("files_{name}")], files, "{counts}");
    }
    assert_eq!(
        (&counts["read"], &counts["written"]),
        (&Value::from(6), &Value::from(6))
    );
    orders(&workspace, "a.csv", 0..20, 0)?;
    let table = lines(&workspace.path().join("out"))?;
    assert_eq!(table.len(), 36);
    std::fs::remove_file(workspace.path().join("in/a.csv"))?;
    std::fs::remove_file(workspace.path().join("in/d.csv"))?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["nothing new", "2 read before, 2 gone"]);
    Ok(())
}

#[rstest]
#[case::merge("publish merge, key 'id'", 11)]
#[case::overwrite("publish overwrite", 40)]
#[case::replace("publish replace", 40)]
fn other_modes_read_changed_files_again(
    #[case] output: &str,
    #[case] read: u64,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    for (name, ids) in [("a.csv", 0..10), ("b.csv", 10..20), ("c.csv", 20..30)] {
        orders(&workspace, name, ids, 0)?;
    }
    workspace.write("p.sql", &pipeline(NEW, output))?;
    workspace.run(["run", "./p.sql"])?.expect(0, &["3 new"]);
    assert_whole(&workspace)?;
    let run = workspace.run(["run", "./p.sql"])?;
    run.expect(0, &["nothing new", "3 read before"]);
    assert_eq!(commits(&workspace)?, 1);
    orders(&workspace, "b.csv", 10..20, 7)?;
    orders(&workspace, "d.csv", 30..31, 0)?;
    if output.contains("merge") {
        // Two new and one changed.
        orders(&workspace, "e.csv", 31..31, 0)?;
    } else {
        orders(&workspace, "e.csv", 31..40, 0)?;
    }
    let run = workspace.run(["run", "./p.sql", "--output", "json"])?;
    run.expect(0, &[]);
    let counts = counts(&run)?;
    assert_eq!(counts["other"]["files_new"], 2, "{counts}");
    assert_eq!(counts["other"]["files_changed"], 1, "{counts}");
    assert_eq!(counts["read"], read, "{counts}");
    assert_whole(&workspace)?;
    std::fs::remove_file(workspace.path().join("in/a.csv"))?;
    let run = workspace.run(["run", "./p.sql"])?;
    if output.contains("replace") {
        run.expect(0, &["30 rows", "1 gone"]);
        assert_whole(&workspace)?;
    } else {
        run.expect(0, &["nothing new", "1 gone"]);
    }
    Ok(())
}

#[rstest]
#[case::same(&[])]
#[case::restarted(&["--restart"])]
fn a_run_that_is_killed_anywhere_loses_and_doubles_nothing(
    #[case] again: &[&str],
) -> anyhow::Result<()> {
    let calls = FileCalls::build()?;
    let (mut at, mut decided, mut lost) = (1, 0, 0);
    loop {
        let workspace = workspace()?;
        orders(&workspace, "a.csv", 0..5, 0)?;
        workspace.write("p.sql", &pipeline(NEW, "publish append"))?;
        workspace.run(["run", "./p.sql"])?.expect(0, &[]);
        orders(&workspace, "b.csv", 5..9, 0)?;
        let tables = [
            workspace.path().join("out"),
            workspace.path().join(".out.spillway"),
        ];
        let under: Vec<&Path> = tables.iter().map(AsRef::as_ref).collect();
        let variables = calls.watch(&under, Some((CallFault::Kill, at)))?;
        let run = workspace.run_with(&variables, ["run", "./p.sql"])?;
        if run.code == Some(0) {
            break;
        }
        let is_decided = commits(&workspace)? == 2;
        let command = ["run", "./p.sql"].iter().chain(again);
        let run = workspace.run(command)?;
        run.expect(0, &[]);
        let told = match (is_decided, again.is_empty()) {
            (true, true) => "committed before",
            (true, false) => "nothing new",
            (false, _) => "4 rows",
        };
        ensure!(run.all().contains(told), "killed at {at}: {}", run.all());
        (decided, lost) = (
            decided + u32::from(is_decided),
            lost + u32::from(!is_decided),
        );
        assert_whole(&workspace)?;
        workspace
            .run(["tables", "verify", "out/"])?
            .expect(0, &["all there"]);
        workspace
            .run(["run", "./p.sql"])?
            .expect(0, &["nothing new"]);
        at += 4;
    }
    assert!(
        decided > 0 && lost > 0,
        "{decided} decided, {lost} not, of {at}"
    );
    Ok(())
}

#[test]
fn a_check_that_fails_leaves_the_files_to_the_next_run() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, "a.csv", 0..5, 0)?;
    let text = pipeline(NEW, "publish append");
    let check = "ASSERT (SELECT count(*) FROM orders) = 9 AS 'nine orders';\n";
    let checked = text.replacen("COPY", &format!("{check}COPY"), 1);
    workspace.write("p.sql", &checked)?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(4, &["nine orders"]);
    orders(&workspace, "b.csv", 5..9, 0)?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["9 rows", "2 new"]);
    assert_whole(&workspace)
}

#[test]
fn each_source_has_a_list_of_its_own() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, "eu/a.csv", 0..5, 0)?;
    orders(&workspace, "us/a.csv", 5..9, 0)?;
    workspace.write("names.csv", "id,name\n1,one\n7,seven\n11,eleven\n")?;
    let text = format!(
        "CREATE EXTERNAL TABLE eu {COLUMNS} STORED AS CSV LOCATION 'in/eu/' {NEW};\n\
         CREATE EXTERNAL TABLE us {COLUMNS} STORED AS CSV LOCATION 'in/us/' {NEW};\n\
         CREATE EXTERNAL TABLE names STORED AS CSV LOCATION 'names.csv';\n\
         CREATE VIEW o AS SELECT * FROM eu UNION ALL SELECT * FROM us;\n\
         COPY (SELECT o.id, amount, name FROM o LEFT JOIN names n ON o.id = n.id) TO 'out/' OPTIONS (publish append);\n\
         COPY o TO 'all/' OPTIONS (publish append);\n"
    );
    workspace.write("p.sql", &text)?;
    workspace.run(["run", "./p.sql"])?.expect(0, &["2 new"]);
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["nothing new"]);
    orders(&workspace, "us/b.csv", 10..12, 0)?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["1 new, 2 read before", "2 rows of `o`"]);
    let plain = text.replace(NEW, "").replace("append", "replace");
    let plain = plain
        .replace("'out/'", "'plain/'")
        .replace("'all/'", "'plain_all/'");
    workspace.write("plain.sql", &plain)?;
    workspace.run(["run", "./plain.sql"])?.expect(0, &[]);
    let table = |name: &str| lines(&workspace.path().join(name));
    assert_eq!(table("out")?, table("plain")?);
    assert_eq!(table("all")?, table("plain_all")?);
    assert_eq!(table("all")?.len(), 11);
    Ok(())
}

#[test]
fn bad_rows_of_new_files_are_put_aside_once() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("in/a.csv", "id,region,amount\n1,eu,1\n2,eu,many\n3,eu,-3\n")?;
    let source = "OPTIONS (incremental 'files', on_error 'quarantine')";
    workspace.write("p.sql", &pipeline(source, "publish append"))?;
    let even = |run: &Outcome, expected: [u64; 4]| -> anyhow::Result<()> {
        let counts = counts(run)?;
        let found =
            ["read", "written", "filtered", "quarantined"].map(|name| counts[name].as_u64());
        assert_eq!(found, expected.map(Some), "{counts}");
        Ok(())
    };
    let command = ["run", "./p.sql", "--output", "json"];
    let run = workspace.run(command)?;
    run.expect(5, &[]);
    even(&run, [3, 1, 1, 1])?;
    let run = workspace.run(command)?;
    run.expect(0, &[]);
    even(&run, [0, 0, 0, 0])?;
    workspace.write("in/b.csv", "id,region,amount\n4,eu,4\n5,eu\n6,eu,6\n")?;
    let run = workspace.run(command)?;
    run.expect(5, &[]);
    even(&run, [3, 2, 0, 1])?;
    assert_eq!(lines(&workspace.path().join("out"))?.len(), 3);
    Ok(())
}

#[test]
fn a_file_is_read_once_whatever_the_parameters() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, "eu/a.csv", 0..5, 0)?;
    orders(&workspace, "us/a.csv", 5..9, 0)?;
    let text = format!(
        "DECLARE region TEXT;\nDECLARE least INT DEFAULT 0;\n\
         CREATE EXTERNAL TABLE orders {COLUMNS} STORED AS CSV LOCATION 'in/' || $region || '/' {NEW};\n\
         COPY (SELECT * FROM orders WHERE id >= $least) TO 'out/' OPTIONS (publish append);\n"
    );
    workspace.write("p.sql", &text)?;
    let run = |arguments: &[&str], words: &[&str]| -> anyhow::Result<Outcome> {
        let run = workspace.run(["run", "./p.sql"].iter().chain(arguments))?;
        run.expect(0, words);
        Ok(run)
    };
    run(&["--set", "region=eu"], &["5 rows"])?;
    run(&["--set", "region=us"], &["4 rows", "1 new, 1 gone"])?;
    for region in ["region=eu", "region=us"] {
        let again = run(&["--set", region], &["nothing new"])?;
        assert!(!again.all().contains("warning"), "{}", again.all());
    }
    orders(&workspace, "us/b.csv", 9..12, 0)?;
    run(
        &["--set", "region=us", "--set", "least=10"],
        &[
            "2 rows",
            "1 new, 1 read before",
            "not read again, though the parameters were others: 1 file of `orders`",
        ],
    )?;
    assert_eq!(lines(&workspace.path().join("out"))?.len(), 11);
    Ok(())
}

#[test]
fn what_cannot_be_read_file_by_file_is_told() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let run = |text: &str, code, words: &[&str]| -> anyhow::Result<()> {
        workspace.write("p.sql", text)?;
        workspace.run(["run", "./p.sql"])?.expect(code, words);
        Ok(())
    };
    let text = pipeline(NEW, "publish append");
    run(&text, 1, &["the source `orders` has no file at in/"])?;
    run(
        &text.replace("'files'", "'rows'"),
        3,
        &["p.sql:1", "option `incremental`"],
    )?;
    let parquet = text.replace("CSV", "PARQUET").replace("'files'", "'rows'");
    run(&parquet, 3, &["p.sql:1", "option `incremental`"])?;
    orders(&workspace, "a.csv", 0..5, 0)?;
    let with = |output: &str| format!("{text}COPY orders TO 'all/' OPTIONS ({output});\n");
    run(
        &with("publish replace"),
        1,
        &["which takes all files, and", "a pipeline of its own"],
    )?;
    run(&text, 0, &["5 rows"])?;
    // An output more, which has none of the files: it may have them, the other not again.
    run(
        &with("publish append"),
        1,
        &["1 file in `out/`", "the other outputs have not read them"],
    )?;
    assert!(!workspace.path().join("all").exists());
    run(
        &with("publish merge, key 'id'").replace("publish append", "publish merge, key 'id'"),
        0,
        &["1 new"],
    )?;
    assert_whole(&workspace)?;
    assert_eq!(lines(&workspace.path().join("all"))?.len(), 5);
    // A place that had files may be empty, unless the table would be.
    std::fs::remove_file(workspace.path().join("in/a.csv"))?;
    run(
        &pipeline(NEW, "publish merge, key 'id'"),
        0,
        &["nothing new", "1 gone"],
    )?;
    run(
        &pipeline(NEW, "publish replace"),
        1,
        &["has no file at in/"],
    )
}

#[rstest]
#[case::csv("CSV", "CSV")]
#[case::json("JSON", "JSON")]
#[case::arrow("ARROW", "ARROW")]
#[case::avro("AVRO", "AVRO")]
#[case::parquet("PARQUET", "PARQUET")]
#[case::binary("CSV", "BINARY")]
fn files_of_every_format_are_read_once(
    #[case] written: &str,
    #[case] read: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    let make = |name: &str, from: u32| -> anyhow::Result<()> {
        let text = format!(
            "COPY (SELECT value AS id FROM generate_series({from}, {from} + 4)) TO 'in/{name}' STORED AS {written} OPTIONS (single_file true);"
        );
        workspace.write("make.sql", &text)?;
        workspace
            .run(["run", "./make.sql", "--restart"])?
            .expect(0, &[]);
        Ok(())
    };
    let query = if read == "BINARY" {
        "length(content) AS id"
    } else {
        "id"
    };
    let expected = if read == "BINARY" { 1 } else { 5 };
    let text = |source: &str, output: &str| {
        format!(
            "CREATE EXTERNAL TABLE t STORED AS {read} LOCATION 'in/' {source};\n\
             COPY (SELECT {query} FROM t) TO '{output}/' OPTIONS (publish append);\n"
        )
    };
    workspace.write("p.sql", &text(NEW, "out"))?;
    for (round, name) in ["first", "second"].into_iter().enumerate() {
        make(name, round as u32 * 10)?;
        workspace
            .run(["run", "./p.sql"])?
            .expect(0, &[&format!("{expected} row"), "1 new"]);
        workspace
            .run(["run", "./p.sql"])?
            .expect(0, &["nothing new"]);
    }
    workspace.write("plain.sql", &text("", "plain"))?;
    workspace.run(["run", "./plain.sql"])?.expect(0, &[]);
    let table = |name: &str| lines(&workspace.path().join(name));
    assert_eq!(table("out")?, table("plain")?);
    assert_eq!(table("out")?.len(), 2 * expected);
    Ok(())
}

#[test]
fn objects_are_known_by_their_etags() -> anyhow::Result<()> {
    let server = S3Server::start(S3Options::default())?;
    let mut workspace = workspace()?;
    for (name, value) in server.environment() {
        workspace.set(&name, value);
    }
    let put = |name: &str, amount: u32| {
        let text = format!("id,region,amount\n{amount},eu,{amount}\n");
        server.put_object(&format!("in/{name}.csv"), text)
    };
    put("a b", 11)?;
    put("b", 12)?;
    let place = |name: &str| format!("'s3://{}/{name}'", server.bucket());
    let text = pipeline(NEW, "publish merge, key 'region, id'");
    let text = text.replace("'in/'", &place("in/"));
    workspace.write("p.sql", &text.replace("'out/'", &place("lake/out")))?;
    workspace.run(["run", "./p.sql"])?.expect(0, &["2 new"]);
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["nothing new"]);
    // As long as before, and perhaps within the same second.
    put("b", 13)?;
    put("c", 14)?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["1 new, 1 changed, 1 read before", "2 rows"]);
    workspace.write(
        "seen.sql",
        &format!(
            "CREATE EXTERNAL TABLE t STORED AS TABLE LOCATION {};\n\
             COPY (SELECT id, twice FROM t) TO 'seen/';",
            place("lake/out")
        ),
    )?;
    workspace.run(["run", "./seen.sql"])?.expect(0, &[]);
    let ids: Vec<u64> = rows(&workspace.path().join("seen"))?
        .iter()
        .filter_map(|row| row["id"].as_u64())
        .collect();
    let mut ids = ids;
    ids.sort_unstable();
    assert_eq!(ids, [11, 12, 13, 14]);
    Ok(())
}

#[test]
fn executors_read_new_files_only() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    for file in 0..4_u32 {
        orders(
            &workspace,
            &format!("{file}.csv"),
            file * 100..file * 100 + 100,
            0,
        )?;
    }
    let source = "OPTIONS (incremental 'files', on_error 'quarantine')";
    workspace.write("p.sql", &pipeline(source, "publish append"))?;
    let command = ["run", "./p.sql", "--mode", "cluster"];
    let run = workspace.run(command)?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    run.expect(0, &["400 rows", "4 new"]);
    workspace.run(command)?.expect(0, &["nothing new"]);
    orders(&workspace, "4.csv", 400..450, 0)?;
    workspace.write("in/5.csv", "id,region,amount\n7000,eu,x\n7001,eu,1\n")?;
    let run = workspace.run(command)?;
    assert_eq!(run.code, Some(5), "{}{}", run.all(), cluster.said());
    run.expect(
        5,
        &["51 rows", "2 new, 4 read before", "quarantined  1 item"],
    );
    workspace.write("in/5.csv", "id,region,amount\n7001,eu,1\n")?;
    assert_whole(&workspace)
}
