//! Links, times and the shapes of entries.

use launchpad_fake::landmarks;
use serde_json::Value;

use crate::support::Server;

fn strings<'a>(value: &'a Value, found: &mut Vec<(String, &'a str)>, key: &str) {
    match value {
        Value::String(text) => found.push((key.to_owned(), text)),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found, key)),
        Value::Object(members) => members
            .iter()
            .for_each(|(key, member)| strings(member, found, key)),
        _ => {}
    }
}

#[tokio::test]
async fn links_are_made_of_the_host_and_version_that_were_asked_for() {
    let server = Server::sample().await;
    let reply = server
        .get_with(
            &format!("1.0/bugs/{}", landmarks::ORDINARY),
            &[("host", "lp.example:81")],
        )
        .await;
    let entry = reply.json();
    let mut found = Vec::new();
    strings(&entry, &mut found, "");
    for (key, text) in found.iter().filter(|(key, _)| key.ends_with("_link")) {
        if key == "web_link" {
            assert!(
                text.starts_with("https://bugs.launchpad.test/bugs/"),
                "{text}"
            );
        } else {
            assert!(
                text.starts_with("http://lp.example:81/1.0/"),
                "{key}: {text}"
            );
        }
    }
    assert_eq!(entry["can_expire"], false);
    assert_eq!(entry.get("lock_status"), None);
}

#[tokio::test]
async fn activity_entries_have_the_link_of_their_collection_and_messages_a_number() {
    let server = Server::sample().await;
    let collection = server.url(&format!("devel/bugs/{}/activity", landmarks::ORDINARY));
    let activity = server.walk(&collection).await;
    assert!(
        activity
            .iter()
            .all(|entry| entry["self_link"] == collection.as_str())
    );
    assert_eq!(activity[0]["whatchanged"], "bug");
    assert_eq!(activity[0]["message"], "added bug");
    let bug = server
        .json(&format!("devel/bugs/{}", landmarks::ORDINARY))
        .await;
    let messages = server
        .walk(bug["messages_collection_link"].as_str().unwrap())
        .await;
    assert_eq!(bug["message_count"].as_u64(), Some(messages.len() as u64));
    let first = &messages[0];
    assert!(
        first["self_link"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/+bug/{}/comments/0", landmarks::ORDINARY))
    );
    assert_eq!(first["date_created"], bug["date_created"]);
    assert_eq!(first["owner_link"], bug["owner_link"]);
    assert_eq!(activity[0]["datechanged"], bug["date_created"]);
}

#[tokio::test]
async fn unset_assignees_are_null_and_others_are_named_in_full() {
    let server = Server::sample().await;
    let (mut unset, mut named) = (0, 0);
    for id in landmarks::FIRST_BUG + 100..landmarks::FIRST_BUG + 150 {
        let path = format!("devel/bugs/{id}/activity");
        if server.get(&path).await.status == 404 {
            continue;
        }
        for entry in server.walk(&path).await {
            if entry["whatchanged"]
                .as_str()
                .unwrap()
                .ends_with(": assignee")
            {
                for value in [&entry["oldvalue"], &entry["newvalue"]] {
                    match value.as_str() {
                        None => unset += 1,
                        Some(text) => {
                            assert!(
                                text.ends_with("-example)") && text.contains(" Example ("),
                                "{text}"
                            );
                            named += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(unset > 0 && named > 0);
}

#[tokio::test]
async fn markup_in_texts_is_escaped_on_the_wire() {
    let server = Server::sample().await;
    let body = server.get("devel/~zed-example").await.body;
    assert!(
        body.contains(r"Zed \u0026 \u003cSons\u003e Example"),
        "{body}"
    );
    assert!(body.is_ascii());
    for path in ["devel/bugs?ws.op=searchTasks&ws.size=300", "devel/people"] {
        let body = server.get(path).await.body;
        assert!(body.is_ascii() && !body.contains(['<', '>', '&']), "{path}");
    }
}

#[tokio::test]
async fn times_are_in_utc_with_microseconds_only_where_there_are_any() {
    let server = Server::sample().await;
    let times = |entries: Vec<Value>| -> Vec<String> {
        entries
            .iter()
            .map(|entry| entry["date_created"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = |id: u32| format!("devel/bugs/{id}/messages");
    let whole = times(server.walk(&path(landmarks::WHOLE_SECONDS)).await);
    assert!(
        whole
            .iter()
            .all(|time| time.len() == "2004-10-28T20:45:27+00:00".len()),
        "{whole:?}"
    );
    let mixed = times(server.walk(&path(landmarks::THREE_PAGES_OF_MESSAGES)).await);
    assert!(
        mixed.iter().any(|time| time.contains('.')) && mixed.iter().any(|time| !time.contains('.'))
    );
    let edges = times(server.walk(&path(landmarks::EDGES_OF_TIME)).await);
    for (moment, what) in landmarks::EDGE_MOMENTS {
        assert!(edges.iter().any(|time| time == moment), "{what}");
    }
}

#[tokio::test]
async fn changed_messages_say_so() {
    let server = Server::sample().await;
    let messages = server
        .walk(&format!(
            "devel/bugs/{}/messages",
            landmarks::CHANGED_MESSAGES
        ))
        .await;
    assert!(messages[2]["date_last_edited"].is_string());
    assert!(messages[3]["date_deleted"].is_string());
    assert_eq!(messages[3]["content"], "");
    let duplicate = server
        .json(&format!("devel/bugs/{}", landmarks::DUPLICATE))
        .await;
    assert_eq!(
        duplicate["duplicate_of_link"],
        server.url(&format!("devel/bugs/{}", landmarks::OLD_BUG))
    );
}
