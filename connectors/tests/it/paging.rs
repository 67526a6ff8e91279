//! Collections: every style of paging, and lists that move while they are read.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::Rest;
use connectors::extract::Extract;
use connectors::source::SourceFactory;
use serde_json::{Value, json};

use crate::server::{Reply, Request, Server};
use crate::support::{Outcome, bugs, declared, quick, read};
use crate::tracker::{Bug, Tracker};

const TICKETS: usize = 47;

fn tickets() -> Vec<Value> {
    let ticket = |number| json!({"id": number, "closed": "2024-01-01T00:00:00Z", "url": format!("https://tickets.example.org/{number}")});
    (0..TICKETS).map(ticket).collect()
}

fn spec(root: &str, pagination: &str) -> String {
    format!(
        r#"
name = "tickets"
summary = "An invented ticket system"
base = {{ url = "{root}", path = "api" }}
pagination = {{ {pagination} }}

[defaults]
page_size = 8
min_page_size = 2

[locations.tickets]
summary = "all tickets"
list = "ticket"
unit = "{{id}}"

[resources.ticket]
path = "/tickets"
records = "data.items"
identity = "id"

[resources.ticket.record]
key = "t-{{id}}"
time = "closed"
url = "{{url}}"
"#
    )
}

fn tickets_source(root: &str, pagination: &str) -> Result<Arc<dyn Extract>, Box<dyn Error>> {
    opened(&spec(root, pagination))
}

/// Opens the tickets of a spec.
fn opened(spec: &str) -> Result<Arc<dyn Extract>, Box<dyn Error>> {
    let file = tempfile::NamedTempFile::with_suffix(".toml")?;
    std::fs::write(&file, quick(spec))?;
    let declared = declared("tickets", &[("spec", &file.path().display().to_string())]);
    Ok(Rest.open(&declared)?)
}

/// What ends the reading of the tickets.
async fn end_of(server: &Server, pagination: &str) -> Result<String, Box<dyn Error>> {
    let error = read(&tickets_source(&server.root, pagination)?).await.error;
    Ok(error.ok_or("no error")?.to_string())
}

fn slice(start: usize, size: usize) -> Vec<Value> {
    tickets().into_iter().skip(start).take(size).collect()
}

fn answer(style: &str, request: &Request) -> Reply {
    let size = request.number("limit").unwrap_or(8);
    let from = request.number("from").unwrap_or(0);
    let next = from + size;
    let link = format!("tickets?from={next}&limit={size}");
    let more = next < TICKETS;
    let body =
        |rows: Vec<Value>, next: Value| json!({"data": {"items": rows}, "meta": {"next": next}});
    let link_json = if more { json!(link) } else { Value::Null };
    match style {
        "next_link" => Reply::Json(body(slice(from, size), link_json)),
        "link_header" => {
            let headers = if more {
                vec![("link", format!("<{link}>; rel=\"next\""))]
            } else {
                Vec::new()
            };
            Reply::Full {
                status: 200,
                headers,
                body: body(slice(from, size), Value::Null).to_string(),
            }
        }
        "page_number" => Reply::Json(body(
            slice((request.number("page").unwrap_or(1) - 1) * size, size),
            Value::Null,
        )),
        "offset" => Reply::Json(body(
            slice(request.number("offset").unwrap_or(0), size),
            Value::Null,
        )),
        // Gives fewer rows than asked for, and says so only in its link.
        "capped" => {
            let offset = request.number("offset").unwrap_or(0);
            let next = (offset + 5 < TICKETS).then(|| format!("tickets?offset={}", offset + 5));
            Reply::Json(body(slice(offset, 5), json!(next)))
        }
        "cursor" => {
            let from = request
                .parameter("cursor")
                .and_then(|cursor| cursor.strip_prefix("c")?.parse().ok())
                .unwrap_or(0);
            let next = (from + size < TICKETS).then(|| format!("c{}", from + size));
            Reply::Json(body(slice(from, size), json!(next)))
        }
        _ => Reply::Json(body(tickets(), Value::Null)),
    }
}

const STYLES: &[(&str, &str)] = &[
    (
        "next_link",
        r#"style = "next_link", next = "meta.next", size = "limit""#,
    ),
    ("link_header", r#"style = "link_header", size = "limit""#),
    (
        "page_number",
        r#"style = "page_number", page = "page", size = "limit""#,
    ),
    (
        "offset",
        r#"style = "offset_limit", offset = ["offset"], size = "limit""#,
    ),
    (
        "capped",
        r#"style = "offset_limit", offset = ["offset"], size = "limit", next = "meta.next""#,
    ),
    (
        "cursor",
        r#"style = "cursor", cursor = "cursor", size = "limit", next = "meta.next""#,
    ),
    ("single", r#"style = "single""#),
];

#[tokio::test]
async fn every_style_reads_every_row_once_and_overcomes_heavy_pages() -> Outcome {
    for (style, pagination) in STYLES {
        let count = Mutex::new(0);
        let server = Server::start(Duration::ZERO, move |request| {
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            if *count % 3 == 0 {
                Reply::status(503, "RequestExpired")
            } else {
                answer(style, request)
            }
        })
        .await?;
        let read = read(&tickets_source(&server.root, pagination)?).await;
        assert!(read.error.is_none(), "{style}: {:?}", read.error);
        let mut expected: Vec<String> = (0..TICKETS).map(|number| format!("t-{number}")).collect();
        expected.sort();
        assert_eq!(read.keys(), expected, "{style}");
        assert!(read.adds_up());
    }
    Ok(())
}

#[tokio::test]
async fn a_next_link_that_leads_back_to_itself_ends_the_run_rather_than_looping() -> Outcome {
    let server = Server::start(Duration::ZERO, |_| {
        Reply::Json(json!({"data": {"items": slice(0, 8)}, "meta": {"next": "tickets?from=8"}}))
    })
    .await?;
    let error = end_of(&server, r#"style = "next_link", next = "meta.next""#).await?;
    assert!(error.contains("read before"), "{error}");
    assert!(server.count() <= 3);
    Ok(())
}

#[tokio::test]
async fn next_links_that_go_in_a_circle_end_the_run_rather_than_looping() -> Outcome {
    let server = Server::start(Duration::ZERO, |request| {
        let from = request.number("from").unwrap_or(0);
        let next = format!("tickets?from={}", if from < 24 { from + 8 } else { 8 });
        Reply::Json(json!({"data": {"items": slice(from, from + 8)}, "meta": {"next": next}}))
    })
    .await?;
    let error = end_of(&server, r#"style = "next_link", next = "meta.next""#).await?;
    assert!(error.contains("read before"), "{error}");
    assert!(server.count() <= 6, "{}", server.count());
    Ok(())
}

#[tokio::test]
async fn a_unit_whose_pages_never_end_is_put_aside_and_the_others_are_read() -> Outcome {
    let server = Server::start(Duration::ZERO, |request| {
        if request.path.ends_with("/tickets") {
            return Reply::Json(json!({"data": {"items": slice(0, 3)}}));
        }
        let page = request.number("page").unwrap_or(0);
        let next = (request.path.contains("/1/")).then(|| format!("notes?page={}", page + 1));
        let notes: Vec<Value> = (0..100)
            .map(|note| json!({"id": note + 100 * page, "at": "2024-01-01T00:00:00Z", "text": "x".repeat(100)}))
            .collect();
        Reply::Json(json!({"data": {"items": notes}, "next": next}))
    })
    .await?;
    let text = spec(&server.root, r#"style = "next_link", next = "next""#)
        .replace("[defaults]", "[defaults]\nmax_unit_bytes = 100000")
        .replace(
            "identity = \"id\"",
            "identity = \"id\"\nchildren = [\"note\"]",
        )
        + "[resources.note]\npath = \"/tickets/{parent.id}/notes\"\nrecords = \"data.items\"\n\
           [resources.note.record]\nkey = \"n-{parent.id}-{id}\"\ntime = \"at\"\nurl = \"{parent.url}\"\n";
    let read = read(&opened(&text)?).await;
    assert!(read.error.is_none(), "{:?}", read.error);
    assert_eq!(read.quarantined.len(), 1, "{:?}", read.quarantined);
    let reason = &read.quarantined[0].reason;
    assert!(
        reason.contains("the unit is too large (more than 100000 bytes)"),
        "{reason}"
    );
    assert!(read.adds_up());
    assert_eq!(
        read.keys()
            .iter()
            .filter(|key| key.starts_with("n-"))
            .count(),
        200
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_without_the_list_ends_the_run_and_points_at_the_spec() -> Outcome {
    let server = Server::start(Duration::ZERO, |_| Reply::Json(json!({"data": {}}))).await?;
    let error = end_of(&server, r#"style = "single""#).await?;
    assert!(
        error.contains("no list at `data.items`") && error.contains("spec"),
        "{error}"
    );
    Ok(())
}

/// Reads a list of 60 bugs in pages of 10 while `change` is made before the n-th page of it.
async fn drifting(
    change: impl Fn(usize, &mut Tracker) + Send + Sync + 'static,
) -> Result<(crate::support::Read, usize), Box<dyn Error>> {
    let tracker = Mutex::new(Tracker::new(
        (1..=60).map(|number| (number * 100, Bug::of_ada())),
    ));
    let pages = Mutex::new(0);
    let server = Server::start(Duration::ZERO, move |request| {
        let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
        if request.parameter("ws.op").is_some() && request.parameter("ws.show").is_none() {
            let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
            *pages += 1;
            change(*pages, &mut tracker);
        }
        tracker.answer(request)
    })
    .await?;
    let read = read(&bugs(&server.root, &[("page_size", "10")])?).await;
    assert!(read.error.is_none(), "{:?}", read.error);
    Ok((read, server.count()))
}

fn units(read: &crate::support::Read) -> Vec<u64> {
    let mut units: Vec<u64> = read
        .units
        .iter()
        .filter_map(|unit| unit.parse().ok())
        .collect();
    units.sort_unstable();
    units
}

#[tokio::test]
async fn rows_removed_while_paging_lose_nobody_else() -> Outcome {
    for (removed, page) in [(1, 2), (3, 3), (9, 4), (10, 3), (25, 5)] {
        let (read, _) = drifting(move |pages, tracker| {
            if pages == page {
                // They leave the list, from its front; the bugs themselves stay readable.
                for bug in tracker
                    .bugs
                    .values_mut()
                    .filter(|bug| bug.tasks > 0)
                    .take(removed)
                {
                    bug.tasks = 0;
                }
            }
        })
        .await?;
        assert_eq!(
            units(&read),
            (1..=60).map(|number| number * 100).collect::<Vec<u64>>(),
            "{removed} before page {page}"
        );
        assert!(read.metrics.list_moves >= 1);
    }
    Ok(())
}

#[tokio::test]
async fn rows_inserted_while_paging_shift_nobody_out_and_are_read_as_well() -> Outcome {
    for inserted in [1_u64, 7, 15] {
        let (read, _) = drifting(move |pages, tracker| {
            if pages == 4 {
                tracker
                    .bugs
                    .extend((1..=inserted).map(|number| (number, Bug::of_ada())));
            }
        })
        .await?;
        let found = units(&read);
        assert!(
            (1..=60).all(|number| found.contains(&(number * 100))),
            "{inserted}: {found:?}"
        );
        let unique: std::collections::BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "nobody twice");
        let front = found.iter().filter(|number| **number < 100).count() as u64;
        assert_eq!(front, inserted, "{inserted}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_moves_with_every_page_ends_with_an_error_or_whole() -> Outcome {
    let (read, requests) = drifting(|pages, tracker| {
        let bug = tracker.bugs.values_mut().find(|bug| bug.tasks > 0);
        if let (3..30, Some(bug)) = (pages, bug) {
            bug.tasks = 0;
        }
    })
    .await?;
    assert_eq!(units(&read).len(), 60);
    assert!(requests < 1000);
    Ok(())
}

#[tokio::test]
async fn pages_shortened_by_hidden_rows_are_not_the_end() -> Outcome {
    for hidden in [
        vec![9],
        vec![3, 9, 19, 29],
        (10..20).collect(),
        (5..25).collect::<Vec<u64>>(),
    ] {
        let mut tracker = Tracker::new((0..60).map(|number| (number, Bug::of_ada())));
        tracker.hidden = hidden.iter().map(|number| format!("{number}.0")).collect();
        let server = Server::start(Duration::ZERO, move |request| tracker.answer(request)).await?;
        let read = read(&bugs(&server.root, &[("page_size", "10")])?).await;
        assert!(read.error.is_none(), "{hidden:?}: {:?}", read.error);
        let expected: Vec<u64> = (0..60).filter(|number| !hidden.contains(number)).collect();
        assert_eq!(units(&read), expected, "{hidden:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_child_collection_that_moves_is_read_anew_and_stays_in_order() -> Outcome {
    let mut bug = Bug::of_ada();
    bug.messages = vec![("2024-01-11T00:00:00+00:00", "ada-example", "m"); 30];
    let tracker = Tracker::new([(1, bug)]);
    let pages = Mutex::new(0);
    let server = Server::start(Duration::ZERO, move |request| {
        let mut reply = tracker.answer(request);
        let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Reply::Json(body)) = (request.path.ends_with("/messages"), &mut reply) {
            *pages += 1;
            if *pages == 2 {
                // The first two messages are gone for the time of this page.
                let start = request.number("ws.start").unwrap_or(0);
                let shifted: Vec<Value> = (start + 2..start + 12)
                    .map(|index| message(request, index))
                    .collect();
                body["entries"] = json!(shifted);
            }
        }
        reply
    })
    .await?;
    let read = read(&bugs(&server.root, &[("page_size", "10")])?).await;
    assert_eq!(read.records.len(), 31);
    assert!(read.metrics.list_moves >= 1, "{:?}", read.metrics);
    for record in read
        .records
        .iter()
        .filter(|record| &*record.resource == "message")
    {
        assert_eq!(
            record.key,
            format!("b-1-m{}", record.position.unwrap_or(-1))
        );
    }
    Ok(())
}

fn message(request: &Request, index: usize) -> Value {
    let link = format!(
        "{}/devel/target0/+bug/1/comments/{index}",
        request.address.origin().ascii_serialization()
    );
    let owner = format!(
        "{}/devel/~ada-example",
        request.address.origin().ascii_serialization()
    );
    json!({"self_link": link, "date_created": "2024-01-11T00:00:00+00:00", "owner_link": owner, "content": "m"})
}
