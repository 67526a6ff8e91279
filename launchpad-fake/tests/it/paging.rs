//! Collections and their pages.

use launchpad_fake::landmarks;
use serde_json::Value;

use crate::support::{ALL_STATUSES, Server, links};

const MEMBER_TASKS: &str = "~ada-example?ws.op=searchTasks&order_by=id";

#[tokio::test]
async fn pages_of_any_size_add_up_to_the_same_whole() {
    let server = Server::sample().await;
    let path = |size| format!("devel/{MEMBER_TASKS}&{ALL_STATUSES}&ws.size={size}");
    let whole = server.walk(&path(300)).await;
    assert!(whole.len() > 300, "{}", whole.len());
    assert_eq!(links(&server.walk(&path(75)).await), links(&whole));
    let default = server
        .walk(&format!("devel/{MEMBER_TASKS}&{ALL_STATUSES}"))
        .await;
    assert_eq!(links(&default), links(&whole));
    let messages = format!("devel/bugs/{}/messages", landmarks::THREE_PAGES_OF_MESSAGES);
    let one_by_one = server.walk(&format!("{messages}?ws.size=1")).await;
    assert!(one_by_one.len() > 200);
    assert_eq!(one_by_one, server.walk(&messages).await);
}

#[tokio::test]
async fn the_total_is_named_where_the_version_says() {
    let server = Server::sample().await;
    let query = format!("{MEMBER_TASKS}&{ALL_STATUSES}");
    let first = server.json(&format!("devel/{query}")).await;
    assert_eq!(first.get("total_size"), None);
    assert_eq!(first.get("resource_type_link"), None);
    assert_eq!(first["start"], 0);
    let total = server
        .json(first["total_size_link"].as_str().unwrap())
        .await;
    let total = total.as_u64().unwrap();
    for version in ["1.0", "beta"] {
        assert_eq!(
            server.json(&format!("{version}/{query}")).await["total_size"],
            total
        );
    }
    let last = server
        .json(&format!("devel/{query}&memo=375&ws.start=375"))
        .await;
    assert_eq!(last["total_size"], total);
    assert_eq!(last.get("total_size_link"), None);

    let activity = format!("devel/bugs/{}/activity", landmarks::TWO_PAGES_OF_ACTIVITY);
    let plain = server.json(&activity).await;
    assert!(plain["total_size"].as_u64().unwrap() > 75);
    assert!(plain["next_collection_link"].is_string());
    let kind = plain["resource_type_link"].as_str().unwrap();
    assert!(
        kind.ends_with("/devel/#bug_activity-page-resource"),
        "{kind}"
    );
    assert_eq!(
        server.json(&format!("{activity}?ws.show=total_size")).await,
        plain["total_size"]
    );

    let nothing = "devel/~ada-example?ws.op=searchTasks&created_since=2030-01-01";
    let empty = server.get(nothing).await;
    assert_eq!(
        empty.body,
        r#"{"start": 0, "total_size": 0, "entries": []}"#
    );
}

#[tokio::test]
async fn a_page_can_be_walked_back_from() {
    let server = Server::sample().await;
    let query = format!("devel/{MEMBER_TASKS}&{ALL_STATUSES}");
    let first = server.json(&query).await;
    let second = server
        .json(first["next_collection_link"].as_str().unwrap())
        .await;
    let back = server
        .json(second["prev_collection_link"].as_str().unwrap())
        .await;
    assert_eq!(back["entries"], first["entries"]);
    assert_eq!(back.get("prev_collection_link"), None);
    let third = server
        .json(second["next_collection_link"].as_str().unwrap())
        .await;
    let prev = third["prev_collection_link"].as_str().unwrap();
    assert!(
        prev.ends_with("&ws.size=75&direction=backwards&memo=150&ws.start=75"),
        "{prev}"
    );
    assert_eq!(server.json(prev).await["entries"], second["entries"]);
}

#[tokio::test]
async fn hidden_rows_shorten_a_page_but_not_the_total() {
    let server = Server::sample().await;
    let page = server
        .json(&format!(
            "devel/bugs/{}/messages",
            landmarks::HIDDEN_MESSAGES
        ))
        .await;
    assert_eq!(page["total_size"], 100);
    assert!(page["next_collection_link"].is_string());
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 75 - 7);
    let numbers: Vec<&str> = links(entries)
        .iter()
        .map(|link| link.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        numbers[..4],
        ["0", "1", "2", "4"],
        "numbers stay as they are"
    );

    // The tasks of private bugs are dropped from searches in the same way.
    let query = format!("1.0/bugs?ws.op=searchTasks&order_by=id&{ALL_STATUSES}");
    let total = server
        .json(&format!("{query}&ws.show=total_size"))
        .await
        .as_u64()
        .unwrap();
    let tasks = server.walk(&query).await;
    assert!((tasks.len() as u64) < total);
    let private = format!("/{}", landmarks::PRIVATE);
    assert!(
        tasks
            .iter()
            .all(|task| !task["bug_link"].as_str().unwrap().ends_with(&private))
    );
}

#[tokio::test]
async fn sizes_beyond_the_maximum_and_memos_that_are_no_numbers_are_refused() {
    let server = Server::sample().await;
    let path = format!("devel/{MEMBER_TASKS}");
    assert_eq!(
        server.refusal(&format!("{path}&ws.size=301")).await,
        (400, "Maximum for \"ws.size\" parameter is 300.".to_owned())
    );
    assert_eq!(server.refusal(&format!("{path}&memo=abc")).await.0, 400);
    let page = server
        .json(&format!("{path}&ws.size=none&{ALL_STATUSES}"))
        .await;
    let next = page["next_collection_link"].as_str().unwrap();
    assert!(next.ends_with("&ws.size=75&memo=75&ws.start=75"), "{next}");
}

#[tokio::test]
async fn entries_in_collections_are_those_of_their_links() {
    let server = Server::sample().await;
    for path in [
        format!("devel/{MEMBER_TASKS}&ws.size=5"),
        format!("devel/bugs/{}/bug_tasks", landmarks::MANY_TASKS),
        format!("devel/bugs/{}/messages", landmarks::ORDINARY),
        "devel/~example-devs/members_details".to_owned(),
        "devel/people?ws.op=find&text=carol".to_owned(),
        "devel/projects".to_owned(),
    ] {
        let page = server.json(&path).await;
        let entries = page["entries"].as_array().unwrap();
        assert!(!entries.is_empty(), "{path}");
        for entry in entries.iter().take(3) {
            let link = entry["self_link"].as_str().unwrap();
            assert_eq!(&server.json(link).await, entry, "{link}");
        }
    }
    let related = format!("devel/bugs/{}/bug_tasks", landmarks::MANY_TASKS);
    let tasks = server.walk(&related).await;
    let others: Vec<Value> = server
        .walk(tasks[2]["related_tasks_collection_link"].as_str().unwrap())
        .await;
    assert_eq!(others.len(), tasks.len() - 1);
    assert!(!others.contains(&tasks[2]));
}
