//! Plans as executors have them: encoded and decoded, each gives the rows and the columns that it gave before. What it shows
//! is not compared: hints to a scan are lost without harm, and what is lost with harm is not always shown.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use datafusion_proto::physical_plan::{AsExecutionPlan, DefaultPhysicalProtoConverter};
use datafusion_proto::protobuf::PhysicalPlanNode;
use files::listing::{Wanted, list};
use files::{
    Bytes, Csv, Declared, DeclaredParquet, FilesTable, Format, Json, ParquetTable, SAMPLE_BYTES,
    Stores,
};
use tables::{SortKey, Table, TableOptions};

use super::super::plan::cluster_plan;
use super::super::workers::Workers;
use super::*;
use crate::budget::{Budget, JoinStrategy};
use crate::session::{SessionOptions, session};

/// Rows that are read from each kind of file.
const ROWS: &str = "SELECT * FROM (VALUES
    (1, 'one', TIMESTAMP '2024-01-01T00:00:00', 1.50, true, DATE '2024-01-01'),
    (2, 'two', TIMESTAMP '2024-01-08T12:00:00', 2.25, false, DATE '2024-01-08'),
    (3, NULL, NULL, 3.75, NULL, NULL)) AS v(id, name, at, amount, flag, day)";

/// What a plan can hold, as far as SQL reaches it. `t` is read from files of each format.
const QUERIES: &[&str] = &[
    // Expressions.
    "SELECT id + 1, -id, id * 2.5, id % 2, id / 2, name || '!', id & 1, id << 2 FROM t",
    "SELECT CASE WHEN id > 1 THEN 'many' ELSE name END, CASE id WHEN 1 THEN 'x' END FROM t",
    "SELECT CAST(id AS VARCHAR), TRY_CAST(name AS BIGINT), id::DECIMAL(10, 2) AS d, arrow_cast(id, 'UInt8') FROM t",
    "SELECT id FROM t WHERE name LIKE 't%' OR name ILIKE 'O_E' OR name ~ '^x' OR name NOT LIKE '%e'",
    "SELECT id FROM t WHERE name IN ('one', 'two', 'six', 'ten') AND id NOT IN (7, 8) AND id BETWEEN 1 AND 2",
    "SELECT id FROM t WHERE name IS NULL OR NOT flag OR flag IS UNKNOWN OR name IS DISTINCT FROM 'one'",
    "SELECT coalesce(name, 'none'), nullif(id, 2), greatest(id, 2), upper(name), substr(name, 2) FROM t",
    "SELECT at::TIMESTAMP + INTERVAL '1 month 2 days', date_trunc('week', at::TIMESTAMP), extract(year FROM day::DATE) FROM t",
    "SELECT [id, 2], make_array(name), [id, 2][1], named_struct('a', id)['a'], map {'k': id}['k'] FROM t",
    "SELECT array_length([id]), array_contains([1, 2], id), regexp_replace(name, 'o', '0'), X'00ff' FROM t",
    "SELECT week_of(day::DATE), local_time(at::TIMESTAMP, 'Europe/Riga'), link_name('https://example.org/~' || name) FROM t",
    "SELECT json_get_str('{\"a\": \"b\"}', 'a'), '{\"a\": 1}'->'a' FROM t",
    // Sources and shapes.
    "SELECT * FROM t",
    "SELECT 1 AS one, NULL AS none, 'x' AS text",
    "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) v(x, y)",
    "SELECT * FROM t WHERE false",
    "SELECT value FROM generate_series(1, 9, 2)",
    "SELECT count(*) AS n FROM generate_series(1, 1000)",
    "SELECT unnest([id, 7]) AS u, unnest(named_struct('p', id, 'q', name)) FROM t",
    "SELECT id FROM t UNION ALL SELECT id + 10 FROM t",
    "SELECT id FROM t UNION SELECT 2",
    "SELECT id FROM t INTERSECT SELECT 2",
    "SELECT id FROM t EXCEPT SELECT 2",
    "SELECT DISTINCT flag FROM t",
    "SELECT id, name FROM t ORDER BY name DESC NULLS LAST, id LIMIT 2",
    "SELECT id FROM t ORDER BY id LIMIT 1 OFFSET 1",
    "SELECT id FROM (SELECT id FROM t ORDER BY id LIMIT 2) ORDER BY id DESC",
    // Aggregates and windows.
    "SELECT flag, count(*), count(DISTINCT name), sum(id) FILTER (WHERE id > 1), avg(amount), min(at), max(day) FROM t GROUP BY flag",
    "SELECT array_agg(name ORDER BY id DESC), string_agg(name, ',' ORDER BY id), first_value(name ORDER BY id DESC) FROM t",
    "SELECT stddev(id), var_pop(id), corr(id, id), median(id), approx_distinct(id), bool_or(flag), bit_xor(id) FROM t",
    "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY id), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM t",
    "SELECT flag, day, sum(id), grouping(flag) FROM t GROUP BY ROLLUP (flag, day)",
    "SELECT flag, day, count(*) FROM t GROUP BY GROUPING SETS ((flag), (day), ())",
    "SELECT flag FROM t GROUP BY flag HAVING count(*) > 0",
    "SELECT id, row_number() OVER (ORDER BY id), rank() OVER (ORDER BY flag), ntile(2) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(name, 1, 'none') OVER (ORDER BY id), lead(id) OVER (PARTITION BY flag ORDER BY id DESC) FROM t",
    "SELECT id, sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER () FROM t",
    "SELECT id, sum(id) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT id, count(DISTINCT flag) OVER (PARTITION BY day), array_agg(name) IGNORE NULLS OVER (ORDER BY id) FROM t",
    "SELECT id, last_value(name) OVER (ORDER BY id GROUPS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t",
    "SELECT id FROM t QUALIFY row_number() OVER (PARTITION BY flag ORDER BY id) = 1",
    // Joins and subqueries.
    "SELECT a.id, b.name FROM t a JOIN t b ON a.id = b.id",
    "SELECT a.id, b.name FROM t a LEFT JOIN t b ON a.id = b.id + 1 AND b.name <> 'two'",
    "SELECT a.id, b.id FROM t a RIGHT JOIN t b ON a.name = b.name",
    "SELECT a.id, b.id FROM t a FULL JOIN t b ON a.id = b.id + 1",
    "SELECT a.id, b.id FROM t a FULL JOIN t b ON a.id IS NOT DISTINCT FROM b.id",
    "SELECT a.id, b.id FROM t a CROSS JOIN t b",
    "SELECT a.id, b.id FROM t a JOIN t b ON a.id < b.id",
    "SELECT a.id, b.id FROM t a LEFT JOIN t b ON a.id < b.id AND b.flag",
    "SELECT id FROM t WHERE id IN (SELECT id + 1 FROM t)",
    "SELECT id FROM t WHERE id NOT IN (SELECT id + 1 FROM t WHERE id < 3)",
    "SELECT id FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id = a.id + 1)",
    "SELECT id FROM t a WHERE NOT EXISTS (SELECT 1 FROM t b WHERE b.id = a.id + 1)",
    "SELECT id FROM t WHERE id IN (SELECT id + 1 FROM t) OR name IS NULL",
    "SELECT id, (SELECT max(id) FROM t) AS most FROM t",
    "SELECT id, (SELECT count(*) FROM t b WHERE b.id = a.id) AS same FROM t a",
    "WITH x AS (SELECT id, flag FROM t) SELECT a.id FROM x a JOIN x b USING (id) WHERE b.flag",
];

fn options_in(folder: &Path) -> SessionOptions {
    SessionOptions::new(Budget::new(1 << 30, 2, 8192), folder)
}

/// The plan as another process has it.
fn sent(plan: &Arc<dyn ExecutionPlan>, task: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let codec = physical_codec(StorageOptions::default());
    let mut bytes = Vec::new();
    PhysicalPlanNode::try_from_physical_plan(Arc::clone(plan), codec.as_ref())?
        .try_encode(&mut bytes)?;
    PhysicalPlanNode::try_decode(&bytes)?.try_into_physical_plan(task, codec.as_ref())
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut rows: Vec<String> = text.lines().map(String::from).collect();
    rows.sort();
    rows
}

/// What differs when others execute the plan.
async fn difference(ctx: &SessionContext, plan: Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    let received = sent(&plan, &ctx.task_ctx())?;
    let schemas = (plan.schema(), received.schema());
    let wanted = sorted(&collect(plan, ctx.task_ctx()).await?);
    let found = sorted(&collect(received, ctx.task_ctx()).await?);
    let same = schemas.0 == schemas.1 && wanted == found;
    Ok((!same).then(|| format!("{schemas:?}\n{wanted:#?}\n{found:#?}")))
}

/// The files under a folder, as sources have them.
async fn table(ctx: &SessionContext, format: &str, location: &str) -> Arc<dyn TableProvider> {
    let text = match format {
        "CSV" => Some(Format::Csv(Csv::default())),
        "JSON" => Some(Format::Json(Json::default())),
        _ => None,
    };
    let wanted = Wanted {
        location,
        suffixes: text.as_ref().map_or(&["parquet"], Format::suffixes),
        partition_by: &[],
    };
    let stores = |url: &url::Url| ctx.runtime_env().object_store_registry.get_store(url);
    let files = list(wanted, &stores).await.unwrap().files;
    let Some(format) = text else {
        let declared = DeclaredParquet {
            location: location.to_owned(),
            columns: None,
            partition_by: Vec::new(),
            options: ctx.state().default_table_options().parquet,
            file_column: None,
        };
        let table = ParquetTable::open(declared, files, &ctx.state()).await;
        return Arc::new(table.unwrap());
    };
    let declared = Declared {
        location: location.to_owned(),
        columns: None,
        partition_by: Vec::new(),
        format,
        bytes: Bytes::default(),
        sample_bytes: SAMPLE_BYTES,
        quarantine: None,
        origin: files::Origin::default(),
    };
    Arc::new(
        FilesTable::open(declared, files, Stores::default())
            .await
            .unwrap(),
    )
}

#[tokio::test]
async fn what_queries_hold_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(folder.path());
    let workers = Workers::new(&[(2, 1 << 30); 2]);
    let mut mistakes = Vec::new();
    for format in ["PARQUET", "CSV", "JSON"] {
        let ctx = session(&options).unwrap();
        let path = folder.path().join(format!("{format}/"));
        let path = path.display();
        let copy = format!("COPY ({ROWS}) TO '{path}' STORED AS {format}");
        ctx.sql(&copy).await.unwrap().collect().await.unwrap();
        let table = table(&ctx, format, &path.to_string()).await;
        ctx.register_table("t", table).unwrap();
        for query in QUERIES {
            for joins in [JoinStrategy::Hash, JoinStrategy::SortMerge] {
                let found = async {
                    let query = ctx.sql(query).await?.into_unoptimized_plan();
                    let plan = cluster_plan(&options, &workers, joins, &query).await?;
                    difference(&ctx, plan.physical).await
                };
                match found.await {
                    Ok(None) => {}
                    Ok(Some(difference)) => {
                        mistakes.push(format!("{format}: {query}\n{difference}"))
                    }
                    Err(error) => mistakes.push(format!("{format}: {query}\n{error}")),
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
}

#[tokio::test]
async fn operators_of_tables_arrive_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = session(&options_in(folder.path())).unwrap();
    let query = ctx.sql(ROWS).await.unwrap().into_unoptimized_plan();
    let rows = ctx.state().create_physical_plan(&query).await.unwrap();
    let table = Table::at(&folder.path().join("table").display().to_string()).unwrap();
    let options = TableOptions {
        partition_by: vec![String::from("flag")],
        sort: vec![SortKey::ascending("id")],
        split_rows: Some(1),
        ..TableOptions::default()
    };
    let mut staging = table.begin("run", options, &rows.schema()).await.unwrap();
    let looked_at = staging.sample_query(&query).unwrap().unwrap();
    let looked_at = ctx.state().create_physical_plan(&looked_at).await.unwrap();
    let sample = staging.sample_plan(looked_at).unwrap().unwrap();
    let sample = sent(&sample, &ctx.task_ctx()).unwrap();
    let sampled = collect(sample, ctx.task_ctx()).await.unwrap();
    assert_eq!(staging.split(&sampled).unwrap(), 3);

    let attempt = staging.begin_remote(1).await.unwrap();
    let write = staging.remote_plan(&attempt, rows, 2, 2).unwrap();
    let write = sent(&write, &ctx.task_ctx()).unwrap();
    let written = collect(write, ctx.task_ctx()).await.unwrap();
    let staged = staging.staged_remotely(&attempt, &written).unwrap();
    assert_eq!(staged.rows(), 3);
    staging.abandon().await.unwrap();
}

#[test]
fn an_operator_that_is_not_ours_is_refused_with_its_name() {
    let operator = Arc::new(EmptyExec::new(Arc::new(Schema::empty())));
    let codec = OperatorCodec {
        storage: StorageOptions::default(),
    };
    let error = codec
        .try_encode(operator, &mut Vec::new(), &DefaultPhysicalProtoConverter {})
        .unwrap_err();
    assert!(error.to_string().contains("EmptyExec"), "{error}");
}
