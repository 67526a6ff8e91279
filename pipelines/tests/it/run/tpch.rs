//! The 22 queries of TPC-H as pipelines over generated tables. Owns the tables, the runs and what an answer is. Here the
//! answers are compared with DuckDB's, in `cluster_tpch` with those of clusters.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use testkit::{Folder, Python, Workspace, tpch};

use super::launchpad::workspace;
use super::published::by_partition;

/// At this scale `lineitem` has 60,175 rows; queries of which no row would be left have another constant, and say so.
const SCALE: f64 = 0.01;

/// A query, as a pipeline that writes `answer/`.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) name: String,
    text: String,
}

impl Query {
    /// Whether its output has an order, so that its files have the same bytes wherever it runs.
    pub(super) fn is_sorted(&self) -> bool {
        self.text.contains("(sort '")
    }
}

/// What a query published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Each row with its partition, all digits of its numbers included; in the order of the texts.
    pub(super) rows: Vec<String>,
    /// The contents of the files of each partition.
    pub(super) files: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Answer {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let folder = Folder::of(folder)?;
        let mut rows = Vec::new();
        for (path, content) in folder.files() {
            let partition = path.rsplit_once('/').map_or("", |(partition, _)| partition);
            let content = bytes::Bytes::copy_from_slice(content);
            for batch in ParquetRecordBatchReaderBuilder::try_new(content)?.build()? {
                let batch = batch?;
                for row in 0..batch.num_rows() {
                    let mut text = String::from(partition);
                    for column in batch.columns() {
                        // An aggregate of no rows would be an answer that any number of mistakes could give.
                        ensure!(column.is_valid(row), "NULL in row {row} of {path}");
                        text.push('|');
                        text.push_str(&array_value_to_string(column, row)?);
                    }
                    rows.push(text);
                }
            }
        }
        ensure!(!rows.is_empty(), "the answer has no rows");
        rows.sort_unstable();
        Ok(Self {
            rows,
            files: by_partition(folder.files()),
        })
    }
}

fn definition(name: &str) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tpch")
        .join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

pub(super) fn queries() -> anyhow::Result<Vec<Query>> {
    (1..=22)
        .map(|number| {
            let name = format!("q{number:02}");
            let text = definition(&format!("{name}.sql"))?;
            Ok(Query { name, text })
        })
        .collect()
}

/// A workspace with the eight tables: in `csv/` as they were generated, in `tpch/` as the product published them.
pub(super) fn tables() -> anyhow::Result<Workspace> {
    let workspace = workspace()?;
    tpch::write_tables(&workspace.path().join("csv"), SCALE)?;
    workspace.write("tables.sql", &definition("tables.sql")?)?;
    workspace
        .run(["run", "tables.sql", "--mode", "local"])?
        .expect(0, &["60,175 rows of `lineitem_text`"]);
    Ok(workspace)
}

/// Runs each query in `mode`; its answer is left in `answers/` under its name. One that fails does not stop the others.
pub(super) fn answers(
    workspace: &Workspace,
    queries: &[Query],
    mode: &str,
) -> Vec<anyhow::Result<Answer>> {
    queries
        .iter()
        .map(|query| answer(workspace, query, mode))
        .collect()
}

fn answer(workspace: &Workspace, query: &Query, mode: &str) -> anyhow::Result<Answer> {
    let file = format!("{}.sql", query.name);
    workspace.write(&file, &query.text)?;
    // Of the one before, whose columns are others.
    let log = workspace.path().join(".answer.spillway");
    if log.exists() {
        std::fs::remove_dir_all(log)?;
    }
    let run = workspace.run(["run", &file, "--mode", mode])?;
    ensure!(
        run.code == Some(0) && run.all().contains(&format!("{mode} (asked for by --mode)")),
        run.all()
    );
    let answer = workspace.path().join("answer");
    ensure!(answer.exists(), "the answer has no rows");
    let kept = workspace.path().join("answers").join(&query.name);
    std::fs::create_dir_all(kept.with_file_name(""))?;
    std::fs::rename(answer, &kept)?;
    Answer::of(&kept)
}

/// Reads the generated text, with the types of `tables.sql`, runs the queries as they are, and prints those whose answer is
/// another one. DuckDB divides and averages decimals as floating-point numbers, hence the tolerance.
const DUCKDB: &str = r#"
import decimal, duckdb, json, pathlib, re, sys
folder = pathlib.Path(sys.argv[1])
db = duckdb.connect()
tables = re.findall(r"CREATE EXTERNAL TABLE (\w+)_text \((.*?)\n\) STORED", (folder / 'tables.sql').read_text(), re.S)
for name, columns in tables:
    db.execute(f"CREATE TABLE {name} ({columns})")
    db.execute(f"INSERT INTO {name} FROM read_csv('{folder}/csv/{name}/*.csv', header = true, all_varchar = true)")

def rows(query):
    found = [[float(value) if isinstance(value, decimal.Decimal) else value for value in row] for row in db.execute(query).fetchall()]
    return sorted(found, key = lambda row: [f'{value:.5f}' if isinstance(value, float) else str(value) for value in row])

def same(found, expected):
    if isinstance(expected, float):
        return abs(found - expected) <= 1e-6 + 1e-12 * abs(expected)
    return found == expected

others = {}
for path in sorted(folder.glob('q*.sql')):
    text = re.sub(r'--[^\n]*', '', path.read_text())
    for name, query in re.findall(r'CREATE VIEW (\w+) AS\s(.*?);', text, re.S):
        db.execute(f'CREATE OR REPLACE VIEW {name} AS {query}')
    names = ', '.join(column[0] for column in db.execute('DESCRIBE answer').fetchall())
    expected = rows(f'SELECT {names} FROM answer')
    found = rows(f"SELECT {names} FROM read_parquet('{folder}/answers/{path.stem}/**/*.parquet', hive_partitioning = true)")
    if len(found) != len(expected) or not all(same(*pair) for both in zip(found, expected) for pair in zip(*both)):
        others[path.stem] = {'found': str(found[:5]), 'expected': str(expected[:5])}
print(json.dumps({'tables': len(tables), 'queries': len(list(folder.glob('q*.sql'))), 'others': others}))
"#;

#[test]
fn every_tpch_query_has_the_answer_of_duckdb() -> anyhow::Result<()> {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let (workspace, queries) = (tables()?, queries()?);
    for (query, answer) in queries.iter().zip(answers(&workspace, &queries, "local")) {
        answer.with_context(|| query.name.clone())?;
    }
    let folder = workspace
        .path()
        .to_str()
        .context("a path that is no text")?;
    let seen: serde_json::Value = serde_json::from_str(&python.run(DUCKDB, &[folder])?)?;
    assert_eq!(
        seen,
        serde_json::json!({"tables": 8, "queries": 22, "others": {}}),
        "{seen:#}"
    );
    Ok(())
}
