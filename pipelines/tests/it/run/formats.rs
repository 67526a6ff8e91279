//! Outputs in formats that are only written: two of them from one run, checked, and read again as sources.

use rstest::rstest;
use testkit::{Folder, Workspace};

use super::launchpad::workspace;

const ORDERS: &str = "id,region,amount,note\n1,eu,10.50,\"a, b\"\n2,eu,20.00,\n3,us,30.25,\"\"\n4,,40.00,\"say \"\"hi\"\"\"\n";
/// The source, with types and NULLs that text has to keep.
const SOURCE: &str = "CREATE EXTERNAL TABLE orders (id BIGINT, region TEXT, amount DECIMAL(10,2), note TEXT)\n\
                      STORED AS CSV LOCATION 'orders.csv';\n";

/// The rows of a source, as lines of JSON in their order.
fn lines(workspace: &Workspace, source: &str) -> anyhow::Result<String> {
    let text = format!(
        "{source}\nCOPY (SELECT id, region, amount, note FROM t) TO 'seen/' STORED AS JSON\n\
         OPTIONS (publish replace, sort 'id', single_file true);\n"
    );
    workspace.write("seen.sql", &text)?;
    workspace.run(["run", "./seen.sql"])?.expect(0, &[]);
    let folder = Folder::of(&workspace.path().join("seen"))?;
    let files: Vec<&[u8]> = folder.files().map(|(_, content)| content).collect();
    assert_eq!(files.len(), 1);
    Ok(String::from_utf8(files[0].to_vec())?)
}

#[rstest]
#[case::csv("CSV", "none", ".csv")]
#[case::csv_zstd("CSV", "zstd", ".csv.zst")]
#[case::json("JSON", "none", ".jsonl")]
#[case::json_gzip("JSON", "gzip", ".jsonl.gz")]
#[case::arrow("ARROW", "lz4", ".arrow")]
#[case::avro("AVRO", "snappy", ".avro")]
#[case::parquet("PARQUET", "zstd", ".parquet")]
fn an_output_is_read_again_as_what_it_was(
    #[case] format: &str,
    #[case] compression: &str,
    #[case] suffix: &str,
) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    let text = format!(
        "{SOURCE}CREATE VIEW v AS SELECT * FROM orders;\n\
         ASSERT (SELECT sum(amount) FROM v) = 100.75 AS 'all amounts';\n\
         ASSERT (SELECT count(*) FROM v WHERE note IS NULL) = 1 AS 'a NULL is one';\n\
         ASSERT (SELECT count(*) FROM v WHERE note = '') = 1 AS 'an empty text is none';\n\
         ASSERT (SELECT count(*) FROM v WHERE region IS NULL) = 1 AS 'a folder of NULL';\n\
         COPY v TO 'out/' STORED AS {format} PARTITIONED BY (region) OPTIONS (compression '{compression}');\n\
         COPY (SELECT region, sum(amount) AS total FROM orders GROUP BY region) TO 'totals/' STORED AS {format};\n"
    );
    workspace.write("p.sql", &text)?;
    let run = workspace.run(["run", "./p.sql"])?;
    run.expect(
        0,
        &[
            "table        4 rows in 3 files of 3 partitions",
            "items/s",
            "compression ratio",
            "look at it",
        ],
    );
    for (path, _) in Folder::of(&workspace.path().join("out"))?.files() {
        assert!(path.ends_with(suffix), "{path}");
    }
    let again = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount DECIMAL(10,2), note TEXT) STORED AS {format}\n\
         LOCATION 'out/' PARTITIONED BY (region);"
    );
    assert_eq!(
        lines(&workspace, &again)?,
        "{\"id\":1,\"region\":\"eu\",\"amount\":10.50,\"note\":\"a, b\"}\n\
         {\"id\":2,\"region\":\"eu\",\"amount\":20.00,\"note\":null}\n\
         {\"id\":3,\"region\":\"us\",\"amount\":30.25,\"note\":\"\"}\n\
         {\"id\":4,\"region\":null,\"amount\":40.00,\"note\":\"say \\\"hi\\\"\"}\n"
    );
    for command in ["show", "verify", "log"] {
        workspace.run(["tables", command, "out/"])?.expect(0, &[]);
    }
    if format != "PARQUET" {
        workspace
            .run(["tables", "compact", "out/"])?
            .expect(3, &["whose files are not read back", "single_file"]);
    }
    Ok(())
}

#[test]
fn types_that_avro_has_in_one_size_are_checked_in_their_own() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    let text = format!(
        "{SOURCE}CREATE VIEW v AS SELECT CAST(-id AS TINYINT) AS tiny, CAST(id AS INT UNSIGNED) AS wide,\n\
           arrow_cast(x'0102', 'FixedSizeBinary(2)') AS fixed, [CAST(id AS SMALLINT)] AS list FROM orders;\n\
         ASSERT (SELECT min(tiny) FROM v) = -4 AS 'a small one';\n\
         ASSERT (SELECT arrow_typeof(min(tiny)) FROM v) = 'Int8' AS 'the type of the query';\n\
         ASSERT (SELECT max(list[1]) FROM v) = 4 AS 'within a list';\n\
         ASSERT (SELECT count(*) FROM v WHERE fixed = x'0102') = 4 AS 'bytes';\n\
         COPY v TO 'out/' STORED AS AVRO OPTIONS (compression snappy, sort 'wide');\n"
    );
    workspace.write("p.sql", &text)?;
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["table        4 rows in 1 file"]);
    workspace
        .run(["run", "./p.sql"])?
        .expect(0, &["nothing changed"]);
    Ok(())
}

#[test]
fn a_check_that_fails_publishes_neither_output() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    let text = format!(
        "{SOURCE}CREATE VIEW v AS SELECT * FROM orders;\n\
         ASSERT (SELECT count(*) FROM v) = 5 AS 'there are five';\n\
         COPY v TO 'csv/' STORED AS CSV;\n\
         COPY (SELECT id FROM v) TO 'json/' STORED AS JSON;\n"
    );
    workspace.write("p.sql", &text)?;
    let run = workspace.run(["run", "./p.sql"])?;
    assert_ne!(run.code, Some(0));
    assert!(run.all().contains("there are five"), "{}", run.all());
    for table in ["csv", "json"] {
        let folder = workspace.path().join(table);
        assert!(!folder.exists() || Folder::of(&folder)?.files().count() == 0);
    }
    Ok(())
}

#[test]
fn a_type_that_the_format_does_not_have_ends_the_run_before_it_reads() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("orders.csv", ORDERS)?;
    let text = format!(
        "{SOURCE}COPY (SELECT id, make_array(id, 2) AS ids FROM orders) TO 'csv/' STORED AS CSV;\n"
    );
    workspace.write("p.sql", &text)?;
    let run = workspace.run(["run", "./p.sql"])?;
    assert_ne!(run.code, Some(0));
    let said = run.all();
    assert!(
        said.contains("column \"ids\": CSV has no values of type List"),
        "{said}"
    );
    assert!(said.contains("store the output as JSON"), "{said}");
    Ok(())
}
