//! TPC-H on clusters: joins of every kind, correlated and scalar subqueries, and aggregates give what they give here.

use std::thread;

use anyhow::Context;
use testkit::Workspace;
use testkit::cluster::Cluster;

use super::launchpad::workspace;
use super::tpch::{Answer, Query, answers, queries, tables};

/// A workspace that sees the tables of another one and knows of the cluster.
fn beside(tables: &Workspace, cluster: &Cluster) -> anyhow::Result<Workspace> {
    let workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
    std::os::unix::fs::symlink(tables.path().join("tpch"), workspace.path().join("tpch"))?;
    Ok(workspace)
}

/// What is wrong with an answer from `place`, if anything.
fn complaint(
    query: &Query,
    here: &anyhow::Result<Answer>,
    place: &str,
    there: &anyhow::Result<Answer>,
) -> Option<String> {
    let words = match (here, there) {
        (Err(error), _) => format!("fails here: {error:#}"),
        (_, Err(error)) => format!("fails on {place}: {error:#}"),
        (Ok(here), Ok(there)) if here.rows != there.rows => format!(
            "has other rows on {place}: {:#?} instead of {:#?}",
            there.rows, here.rows
        ),
        (Ok(here), Ok(there)) if query.is_sorted() && here.files != there.files => {
            format!("has the same rows in other bytes on {place}")
        }
        _ => return None,
    };
    Some(format!("{} {words}", query.name))
}

/// All in one test, so that what is common is done once, and the clusters fill each other's pauses.
#[test]
fn every_tpch_query_gives_the_same_on_one_executor_and_on_three() -> anyhow::Result<()> {
    let start =
        |executors, vcores| Cluster::start(env!("CARGO_BIN_EXE_pipelines"), executors, vcores);
    let Some(one) = start(1, 2)? else {
        return Ok(());
    };
    let three = start(3, 1)?.context("the binaries went away")?;
    let (here, queries) = (tables()?, queries()?);
    let (beside_one, beside_three) = (beside(&here, &one)?, beside(&here, &three)?);
    let (expected, of_one, of_three) = thread::scope(|scope| {
        let of_one = scope.spawn(|| answers(&beside_one, &queries, "cluster"));
        let of_three = scope.spawn(|| answers(&beside_three, &queries, "cluster"));
        let expected = answers(&here, &queries, "local");
        (expected, of_one.join().ok(), of_three.join().ok())
    });
    let places = [
        ("one executor", of_one.context("a thread panicked")?),
        ("three executors", of_three.context("a thread panicked")?),
    ];
    let mut complaints = Vec::new();
    for (place, found) in &places {
        assert_eq!((found.len(), expected.len()), (22, 22));
        for ((query, here), there) in queries.iter().zip(&expected).zip(found) {
            complaints.extend(complaint(query, here, place, there));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}
