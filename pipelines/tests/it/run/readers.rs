//! Other programs open the table: DuckDB and pyarrow see what the summary says.

use anyhow::Context;
use serde_json::{Value, json};
use testkit::Python;

use super::launchpad::workspace;

const DUCKDB: &str = r"
import duckdb, json, sys
db = duckdb.connect()
db.execute(f'''CREATE VIEW events AS SELECT * FROM read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)''')
one = lambda query: db.execute(query).fetchone()[0]
print(json.dumps({
  'rows': one('SELECT count(*) FROM events'),
  'ids': one('SELECT count(DISTINCT event_id) FROM events'),
  'types': {row[0]: row[1] for row in db.execute('DESCRIBE events').fetchall()},
  'not Monday': one('SELECT count(*) FROM events WHERE isodow(week) <> 1'),
  'other week': one('''SELECT count(*) FROM events
    WHERE week <> CAST(date_trunc('week', timezone('UTC', event_time_utc)) AS DATE)'''),
  'other clock': one('SELECT count(*) FROM events WHERE event_time <> timezone(timezone, event_time_utc)'),
  'other month': one('''SELECT count(*) FROM events
    WHERE year <> year(timezone('UTC', event_time_utc)) OR month <> month(timezone('UTC', event_time_utc))'''),
  'outside': one('''SELECT count(*) FROM events
    WHERE event_time_utc < TIMESTAMPTZ '2025-01-01 00:00:00+00' OR event_time_utc >= TIMESTAMPTZ '2026-01-01 00:00:00+00' '''),
  'zones': one('SELECT count(DISTINCT timezone) FROM events'),
  'kinds': [row[0] for row in db.execute('SELECT DISTINCT event_type FROM events ORDER BY 1').fetchall()],
  'nulls': one('''SELECT count(*) FROM events WHERE source_kind_id IS NULL OR parent_item_id IS NULL OR relation_type IS NULL
    OR employee_id IS NULL OR timezone IS NULL OR event_properties IS NULL OR relation_properties IS NULL OR metrics IS NULL'''),
  'no JSON': one('''SELECT count(*) FROM events
    WHERE NOT (json_valid(event_properties) AND json_valid(relation_properties) AND json_valid(metrics))'''),
}))
";

const PYARROW: &str = r"
import json, sys
import pyarrow.dataset as dataset
table = dataset.dataset(sys.argv[1], partitioning='hive').to_table()
print(json.dumps({
  'rows': table.num_rows,
  'ids': len(set(table['event_id'].to_pylist())),
  'types': {field.name: str(field.type) for field in table.schema},
}))
";

#[test]
fn duckdb_and_pyarrow_read_the_counts_and_types_of_the_documentation() -> anyhow::Result<()> {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let workspace = workspace()?;
    // Everyone's events are in many zones, which is what the wall clock is checked with.
    let outcome = workspace.run([
        "run",
        "launchpad_bugs",
        "--set",
        "actors=everyone",
        "--output",
        "json",
    ])?;
    outcome.expect(0, &[]);
    let written =
        serde_json::from_str::<Value>(&outcome.stdout)?["run"]["counts"]["written"].clone();
    let table = workspace.path().join("events");
    let table = table.to_str().context("a path that is no text")?;

    let seen: Value = serde_json::from_str(&python.run(DUCKDB, &[table])?)?;
    assert_eq!((&seen["rows"], &seen["ids"]), (&written, &written));
    for none in [
        "not Monday",
        "other week",
        "other clock",
        "other month",
        "outside",
        "nulls",
        "no JSON",
    ] {
        assert_eq!(seen[none], 0, "{none}: {seen}");
    }
    assert!(
        seen["zones"].as_u64().is_some_and(|zones| zones > 10),
        "{seen}"
    );
    assert_eq!(
        seen["kinds"],
        json!(["bug_activity", "bug_created", "bug_message"])
    );
    let types = &seen["types"];
    assert_eq!(types["event_time_utc"], "TIMESTAMP WITH TIME ZONE");
    assert_eq!(
        (&types["event_time"], &types["week"]),
        (&json!("TIMESTAMP"), &json!("DATE"))
    );
    for text in TEXTS {
        assert_eq!(types[text], "VARCHAR", "{text}");
    }

    let seen: Value = serde_json::from_str(&python.run(PYARROW, &[table])?)?;
    assert_eq!((&seen["rows"], &seen["ids"]), (&written, &written));
    let types = &seen["types"];
    assert_eq!(types["event_time_utc"], "timestamp[us, tz=UTC]");
    assert_eq!(
        (&types["event_time"], &types["week"]),
        (&json!("timestamp[us]"), &json!("date32[day]"))
    );
    for text in TEXTS {
        assert!(
            types[text]
                .as_str()
                .is_some_and(|name| name.contains("string")),
            "{text}: {types}"
        );
    }
    Ok(())
}

const TEXTS: [&str; 9] = [
    "source_kind_id",
    "parent_item_id",
    "event_id",
    "relation_type",
    "employee_id",
    "timezone",
    "event_properties",
    "relation_properties",
    "metrics",
];
