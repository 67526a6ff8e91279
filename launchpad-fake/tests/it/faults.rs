//! Fault switches, drift, counts, and that the same seed gives the same bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use launchpad_fake::{Drift, Faults, Options, RetryAfter, landmarks};

use crate::support::{ALL_STATUSES, Server, links};

const BUG: u32 = landmarks::ORDINARY;

#[tokio::test]
async fn every_nth_request_fails_in_the_way_that_is_switched_on() {
    let server = Server::with_faults(Faults {
        fail_every: Some(3),
        ..Faults::default()
    })
    .await;
    let path = format!("devel/bugs/{BUG}");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let reply = server.get(&path).await;
        statuses.push(reply.status.as_u16());
        if reply.status == 503 {
            assert!(reply.header("content-type").starts_with("text/plain"));
            assert!(reply.header("x-lazr-oopsid").starts_with("OOPS-"));
            assert_eq!(reply.header("retry-after"), "");
        }
    }
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
    assert_eq!(server.fake.stats().faults["fail_every"], 2);
    assert_eq!(server.fake.stats().by_kind["bug"], 6);

    let html = Faults {
        fail_every: Some(1),
        html_503: true,
        ..Faults::default()
    };
    let reply = Server::with_faults(html).await.get(&path).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("content-type").starts_with("text/html"));
    assert!(reply.body.contains("temporarily unavailable"));
}

#[tokio::test]
async fn rate_limits_say_when_to_come_back() {
    for (retry_after, header) in [(RetryAfter::default(), "1"), (RetryAfter(0), "0")] {
        let faults = Faults {
            rate_limit_every: Some(2),
            retry_after,
            ..Faults::default()
        };
        let server = Server::with_faults(faults).await;
        assert_eq!(server.get("devel/").await.status, 200);
        let reply = server.get("devel/").await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("retry-after")),
            (429, header)
        );
        assert_eq!(server.fake.stats().faults["rate_limit_every"], 1);
    }
}

#[tokio::test]
async fn bodies_break_off_end_early_or_are_no_json() {
    let path = format!("devel/bugs/{BUG}/messages");
    let server = Server::with_faults(Faults {
        drop_every: Some(2),
        ..Faults::default()
    })
    .await;
    let whole = server.get(&path).await.body;
    let response = server.http.get(server.url(&path)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        response.text().await.is_err(),
        "the connection was to break in the middle of the body"
    );
    assert_eq!(server.get(&path).await.body, whole);
    assert_eq!(server.fake.stats().faults["drop_every"], 1);

    let cases: [(Faults, &str); 3] = [
        (
            Faults {
                truncate_every: Some(1),
                ..Faults::default()
            },
            "truncate_every",
        ),
        (
            Faults {
                malformed_json_every: Some(1),
                ..Faults::default()
            },
            "malformed_json_every",
        ),
        (
            Faults {
                html_200_every: Some(1),
                ..Faults::default()
            },
            "html_200_every",
        ),
    ];
    for (faults, name) in cases {
        let server = Server::with_faults(faults).await;
        let reply = server.get(&path).await;
        assert_eq!(reply.status, 200, "{name}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&reply.body).is_err(),
            "{name}"
        );
        let html = reply.header("content-type").starts_with("text/html");
        assert_eq!(html, name == "html_200_every");
        assert_eq!(server.fake.stats().faults[name], 1);
    }
}

#[tokio::test]
async fn large_pages_time_out_until_the_client_narrows() {
    let server = Server::with_faults(Faults {
        slow_query_page_over: Some(50),
        ..Faults::default()
    })
    .await;
    let path = "devel/~ada-example?ws.op=searchTasks";
    assert_eq!(server.refusal(path).await.0, 503);
    assert_eq!(server.refusal(&format!("{path}&ws.size=51")).await.0, 503);
    assert_eq!(server.get(&format!("{path}&ws.size=50")).await.status, 200);
    assert_eq!(
        server
            .get(&format!("devel/bugs/{BUG}/messages"))
            .await
            .status,
        200
    );
    assert_eq!(server.fake.stats().faults["slow_query_page_over"], 2);
}

#[tokio::test]
async fn single_bugs_can_be_spoiled() {
    let (lacking, broken, malformed) = (BUG, BUG + 1, BUG + 2);
    let faults = Faults {
        missing_field_bugs: BTreeSet::from([lacking]),
        broken_bugs: BTreeSet::from([broken]),
        malformed_bugs: BTreeSet::from([malformed]),
        ..Faults::default()
    };
    let server = Server::with_faults(faults).await;
    let entry = server.json(&format!("devel/bugs/{lacking}")).await;
    assert_eq!(entry.get("date_created"), None);
    assert!(entry["date_last_updated"].is_string());
    for _ in 0..2 {
        let reply = server.get(&format!("devel/bugs/{broken}/activity")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.body.as_str()),
            (500, "IntegrityError")
        );
        assert!(reply.header("x-lazr-oopsid").starts_with("OOPS-"));
    }
    let reply = server.get(&format!("devel/bugs/{malformed}")).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("content-type")),
        (200, "application/json")
    );
    assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_err());
    assert_eq!(server.fake.stats().faults["broken_bugs"], 2);
}

#[tokio::test]
async fn requests_wait_for_the_latency_at_the_same_time() {
    let latency = Duration::from_millis(40);
    let server = Server::with_faults(Faults {
        latency: Some(latency),
        ..Faults::default()
    })
    .await;
    let begin = std::time::Instant::now();
    futures::future::join_all((0..8).map(|_| server.get("devel/"))).await;
    assert!(begin.elapsed() >= latency);
    let stats = server.fake.stats();
    assert_eq!(stats.requests, 8);
    assert_eq!(stats.by_kind["root"], 8);
    assert!(
        (2..=8).contains(&stats.max_in_flight),
        "{}",
        stats.max_in_flight
    );
}

#[tokio::test]
async fn rows_that_come_and_go_shift_the_pages() {
    let query =
        format!("devel/bugs?ws.op=searchTasks&{ALL_STATUSES}&omit_duplicates=false&ws.size=20");
    let still = Server::with_faults(Faults::default()).await;
    let all: BTreeSet<String> = bugs(&still, &format!("{query}&order_by=id"))
        .await
        .into_iter()
        .collect();

    // Rows that leave at the front let others slip from the next page to this one, unseen.
    let leaving = Faults {
        drifting: Some(Drift {
            every: 1,
            insert: 0,
            remove: 2,
        }),
        ..Faults::default()
    };
    let server = Server::with_faults(leaving).await;
    let seen: BTreeSet<String> = bugs(&server, &format!("{query}&order_by=id"))
        .await
        .into_iter()
        .collect();
    assert!(seen.len() < all.len(), "{} of {}", seen.len(), all.len());
    assert!(server.fake.stats().faults["drifting"] > 1);
    assert_eq!(
        server.get(&format!("devel/bugs/{BUG}")).await.status,
        200,
        "the bug itself stays"
    );

    // Rows that come at the front push others on to the next page, where they are seen again.
    let coming = Faults {
        drifting: Some(Drift {
            every: 1,
            insert: 2,
            remove: 0,
        }),
        ..Faults::default()
    };
    let server = Server::with_faults(coming).await;
    let path = format!("{query}&order_by=-id");
    let tasks = server.walk(&path).await;
    let distinct: BTreeSet<&str> = links(&tasks).into_iter().collect();
    assert!(distinct.len() < tasks.len());
    let newest = server.json(&path).await["entries"][0]["bug_link"]
        .as_str()
        .unwrap()
        .to_owned();
    let newest = newest.rsplit('/').next().unwrap().to_owned();
    assert!(newest.parse::<u32>().unwrap() >= landmarks::FIRST_BUG + 40);
    assert_eq!(
        server.get(&format!("devel/bugs/{newest}")).await.status,
        200
    );
}

async fn bugs(server: &Server, path: &str) -> Vec<String> {
    let tasks = server.walk(path).await;
    let id = |task: &serde_json::Value| {
        task["bug_link"]
            .to_string()
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    tasks.iter().filter_map(id).collect()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_in_any_order_of_requests() {
    let paths: Vec<String> = (0..20)
        .flat_map(|index| {
            let bug = format!("devel/bugs/{}", landmarks::FIRST_BUG + index);
            [
                bug.clone(),
                format!("{bug}/activity"),
                format!("{bug}/messages"),
                format!("{bug}/bug_tasks"),
            ]
        })
        .chain([
            "devel/~ada-example?ws.op=searchTasks".to_owned(),
            "devel/people".to_owned(),
        ])
        .collect();
    let one = Server::sample().await;
    let other = Server::sample().await;
    let third = Server::start(Options {
        seed: 2,
        ..Options::default()
    })
    .await;
    let strip = |server: &Server, body: &str| body.replace(server.fake.root().as_str(), "");
    let mut expected = Vec::new();
    for path in &paths {
        expected.push(strip(&one, &one.get(path).await.body));
    }
    let mut differing = 0;
    for (path, expected) in paths.iter().zip(&expected).rev() {
        assert_eq!(
            &strip(&other, &other.get(path).await.body),
            expected,
            "{path}"
        );
        differing += u32::from(&strip(&third, &third.get(path).await.body) != expected);
    }
    assert!(differing > 60, "{differing}");
}

#[tokio::test]
async fn a_bug_does_not_depend_on_how_many_there_are() {
    let few = Server::start(Options {
        bugs: 20,
        ..Options::default()
    })
    .await;
    let many = Server::start(Options {
        bugs: 3_000,
        ..Options::default()
    })
    .await;
    let strip = |server: &Server, body: &str| body.replace(server.fake.root().as_str(), "");
    for id in [BUG, BUG + 9, BUG + 19] {
        let path = format!("devel/bugs/{id}");
        assert_eq!(
            strip(&few, &few.get(&path).await.body),
            strip(&many, &many.get(&path).await.body)
        );
    }
    assert_eq!(
        few.get(&format!("devel/bugs/{}", BUG + 20)).await.status,
        404
    );
    assert_eq!(
        many.get(&format!("devel/bugs/{}", BUG + 2_999))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_server_that_was_shut_down_frees_its_port() {
    let server = Server::sample().await;
    let address = server.fake.address();
    assert_eq!(server.get("devel/").await.status, 200);
    server.fake.shutdown().await;
    let again = launchpad_fake::LaunchpadFake::start(Options::default(), address)
        .await
        .unwrap();
    again.shutdown().await;
}
