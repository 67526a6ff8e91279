//! A table whose query changed: what the run says, what its record keeps, and what other programs read afterwards.

use anyhow::Context;
use serde_json::{Value, json};
use testkit::Python;

use super::launchpad::workspace;

/// A pipeline that writes `select` to `numbers/`.
fn pipeline(select: &str, options: &str) -> String {
    format!("COPY ({select}) TO 'numbers/' PARTITIONED BY (part) OPTIONS ({options});\n")
}

const READERS: &str = r"
import json, sys, duckdb, polars
import pyarrow.dataset as dataset
glob = sys.argv[1] + '/**/*.parquet'
columns = ['part', 'value'] + sys.argv[2:]
rows = lambda rows: sorted([list(row) for row in rows], key=repr)
arrow = dataset.dataset(sys.argv[1], partitioning='hive')
schemas = [fragment.physical_schema for fragment in arrow.get_fragments()]
widest = max(schemas, key=len)
print(json.dumps({
  'duckdb': rows(duckdb.sql(f'''SELECT {', '.join(columns)} FROM read_parquet('{glob}', hive_partitioning = true,
    union_by_name = true)''').fetchall()),
  'pyarrow': rows([row[name] for name in columns] for row in dataset.dataset(sys.argv[1], partitioning='hive',
    schema=arrow.schema if 'part' in widest.names else widest.append(arrow.schema.field('part'))).to_table().to_pylist()),
  'types': sorted({str(schema.field('value').type) for schema in schemas}),
  'plain': rows(duckdb.sql(f'''SELECT part, value FROM read_parquet('{glob}', hive_partitioning = true)''').fetchall())
    if len({len(schema) for schema in schemas}) == 1 else None,
  'polars': rows(polars.scan_parquet(glob, hive_partitioning=True).select(columns).collect().rows())
    if len({len(schema) for schema in schemas}) == 1 else None,
}))
";

#[test]
fn every_reader_sees_the_values_of_a_table_with_a_wider_type_and_of_one_with_a_new_column()
-> anyhow::Result<()> {
    let workspace = workspace()?;
    let value = |sql_type: &str, number: &str| {
        format!("SELECT CAST({number} AS {sql_type}) AS value, CAST(1 AS INT) AS part")
    };
    let first = "SELECT CAST(1 AS INT) AS value, CAST(0 AS INT) AS part";
    let path = workspace.write("first.sql", &pipeline(first, "sort 'value'"))?;
    workspace
        .run(["run", &path.to_string_lossy()])?
        .expect(0, &[]);
    let wider = value("BIGINT", "1099511627776");
    workspace.write("wider.sql", &pipeline(&wider, "sort 'value'"))?;
    workspace.run(["run", "./wider.sql"])?.expect(
        0,
        &[
            "schema       column value is Int64 now, it was Int32",
            "rewritten    1 file for the wider type",
        ],
    );
    let folder = workspace.path().join("numbers");
    let folder = folder.to_str().context("a path that is no text")?;
    let python = Python::find()?;
    if let Some(python) = &python {
        let seen: Value = serde_json::from_str(&python.run(READERS, &[folder])?)?;
        let rows = json!([[0, 1], [1, 1_099_511_627_776_i64]]);
        for reader in ["duckdb", "plain", "pyarrow", "polars"] {
            assert_eq!(seen[reader], rows, "{reader}: {seen}");
        }
        assert_eq!(seen["types"], json!(["int64"]));
    }

    let column = format!("SELECT *, 'new' AS text FROM ({wider})");
    workspace.write("column.sql", &pipeline(&column, "sort 'value'"))?;
    workspace
        .run(["run", "./column.sql", "--progress", "none"])?
        .expect(
            0,
            &[
                "warning: the schema of `numbers/` changed: column text (Utf8) is new",
                "schema       column text (Utf8) is new",
            ],
        );
    if let Some(python) = &python {
        let seen: Value = serde_json::from_str(&python.run(READERS, &[folder, "text"])?)?;
        let rows = json!([[0, 1, null], [1, 1_099_511_627_776_i64, "new"]]);
        for reader in ["duckdb", "pyarrow"] {
            assert_eq!(seen[reader], rows, "{reader}: {seen}");
        }
    }
    workspace.write("frozen.sql", &pipeline(&wider, "contract freeze"))?;
    workspace.run(["run", "./frozen.sql"])?.expect(
        1,
        &["contract 'freeze' does not allow: column text (Utf8) of the table is missing in the run"],
    );
    Ok(())
}

#[test]
fn rows_that_do_not_fit_are_told_and_rows_that_move_leave_no_copy() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let options = "publish merge, key 'id', key_scope table, order 'version', contract discard_row";
    let rows = |values: &str| {
        let rows = format!(
            "SELECT column1 AS id, column2 AS version, column3 AS part FROM (VALUES {values})"
        );
        pipeline(&rows, options)
    };
    workspace.write("first.sql", &rows("(1, 1, 'a'), (2, 1, 'a'), (3, 1, 'b')"))?;
    workspace.run(["run", "./first.sql"])?.expect(0, &[]);
    workspace.write(
        "second.sql",
        &rows("('1', '3', 'b'), ('1', '2', 'c'), ('x', '2', 'a'), ('4', '2', 'c')"),
    )?;
    workspace.run(["run", "./second.sql"])?.expect(
        0,
        &[
            "merged       1 new, 0 updated, 1 moved from another partition, 1 given twice",
            "discarded    1 row with a value that does not fit the table's type",
            "table        4 rows in 3 files of 3 partitions",
        ],
    );
    workspace.write(
        "third.sql",
        &rows("('9', '1', 'a'), ('3', '2', 'c'), ('y', '1', 'a')"),
    )?;
    let outcome = workspace.run(["run", "./third.sql", "--output", "json"])?;
    outcome.expect(0, &[]);
    let document: Value = serde_json::from_str(&outcome.stdout)?;
    let other = &document["run"]["counts"]["other"];
    assert_eq!(
        (&other["discarded"], &other["moved"]),
        (&json!(1), &json!(1))
    );
    Ok(())
}
