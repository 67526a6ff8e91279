//! Fuzz targets, run by `scripts/fuzz`: what may stand in a definition.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::DateTime;
use connectors::source::{Declared, Read, SourceFactory};
use connectors::{Launchpad, Registry};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use engine::{Budget, SessionOptions, session};
use language::{Origin, Provided, ValueOrigin, bind, parse, plan};
use testkit::fuzz::run;

const DEFINITIONS: [&str; 4] = [
    include_str!("../../definitions/launchpad_bugs.sql"),
    "DECLARE region TEXT DEFAULT 'eu';\nDECLARE first DATE DEFAULT current_date - INTERVAL '7 days';\n\
     DECLARE last DATE DEFAULT $first + INTERVAL '7 days'; DECLARE smallest DECIMAL(5, 2) DEFAULT 0.5;\n\
     SET pipeline.memory = '60%'; SET datafusion.execution.batch_size = 4096;\n\
     CREATE EXTERNAL TABLE crawl (id BIGINT NOT NULL, kind TEXT) STORED AS CSV LOCATION 'orders/' || $region || '/' OPTIONS ('format.has_header' true);\n\
     COPY (SELECT * FROM crawl WHERE kind >= $region) TO 'recent/' PARTITIONED BY (kind);",
    "CREATE EXTERNAL TABLE crawl STORED AS PARQUET LOCATION 's3://shop-example/orders/' PARTITIONED BY (year);\n\
     CREATE VIEW a AS WITH x AS (SELECT id, who FROM crawl), y AS (SELECT * FROM x) SELECT x.id, count(*) OVER (PARTITION BY y.who ORDER BY x.id) AS n FROM x JOIN y USING (id) WHERE x.id NOT IN (SELECT id FROM y);\n\
     CREATE VIEW b AS SELECT CASE WHEN id > 1 THEN 'a' ELSE kind END AS k, CAST(share AS DECIMAL(10, 2)), id::TEXT LIKE '%1' FROM crawl UNION ALL SELECT kind, 1, true FROM crawl;\n\
     ASSERT (SELECT count(*) FROM a) = (SELECT count(DISTINCT id) FROM a) AS 'unique';\n\
     COPY a TO 'large/' STORED AS PARQUET OPTIONS (publish merge, key 'id', order 'n DESC NULLS LAST', contract freeze, compression 'zstd(9)', target_file_size '128MiB');",
    "CREATE EXTERNAL TABLE crawl STORED AS REST LOCATION 'tickets' OPTIONS ('spec' 'tickets.toml', token 'env:T', password 'file:/x');\n\
     CREATE VIEW j AS SELECT kind -> 'a' ->> 0 AS v, kind ? 'b' AS w, arrow_cast(id, 'Dictionary(Int32, List(Int64))') AS d, make_array(1, 2)[1], {'a': 1} AS s FROM crawl GROUP BY ALL;\n\
     COPY (SELECT * FROM j) TO 'x/' OPTIONS (sort 'v', bloom_filter 'v', dictionary 'v, w');",
];

const WORDS: [&str; 72] = [
    "(",
    ")",
    "((",
    "))",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ".",
    "'",
    "\"",
    "$",
    "$$",
    "--",
    "/*",
    "*/",
    "::",
    "->",
    "->>",
    "<",
    ">",
    "=",
    "+",
    "-",
    "||",
    "*",
    "E'\\u{110000}'",
    "X'0'",
    "U&'\\FFFF'",
    "1e400",
    "99999999999999999999999999999999999999999",
    "NULL",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "BETWEEN",
    "IS",
    "CASE",
    "WHEN",
    "END",
    "SELECT",
    "FROM",
    "WITH",
    "RECURSIVE",
    "UNION",
    "JOIN",
    "LATERAL",
    "VALUES",
    "UNNEST",
    "INTERVAL",
    "EXISTS",
    "DECLARE",
    "SET",
    "COPY",
    "ASSERT",
    "CREATE VIEW v AS",
    "OPTIONS",
    "PARTITIONED BY",
    "STRUCT<a INT>",
    "INT[]",
    "MAP(TEXT, INT)",
    "arrow_cast(1, 'List(List(Int8))')",
    "$member",
    "$data_date_start",
    "crawl",
    "events",
    "'env:X'",
    "AT TIME ZONE 'UTC'",
];

fn tables(folder: &std::path::Path) -> SessionContext {
    let options = SessionOptions::new(Budget::new(256 << 20, 1, 1024), folder);
    let context = session(&options).expect("a session");
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let Read::Extracted(landed) = Launchpad::default().read(&Declared::default()) else {
        unreachable!("Launchpad is extracted");
    };
    let mut fields = landed.fields().to_vec();
    fields.extend(["kind", "who", "year"].map(text).map(Arc::new));
    fields.push(Arc::new(Field::new("id", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("share", DataType::Float64, true)));
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    fields.push(Arc::new(Field::new("at", at, true)));
    let table = Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))));
    context
        .register_table("crawl", table)
        .expect("the table is registered");
    context
}

/// From text to plans. A mistake is an answer; a panic, a stack that is used up and a case without an end are findings.
#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn pipeline_text() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        // As in the program.
        .thread_stack_size(16 << 20)
        .build()
        .unwrap();
    let context = tables(folder.path());
    let mut planned = 0_u64;
    run("pipeline_text", |chance| {
        let text = chance.text(&DEFINITIONS, &WORDS);
        chance.note(text.as_bytes());
        let context = context.clone();
        let case = runtime.spawn(async move { from_text_to_plans(&text, &context).await });
        match runtime.block_on(case) {
            Ok(success) => planned += u64::from(success),
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    });
    println!("{planned} of them were planned");
}

async fn from_text_to_plans(text: &str, context: &SessionContext) -> bool {
    let origin = Origin::File(PathBuf::from("fuzz.sql"));
    let definition = match parse(origin, "fuzz", text, &Registry::builtin().kinds()) {
        Ok(definition) => definition,
        Err(mistakes) => {
            assert!(!mistakes.to_string().is_empty());
            return false;
        }
    };
    let given = [
        ("member", "ada-example"),
        ("data_date_start", "2024-01-01"),
        ("data_date_end", "2024-02-01"),
    ]
    .into_iter()
    .filter(|(name, _)| {
        definition
            .parameters
            .iter()
            .any(|known| known.name == *name)
    })
    .map(|(name, text)| {
        let provided = Provided {
            text: String::from(text),
            origin: ValueOrigin::Flag(String::from("--set")),
        };
        (String::from(name), provided)
    })
    .collect();
    let noon = DateTime::from_timestamp(1_709_208_000, 0).expect("a moment");
    match bind(&definition, &given, noon) {
        Ok(bound) => plan(&bound, context).await.is_ok(),
        Err(mistakes) => {
            assert!(!mistakes.to_string().is_empty());
            false
        }
    }
}
