//! Pipelines over files: every format, found by name or by path, published in every mode.

use anyhow::Context;
use rstest::rstest;
use serde_json::Value;
use testkit::{Folder, Python, Workspace};

use super::launchpad::workspace;
use super::published::rows;

const ORDERS: &str = "id,region,amount\n1,eu,10.5\n2,eu,20\n3,us,30\n4,apac,40\n";

/// What DuckDB counts in a table.
fn counted(workspace: &Workspace, table: &str) -> anyhow::Result<Option<u64>> {
    let Some(python) = Python::find()? else {
        return Ok(None);
    };
    let script = "import duckdb, sys
print(duckdb.sql(f\"SELECT count(*) FROM read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)\").fetchall()[0][0])";
    let table = workspace.path().join(table);
    Ok(Some(
        python
            .run(script, &[table.to_str().context("a path that is no text")?])?
            .parse()?,
    ))
}

#[test]
fn a_definition_is_found_in_the_folder_of_pipelines_and_by_its_path() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    let text = "CREATE EXTERNAL TABLE orders STORED AS CSV LOCATION 'orders.csv' OPTIONS ('format.has_header' true);\n\
                COPY orders TO 'copied/' PARTITIONED BY (region);\n";
    let path = workspace.write("pipelines.d/copy_orders.sql", text)?;
    workspace.run(["run", "copy_orders"])?.expect(
        0,
        &["4 rows", "table        4 rows in 3 files of 3 partitions"],
    );
    let before = Folder::of(&workspace.path().join("copied"))?;
    for path in [
        "pipelines.d/copy_orders.sql",
        "./pipelines.d/copy_orders.sql",
        &path.to_string_lossy(),
    ] {
        workspace
            .run(["run", path])?
            .expect(0, &["nothing changed"]);
    }
    assert_eq!(
        before.changes(&Folder::of(&workspace.path().join("copied"))?),
        [] as [String; 0]
    );
    let mut found: Vec<(Value, Value, Value)> = rows(&workspace.path().join("copied"))?
        .iter()
        .map(|row| {
            (
                row["id"].clone(),
                row["region"].clone(),
                row["amount"].clone(),
            )
        })
        .collect();
    found.sort_by_key(|row| row.0.as_i64());
    let row = |id: i64, region: &str, amount: f64| {
        (Value::from(id), Value::from(region), Value::from(amount))
    };
    assert_eq!(
        found,
        [
            row(1, "eu", 10.5),
            row(2, "eu", 20.0),
            row(3, "us", 30.0),
            row(4, "apac", 40.0)
        ]
    );
    assert!(matches!(counted(&workspace, "copied")?, None | Some(4)));
    Ok(())
}

#[test]
fn rows_say_which_file_and_line_they_are_from() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("in/a.csv", ORDERS)?;
    workspace.write("in/b.csv", "amount,id\n7,9\n")?;
    workspace.write(
        "p.sql",
        "CREATE EXTERNAL TABLE orders STORED AS CSV LOCATION 'in/' OPTIONS (file_column '_file', line_column '_line');\n\
         COPY (SELECT _file, _line, id FROM orders WHERE _line < 4) TO 'out/' OPTIONS (sort 'id');",
    )?;
    workspace.run(["run", "p.sql"])?.expect(0, &["3 rows"]);
    let found: Vec<(String, u64, u64)> = rows(&workspace.path().join("out"))?
        .iter()
        .map(|row| {
            let file = row["_file"].as_str().unwrap_or_default();
            let file = file.rsplit('/').next().unwrap_or_default().to_owned();
            let number = |name: &str| row[name].as_u64().unwrap_or_default();
            (file, number("_line"), number("id"))
        })
        .collect();
    let row = |file: &str, line, id| (file.to_owned(), line, id);
    assert_eq!(
        found,
        [row("a.csv", 2, 1), row("a.csv", 3, 2), row("b.csv", 2, 9)]
    );
    let parquet = "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'out/' OPTIONS (file_column '_file');\nCOPY t TO 'x/';";
    workspace.write("parquet.sql", parquet)?;
    let refused = workspace.run(["run", "parquet.sql"])?;
    assert!(
        refused.code != Some(0) && refused.all().contains("file_column"),
        "{}",
        refused.all()
    );
    Ok(())
}

#[rstest]
#[case::csv("CSV", "orders.csv")]
#[case::json("JSON", "orders.json")]
#[case::parquet("PARQUET", "first/")]
fn files_of_every_format_are_read_in_place(
    #[case] format: &str,
    #[case] location: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    workspace.write("orders.json", "{\"id\": 1, \"amount\": 10.5}\n{\"id\": 2, \"amount\": 20}\n{\"id\": 3, \"amount\": 30}\n{\"id\": 4, \"amount\": 40}\n")?;
    workspace.write(
        "first.sql",
        "CREATE EXTERNAL TABLE orders STORED AS CSV LOCATION 'orders.csv' OPTIONS ('format.has_header' true);\n\
         COPY (SELECT * FROM orders) TO 'first/';\n",
    )?;
    workspace.run(["run", "./first.sql"])?.expect(0, &[]);
    let options = if format == "CSV" {
        "OPTIONS ('format.has_header' true)"
    } else {
        ""
    };
    let text = format!(
        "CREATE EXTERNAL TABLE orders STORED AS {format} LOCATION '{location}' {options};\n\
         ASSERT (SELECT sum(amount) FROM orders) = 100.5 AS 'all amounts are there';\n\
         COPY (SELECT id, amount * 2 AS doubled FROM orders WHERE id > 1) TO 'doubled/' OPTIONS (sort 'id');\n"
    );
    workspace.write("doubled.sql", &text)?;
    let outcome = workspace.run(["run", "./doubled.sql", "--output", "json"])?;
    outcome.expect(0, &[]);
    let document: Value = serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())?;
    assert_eq!(document["run"]["counts"]["written"], 3);
    let doubled: Vec<f64> = rows(&workspace.path().join("doubled"))?
        .iter()
        .filter_map(|row| row["doubled"].as_f64())
        .collect();
    assert_eq!(doubled, [40.0, 60.0, 80.0]);
    assert!(matches!(counted(&workspace, "doubled")?, None | Some(3)));
    Ok(())
}

/// Runs a pipeline of days over a source in a mode and returns how many rows each day has then.
fn publish(
    workspace: &Workspace,
    mode: &str,
    source: &str,
    window: (&str, &str),
) -> anyhow::Result<Vec<(String, usize)>> {
    workspace.write("days.csv", source)?;
    let text = format!(
        "DECLARE data_date_start DATE;\nDECLARE data_date_end DATE;\n\
         CREATE EXTERNAL TABLE days (day DATE, id BIGINT) STORED AS CSV LOCATION 'days.csv' OPTIONS ('format.has_header' true);\n\
         CREATE VIEW chosen AS SELECT * FROM days WHERE day >= $data_date_start AND day < $data_date_end;\n\
         COPY chosen TO 'table/' PARTITIONED BY (day) OPTIONS (publish '{mode}');\n"
    );
    workspace.write("days.sql", &text)?;
    let outcome = workspace.run(["run", "./days.sql", "--from", window.0, "--to", window.1])?;
    outcome.expect(0, &[]);
    let mut days: Vec<String> = rows(&workspace.path().join("table"))?
        .iter()
        .filter_map(|row| row["day"].as_str().map(str::to_owned))
        .collect();
    days.sort();
    let total = days.len() as u64;
    assert!(counted(workspace, "table")?.is_none_or(|counted| counted == total));
    Ok(days
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0].clone(), same.len()))
        .collect())
}

fn days(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected
        .iter()
        .map(|(day, rows)| (String::from(*day), *rows))
        .collect()
}

const FIRST: (&str, &str) = ("2025-01-01", "2025-01-03");
const TWO_DAYS: &str = "day,id\n2025-01-01,1\n2025-01-01,2\n2025-01-02,3\n";
const SECOND: (&str, &str) = ("2025-01-02", "2025-01-04");
const NEXT_DAYS: &str = "day,id\n2025-01-02,4\n2025-01-02,5\n2025-01-03,6\n";

#[test]
fn overwrite_replaces_the_partitions_that_a_run_produced() -> anyhow::Result<()> {
    let workspace = workspace()?;
    assert_eq!(
        publish(&workspace, "overwrite", TWO_DAYS, FIRST)?,
        days(&[("2025-01-01", 2), ("2025-01-02", 1)])
    );
    let expected = days(&[("2025-01-01", 2), ("2025-01-02", 2), ("2025-01-03", 1)]);
    assert_eq!(
        publish(&workspace, "overwrite", NEXT_DAYS, SECOND)?,
        expected
    );
    assert_eq!(
        publish(&workspace, "overwrite", NEXT_DAYS, SECOND)?,
        expected
    );
    Ok(())
}

#[test]
fn replace_replaces_the_whole_table() -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, "replace", TWO_DAYS, FIRST)?;
    let expected = days(&[("2025-01-02", 2), ("2025-01-03", 1)]);
    assert_eq!(publish(&workspace, "replace", NEXT_DAYS, SECOND)?, expected);
    Ok(())
}

#[test]
fn append_adds_an_interval_once_and_refuses_it_to_anything_else() -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, "append", TWO_DAYS, FIRST)?;
    let expected = days(&[("2025-01-01", 2), ("2025-01-02", 3), ("2025-01-03", 1)]);
    assert_eq!(publish(&workspace, "append", NEXT_DAYS, SECOND)?, expected);
    let before = Folder::of(&workspace.path().join("table"))?;
    let asked = ["run", "./days.sql", "--from", SECOND.0, "--to", SECOND.1];
    let again = workspace.run(asked)?;
    again.expect(
        0,
        &[
            "`chosen` is committed already: commit 2 of",
            "3 rows of `chosen` before",
        ],
    );
    let restarted = workspace.run(asked.iter().chain(&["--restart", "--output", "json"]))?;
    restarted.expect(0, &["which was asked for the same"]);
    let document: Value = serde_json::from_str(&restarted.stdout)?;
    assert_eq!(document["run"]["counts"]["written"], 3);
    assert_eq!(document["outputs"][0]["commit"], 2);
    // Another definition of the same pipeline, and another pipeline.
    let text = std::fs::read_to_string(workspace.path().join("days.sql"))?;
    let other = text.replace("SELECT * FROM days", "SELECT day, id + 1 AS id FROM days");
    for (name, text, words) in [
        ("days.sql", &other, "the definition has changed since"),
        ("other.sql", &text, "of pipeline 'days'"),
    ] {
        workspace.write(name, text)?;
        let refused = workspace.run([
            "run",
            &format!("./{name}"),
            "--from",
            SECOND.0,
            "--to",
            SECOND.1,
        ])?;
        refused.expect(1, &["interval", "already committed", "overwrite", words]);
    }
    assert_eq!(
        before.changes(&Folder::of(&workspace.path().join("table"))?),
        [] as [String; 0]
    );
    Ok(())
}

#[test]
fn two_tables_may_be_made_of_one_step() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write(
        "numbers.sql",
        "CREATE VIEW numbers AS SELECT value, value % 2 AS odd FROM generate_series(1, 6);\n\
         ASSERT (SELECT count(*) FROM numbers) = 6;\n\
         COPY numbers TO 'plain/';\nCOPY numbers TO 'parted/' PARTITIONED BY (odd);\n",
    )?;
    workspace.run(["run", "./numbers.sql"])?.expect(0, &[]);
    for table in ["plain", "parted"] {
        assert_eq!(rows(&workspace.path().join(table))?.len(), 6, "{table}");
    }
    Ok(())
}

#[test]
fn a_row_that_cannot_be_read_ends_the_run_with_the_file_and_publishes_nothing() -> anyhow::Result<()>
{
    let workspace = workspace()?;
    publish(&workspace, "overwrite", TWO_DAYS, FIRST)?;
    let before = Folder::of(&workspace.path().join("table"))?;
    workspace.write("days.csv", "day,id\n2025-01-01,1\n2025-01-01,many\n")?;
    let outcome = workspace.run(["run", "./days.sql", "--from", FIRST.0, "--to", FIRST.1])?;
    outcome.expect(1, &["many", "days.csv"]);
    assert_eq!(
        before.changes(&Folder::of(&workspace.path().join("table"))?),
        [] as [String; 0]
    );
    Ok(())
}

#[rstest]
#[case::overwritten("overwrite")]
#[case::replaced("replace")]
fn a_file_that_is_gone_ends_the_run_with_its_name_and_publishes_nothing(
    #[case] mode: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    publish(&workspace, mode, TWO_DAYS, FIRST)?;
    let before = Folder::of(&workspace.path().join("table"))?;
    std::fs::remove_file(workspace.path().join("days.csv"))?;
    let outcome = workspace.run(["run", "./days.sql", "--from", FIRST.0, "--to", FIRST.1])?;
    let changes = before.changes(&Folder::of(&workspace.path().join("table"))?);
    assert!(changes.is_empty(), "{changes:?}: {}", outcome.all());
    outcome.expect(1, &["days.csv"]);
    Ok(())
}

#[test]
fn rows_read_of_files_are_counted() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    workspace.write(
        "orders.sql",
        "CREATE EXTERNAL TABLE orders STORED AS CSV LOCATION 'orders.csv' OPTIONS ('format.has_header' true);\n\
         COPY (SELECT * FROM orders) TO 'copied/';\n",
    )?;
    let outcome = workspace.run(["run", "./orders.sql", "--output", "json"])?;
    outcome.expect(0, &[]);
    let counts = serde_json::from_str::<Value>(&outcome.stdout)?["run"]["counts"].take();
    assert_eq!(
        (&counts["read"], &counts["written"]),
        (&Value::from(4), &Value::from(4))
    );
    Ok(())
}

/// A file of Avro with two records: `{"id": 1, "name": "a"}` and `{"id": 2, "name": null}`.
fn avro() -> Vec<u8> {
    let schema = br#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}"#;
    let length = u8::try_from(schema.len()).unwrap_or_default();
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    // Numbers are twice what they are, seven bits to a byte.
    file.extend([(length << 1) | 0x80, length >> 6]);
    file.extend(schema);
    file.push(0);
    file.extend([7; 16]);
    file.extend([4, 12, 2, 2, 2, b'a', 4, 0]);
    file.extend([7; 16]);
    file
}

#[test]
fn every_format_is_read_and_what_was_found_is_shown() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("sales.csv", "Sales of the shop\n\nid;name\n1;'a;b'\n2;c\n")?;
    workspace.write(
        "a.json",
        r#"{"page":1,"data":{"items":[{"id":1},{"id":2}]}}"#,
    )?;
    workspace.write(
        "b, c.json",
        r#"{"page":2,"data":{"items":[{"id":3}],"next":null}}"#,
    )?;
    workspace.write("lines.txt", "one\r\n\nthree")?;
    workspace.write("values/x", "0123456789")?;
    std::fs::write(workspace.path().join("records.avro"), avro())?;
    workspace.write(
        "all.sql",
        "CREATE EXTERNAL TABLE sales STORED AS CSV LOCATION 'sales.csv' OPTIONS (dialect 'detect');
         CREATE EXTERNAL TABLE items STORED AS JSON LOCATION '[\"a.json\", \"b, c.json\", \"?.json\"]'
             OPTIONS (path '$.data.items');
         CREATE EXTERNAL TABLE lines (entry TEXT) STORED AS TEXT LOCATION 'lines.txt';
         CREATE EXTERNAL TABLE parts STORED AS BINARY LOCATION 'values/' OPTIONS (chunk_bytes '4B');
         CREATE EXTERNAL TABLE records STORED AS AVRO LOCATION 'records.avro';
         COPY (SELECT 'sales' AS source, id, name AS value FROM sales
             UNION ALL SELECT 'items', id, NULL FROM items
             UNION ALL SELECT 'lines', length(entry), entry FROM lines
             UNION ALL SELECT 'parts', chunk, encode(content, 'hex') FROM parts
             UNION ALL SELECT 'records', id, name FROM records) TO 'all/';\n",
    )?;
    workspace.run(["plan", "./all.sql"])?.expect(
        0,
        &[
            "sales.csv with delimiter `;`, quote `'`, has_header true, skip_rows 2",
            "about 3 rows, 10 B  (from the files' own statistics)",
        ],
    );
    workspace.run(["run", "./all.sql"])?.expect(0, &["13 rows"]);
    let mut found: Vec<String> = rows(&workspace.path().join("all"))?
        .iter()
        .map(|row| {
            let value = row.get("value").unwrap_or(&Value::Null);
            format!("{} {} {value}", row["source"], row["id"]).replace('"', "")
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "items 1 null",
            "items 2 null",
            "items 3 null",
            "lines 0 ",
            "lines 3 one",
            "lines 5 three",
            "parts 0 30313233",
            "parts 1 34353637",
            "parts 2 3839",
            "records 1 a",
            "records 2 null",
            "sales 1 a;b",
            "sales 2 c",
        ]
    );
    Ok(())
}
