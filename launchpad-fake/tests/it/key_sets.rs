//! Entries have exactly the keys that the real service's description gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use launchpad_fake::landmarks;
use serde_json::Value;

use crate::support::{Server, shared};

/// The keys of each `<type>-full` representation in a description of the service.
fn described(wadl: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut types = BTreeMap::new();
    for part in wadl.split("<wadl:representation ").skip(1) {
        let Some(id) = attribute(part, "id").filter(|id| id.ends_with("-full")) else {
            continue;
        };
        let part = part
            .split("</wadl:representation>")
            .next()
            .unwrap_or_default();
        let keys = part
            .split("<wadl:param ")
            .skip(1)
            .filter_map(|param| attribute(param, "name"));
        types.insert(
            id.trim_end_matches("-full").to_owned(),
            keys.map(str::to_owned).collect(),
        );
    }
    types
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, value) = tag.split_once(&format!("{name}=\""))?;
    value.split('"').next()
}

#[expect(clippy::unwrap_used, reason = "test helper")]
fn keys(entry: &Value) -> BTreeSet<String> {
    entry.as_object().unwrap().keys().cloned().collect()
}

/// One entry of each type, by the type's name.
async fn served(server: &Server, version: &str) -> BTreeMap<&'static str, Vec<Value>> {
    let bug = |id: u32| format!("{version}/bugs/{id}");
    let mut served = BTreeMap::new();
    let mut bugs = Vec::new();
    let (mut tasks, mut activity, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for id in [
        landmarks::ORDINARY,
        landmarks::MANY_TASKS,
        landmarks::DUPLICATE,
        landmarks::CHANGED_MESSAGES,
    ] {
        bugs.push(server.json(&bug(id)).await);
        tasks.extend(server.walk(&format!("{}/bug_tasks", bug(id))).await);
        activity.extend(server.walk(&format!("{}/activity", bug(id))).await);
        messages.extend(server.walk(&format!("{}/messages", bug(id))).await);
    }
    served.insert("bug", bugs);
    served.insert("bug_task", tasks);
    served.insert("bug_activity", activity);
    served.insert("message", messages);
    let mut people = Vec::new();
    for name in ["ada-example", "frank-example"] {
        people.push(server.json(&format!("{version}/~{name}")).await);
    }
    served.insert("person", people);
    served.insert(
        "team",
        vec![server.json(&format!("{version}/~example-devs")).await],
    );
    served.insert(
        "team_membership",
        server
            .walk(&format!("{version}/~example-devs/members_details"))
            .await,
    );
    served
}

#[tokio::test]
async fn keys_are_those_of_the_real_description() {
    let Some(path) = shared("data/launchpad/devel.wadl.gz") else {
        return;
    };
    let mut wadl = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut wadl)
        .unwrap();
    let described = described(&wadl);
    let server = Server::sample().await;
    for (name, entries) in served(&server, "devel").await {
        assert!(!entries.is_empty(), "{name}");
        for entry in entries {
            assert_eq!(keys(&entry), described[name], "{name}");
            assert!(
                entry["resource_type_link"]
                    .as_str()
                    .unwrap()
                    .ends_with(&format!("/devel/#{name}"))
            );
        }
    }
}

#[tokio::test]
async fn keys_are_those_of_the_own_description_in_every_version() {
    let server = Server::sample().await;
    for version in ["beta", "1.0", "devel"] {
        let reply = server
            .get_with(
                &format!("{version}/"),
                &[("accept", "application/vnd.sun.wadl+xml")],
            )
            .await;
        assert_eq!(reply.header("content-type"), "application/vnd.sun.wadl+xml");
        let own = described(&reply.body);
        for (name, entries) in served(&server, version).await {
            for entry in entries {
                assert_eq!(keys(&entry), own[name], "{name} in {version}");
            }
        }
    }
    let by_parameter = server
        .get("devel/?ws.accept=application/vnd.sun.wadl%2Bxml")
        .await;
    assert!(by_parameter.body.starts_with("<?xml"));
    let back = server
        .get_with(
            "devel/?ws.accept=application/json",
            &[("accept", "application/vnd.sun.wadl+xml")],
        )
        .await;
    assert!(back.json()["people_collection_link"].is_string());
}

#[tokio::test]
async fn keys_of_old_versions_are_those_of_recorded_entries() {
    let Some(folder) = shared("data/launchpad/production-1.0") else {
        return;
    };
    let server = Server::sample().await;
    let served = served(&server, "1.0").await;
    for (name, file) in [
        ("bug", "bug.json"),
        ("person", "person.json"),
        ("team", "team.json"),
    ] {
        let recorded: Value =
            serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        assert_eq!(keys(&served[name][0]), keys(&recorded), "{name}");
    }
    let recorded: Value =
        serde_json::from_slice(&std::fs::read(folder.join("bug_tasks.json")).unwrap()).unwrap();
    assert_eq!(keys(&served["bug_task"][0]), keys(&recorded["entries"][0]));
}
