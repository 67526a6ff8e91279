//! `searchTasks`: parameters, filters, orders.

use std::collections::BTreeSet;

use launchpad_fake::landmarks;
use serde_json::Value;

use crate::support::{ALL_STATUSES, Server, links};

async fn found(server: &Server, query: &str) -> Vec<Value> {
    server
        .walk(&format!("devel/{query}&ws.op=searchTasks&ws.size=300"))
        .await
}

fn field<'a>(entries: &'a [Value], name: &str) -> Vec<&'a str> {
    entries
        .iter()
        .map(|entry| entry[name].as_str().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn every_encoding_of_a_parameter_finds_the_same() {
    let server = Server::sample().await;
    let root = server.fake.root();
    let lists = [
        "bugs?status=New&status=In+Progress",
        "bugs?status=%5B%22New%22%2C+%22In+Progress%22%5D",
        "bugs?status=%22New%22&status=%22In+Progress%22",
    ];
    let expected = found(&server, lists[0]).await;
    let statuses: BTreeSet<&str> = field(&expected, "status").into_iter().collect();
    assert_eq!(statuses, BTreeSet::from(["New", "In Progress"]));
    for query in lists {
        assert_eq!(
            links(&found(&server, query).await),
            links(&expected),
            "{query}"
        );
    }
    let dates = [
        "bugs?created_since=2025-06-01",
        "bugs?created_since=%222025-06-01%22",
        "bugs?created_since=2025-06-01T00%3A00%3A00%2B00%3A00",
        "bugs?created_since=2025-06-01T00%3A00%3A00Z",
    ];
    let expected = found(&server, dates[0]).await;
    assert!(!expected.is_empty());
    for query in dates {
        assert_eq!(
            links(&found(&server, query).await),
            links(&expected),
            "{query}"
        );
    }
    let absolute = format!("bugs?owner={root}devel/~ada-example");
    let owned = found(&server, &absolute).await;
    assert!(!owned.is_empty());
    assert!(
        field(&owned, "owner_link")
            .iter()
            .all(|owner| owner.ends_with("/devel/~ada-example"))
    );
    for query in [
        "bugs?owner=%2F~ada-example",
        "bugs?owner=%22/~ada-example%22",
        "bugs?owner=/devel/~ada-example",
    ] {
        assert_eq!(
            links(&found(&server, query).await),
            links(&owned),
            "{query}"
        );
    }
    let unknown = found(&server, "bugs?owner=/~ada-example&no_such_parameter=1").await;
    assert_eq!(
        links(&unknown),
        links(&owned),
        "unknown parameters are ignored"
    );
}

#[tokio::test]
async fn wrong_parameters_are_all_named_in_one_text() {
    let server = Server::sample().await;
    let (status, text) = server
        .refusal("devel/bugs?ws.op=searchTasks&status=new&created_since=2025-01-01T00:00:00&owner=/~nobody&omit_duplicates=7")
        .await;
    assert_eq!(status, 400);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0]
            .starts_with("status: Invalid value \"new\". Acceptable values are: New, Incomplete, "),
        "{text}"
    );
    assert_eq!(lines[1], "created_since: Time not in UTC.");
    assert_eq!(lines[2], "owner: No such object \"/~nobody\".");
    assert_eq!(lines[3], "omit_duplicates: got 'int', expected bool: 7");
    for (query, expected) in [
        (
            "modified_since=soon",
            "modified_since: Value doesn't look like a date.",
        ),
        (
            "modified_since=20250101",
            "modified_since: Value doesn't look like a date.",
        ),
        (
            "assignee=ada-example",
            "assignee: \"ada-example\" is not a valid URI.",
        ),
        ("order_by=colour", "Unrecognized order_by: 'colour'"),
        (
            "importance=Huge",
            "importance: Invalid value \"Huge\". Acceptable values are: Unknown, Undecided, Critical, High, Medium, Low, Wishlist",
        ),
    ] {
        let refusal = server
            .refusal(&format!("devel/bugs?ws.op=searchTasks&{query}"))
            .await;
        assert_eq!(refusal, (400, expected.to_owned()));
    }
    assert_eq!(
        server
            .refusal("devel/bugs?ws.op=searchTasks&milestone=/exampleproj/+milestone/1.0")
            .await
            .0,
        501
    );
}

#[tokio::test]
async fn dates_are_compared_strictly() {
    let server = Server::sample().await;
    let all = found(
        &server,
        &format!("bugs?{ALL_STATUSES}&omit_duplicates=false"),
    )
    .await;
    let task = all
        .iter()
        .find(|task| task["date_created"].as_str().unwrap().contains('.'))
        .unwrap();
    let created = task["date_created"].as_str().unwrap().replace('+', "%2B");
    let link = task["self_link"].as_str().unwrap();
    for comparison in ["created_since", "created_before"] {
        let query = format!("bugs?{ALL_STATUSES}&omit_duplicates=false&{comparison}={created}");
        let some = found(&server, &query).await;
        assert!(!some.is_empty() && some.len() < all.len());
        assert!(!links(&some).contains(&link), "{comparison}");
    }
    let bug = server.json(task["bug_link"].as_str().unwrap()).await;
    let updated = bug["date_last_updated"]
        .as_str()
        .unwrap()
        .replace('+', "%2B");
    let query =
        |moment: &str| format!("bugs?{ALL_STATUSES}&omit_duplicates=false&modified_since={moment}");
    assert!(!links(&found(&server, &query(&updated)).await).contains(&link));
    let second_before = "2000-01-01";
    assert!(links(&found(&server, &query(second_before)).await).contains(&link));
}

#[tokio::test]
async fn only_unresolved_tasks_of_no_duplicates_are_found_unless_asked() {
    let server = Server::sample().await;
    let default = found(&server, "bugs?").await;
    for closed in ["Fix Released", "Invalid", "Won't Fix", "Opinion", "Expired"] {
        assert!(!field(&default, "status").contains(&closed), "{closed}");
    }
    let bugs = |entries: &[Value]| -> BTreeSet<u32> {
        field(entries, "bug_link")
            .iter()
            .map(|link| link.rsplit('/').next().unwrap().parse().unwrap())
            .collect()
    };
    let all = format!("bugs?{ALL_STATUSES}");
    assert!(!bugs(&found(&server, &all).await).contains(&landmarks::DUPLICATE));
    assert!(
        bugs(&found(&server, &format!("{all}&omit_duplicates=false")).await)
            .contains(&landmarks::DUPLICATE)
    );
    let incomplete = found(&server, "bugs?status=Incomplete").await;
    let answered = found(&server, "bugs?status=Incomplete+%28with+response%29").await;
    let unanswered = found(&server, "bugs?status=Incomplete+%28without+response%29").await;
    assert!(!answered.is_empty());
    assert_eq!(answered.len() + unanswered.len(), incomplete.len());
}

#[tokio::test]
async fn a_target_has_its_own_tasks_and_a_distribution_its_packages_too() {
    let server = Server::sample().await;
    let in_target = |path: &'static str| format!("{path}?{ALL_STATUSES}");
    let project = found(&server, &in_target("exampleproj")).await;
    assert!(!project.is_empty());
    assert!(
        field(&project, "target_link")
            .iter()
            .all(|target| target.ends_with("/devel/exampleproj"))
    );
    let package = found(&server, &in_target("exampledistro/+source/examplepkg")).await;
    assert!(
        field(&package, "bug_target_name")
            .iter()
            .all(|name| *name == "examplepkg (Exampledistro)")
    );
    let distribution = found(&server, &in_target("exampledistro")).await;
    let distribution: BTreeSet<&str> = links(&distribution).into_iter().collect();
    assert!(
        !package.is_empty()
            && links(&package)
                .iter()
                .all(|link| distribution.contains(link))
    );
}

#[tokio::test]
async fn a_persons_search_is_the_union_of_their_roles() {
    let server = Server::sample().await;
    let everything = format!("{ALL_STATUSES}&omit_duplicates=false");
    let related = found(&server, &format!("~bob-example?{everything}")).await;
    let union: BTreeSet<String> = links(&related).into_iter().map(str::to_owned).collect();
    let mut expected = BTreeSet::new();
    for role in [
        "assignee",
        "bug_commenter",
        "bug_subscriber",
        "owner",
        "structural_subscriber",
        "bug_reporter",
    ] {
        let tasks = found(&server, &format!("bugs?{everything}&{role}=/~bob-example")).await;
        expected.extend(links(&tasks).into_iter().map(str::to_owned));
    }
    assert_eq!(union, expected);
    assert!(union.len() > 20, "{}", union.len());

    // Naming the person in a role leaves that role; naming somebody else in one narrows the others.
    let related = found(&server, &format!("~ada-example?{everything}")).await;
    let assigned = found(
        &server,
        &format!("~ada-example?{everything}&assignee=/~ada-example"),
    )
    .await;
    assert!(!assigned.is_empty() && assigned.len() < related.len());
    assert!(
        field(&assigned, "assignee_link")
            .iter()
            .all(|link| link.ends_with("/~ada-example"))
    );
    let narrowed = found(
        &server,
        &format!("~bob-example?{everything}&assignee=/~ada-example"),
    )
    .await;
    assert!(!narrowed.is_empty() && narrowed.len() < union.len());
    assert!(
        field(&narrowed, "assignee_link")
            .iter()
            .all(|link| link.ends_with("/~ada-example"))
    );
    assert!(links(&narrowed).iter().all(|link| union.contains(*link)));

    let structural = found(
        &server,
        &format!("bugs?{everything}&structural_subscriber=/~zed-example"),
    )
    .await;
    assert!(!structural.is_empty());
    assert!(
        field(&structural, "target_link")
            .iter()
            .all(|link| link.ends_with("/exampledocs"))
    );

    let others = "assignee=/~carol-example&bug_commenter=/~carol-example&bug_subscriber=/~carol-example\
        &owner=/~carol-example&structural_subscriber=/~carol-example";
    let (status, text) = server
        .refusal(&format!("devel/~bob-example?ws.op=searchTasks&{others}"))
        .await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with("Cannot search for related tasks to 'bob-example', at least one"),
        "{text}"
    );
}

#[tokio::test]
async fn the_member_is_found_in_every_public_bug() {
    let server = Server::sample().await;
    let everything = format!("{ALL_STATUSES}&omit_duplicates=false&order_by=id");
    let hers = found(&server, &format!("~ada-example?{everything}")).await;
    let all = found(&server, &format!("bugs?{everything}")).await;
    let bugs = |entries: &[Value]| -> BTreeSet<String> {
        field(entries, "bug_link")
            .iter()
            .map(|link| (*link).to_owned())
            .collect()
    };
    assert_eq!(bugs(&hers), bugs(&all));
    // 200 bugs, of which the landmark and every ninety-seventh are private.
    assert_eq!(bugs(&all).len(), 200 - 3);
}

#[tokio::test]
async fn orders_are_as_asked_and_importance_by_default() {
    let server = Server::sample().await;
    for (order, name) in [("datecreated", "date_created"), ("date_last_updated", "")] {
        let tasks = found(
            &server,
            &format!("exampleproj?{ALL_STATUSES}&order_by={order}"),
        )
        .await;
        let mut values = Vec::new();
        for task in &tasks {
            let value = if name.is_empty() {
                server.json(task["bug_link"].as_str().unwrap()).await["date_last_updated"].clone()
            } else {
                task[name].clone()
            };
            values.push(chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap());
        }
        assert!(values.len() > 10 && values.is_sorted(), "{order}");
    }
    let ids = |tasks: &[Value]| -> Vec<u32> {
        field(tasks, "bug_link")
            .iter()
            .map(|link| link.rsplit('/').next().unwrap().parse().unwrap())
            .collect()
    };
    assert!(ids(&found(&server, "bugs?order_by=id").await).is_sorted());
    assert!(
        ids(&found(&server, "bugs?order_by=-id").await).is_sorted_by(|one, other| one >= other)
    );
    let ranks = [
        "Unknown",
        "Critical",
        "High",
        "Medium",
        "Low",
        "Wishlist",
        "Undecided",
    ];
    let default = found(&server, "bugs?").await;
    let importances = field(&default, "importance");
    assert!(importances.is_sorted_by_key(|name| ranks.iter().position(|rank| rank == name)));
    let both = found(&server, "bugs?order_by=%5B%22status%22%2C+%22-id%22%5D").await;
    assert_eq!(both.len(), default.len());
    assert_eq!(field(&both, "status")[0], "New");
}

#[tokio::test]
async fn tags_and_words_narrow_a_search() {
    let server = Server::sample().await;
    let all = found(&server, "bugs?").await;
    let tagged = found(&server, "bugs?tags=crash").await;
    let untagged = found(&server, "bugs?tags=-crash").await;
    assert!(!tagged.is_empty() && tagged.len() < all.len());
    assert_eq!(tagged.len() + untagged.len(), all.len());
    for task in &tagged {
        let bug = server.json(task["bug_link"].as_str().unwrap()).await;
        assert!(
            bug["tags"]
                .as_array()
                .unwrap()
                .contains(&Value::from("crash"))
        );
    }
    let any = found(&server, "bugs?tags=crash&tags=parser").await;
    let both = found(&server, "bugs?tags=crash&tags=parser&tags_combinator=All").await;
    assert!(both.len() < tagged.len() && tagged.len() < any.len());
    let words = found(&server, "bugs?search_text=Timeout").await;
    assert!(!words.is_empty());
    assert!(
        field(&words, "title")
            .iter()
            .all(|title| title.to_lowercase().contains("timeout"))
    );
}
