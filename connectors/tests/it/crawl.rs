//! What is landed of Launchpad: everything once, by event time, with stable keys.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connectors::extract::{Control, ErrorClass, ExtractError};
use connectors::option::OptionValue;
use connectors::source::SourceFactory;
use serde_json::{Value, json};

use crate::server::{Reply, Request, Server};
use crate::support::{Outcome, bugs, declared, launchpad, read, read_with};
use crate::tracker::{Bug, Tracker};

async fn serve(tracker: Tracker) -> std::io::Result<Server> {
    Server::start(Duration::ZERO, move |request| tracker.answer(request)).await
}

fn comment(when: &'static str, who: &'static str) -> (&'static str, &'static str, &'static str) {
    (when, who, "comment")
}

#[tokio::test]
async fn a_person_with_301_tasks_on_301_bugs_is_read_whole() -> Outcome {
    let server = serve(Tracker::new(
        (1..=301).map(|number| (number, Bug::of_ada())),
    ))
    .await?;
    let read = read(&bugs(&server.root, &[("concurrency", "8")])?).await;
    assert!(read.error.is_none(), "{:?}", read.error);
    assert_eq!(read.units.len(), 301);
    assert_eq!(read.records.len(), 602);
    assert_eq!(read.keys().into_iter().collect::<HashSet<_>>().len(), 602);
    assert_eq!(read.metrics.items_total, Some(301));
    assert!(read.adds_up(), "{:?}", read.metrics);
    Ok(())
}

#[tokio::test]
async fn a_bug_with_200_messages_and_repeated_activities_is_read_whole() -> Outcome {
    let mut bug = Bug::of_ada();
    bug.messages = vec![comment("2024-01-11T00:00:00+00:00", "ada-example"); 200];
    bug.activity = vec![("2024-01-11T00:00:00.5+00:00", "ada-example", "bug tags"); 160];
    bug.activity
        .push(("2024-01-11T00:00:01+00:00", "ada-example", "description"));
    let server = serve(Tracker::new([(7, bug.clone())])).await?;
    let first = read(&bugs(&server.root, &[])?).await;
    assert_eq!(first.records.len(), 1 + 200 + 161);
    assert!(first.keys().contains(&"b-7-m199".to_owned()));
    let positions: HashSet<i64> = first
        .records
        .iter()
        .filter(|record| &*record.resource == "message")
        .filter_map(|record| record.position)
        .collect();
    assert_eq!(positions, (0..200).collect());

    // An earlier entry that appears later does not rename those after it.
    bug.activity
        .insert(0, ("2024-01-10T23:00:00+00:00", "ada-example", "summary"));
    let server = serve(Tracker::new([(7, bug)])).await?;
    let second = read(&bugs(&server.root, &[("page_size", "10")])?).await;
    let (first, second): (HashSet<String>, HashSet<String>) = (
        first.keys().into_iter().collect(),
        second.keys().into_iter().collect(),
    );
    assert_eq!(second.difference(&first).count(), 1);
    assert_eq!(first.difference(&second).count(), 0);
    Ok(())
}

#[tokio::test]
async fn several_tasks_are_one_bug_and_are_embedded_in_it() -> Outcome {
    let mut bug = Bug {
        tasks: 80,
        ..Bug::of_ada()
    };
    bug.activity = vec![(
        "2024-01-12T00:00:00+00:00",
        "ada-example",
        "target0: status",
    )];
    let server = serve(Tracker::new([(5, bug), (6, Bug::of_ada())])).await?;
    let read = read(&bugs(&server.root, &[("page_size", "7")])?).await;
    assert_eq!(read.units.len(), 2);
    let bug = read
        .records
        .iter()
        .find(|record| record.key == "b-5-c")
        .ok_or("no bug")?;
    let entry: Value = serde_json::from_str(&bug.record)?;
    assert_eq!(entry["tasks"].as_array().map(Vec::len), Some(80));
    assert_eq!(
        entry["tasks"][0].as_object().map(|task| task.len()),
        Some(6)
    );
    assert_eq!((bug.parent.as_ref(), bug.position), (None, None));
    let activity = read
        .records
        .iter()
        .find(|record| &*record.resource == "activity")
        .ok_or("no activity")?;
    let parent: Value = serde_json::from_str(activity.parent.as_deref().ok_or("no parent")?)?;
    assert_eq!(parent["tasks"].as_array().map(Vec::len), Some(80));
    assert_eq!(parent["title"], "Bug 5");
    let actor: Value = serde_json::from_str(activity.actor.as_deref().ok_or("no actor")?)?;
    assert_eq!(
        (&actor["name"], actor.get("irrelevant")),
        (&json!("ada-example"), None)
    );
    assert_eq!(activity.actor, activity.root);
    Ok(())
}

#[tokio::test]
async fn the_window_selects_by_event_time_and_finds_work_on_old_bugs() -> Outcome {
    let mut old = Bug::of_ada();
    old.created = "2019-05-05T05:05:05+00:00";
    old.updated = "2024-03-01T00:00:00+00:00";
    old.messages = vec![
        comment("2019-05-05T05:05:05+00:00", "ada-example"),
        comment("2024-01-31T23:59:59.999999+00:00", "ada-example"),
        comment("2024-02-01T00:00:00+00:00", "ada-example"),
        comment("2024-02-29T23:59:59.999999+00:00", "ada-example"),
        comment("2024-03-01T00:00:00+00:00", "ada-example"),
        comment("2024-02-10T00:00:00+00:00", "bob-example"),
    ];
    // Its one change happened exactly when the window begins.
    let edge = Bug {
        updated: "2024-02-01T00:00:00+00:00",
        created: "2024-02-01T00:00:00+00:00",
        messages: Vec::new(),
        ..Bug::of_ada()
    };
    let stale = Bug {
        updated: "2024-01-31T23:59:59+00:00",
        ..Bug::of_ada()
    };
    let server = serve(Tracker::new([(1, old), (2, edge), (3, stale)])).await?;
    let window = [("since", "2024-02-01"), ("before", "2024-03-01")];
    let mine = read(&bugs(&server.root, &window)?).await;
    assert_eq!(mine.keys(), ["b-1-m2", "b-1-m3", "b-2-c"]);
    assert_eq!(
        mine.units.len(),
        2,
        "a bug that did not change since is not read"
    );
    assert_eq!(mine.metrics.entries_filtered, 5);
    assert!(mine.adds_up(), "{:?}", mine.metrics);
    let everyone = read(&bugs(
        &server.root,
        &[window[0], window[1], ("actors", "everyone")],
    )?)
    .await;
    assert_eq!(everyone.keys(), ["b-1-m2", "b-1-m3", "b-1-m5", "b-2-c"]);
    let since = server
        .requests()
        .iter()
        .find_map(|request| request.parameter("modified_since").map(str::to_owned));
    assert_eq!(since.as_deref(), Some("2024-01-31T23:59:59.999999+00:00"));
    Ok(())
}

#[tokio::test]
async fn a_renamed_or_upper_case_member_is_followed_and_compared_by_its_canonical_link() -> Outcome
{
    let tracker = Tracker::new([(1, Bug::of_ada())]);
    let server = Server::start(Duration::ZERO, move |request| match request.path.as_str() {
        "/devel/~ada-former" => {
            let location = request
                .address
                .join("/devel/~ada-example")
                .map(String::from)
                .unwrap_or_default();
            Reply::Full {
                status: 301,
                headers: vec![("location", location)],
                body: String::new(),
            }
        }
        _ => tracker.answer(request),
    })
    .await?;
    for member in ["Ada-Example", "ada-former"] {
        let read = read(&bugs(&server.root, &[("member", member)])?).await;
        assert_eq!(read.keys(), ["b-1-c", "b-1-m0"], "{member}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_and_suspended_members_and_wrong_credentials_end_the_run_and_say_what_to_check()
-> Outcome {
    let tracker = Tracker::default();
    let server = Server::start(Duration::ZERO, move |request| match request.path.as_str() {
        "/devel/~private-example" => Reply::status(401, "Expired token (abc)."),
        _ => tracker.answer(request),
    })
    .await?;
    let table = [
        ("nobody-example", "HTTP 404", "option `member`"),
        ("gone-example", "HTTP 410", "suspended"),
        ("private-example", "Expired token (abc).", "`token_secret`"),
    ];
    for (member, what, advice) in table {
        let read = read(&bugs(&server.root, &[("member", member)])?).await;
        let error = read.error.ok_or("no error")?;
        assert_eq!(error.class(), ErrorClass::Permanent);
        let text = error.to_string();
        assert!(
            text.contains(what) && text.contains(advice) && text.contains(member),
            "{text}"
        );
        assert_eq!(
            server.count(),
            1 + table.iter().position(|row| row.0 == member).unwrap_or(9),
            "it is asked once"
        );
    }
    Ok(())
}

#[tokio::test]
async fn bad_and_missing_times_quarantine_the_entry_and_nothing_else() -> Outcome {
    let mut bug = Bug::of_ada();
    bug.messages = vec![
        comment("2024-01-11T00:00:00+00:00", "ada-example"),
        comment("yesterday", "ada-example"),
        comment("2024-01-11T00:00:00+02:00", "ada-example"),
        comment("2024-01-11T00:00:00", "ada-example"),
        comment("2024-01-12T00:00:00.000001Z", "ada-example"),
        comment("", "bob-example"),
    ];
    bug.activity = vec![("2024-01-11T00:00:00+00:00", "ada-example", "")];
    let server = serve(Tracker::new([(1, bug)])).await?;
    let read = read(&bugs(&server.root, &[])?).await;
    assert!(read.error.is_none());
    assert_eq!(read.records.len(), 4);
    let mut reasons: Vec<String> = read
        .quarantined
        .iter()
        .map(|one| format!("{} {}", one.url, one.reason))
        .collect();
    reasons.sort();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    for (reason, (link, part)) in reasons.iter().zip([
        ("comments/1 ", "yesterday"),
        ("comments/2 ", "in UTC"),
        ("comments/3 ", "offset"),
    ]) {
        assert!(reason.contains(link) && reason.contains(part), "{reason}");
    }
    assert!(
        read.quarantined
            .iter()
            .all(|one| one.class == "malformed" && one.unit == "1")
    );
    assert!(read.adds_up(), "{:?}", read.metrics);
    Ok(())
}

#[tokio::test]
async fn an_entry_without_a_required_field_is_quarantined_with_its_body() -> Outcome {
    let tracker = Tracker::new([(1, Bug::of_ada()), (2, Bug::of_ada()), (3, Bug::of_ada())]);
    let server = Server::start(Duration::ZERO, move |request| {
        let mut reply = tracker.answer(request);
        if let Reply::Json(body) = &mut reply {
            if request.path == "/devel/bugs/2" {
                body["messages_collection_link"] = Value::Null;
            }
            if request.parameter("ws.op").is_some() {
                body["entries"][2]["bug_link"] = Value::Null;
            }
        }
        reply
    })
    .await?;
    let read = read(&bugs(&server.root, &[])?).await;
    assert_eq!(read.keys(), ["b-1-c", "b-1-m0"]);
    let mut reasons: Vec<&str> = read
        .quarantined
        .iter()
        .map(|one| one.reason.as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "the bug has no `messages_collection_link`",
            "the task_search has no `bug_link`"
        ]
    );
    assert!(read.quarantined.iter().all(|one| {
        one.body
            .as_deref()
            .is_some_and(|body| body.contains("self_link"))
    }));
    assert!(read.adds_up(), "{:?}", read.metrics);
    Ok(())
}

#[tokio::test]
async fn private_deleted_and_refused_bugs_are_quarantined_and_the_run_goes_on() -> Outcome {
    let tracker = Tracker::new((1..=5).map(|number| (number, Bug::of_ada())));
    let server = Server::start(Duration::ZERO, move |request| match request.path.as_str() {
        "/devel/bugs/1" => Reply::status(404, "Object: private"),
        "/devel/bugs/2" => Reply::status(410, "gone"),
        "/devel/bugs/3" => Reply::status(401, "You need to be logged in to view this URL."),
        "/devel/bugs/4/messages" => Reply::status(403, "(<Bug>, 'messages', 'launchpad.View')"),
        _ => tracker.answer(request),
    })
    .await?;
    let read = read(&bugs(&server.root, &[])?).await;
    assert!(read.error.is_none());
    assert_eq!(read.keys(), ["b-5-c", "b-5-m0"], "never a part of a unit");
    assert_eq!(read.units.len(), 5);
    assert_eq!(read.quarantined.len(), 4);
    assert!(
        read.quarantined
            .iter()
            .all(|one| one.class == "permanent" && one.url.contains("/bugs/"))
    );
    assert!(read.adds_up(), "{:?}", read.metrics);
    Ok(())
}

#[tokio::test]
async fn actors_are_looked_up_once_and_those_who_are_gone_are_null() -> Outcome {
    let mut bug = Bug::of_ada();
    for who in [
        "bob-example",
        "gone-example",
        "nobody-example",
        "bob-example",
        "ada-example",
    ] {
        bug.messages.push(comment("2024-01-11T00:00:00+00:00", who));
    }
    let bugs_of_all = (1..=6).map(|number| (number, bug.clone()));
    let server = serve(Tracker::new(bugs_of_all)).await?;
    let read = read(&bugs(&server.root, &[("actors", "everyone")])?).await;
    assert_eq!(read.records.len(), 6 * 7);
    assert!(read.quarantined.is_empty());
    let names = |key: &str| {
        let record = read.records.iter().find(|record| record.key == key);
        let actor = record
            .and_then(|record| record.actor.as_deref())
            .and_then(|actor| serde_json::from_str::<Value>(actor).ok());
        actor.and_then(|actor| actor["name"].as_str().map(str::to_owned))
    };
    assert_eq!(names("b-3-m1").as_deref(), Some("bob-example"));
    assert_eq!(names("b-3-m2"), None);
    assert_eq!(names("b-3-m5").as_deref(), Some("ada-example"));
    let asked = |who: &str| {
        server
            .requests()
            .iter()
            .filter(|request: &&Request| request.path == format!("/devel/~{who}"))
            .count()
    };
    assert_eq!(
        [
            asked("bob-example"),
            asked("gone-example"),
            asked("nobody-example")
        ],
        [1, 1, 1]
    );
    Ok(())
}

#[tokio::test]
async fn landed_units_are_not_asked_for_again() -> Outcome {
    let server = serve(Tracker::new((1..=9).map(|number| (number, Bug::of_ada())))).await?;
    let control = Control {
        landed: Arc::new(|unit| unit != "4"),
        ..Control::default()
    };
    let read = read_with(&bugs(&server.root, &[])?, control).await;
    assert_eq!(read.units, ["4"]);
    assert_eq!(read.metrics.units_skipped, 8);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.path.contains("/bugs/") || request.path.contains("/bugs/4"))
    );
    Ok(())
}

#[tokio::test]
async fn the_estimate_is_the_servers_total_and_lands_nothing() -> Outcome {
    let server = serve(Tracker::new(
        (1..=100).map(|number| (number, Bug::of_ada())),
    ))
    .await?;
    let source = bugs(&server.root, &[])?;
    let estimate = source.estimate().await?;
    assert_eq!(
        (estimate.items, estimate.rows, estimate.exact),
        (Some(100), None, false)
    );
    assert_eq!(server.count(), 3);
    let nobody = bugs(&server.root, &[("member", "nobody-example")])?
        .estimate()
        .await;
    assert!(matches!(nobody, Err(ExtractError::Request { .. })));
    assert!(
        source
            .describe()
            .starts_with("launchpad bugs at http://127.0.0.1"),
        "{}",
        source.describe()
    );
    assert!(
        source.describe().contains("~ada-example?"),
        "{}",
        source.describe()
    );
    Ok(())
}

#[tokio::test]
async fn credentials_sign_requests_and_show_nowhere() -> Outcome {
    let server = serve(Tracker::new([(1, Bug::of_ada())])).await?;
    let mut declared = declared(
        "bugs",
        &[("member", "ada-example"), ("service_root", &server.root)],
    );
    for name in ["token", "token_secret"] {
        let secret = OptionValue::Secret("hush-hush".into());
        declared.options.insert(name.to_owned(), Some(secret));
    }
    assert!(!format!("{declared:?}").contains("hush"));
    let source = launchpad()?.open(&declared)?;
    assert!(!format!("{source:?} {}", source.describe()).contains("hush"));
    let outcome = read(&source).await;
    assert_eq!(outcome.records.len(), 2);
    for request in server.requests() {
        let header = request.headers.get("authorization").ok_or("unsigned")?;
        assert!(
            header.starts_with("OAuth realm=") && header.contains("oauth_token=\"hush-hush\""),
            "{header}"
        );
        assert!(!request.address.as_str().contains("hush"));
        assert!(
            request
                .headers
                .get("user-agent")
                .is_some_and(|agent| agent.contains("spillway/"))
        );
    }
    Ok(())
}

#[tokio::test]
async fn links_to_another_server_are_not_followed_with_credentials() -> Outcome {
    let elsewhere = serve(Tracker::new([(1, Bug::of_ada())])).await?;
    let other_root = elsewhere.root.clone();
    let tracker = Tracker::new([(1, Bug::of_ada())]);
    let server = Server::start(Duration::ZERO, move |request| match request.path.as_str() {
        "/devel/bugs/1" => Reply::Full {
            status: 302,
            headers: vec![("location", format!("{other_root}devel/bugs/1"))],
            body: String::new(),
        },
        _ => tracker.answer(request),
    })
    .await?;
    let read = read(&bugs(&server.root, &[])?).await;
    assert_eq!(elsewhere.count(), 0);
    assert_eq!(read.quarantined.len(), 1);
    assert!(
        read.quarantined[0].reason.contains("HTTP 302"),
        "{}",
        read.quarantined[0].reason
    );
    Ok(())
}
