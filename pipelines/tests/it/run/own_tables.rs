//! Tables that runs published as sources: what their logs say is what is read, in every format and place, and nothing beside it.

use std::path::PathBuf;

use anyhow::Context;
use rstest::rstest;
use testkit::cluster::Cluster;
use testkit::s3::{S3Options, S3Server};
use testkit::{Folder, Workspace};

use super::cluster::{on_cluster, readings};
use super::launchpad::workspace;
use super::published::contents;

const ORDERS: &str = "id,region,day,amount,note\n\
                      1,eu,2026-01-01,10.50,\"a, b\"\n\
                      2,a/b=c,2026-01-02,20.00,\n\
                      3,,2026-01-02,30.25,\"\"\n\
                      4,,,40.00,\"say \"\"hi\"\"\"\n";
/// The source, whose columns have partition columns among them.
const SOURCE: &str = "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, day DATE, amount DECIMAL(10,2), note TEXT)\n\
                      STORED AS CSV LOCATION 'orders.csv';\n";
/// The rows, as lines of JSON.
const LINES: &str = "{\"id\":1,\"region\":\"eu\",\"day\":\"2026-01-01\",\"amount\":10.50,\"note\":\"a, b\"}\n\
                     {\"id\":2,\"region\":\"a/b=c\",\"day\":\"2026-01-02\",\"amount\":20.00,\"note\":null}\n\
                     {\"id\":3,\"region\":null,\"day\":\"2026-01-02\",\"amount\":30.25,\"note\":\"\"}\n\
                     {\"id\":4,\"region\":null,\"day\":null,\"amount\":40.00,\"note\":\"say \\\"hi\\\"\"}\n";
const TABLE: &str = "CREATE EXTERNAL TABLE t STORED AS TABLE LOCATION 'out/';";

/// Publishes the orders to `out/`.
fn publish(workspace: &Workspace, format: &str, options: &str) -> anyhow::Result<()> {
    workspace.write("orders.csv", ORDERS)?;
    let text = format!(
        "{SOURCE}COPY orders TO 'out/' STORED AS {format} PARTITIONED BY (region, day) {options};\n"
    );
    workspace.write("p.sql", &text)?;
    workspace.run(["run", "./p.sql"])?.expect(0, &["4 rows"]);
    Ok(())
}

/// The rows of `t`, which `source` declares, as lines of JSON.
fn lines(workspace: &Workspace, source: &str) -> anyhow::Result<String> {
    let text = format!(
        "{source}\nCOPY t TO 'seen/' STORED AS JSON OPTIONS (publish replace, sort 'id', single_file true);\n"
    );
    workspace.write("seen.sql", &text)?;
    workspace.run(["run", "./seen.sql"])?.expect(0, &[]);
    let folder = Folder::of(&workspace.path().join("seen"))?;
    let files: Vec<&[u8]> = folder.files().map(|(_, content)| content).collect();
    Ok(String::from_utf8(files.concat())?)
}

/// A published file of the table.
fn a_file(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = Folder::of(&workspace.path().join("out"))?;
    let (file, _) = folder.files().next().context("no file")?;
    Ok(workspace.path().join("out").join(file))
}

#[rstest]
#[case::parquet("PARQUET", "")]
#[case::csv("CSV", "OPTIONS (compression gzip)")]
#[case::json("JSON", "")]
#[case::arrow("ARROW", "")]
#[case::avro("AVRO", "")]
fn a_table_is_read_as_its_log_says(
    #[case] format: &str,
    #[case] options: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, format, options)?;
    // What no commit names, a reader of the folder would take for rows.
    let file = a_file(&workspace)?;
    let name = file.file_name().and_then(|name| name.to_str());
    std::fs::copy(
        &file,
        file.with_file_name(format!("x-{}", name.context("no name")?)),
    )?;
    assert_eq!(lines(&workspace, TABLE)?, LINES);
    let declared = "CREATE EXTERNAL TABLE t (day DATE, id BIGINT) STORED AS TABLE LOCATION 'out'\n\
                    PARTITIONED BY (region, day);";
    assert_eq!(
        lines(&workspace, declared)?,
        "{\"day\":\"2026-01-01\",\"id\":1}\n{\"day\":\"2026-01-02\",\"id\":2}\n\
         {\"day\":\"2026-01-02\",\"id\":3}\n{\"day\":null,\"id\":4}\n"
    );
    let filtered = "CREATE EXTERNAL TABLE o STORED AS TABLE LOCATION 'out/';\n\
                    CREATE VIEW t AS SELECT note, id FROM o WHERE day = '2026-01-02' AND region IS NULL;";
    assert_eq!(lines(&workspace, filtered)?, "{\"note\":\"\",\"id\":3}\n");
    let plan = workspace.run(["plan", "./seen.sql"])?;
    plan.expect(
        0,
        &[
            "version 1 of ",
            &format!(": 4 files of {format}, partitioned by region, day"),
            "4 rows",
            "(from the table's commit log)",
        ],
    );
    assert!(!plan.all().contains("about 4 rows"), "{}", plan.all());
    Ok(())
}

#[test]
fn an_earlier_version_is_read_until_a_file_of_it_goes() -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, "PARQUET", "OPTIONS (publish append)")?;
    let more = "COPY (SELECT 5 AS id, 'eu' AS region, DATE '2026-01-01' AS day, \
                CAST(1 AS DECIMAL(10,2)) AS amount, 'x' AS note) TO 'out/' PARTITIONED BY (region, day) OPTIONS (publish append);";
    workspace.write("more.sql", more)?;
    workspace
        .run(["run", "./more.sql"])?
        .expect(0, &["commit 2"]);
    let fifth =
        "{\"id\":5,\"region\":\"eu\",\"day\":\"2026-01-01\",\"amount\":1.00,\"note\":\"x\"}\n";
    assert_eq!(lines(&workspace, TABLE)?, format!("{LINES}{fifth}"));
    let first = format!("{} OPTIONS (version 1);", TABLE.trim_end_matches(';'));
    assert_eq!(lines(&workspace, &first)?, LINES);
    workspace
        .run(["run", "./seen.sql"])?
        .expect(0, &["nothing changed"]);
    let refused = |source: &str, words: &[&str]| -> anyhow::Result<()> {
        workspace.write(
            "seen.sql",
            &format!("{source}\nCOPY t TO 'seen/' STORED AS JSON;"),
        )?;
        workspace.run(["run", "./seen.sql"])?.expect(1, words);
        Ok(())
    };
    let third = first.replace("version 1", "version 3");
    refused(&third, &["has no version 3; its newest commit is 2"])?;
    workspace.write("p.sql", &format!(
        "{SOURCE}COPY (SELECT id, region, day, amount, 'new' AS note FROM orders WHERE id = 1) TO 'out/' PARTITIONED BY (region, day) OPTIONS (publish overwrite);"
    ))?;
    workspace.run(["run", "./p.sql"])?.expect(0, &["commit 3"]);
    refused(
        &first,
        &[
            "version 1 of table",
            "cannot be read any more: 1 of its files, region=eu/day=2026-01-01/part-",
        ],
    )?;
    Ok(())
}

#[test]
fn what_is_not_as_the_log_says_is_told() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let refused = |code, declared: &str, words: &[&str]| -> anyhow::Result<()> {
        let text =
            format!("CREATE EXTERNAL TABLE t {declared};\nCOPY t TO 'seen/' STORED AS JSON;");
        workspace.write("seen.sql", &text)?;
        workspace.run(["run", "./seen.sql"])?.expect(code, words);
        assert!(!workspace.path().join("seen").exists());
        Ok(())
    };
    refused(
        1,
        "STORED AS TABLE LOCATION 'out/'",
        &[
            "out/: there is no table: no commit log is beside it",
            "write their format behind STORED AS",
        ],
    )?;
    publish(&workspace, "PARQUET", "")?;
    let table = "STORED AS TABLE LOCATION 'out/'";
    for (declared, word) in [
        (
            "(amounts BIGINT)",
            "the table has no column `amounts`; there are `id`, `region`, `day`, `amount`, `note`; did you mean `amount`?",
        ),
        (
            "(id INT)",
            "column `id`: it is BIGINT in the table and declared as INT; declare it as BIGINT",
        ),
        (
            "(id BIGINT NOT NULL)",
            "column `id`: it is declared NOT NULL",
        ),
    ] {
        refused(1, &format!("{declared} {table}"), &[word])?;
    }
    refused(
        1,
        &format!("{table} PARTITIONED BY (day)"),
        &["the table is partitioned by (region, day), not by (day)"],
    )?;
    refused(
        3,
        &format!("{table} OPTIONS (version 0)"),
        &["seen.sql:1", "option `version`"],
    )?;
    refused(
        3,
        &format!("{table} OPTIONS (versions 1)"),
        &["did you mean `version`?"],
    )?;
    // A file that somebody cut, and one that is gone.
    let file = a_file(&workspace)?;
    let whole = std::fs::read(&file)?;
    std::fs::write(&file, &whole[1..])?;
    let lost = ["1 of the files of table", "missing or have another size"];
    refused(1, table, &lost)?;
    std::fs::remove_file(&file)?;
    refused(1, table, &lost)?;
    std::fs::write(&file, &whole)?;
    let record = workspace.path().join(".out.spillway/commits/00000001.json");
    let text = std::fs::read_to_string(&record)?;
    std::fs::write(
        &record,
        text.replacen("\"version\": 1", "\"version\": 2", 1),
    )?;
    refused(
        1,
        table,
        &[
            "00000001.json",
            "has format version 2, this program knows up to 1; use the newer program",
        ],
    )
}

#[test]
fn a_table_without_rows_is_one() -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, "CSV", "")?;
    workspace.write(
        "none.sql",
        &format!("{SOURCE}COPY (SELECT * FROM orders WHERE id > 9) TO 'out/' STORED AS CSV PARTITIONED BY (region, day) OPTIONS (publish replace);"),
    )?;
    workspace
        .run(["run", "./none.sql"])?
        .expect(0, &["commit 2"]);
    let counted = "CREATE EXTERNAL TABLE o STORED AS TABLE LOCATION 'out/';\n\
                   CREATE VIEW t AS SELECT count(*) AS id, count(day) AS days FROM o;";
    assert_eq!(lines(&workspace, counted)?, "{\"id\":0,\"days\":0}\n");
    Ok(())
}

/// Copies a table of readings in a format, sorted, so that the same rows are the same bytes.
fn copied(format: &str, from: &str, to: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE t STORED AS TABLE LOCATION '{from}';\n\
         COPY t TO '{to}' STORED AS {format} PARTITIONED BY (city) OPTIONS (sort 'id');\n"
    )
}

fn published(format: &str, to: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/';\n\
         COPY (SELECT city, id, day, value FROM readings) TO '{to}' STORED AS {format} PARTITIONED BY (city) OPTIONS (sort 'id');\n"
    )
}

#[rstest]
fn executors_read_a_table_as_its_log_says(
    #[values("PARQUET", "CSV", "AVRO")] format: &str,
) -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    readings(&workspace, 4, 500)?;
    workspace.write("p.sql", &published(format, "out/"))?;
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &["2,000 rows"]);
    workspace.write("copy.sql", &copied(format, "out/", "copy/"))?;
    let run = workspace.run(["run", "copy.sql", "--mode", "cluster"])?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    run.expect(0, &["2,000 rows"]);
    let folder = |name: &str| workspace.path().join(name);
    assert_eq!(contents(&folder("copy"))?, contents(&folder("out"))?);
    Ok(())
}

#[rstest]
fn a_table_in_a_bucket_is_read_as_its_log_says(
    #[values("PARQUET", "JSON", "ARROW")] format: &str,
    #[values(false, true)] on_executors: bool,
) -> anyhow::Result<()> {
    let server = S3Server::start(S3Options::default())?;
    let environment = server.environment();
    let mut workspace = workspace()?;
    let cluster = match on_executors {
        true => Cluster::start_with(env!("CARGO_BIN_EXE_pipelines"), 2, 1, &environment)?,
        false => None,
    };
    if on_executors && cluster.is_none() {
        return Ok(());
    }
    for (name, value) in environment {
        workspace.set(&name, value);
    }
    let mode = match &cluster {
        Some(cluster) => {
            workspace.set("PIPELINES_SCHEDULER", cluster.address());
            "cluster"
        }
        None => "local",
    };
    readings(&workspace, 2, 200)?;
    let place = |name: &str| format!("s3://{}/lake/{name}", server.bucket());
    workspace.write("p.sql", &published(format, &place("out")))?;
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &["400 rows"]);
    let (key, content) = server
        .objects("lake/out/")
        .into_iter()
        .next()
        .context("no object")?;
    server.put_object(&key.replace("part-", "stray-"), content)?;
    workspace.write("copy.sql", &copied(format, &place("out"), &place("copy")))?;
    let run = workspace.run(["run", "copy.sql", "--mode", mode])?;
    assert_eq!(run.code, Some(0), "{}", run.all());
    run.expect(0, &["400 rows"]);
    let contents = |name: &str| -> Vec<bytes::Bytes> {
        let objects = server.objects(&format!("lake/{name}/"));
        objects
            .into_iter()
            .filter(|(key, _)| !key.contains("stray-"))
            .map(|(_, content)| content)
            .collect()
    };
    assert!(
        contents("copy") == contents("out"),
        "other bytes: {}",
        run.all()
    );
    Ok(())
}
