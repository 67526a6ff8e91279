//! Recorded responses, served again.

use std::path::Path;

use launchpad_fake::{LaunchpadFake, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{LOOPBACK, Server, links, shared};

fn options(folder: &Path) -> Options {
    Options {
        replay: Some(folder.to_owned()),
        ..Options::default()
    }
}

async fn start_error(folder: &Path) -> String {
    match LaunchpadFake::start(options(folder), LOOPBACK).await {
        Ok(_) => "started".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn production_recordings_are_served_with_links_to_here() {
    let Some(recorded) = shared("data/launchpad/production-1.0") else {
        return;
    };
    let folder = TempDir::new().unwrap();
    for item in std::fs::read_dir(&recorded).unwrap() {
        let path = item.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let activity = json!({"self_link": "https://api.launchpad.net/1.0/bugs/1/activity",
        "resource_type_link": "https://api.launchpad.net/1.0/#bug_activity",
        "person_link": "https://api.launchpad.net/1.0/~jelmer", "whatchanged": "bug"});
    let index = json!({
        "version": "1.0",
        "~jelmer?ws.op=searchTasks": "bug_tasks.json",
        "bugs/1/bug_tasks": "bug_tasks.json",
        "bugs/1/activity": {"entries": [activity]},
        "bugs/1/messages": {"entries": []},
        "people?ws.op=getByEmail": "person.json",
    });
    std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    let server = Server::start(options(folder.path())).await;
    let root = server.fake.root();

    let original: Value =
        serde_json::from_slice(&std::fs::read(recorded.join("bug.json")).unwrap()).unwrap();
    for version in ["1.0", "devel"] {
        let bug = server.json(&format!("{version}/bugs/1")).await;
        assert_eq!(bug["self_link"], format!("{root}{version}/bugs/1"));
        assert_eq!(bug["owner_link"], format!("{root}{version}/~sabdfl"));
        assert_eq!(
            bug["web_link"], original["web_link"],
            "only links of the service are rewritten"
        );
        assert_eq!(bug["description"], original["description"]);
        assert_eq!(bug["heat"], original["heat"]);
    }
    let reply = server.get("devel/bugs/1").await;
    assert_eq!(
        reply.header("etag"),
        original["http_etag"].as_str().unwrap()
    );
    let conditional = server
        .get_with("devel/bugs/1", &[("if-none-match", reply.header("etag"))])
        .await;
    assert_eq!(conditional.status, 304);

    // A recorded collection is paged by the fake's own rules.
    let search = "devel/~jelmer?ws.op=searchTasks&modified_since=2020-01-01";
    let tasks = server.walk(&format!("{search}&ws.size=7")).await;
    assert_eq!(tasks.len(), 30);
    assert_eq!(tasks, server.walk(search).await);
    let first = server.json(&format!("{search}&ws.size=7")).await;
    assert_eq!(
        server
            .json(first["total_size_link"].as_str().unwrap())
            .await,
        30
    );
    let plain = server.json("1.0/bugs/1/bug_tasks").await;
    assert_eq!(
        plain["resource_type_link"],
        format!("{root}1.0/#bug_task-page-resource")
    );
    assert_eq!(plain["total_size"], 30);

    // Entries within a collection are served by their own links; those of activity have none.
    let link = links(&tasks)[3].to_owned();
    assert_eq!(server.json(&link).await, tasks[3]);
    let activity = server.json("devel/bugs/1/activity").await;
    assert_eq!(
        activity["entries"][0]["person_link"],
        format!("{root}devel/~jelmer")
    );
    assert_eq!(
        activity["resource_type_link"],
        format!("{root}devel/#bug_activity-page-resource")
    );
    let empty = server.json("devel/bugs/1/messages").await;
    assert_eq!(
        (&empty["total_size"], &empty["entries"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(
        server.json("devel/people?ws.op=getByEmail&email=x").await["name"],
        "jelmer"
    );
    assert_eq!(
        server.json("devel/~jelmer").await["time_zone"],
        "Europe/London"
    );

    for unknown in [
        "devel/bugs/3",
        "devel/~nobody",
        "devel/bugs/1?ws.op=searchTasks",
        "devel/bugs/1/attachments",
    ] {
        assert_eq!(server.refusal(unknown).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn recordings_that_cannot_be_served_stop_the_start_and_name_their_file() {
    let entry = |link: &str| json!({"self_link": link, "id": 1}).to_string();
    let bug = "https://api.launchpad.net/1.0/bugs/1";
    let cases = [
        (
            vec![("a.json", "{\"self_link\": ".to_owned())],
            "a.json is not JSON; record it again",
        ),
        (
            vec![("a.json", entry(bug)), ("b.json", entry(bug))],
            "b.json have the same self_link",
        ),
        (
            vec![("a.json", entry("ftp://nowhere"))],
            "a.json: its self_link",
        ),
        (
            vec![("a.json", "[]".to_owned())],
            "a.json: it has neither a self_link nor entries",
        ),
        (
            vec![("index.json", "{\"bugs/1\": \"missing.json\"}".to_owned())],
            "cannot read",
        ),
        (
            vec![("index.json", "{\"bugs/1\": 7}".to_owned())],
            "index.json: bugs/1: the answer has to be",
        ),
        (
            vec![("index.json", "{\"version\": \"9\"}".to_owned())],
            "index.json: version has to be",
        ),
        (
            vec![
                ("index.json", "{\"version\": \"devel\"}".to_owned()),
                ("a.json", entry(bug)),
            ],
            "a.json: it was recorded from https://api.launchpad.net/1.0, but the index says version devel",
        ),
    ];
    for (files, expected) in cases {
        let folder = TempDir::new().unwrap();
        for (name, body) in files {
            std::fs::write(folder.path().join(name), body).unwrap();
        }
        let error = start_error(folder.path()).await;
        assert!(error.contains(expected), "{error}");
    }
    let folder = TempDir::new().unwrap();
    assert!(
        start_error(&folder.path().join("absent"))
            .await
            .starts_with("cannot read ")
    );
}

#[tokio::test]
async fn a_collection_may_be_recorded_page_by_page() {
    let folder = TempDir::new().unwrap();
    for (name, ids) in [("one.json", [1, 2]), ("two.json", [3, 4])] {
        let entries: Vec<Value> = ids
            .iter()
            .map(|id| json!({"self_link": format!("https://api.launchpad.net/devel/bugs/{id}")}))
            .collect();
        std::fs::write(
            folder.path().join(name),
            json!({"entries": entries}).to_string(),
        )
        .unwrap();
    }
    let index = json!({"exampleproj?ws.op=searchTasks": ["one.json", "two.json"]});
    std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    let server = Server::start(options(folder.path())).await;
    let entries = server
        .walk("devel/exampleproj?ws.op=searchTasks&ws.size=3")
        .await;
    let expected: Vec<String> = (1..5)
        .map(|id| server.url(&format!("devel/bugs/{id}")))
        .collect();
    assert_eq!(links(&entries), expected);
}

#[tokio::test]
async fn a_folder_without_an_index_serves_its_entries() {
    let Some(recorded) = shared("data/launchpad/production-1.0") else {
        return;
    };
    let server = Server::start(options(&recorded)).await;
    assert_eq!(server.json("1.0/~jelmer").await["name"], "jelmer");
    assert_eq!(server.json("devel/launchpad").await["name"], "launchpad");
    let task = server.json("devel/clubdistro/+bug/1").await;
    assert_eq!(task["bug_link"], server.url("devel/bugs/1"));
    // Of which collection a file without a link of its own is, nothing says.
    assert_eq!(server.get("devel/bugs/1/bug_tasks").await.status, 404);
}
