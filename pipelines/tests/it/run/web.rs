//! Files on web servers: the same rows here and on a cluster, and what a run says when one is not given.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use testkit::web::{Met, Page, WebServer};

use super::cluster::{assert_same_bytes, on_cluster};
use super::launchpad::workspace;

fn orders(from: i64) -> Vec<u8> {
    let rows = (from..from + 2000).map(|id| format!("{id},{},{}.125\n", id % 7, id * 3));
    std::iter::once("id,city,amount\n".to_owned())
        .chain(rows)
        .collect::<String>()
        .into_bytes()
}

fn cities() -> anyhow::Result<Vec<u8>> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..7));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..7).map(|id| format!("city {id}")),
    ));
    let rows = RecordBatch::try_from_iter([("city", ids), ("name", names)])?;
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None)?;
    writer.write(&rows)?;
    Ok(writer.into_inner()?)
}

#[test]
fn files_on_web_servers_give_the_same_here_and_on_a_cluster() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    let (server, other) = (WebServer::start()?, WebServer::start()?);
    server.put("/in/day=1/a.csv?v=1", Page::of(orders(0)));
    other.put(
        "/in/day=2/b.csv",
        Page {
            ranges: false,
            ..Page::of(orders(5000))
        },
    );
    server.put("/cities.parquet", Page::of(cities()?));
    other.put(
        "/latest",
        Page {
            lead: Some(server.url("/cities.parquet")),
            ..Page::default()
        },
    );
    other.meet("/latest", Met::Status(503, None));
    workspace.write(
        "p.sql",
        &format!(
            "CREATE EXTERNAL TABLE orders STORED AS CSV LOCATION '[\"{}\", \"{}\"]' PARTITIONED BY (day) OPTIONS (file_column '_file');
             CREATE EXTERNAL TABLE cities STORED AS PARQUET LOCATION '{}' OPTIONS (file_column '_of');
             CREATE VIEW named AS SELECT id, amount, name, day, _file, _of FROM orders JOIN cities ON orders.city = cities.city;
             COPY named TO 'table/' PARTITIONED BY (name) OPTIONS (sort 'id');",
            server.url("/in/day=1/a.csv?v=1"),
            other.url("/in/day=2/b.csv"),
            other.url("/latest"),
        ),
    )?;
    let before = server.asked().len();
    assert_same_bytes(&cluster, &workspace)?;
    assert!(server.asked().len() > before);
    let rows = super::published::rows(&workspace.path().join("table"))?;
    assert_eq!(rows.len(), 4000);
    let first = rows.iter().find(|row| row["id"] == 5001);
    let first = first.unwrap_or_else(|| panic!("no order 5001"));
    assert_eq!(first["day"], "2");
    assert_eq!(first["_file"], other.url("/in/day=2/b.csv"));
    assert_eq!(first["_of"], other.url("/latest"));
    assert_eq!(first["name"], "city 3");
    Ok(())
}

#[test]
fn a_file_that_is_not_given_is_told_with_its_address() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let server = WebServer::start()?;
    let location = server.url("/in/a.csv");
    let text = format!(
        "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '{location}'; COPY (SELECT * FROM a) TO 'table/';"
    );
    workspace.write("p.sql", &text)?;
    let problem = format!("{location}: the server has no such file (404 Not Found)");
    workspace.run(["run", "p.sql"])?.expect(1, &[&problem]);
    server.put("/in/a.csv", Page::of("a,b\n1,2\n3\n"));
    let problem = format!("{location}, line 3: the row has 1 field");
    workspace.run(["run", "p.sql"])?.expect(1, &[&problem]);
    Ok(())
}
