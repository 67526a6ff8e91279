//! Entries once served by Launchpad's production go through unharmed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::support::{Outcome, bugs, read};

/// The folder of recordings that lies beside the checkout.
fn recordings() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|folder| folder.join("shared/data/launchpad/production-1.0"))
        .find(|folder| folder.is_dir())
}

#[tokio::test]
async fn a_recorded_bug_with_its_thirty_tasks_is_landed() -> Outcome {
    let Some(folder) = recordings() else {
        eprintln!("SKIPPED: no recordings of Launchpad beside this checkout");
        return Ok(());
    };
    let load = |name: &str| std::fs::read_to_string(folder.join(name));
    let (person, bug, tasks) = (
        load("person.json")?,
        load("bug.json")?,
        load("bug_tasks.json")?,
    );
    let owner: Value = serde_json::from_str(&bug)?;
    let (number, owner) = (
        owner["id"].to_string(),
        owner["owner_link"].as_str().unwrap_or_default().to_owned(),
    );
    let empty = json!({"start": 0, "total_size": 0, "entries": []}).to_string();
    let task_path = format!("/1.0/bugs/{number}/bug_tasks");
    let bug_path = format!("/1.0/bugs/{number}");
    let server = Server::start(Duration::ZERO, move |request| {
        let recorded = match request.path.as_str() {
            "/1.0/~recorded" if request.parameter("ws.op").is_none() => &person,
            path if path == bug_path => &bug,
            path if path == task_path => &tasks,
            path if path.starts_with("/1.0/~") && request.parameter("ws.op").is_some() => &tasks,
            path if path.starts_with("/1.0/~") => &person,
            _ => &empty,
        };
        let root = request.address.origin().ascii_serialization();
        let text = recorded.replace("https://api.launchpad.net", &root);
        serde_json::from_str(&text)
            .map_or_else(|cause| Reply::status(500, &cause.to_string()), Reply::Json)
    })
    .await?;
    let options = [
        ("member", "recorded"),
        ("version", "1.0"),
        ("actors", "everyone"),
    ];
    let read = read(&bugs(&server.root, &options)?).await;
    assert!(
        read.error.is_none() && read.quarantined.is_empty(),
        "{:?} {:?}",
        read.error,
        read.quarantined
    );
    assert_eq!(read.keys(), [format!("b-{number}-c")]);
    let record: Value = serde_json::from_str(&read.records[0].record)?;
    assert_eq!(record["tasks"].as_array().map(Vec::len), Some(30));
    assert!(owner.is_empty() == read.records[0].actor.is_none());
    Ok(())
}
