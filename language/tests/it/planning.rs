//! Definitions become plans, or mistakes with places.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::assert_batches_eq;
use datafusion::datasource::{MemTable, empty::EmptyTable};
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::collect;
use insta::assert_snapshot;
use language::{Planned, plan, plan_assert};

use crate::{BUGS, bound};

const WINDOW: &[(&str, &str)] = &[
    ("member", "ada-example"),
    ("data_date_start", "2024-01-01"),
    ("data_date_end", "2024-02-01"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "the language is planned against any session, here a bare one"
)]
fn session() -> SessionContext {
    let session = SessionContext::new();
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("who", DataType::Utf8, true),
        Field::new("share", DataType::Float64, true),
    ]);
    let crawl = Arc::new(EmptyTable::new(Arc::new(schema)));
    // The names are new to the session.
    let _ = session.register_table("crawl", crawl);
    session
}

/// Plans statements over the source `crawl`; `Err` is the rendered mistakes.
async fn planned(statements: &str, values: &[(&str, &str)]) -> Result<Planned, String> {
    let text = if statements.contains("EXTERNAL") {
        statements.to_owned()
    } else {
        format!("CREATE EXTERNAL TABLE crawl STORED AS PARQUET LOCATION 'crawl/';\n{statements}")
    };
    let bound = bound(&text, values).map_err(|mistakes| mistakes.to_string())?;
    plan(&bound, &session())
        .await
        .map_err(|mistakes| mistakes.to_string())
}

#[tokio::test]
async fn the_main_definition_is_planned() {
    let planned = planned(BUGS, WINDOW).await.unwrap();
    let (name, events) = &planned.views[0];
    assert_eq!(name, "events");
    let columns: Vec<&str> = events
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        columns,
        [
            "event_id",
            "event_type",
            "event_time_utc",
            "employee_id",
            "year",
            "month"
        ]
    );
    assert_eq!(planned.outputs.len(), 1);
    assert_eq!(planned.outputs[0].1.schema().fields().len(), 6);
    assert_eq!(planned.asserts.len(), 1);
}

#[tokio::test]
async fn planning_mistakes_have_places_and_are_told_together() {
    assert_snapshot!(planned(
        "CREATE VIEW a AS SELECT id, knd FROM crawl;
CREATE VIEW reads_a AS SELECT nothing_at_all FROM a;
CREATE VIEW b AS SELECT c.idd, upperr(kind) AS k FROM crawl AS c;
CREATE VIEW c AS SELECT id FROM crawl AS x JOIN crawl AS y ON x.id = y.id;
CREATE VIEW d AS SELECT kind, count(*) AS n FROM crawl;
CREATE VIEW e AS
  SELECT id, at + 1.5 AS later FROM crawl;
CREATE VIEW f AS SELECT date_trunc(id) AS t FROM crawl;
CREATE VIEW g AS SELECT crwl.id FROM crawl;
CREATE VIEW good AS SELECT id, kind, share, at FROM crawl;
ASSERT (SELECT count(*) FROM good) AS 'a number';
ASSERT (SELECT max(idd) FROM good) > 0 AS 'unknown';
ASSERT (SELECT count(*) FROM reads_a) > 0 AS 'reads something broken';
COPY good TO 'good/' PARTITIONED BY (kid, share)
  OPTIONS (publish merge, key 'id, nr', sort 'at DESC, wen');
COPY reads_a TO 'a/';
COPY (SELECT kind FROM crawl) TO 'b/' PARTITIONED BY (kind);",
        &[],
    )
    .await
    .unwrap_err(), @r"
    bugs.sql:2:29: unknown column `knd`
      |
    2 | CREATE VIEW a AS SELECT id, knd FROM crawl;
      |                             ^^^
      = did you mean `kind`?
      = help: columns here: id, kind, at, who, share

    bugs.sql:4:25: unknown column `c.idd`
      |
    4 | CREATE VIEW b AS SELECT c.idd, upperr(kind) AS k FROM crawl AS c;
      |                         ^^^^^
      = did you mean `id`?
      = help: columns here: id, kind, at, who, share

    bugs.sql:4:32: unknown function `upperr`
      |
    4 | CREATE VIEW b AS SELECT c.idd, upperr(kind) AS k FROM crawl AS c;
      |                                ^^^^^^
      = did you mean `upper`?

    bugs.sql:5:25: column `id` is in more than one table
      |
    5 | CREATE VIEW c AS SELECT id FROM crawl AS x JOIN crawl AS y ON x.id = y.id;
      |                         ^^
      = help: name the table: table.id

    bugs.sql:6:25: 'crawl.kind' must appear in GROUP BY clause because it's not an aggregate expression
      |
    6 | CREATE VIEW d AS SELECT kind, count(*) AS n FROM crawl;
      |                         ^^^^
      = help: either add 'crawl.kind' to GROUP BY clause, or use an aggregate function like ANY_VALUE(crawl.kind)

    bugs.sql:8:14: cannot coerce arithmetic expression Timestamp(µs) + Float64 to valid types
      |
    8 |   SELECT id, at + 1.5 AS later FROM crawl;
      |              ^^

    bugs.sql:9:25: no function takes these arguments: date_trunc(Int64)
      |
    9 | CREATE VIEW f AS SELECT date_trunc(id) AS t FROM crawl;
      |                         ^^^^^^^^^^
      = help: there are: date_trunc(String, Timestamp), date_trunc(String, Time)

    bugs.sql:10:25: unknown table `crwl` in `crwl.id`
       |
    10 | CREATE VIEW g AS SELECT crwl.id FROM crawl;
       |                         ^^^^^^^
       = did you mean `crawl`?
       = help: tables here: crawl

    bugs.sql:12:1: the condition is of type Int64, not BOOLEAN
       |
    12 | ASSERT (SELECT count(*) FROM good) AS 'a number';
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: compare it with something: ASSERT (SELECT count(*) FROM step) > 0 AS '…'

    bugs.sql:13:20: unknown column `idd`
       |
    13 | ASSERT (SELECT max(idd) FROM good) > 0 AS 'unknown';
       |                    ^^^
       = did you mean `id`?
       = help: columns here: id, kind, share, at

    bugs.sql:15:38: the output has no column `kid` (PARTITIONED BY)
       |
    15 | COPY good TO 'good/' PARTITIONED BY (kid, share)
       |                                      ^^^
       = did you mean `kind`?
       = help: its columns: id, kind, share, at

    bugs.sql:15:43: a table cannot be partitioned by `share` of type Float64
       |
    15 | COPY good TO 'good/' PARTITIONED BY (kid, share)
       |                                           ^^^^^
       = help: partition by text, whole numbers, dates or booleans

    bugs.sql:16:36: the output has no column `nr` (option `key`)
       |
    16 |   OPTIONS (publish merge, key 'id, nr', sort 'at DESC, wen');
       |                                    ^^
       = help: its columns: id, kind, share, at

    bugs.sql:16:56: the output has no column `wen` (option `sort`)
       |
    16 |   OPTIONS (publish merge, key 'id, nr', sort 'at DESC, wen');
       |                                                        ^^^
       = help: its columns: id, kind, share, at

    bugs.sql:18:1: the output is partitioned by all of its columns: nothing is left to store
       |
    18 | COPY (SELECT kind FROM crawl) TO 'b/' PARTITIONED BY (kind);
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
}

#[tokio::test]
async fn only_declared_sources_are_seen() {
    let mistakes = planned(
        "CREATE EXTERNAL TABLE other STORED AS CSV LOCATION 'a.csv';
         CREATE VIEW v AS SELECT * FROM other;
         COPY v TO 'v/';",
        &[],
    )
    .await
    .unwrap_err();
    assert_snapshot!(mistakes, @r"
    bugs.sql:1:23: source `other` cannot be read: No table named 'other'
      |
    1 | CREATE EXTERNAL TABLE other STORED AS CSV LOCATION 'a.csv';
      |                       ^^^^^
    ");
}

#[tokio::test]
async fn planning_leaves_the_session_as_it_was() {
    let text = "CREATE EXTERNAL TABLE crawl STORED AS PARQUET LOCATION 'crawl/';
        CREATE VIEW v AS SELECT id FROM crawl; COPY v TO 'v/';";
    let bound = bound(text, &[]).unwrap();
    let session = session();
    plan(&bound, &session).await.unwrap();
    assert!(!session.table_exist("v").unwrap());
    plan(&bound, &session).await.unwrap();
}

#[tokio::test]
async fn parameters_of_every_type_are_planned_and_give_their_values() {
    let text = "DECLARE a TEXT; DECLARE b DATE; DECLARE c TIMESTAMP; DECLARE d INT; DECLARE e BIGINT;
        DECLARE f DOUBLE; DECLARE g BOOLEAN; DECLARE h DECIMAL(10, 2); DECLARE i INTERVAL; DECLARE n BIGINT;
        CREATE VIEW v AS SELECT $a AS a, $b AS b, $c AS c, $d AS d, $e AS e, $f AS f, $g AS g, $h AS h, $b + $i AS i
        FROM generate_series(1, 9) LIMIT $n;
        COPY v TO 'v/';";
    let values = [
        ("a", "it's"),
        ("b", "2024-02-29"),
        ("c", "2024-02-29T12:00:00Z"),
        ("d", "-4"),
        ("e", "-5"),
        ("f", "2.5"),
        ("g", "false"),
        ("h", "7.25"),
        ("i", "1 day"),
        ("n", "1"),
    ];
    let bound = bound(text, &values).unwrap();
    let session = session();
    let planned = plan(&bound, &session).await.unwrap();
    let state = session.state();
    let physical = state
        .create_physical_plan(&planned.outputs[0].1)
        .await
        .unwrap();
    let batches = collect(physical, session.task_ctx()).await.unwrap();
    assert_batches_eq!(
        [
            "+------+------------+---------------------+----+----+-----+-------+------+------------+",
            "| a    | b          | c                   | d  | e  | f   | g     | h    | i          |",
            "+------+------------+---------------------+----+----+-----+-------+------+------------+",
            "| it's | 2024-02-29 | 2024-02-29T12:00:00 | -4 | -5 | 2.5 | false | 7.25 | 2024-03-01 |",
            "+------+------------+---------------------+----+----+-----+-------+------+------------+",
        ],
        &batches
    );
}

#[tokio::test]
async fn a_check_can_be_planned_on_what_was_staged() {
    let bound = bound(BUGS, WINDOW).unwrap();
    let session = session();
    let staged = Schema::new(vec![Field::new("employee_id", DataType::Utf8, true)]);
    let staged = Arc::new(MemTable::try_new(Arc::new(staged), vec![vec![]]).unwrap());
    session.register_table("events", staged).unwrap();
    let check = plan_assert(&bound.asserts[0], bound.source_text(), &session)
        .await
        .unwrap();
    let physical = session.state().create_physical_plan(&check).await.unwrap();
    let batches = collect(physical, session.task_ctx()).await.unwrap();
    assert_batches_eq!(
        [
            "+--------+",
            "| passed |",
            "+--------+",
            "| true   |",
            "+--------+"
        ],
        &batches
    );
}

#[tokio::test]
async fn an_attack_in_a_value_is_compared_like_any_text() {
    let text = "DECLARE member TEXT;
        CREATE EXTERNAL TABLE crawl STORED AS PARQUET LOCATION 'crawl/';
        CREATE VIEW v AS SELECT who FROM crawl WHERE who = $member;
        COPY v TO 'v/';";
    let planned = planned(text, &[("member", "x' OR '1' = '1")])
        .await
        .unwrap();
    assert_snapshot!(planned.views[0].1.display_indent().to_string(), @r#"
    Projection: crawl.who
      Filter: crawl.who = Utf8("x' OR '1' = '1")
        TableScan: crawl
    "#);
}
