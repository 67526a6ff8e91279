//! Bad rows of files that are put aside: what is published without them, what is kept of them, and that both are the same
//! wherever the query runs.

use std::fmt::Write;

use anyhow::Context;
use rstest::rstest;
use serde_json::{Value, json};
use testkit::{Outcome, Python, Workspace};

use super::cluster::on_cluster;
use super::launchpad::workspace;
use super::published::rows;

/// Orders of which every tenth has no number, every fifteenth a field too many, and one bytes that are no UTF-8.
fn orders(workspace: &Workspace, files: u32, orders: u32) -> anyhow::Result<()> {
    for file in 0..files {
        let mut text = String::from("id,region,amount\n");
        for order in 0..orders {
            let id = order * files + file;
            match order {
                _ if order % 10 == 3 => writeln!(text, "{id},eu,many")?,
                _ if order % 15 == 4 => writeln!(text, "{id},us,1,2")?,
                _ => writeln!(text, "{id},\"r\n{}\",{}", order % 3, id * 2)?,
            }
        }
        let mut bytes = text.into_bytes();
        bytes.extend(b"7,\xff,7\n");
        let path = workspace.path().join(format!("in/{file}.csv"));
        std::fs::create_dir_all(workspace.path().join("in"))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

const SOURCE: &str = "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, amount BIGINT) STORED AS CSV LOCATION 'in/' \
                      OPTIONS (on_error 'quarantine'";

fn document(outcome: &Outcome) -> anyhow::Result<Value> {
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())
}

/// What is in quarantine, without its times.
fn put_aside(workspace: &Workspace) -> anyhow::Result<Vec<Value>> {
    let command = ["quarantine", "list", "--output", "json", "--limit", "10000"];
    let mut document = document(&workspace.run(command)?)?;
    let items = document["items"].as_array_mut().context("no items")?;
    for item in &mut *items {
        item.as_object_mut().context("no item")?.remove("at");
    }
    items.sort_by_key(|item| (item["unit"].to_string(), item["offset"].as_u64()));
    assert_eq!(document["total"], items_len(&document));
    Ok(document["items"].as_array().cloned().unwrap_or_default())
}

fn items_len(document: &Value) -> usize {
    document["items"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_run_publishes_the_good_rows_and_keeps_the_bad_ones() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, 2, 30)?;
    workspace.write(
        "p.sql",
        &format!("{SOURCE});\nCOPY (SELECT id, amount FROM orders WHERE id < 50) TO 'out/' OPTIONS (sort 'id');"),
    )?;
    let run = workspace.run(["run", "p.sql", "--output", "json"])?;
    run.expect(5, &[]);
    // Of 62 records, 3 and 2 of 30 are bad in each file, and the last line; of the others those from 50 on are not wanted.
    let counts = &document(&run)?["run"]["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    assert_eq!((count("read"), count("quarantined")), (62, 12), "{counts}");
    assert_eq!(
        count("read"),
        count("written") + count("filtered") + count("quarantined")
    );
    let ids: Vec<u64> = rows(&workspace.path().join("out"))?
        .iter()
        .filter_map(|row| row["id"].as_u64())
        .collect();
    let bad = |id: &u64| (id / 2) % 10 == 3 || (id / 2) % 15 == 4;
    assert_eq!(ids, (0..50).filter(|id| !bad(id)).collect::<Vec<u64>>());
    assert_eq!(
        count("filtered"),
        (50..60).filter(|id| !bad(id)).count() as u64
    );

    let items = put_aside(&workspace)?;
    let first = &items[0];
    let file = workspace.path().join("in/0.csv");
    let content = std::fs::read(&file)?;
    let offset = usize::try_from(first["offset"].as_u64().context("no offset")?)?;
    assert!(content[offset..].starts_with(b"6,eu,many\n"));
    let mut told = first.clone();
    for field in ["unit", "url", "offset"] {
        told.as_object_mut().context("no item")?.remove(field);
    }
    assert_eq!(
        told,
        json!({
            "source": "orders", "resource": null, "reason": "`many` is not BIGINT", "class": "bad_row",
            "body": "6,eu,many\n", "line": 8, "length": 10, "column": "amount", "body_hex": null,
        })
    );
    assert!(
        first["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("in/0.csv:8")),
        "{first}"
    );
    assert_eq!(items[5]["body_hex"], "372cff2c370a");

    workspace
        .run(["run", "p.sql"])?
        .expect(5, &["62 records", "12 items", "pipelines quarantine list"]);
    let list = workspace.run(["quarantine", "list", "--limit", "2"])?;
    list.expect(
        0,
        &[
            "12 items",
            "orders",
            "in/0.csv:8",
            "amount",
            "`many`",
            "10 items more: --skip 2",
        ],
    );
    let id = document(&run)?["run"]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let show = workspace.run(["quarantine", "show", &id, "1"])?;
    show.expect(0, &["in/0.csv:8", "6,eu,many", "amount", "bad_row"]);
    workspace
        .run(["quarantine", "show", &id, "13"])?
        .expect(3, &["12 items", "no number 13"]);
    Ok(())
}

#[rstest]
#[case::rows(
    ", max_bad_rows '3'",
    4,
    "more bad rows than `max_bad_rows` allows, which is 3"
)]
#[case::share(
    ", max_bad_share '19%'",
    12,
    "12 of 62 rows are bad, and `max_bad_share` allows 19%"
)]
fn more_bad_rows_than_there_may_be_end_the_run_before_it_publishes(
    #[case] limits: &str,
    #[case] most: usize,
    #[case] message: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, 2, 30)?;
    let text = format!("{SOURCE}{limits});\nCOPY orders TO 'out/';");
    workspace.write("p.sql", &text)?;
    let run = workspace.run(["run", "p.sql"])?;
    run.expect(1, &[message, "orders", "pipelines quarantine list"]);
    assert!(!workspace.path().join("out").exists());
    let found = put_aside(&workspace)?.len();
    assert!((1..=most).contains(&found), "{found}");
    // With more of them allowed, the same source publishes, and each is there once.
    let enough = text.replace("'3'", "'12'").replace("'19%'", "'20%'");
    workspace.write("p.sql", &enough)?;
    workspace.run(["run", "p.sql"])?.expect(5, &["12 items"]);
    assert_eq!(put_aside(&workspace)?.len(), 12);
    Ok(())
}

#[test]
fn a_row_is_put_aside_once_however_often_its_file_is_read() -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, 3, 300)?;
    // Sampled for the ranges, read for two outputs, joined with itself, and read for a check.
    workspace.write(
        "p.sql",
        &format!(
            "{SOURCE});\n\
             ASSERT (SELECT count(*) FROM orders) > 0 AS 'there are orders';\n\
             COPY (SELECT id, region, amount FROM orders) TO 'one/' OPTIONS (sort 'id', split_rows '100');\n\
             COPY (SELECT a.id, count(*) AS times FROM orders a JOIN orders b ON a.id = b.id GROUP BY a.id) TO 'two/';"
        ),
    )?;
    let run = workspace.run(["run", "p.sql", "--output", "json"])?;
    run.expect(5, &[]);
    let bad = 3 * (30 + 20 + 1);
    assert_eq!(document(&run)?["run"]["counts"]["quarantined"], bad);
    assert_eq!(put_aside(&workspace)?.len(), bad);
    let good = 3 * 301 - bad;
    for table in ["one", "two"] {
        assert_eq!(rows(&workspace.path().join(table))?.len(), good);
    }
    // Nothing changed, so nothing is published; what is bad is known all the same.
    workspace.run(["run", "p.sql"])?.expect(5, &["153 items"]);
    assert_eq!(put_aside(&workspace)?.len(), bad);
    Ok(())
}

#[rstest]
#[case("CSV", "max_bad_rows '5'", &["p.sql:1:", "max_bad_rows", "`on_error 'quarantine'`"])]
#[case("JSON", "on_error 'skip'", &["p.sql:1:", "on_error", "fail, quarantine"])]
#[case("ARROW", "on_error 'quarantine'", &["p.sql:1:", "on_error"])]
fn an_option_that_means_nothing_is_refused(
    #[case] format: &str,
    #[case] option: &str,
    #[case] words: &[&str],
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    orders(&workspace, 1, 1)?;
    workspace.write(
        "p.sql",
        &format!("CREATE EXTERNAL TABLE t STORED AS {format} LOCATION 'in/' OPTIONS ({option});\nCOPY t TO 'out/';"),
    )?;
    workspace.run(["run", "p.sql"])?.expect(3, words);
    Ok(())
}

#[test]
fn executors_put_the_same_rows_aside() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    orders(&workspace, 5, 900)?;
    workspace.write(
        "p.sql",
        &format!("{SOURCE});\nCOPY (SELECT id, region FROM orders WHERE id % 7 < 6) TO 'out/' OPTIONS (sort 'id');"),
    )?;
    let mut told = Vec::new();
    for mode in ["local", "cluster"] {
        let run = workspace.run([
            "run",
            "p.sql",
            "--mode",
            mode,
            "--restart",
            "--output",
            "json",
        ])?;
        assert_eq!(run.code, Some(5), "{}{}", run.all(), cluster.said());
        let counts = document(&run)?["run"]["counts"].clone();
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        assert_eq!(count("read"), 5 * 901, "{mode}: {counts}");
        assert_eq!(
            count("read"),
            count("written") + count("filtered") + count("quarantined"),
            "{mode}: {counts}"
        );
        told.push((count("written"), put_aside(&workspace)?));
    }
    assert_eq!(told[0].1.len(), 5 * (90 + 60 + 1));
    assert_eq!(told[0], told[1]);

    // Too many of them end the run there too.
    let text = std::fs::read_to_string(workspace.path().join("p.sql"))?;
    let few = text.replace("'quarantine'", "'quarantine', max_bad_rows '500'");
    workspace.write("few.sql", &few.replace("'out/'", "'few/'"))?;
    let run = workspace.run(["run", "few.sql", "--mode", "cluster"])?;
    run.expect(
        1,
        &["more bad rows than `max_bad_rows` allows, which is 500"],
    );
    assert!(!workspace.path().join("few").exists());
    Ok(())
}

#[test]
fn another_reader_finds_the_same_bad_rows() -> anyhow::Result<()> {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let workspace = workspace()?;
    let mut text = String::from("id,name,day\n");
    for id in 0..500 {
        match id % 11 {
            3 => writeln!(text, "n{id},a,2026-01-01")?,
            5 => writeln!(text, "{id},\"b, c\",2026-13-01")?,
            8 => writeln!(text, "{id},a")?,
            _ => writeln!(text, "{id},\"x \"\"{id}\"\"\",2026-01-{:02}", 1 + id % 28)?,
        }
    }
    workspace.write("in/a.csv", &text)?;
    workspace.write(
        "p.sql",
        "CREATE EXTERNAL TABLE t (id BIGINT, name TEXT, day DATE) STORED AS CSV LOCATION 'in/' OPTIONS (on_error 'quarantine');\n\
         COPY t TO 'out/' OPTIONS (sort 'id');",
    )?;
    workspace.run(["run", "p.sql"])?.expect(5, &[]);
    let script = "import duckdb, json, sys
con = duckdb.connect()
rows = con.execute(\"SELECT id, name, strftime(day, '%Y-%m-%d') FROM read_csv(?, columns = {'id': 'BIGINT', 'name': 'VARCHAR', 'day': 'DATE'}, delim = ',', quote = '\\\"', header = true, auto_detect = false, store_rejects = true) ORDER BY id\", [sys.argv[1]]).fetchall()
bad = con.execute('SELECT DISTINCT line, line_byte_position FROM reject_errors ORDER BY line').fetchall()
print(json.dumps({'rows': rows, 'bad': bad}))";
    let path = workspace.path().join("in/a.csv");
    let other: Value = serde_json::from_str(&python.run(script, &[&path.to_string_lossy()])?)?;
    let ours: Vec<Value> = rows(&workspace.path().join("out"))?
        .iter()
        .map(|row| json!([row["id"], row["name"], row["day"]]))
        .collect();
    assert_eq!(Value::from(ours), other["rows"]);
    let lines =
        |items: &[Value]| -> Vec<Value> { items.iter().map(|item| item["line"].clone()).collect() };
    let theirs: Vec<Value> = other["bad"]
        .as_array()
        .context("no bad rows")?
        .iter()
        .map(|item| item[0].clone())
        .collect();
    assert_eq!(lines(&put_aside(&workspace)?), theirs);
    Ok(())
}
