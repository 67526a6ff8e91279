//! Unmodified launchpadlib works against the fake.

use std::path::Path;
use std::process::Stdio;

use launchpad_fake::{SAMPLE_MEMBER, landmarks};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ALL_STATUSES, Server};

/// A Python that has launchpadlib, if the environment names one.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests take their services from the environment, and say so when one is missing"
)]
fn python() -> Option<String> {
    if let Ok(python) = std::env::var("SPILLWAY_TEST_PYTHON") {
        return Some(python);
    }
    let required = std::env::var("SPILLWAY_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "SPILLWAY_TEST_PYTHON has to name a Python that has launchpadlib"
    );
    eprintln!("SKIPPED: SPILLWAY_TEST_PYTHON names no Python that has launchpadlib");
    None
}

#[tokio::test]
async fn unmodified_launchpadlib_reads_everything() {
    let Some(python) = python() else { return };
    let server = Server::sample().await;
    let cache = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/launchpadlib_client.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .arg(server.fake.root().as_str())
        .arg(cache.path())
        .arg(SAMPLE_MEMBER)
        .arg(landmarks::THREE_PAGES_OF_MESSAGES.to_string())
        .env("HOME", cache.path())
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();

    let query = format!("ws.op=searchTasks&{ALL_STATUSES}&order_by=id");
    let search = format!("devel/~{SAMPLE_MEMBER}?{query}");
    let total = server.json(&format!("{search}&ws.show=total_size")).await;
    let tasks = server.walk(&search).await;
    let bug = server.json(tasks[0]["bug_link"].as_str().unwrap()).await;
    let bug_tasks = server
        .walk(bug["bug_tasks_collection_link"].as_str().unwrap())
        .await;
    let long_bug = format!("devel/bugs/{}", landmarks::THREE_PAGES_OF_MESSAGES);
    let messages = server.walk(&format!("{long_bug}/messages")).await;
    let message_total = server
        .json(&format!("{long_bug}/messages?ws.show=total_size"))
        .await;
    let activity = server.walk(&format!("{long_bug}/activity")).await;
    let project = server
        .walk("devel/exampleproj?ws.op=searchTasks&status=New")
        .await;
    assert!(tasks.len() > 300 && messages.len() > 200);
    let year = bug["date_created"].as_str().unwrap()[..4]
        .parse::<u32>()
        .unwrap();
    assert_eq!(
        read,
        json!({
            "time_zone": "Europe/Lisbon",
            "is_team": false,
            "iterated": tasks.len(),
            "distinct": tasks.len(),
            "length": total,
            "sliced": 20,
            "bug_created_year": year,
            "bug_owner": bug["owner_link"],
            "bug_tasks": bug_tasks.len(),
            "activity": activity.len(),
            "first_activity": "added bug",
            "messages": messages.len(),
            "message_length": message_total,
            "message_owner": messages[0]["owner_link"],
            "by_email": SAMPLE_MEMBER,
            "members": 24,
            "membership": SAMPLE_MEMBER,
            "project": "exampleproj",
            "project_tasks": project.len(),
            "unknown_person": true,
            "unknown_bug": true,
        })
    );
    let stats = server.fake.stats();
    assert_eq!(stats.by_kind["wadl"], 1);
}
