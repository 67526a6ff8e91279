//! Records that Launchpad's production once served go through the whole pipeline.

use std::path::{Path, PathBuf};

use anyhow::Context;
use launchpad_fake::Options;
use serde_json::{Value, json};

use super::launchpad::{Launchpad, run_between};
use super::published::events;

/// The folder of recordings that lies beside the checkout.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn recordings() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here
        .ancestors()
        .map(|folder| folder.join("shared/data/launchpad/production-1.0"))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: no recordings of Launchpad beside this checkout");
    }
    found
}

#[test]
fn a_recorded_bug_with_its_thirty_tasks_becomes_an_event_of_its_reporter() -> anyhow::Result<()> {
    let Some(recorded) = recordings() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for name in ["bug.json", "bug2.json", "bug_tasks.json", "person.json"] {
        std::fs::copy(recorded.join(name), folder.path().join(name))?;
    }
    let bug: Value = serde_json::from_slice(&std::fs::read(recorded.join("bug.json"))?)?;
    let owner = bug["owner_link"]
        .as_str()
        .and_then(|link| link.rsplit("/~").next())
        .context("no owner")?;
    let empty = json!({ "entries": [] });
    let index = json!({
        "version": "1.0",
        "~jelmer?ws.op=searchTasks": "bug_tasks.json",
        "bugs/1/bug_tasks": "bug_tasks.json",
        "bugs/1/activity": empty,
        "bugs/1/messages": empty,
    });
    std::fs::write(folder.path().join("index.json"), index.to_string())?;
    let server = Launchpad::start(Options {
        replay: Some(folder.path().to_path_buf()),
        ..Options::default()
    })?;

    let workspace = server.workspace()?.with("LP_API_VERSION", "1.0");
    let run = run_between(
        "2004-01-01",
        "2005-01-01",
        &["--set", "member=jelmer", "--set", "actors=everyone"],
    );
    workspace.run(run)?.expect(0, &["quarantined  0 items"]);
    let events = events(&workspace.path().join("events"))?;
    assert_eq!(events.keys().collect::<Vec<_>>(), ["b-1-c"]);
    let event = &events["b-1-c"];
    assert_eq!(
        (&event["employee_id"], owner),
        (&Value::from("sabdfl"), "sabdfl")
    );
    assert_eq!(
        (&event["event_type"], &event["year"]),
        (&Value::from("bug_created"), &Value::from("2004"))
    );
    // Nobody recorded the reporter's own entry, so the zone is not known.
    assert_eq!(event["timezone"], "UTC");
    let properties: Value = serde_json::from_str(
        event["event_properties"]
            .as_str()
            .context("no properties")?,
    )?;
    assert_eq!(properties["tasks"].as_array().map(Vec::len), Some(30));
    assert_eq!(
        (&properties["title"], &properties["name"]),
        (&bug["title"], &bug["name"])
    );
    assert_eq!(
        properties["owner_link"],
        format!("/~{owner}"),
        "links are relative to the API's root"
    );
    let relation: Value = serde_json::from_str(
        event["relation_properties"]
            .as_str()
            .context("no relation")?,
    )?;
    assert_eq!(relation["description"], bug["description"]);
    let metrics: Value = serde_json::from_str(event["metrics"].as_str().context("no metrics")?)?;
    assert_eq!(metrics["heat"], bug["heat"]);
    Ok(())
}
