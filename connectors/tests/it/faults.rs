//! Servers that misbehave: what is tried again, what is set aside, what ends the run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use connectors::Api;
use connectors::extract::{ErrorClass, ExtractError, FailureKind, RequestFailure};
use connectors::source::SourceFactory;

use crate::server::{Reply, Server};
use crate::support::{Outcome, bugs, declared, quick, read};
use crate::tracker::{Bug, Tracker};

/// A server whose every address fails a number of times before it answers.
async fn failing(times: usize, fault: Reply, only: &'static str) -> std::io::Result<Server> {
    let tracker = Tracker::new((1..=12).map(|number| (number, Bug::of_ada())));
    let failed = Mutex::<HashMap<String, usize>>::default();
    Server::start(Duration::ZERO, move |request| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed
            .entry(format!(
                "{} {:?}",
                request.path,
                request.parameter("ws.start")
            ))
            .or_default();
        if request.path.contains(only) && *count < times {
            *count += 1;
            return fault.clone();
        }
        tracker.answer(request)
    })
    .await
}

fn html() -> String {
    "<html><head><title>Launchpad is temporarily unavailable</title></head></html>".to_owned()
}

fn faults() -> Vec<(&'static str, Reply)> {
    let page = |status| Reply::Full {
        status,
        headers: vec![("content-type", "text/html".to_owned())],
        body: html(),
    };
    vec![
        ("HTTP 408", Reply::status(408, "slow")),
        ("HTTP 429", Reply::status(429, "Too many requests")),
        (
            "HTTP 500",
            Reply::status(500, "GPGKeyTemporarilyNotFoundError"),
        ),
        ("HTTP 502", page(502)),
        ("HTTP 503", page(503)),
        ("an HTML page", page(200)),
        ("not JSON", Reply::status(200, "{\"entries\": [{]}")),
        ("broke off", Reply::Truncated),
        ("broke off", Reply::HangUp),
    ]
}

#[tokio::test]
async fn every_transient_fault_is_overcome() -> Outcome {
    for (name, fault) in faults() {
        let server = failing(2, fault, "").await?;
        let read = read(&bugs(&server.root, &[])?).await;
        assert!(read.error.is_none(), "{name}: {:?}", read.error);
        assert_eq!(
            (read.records.len(), read.quarantined.len()),
            (24, 0),
            "{name}"
        );
        assert!(
            read.metrics.retries >= 2 * (2 + 3 * 12),
            "{name}: {:?}",
            read.metrics
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_fault_that_stays_quarantines_its_unit_with_body_and_reason_and_the_run_goes_on()
-> Outcome {
    for (name, fault) in faults() {
        let server = failing(usize::MAX, fault, "/bugs/7/activity").await?;
        let read = read(&bugs(
            &server.root,
            &[("max_attempts", "3"), ("page_size", "5")],
        )?)
        .await;
        assert!(read.error.is_none(), "{name}");
        assert_eq!(read.units.len(), 12, "{name}");
        assert_eq!(
            read.records.len(),
            22,
            "{name}: a unit is never landed in part"
        );
        let [quarantined] = read.quarantined.as_slice() else {
            return Err(format!("{name}: {:?}", read.quarantined).into());
        };
        assert!(
            quarantined.reason.contains(name) && quarantined.reason.contains("after 3 attempts"),
            "{}",
            quarantined.reason
        );
        let malformed = name.contains("HTML") || name.contains("JSON");
        assert_eq!(
            quarantined.class,
            if malformed { "malformed" } else { "transient" },
            "{name}"
        );
        assert_eq!(quarantined.body.is_none(), name == "broke off");
        assert_eq!(
            (quarantined.unit.as_str(), quarantined.resource.as_str()),
            ("7", "activity")
        );
        assert!(read.adds_up());
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_stays_down_ends_the_run_after_the_units_it_gave() -> Outcome {
    let tracker = Tracker::new((1..=30).map(|number| (number, Bug::of_ada())));
    let server = Server::start(Duration::ZERO, move |request| {
        match request.number("ws.start") {
            Some(start) if start > 15 && request.parameter("ws.op").is_some() => {
                Reply::status(503, "RequestExpired")
            }
            _ => tracker.answer(request),
        }
    })
    .await?;
    let read = read(&bugs(
        &server.root,
        &[("page_size", "10"), ("max_attempts", "2")],
    )?)
    .await;
    let error = read.error.ok_or("no error")?;
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(
        error.to_string().contains("RequestExpired")
            && error.to_string().contains("run again later"),
        "{error}"
    );
    assert!(read.units.len() >= 15, "{}", read.units.len());
    assert_eq!(read.records.len(), read.units.len() * 2);
    Ok(())
}

#[tokio::test]
async fn a_heavy_page_is_narrowed_at_its_place_and_nothing_is_lost() -> Outcome {
    let tracker = Tracker::new((1..=60).map(|number| {
        (
            number,
            Bug {
                tasks: 2,
                ..Bug::of_ada()
            },
        )
    }));
    let server = Server::start(Duration::ZERO, move |request| {
        let start = request.number("ws.start").unwrap_or(0);
        let heavy = request.parameter("ws.op").is_some() && (20..70).contains(&start);
        if heavy && request.number("ws.size").is_some_and(|size| size > 6) {
            return Reply::status(503, "RequestExpired");
        }
        tracker.answer(request)
    })
    .await?;
    let read = read(&bugs(
        &server.root,
        &[("page_size", "40"), ("max_attempts", "1")],
    )?)
    .await;
    assert!(read.error.is_none(), "{:?}", read.error);
    assert_eq!((read.units.len(), read.records.len()), (60, 120));
    assert!(read.metrics.narrowings >= 3, "{:?}", read.metrics);
    let sizes: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| request.parameter("ws.op").is_some())
        .filter_map(|request| request.number("ws.size"))
        .collect();
    assert!(
        sizes.iter().all(|size| (5..=40).contains(size)),
        "{sizes:?}"
    );
    assert!(
        sizes.last() > Some(&6),
        "larger pages come back where they work: {sizes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() -> Outcome {
    for header in [Some("1".to_owned()), None] {
        let tracker = Tracker::new([(1, Bug::of_ada())]);
        let times = Mutex::<Vec<Instant>>::default();
        let log = std::sync::Arc::new(times);
        let seen = std::sync::Arc::clone(&log);
        let server = Server::start(Duration::ZERO, move |request| {
            if request.path == "/devel/bugs/1" {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Instant::now());
                if seen.len() == 1 {
                    // Dates have whole seconds: two from now is at least one.
                    let date = (chrono::Utc::now() + chrono::TimeDelta::seconds(2))
                        .format("%a, %d %b %Y %H:%M:%S GMT");
                    let after = header.clone().unwrap_or_else(|| date.to_string());
                    return Reply::Full {
                        status: 429,
                        headers: vec![("retry-after", after)],
                        body: "slow down".to_owned(),
                    };
                }
            }
            tracker.answer(request)
        })
        .await?;
        let read = read(&bugs(&server.root, &[])?).await;
        assert_eq!((read.records.len(), read.metrics.throttled), (2, 1));
        let seen = log.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = seen[1].duration_since(seen[0]);
        assert!(waited >= Duration::from_millis(990), "{waited:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_server_times_out_and_is_tried_again() -> Outcome {
    let tracker = Tracker::new([(1, Bug::of_ada())]);
    let once = Mutex::new(true);
    let server = Server::start(Duration::ZERO, move |request| {
        let first = request.path.ends_with("/messages")
            && std::mem::take(&mut *once.lock().unwrap_or_else(PoisonError::into_inner));
        if first {
            Reply::Silence
        } else {
            tracker.answer(request)
        }
    })
    .await?;
    let spec = quick(include_str!("../../specs/launchpad.toml"))
        .replace("[defaults]\n", "[defaults]\nrequest_timeout = \"500ms\"\n");
    let source = Api::new("LAUNCHPAD", "launchpad.toml", &spec)?.open(&declared(
        "bugs",
        &[("member", "ada-example"), ("service_root", &server.root)],
    ))?;
    let read = read(&source).await;
    assert_eq!((read.records.len(), read.metrics.responses_none), (2, 1));
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named_after_bounded_attempts() -> Outcome {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let root = format!("http://{}/", socket.local_addr()?);
    drop(socket);
    let outcome = read(&bugs(&root, &[("max_attempts", "3")])?).await;
    let error = outcome.error.ok_or("no error")?;
    let text = error.to_string();
    assert!(
        text.contains(&root)
            && text.contains("after 3 attempts: cannot connect")
            && text.contains("`service_root`"),
        "{text}"
    );
    assert_eq!(error.class(), ErrorClass::Transient);
    let ExtractError::Request { failure, .. } = error else {
        return Err("another error".into());
    };
    let RequestFailure { kind, attempts, .. } = *failure;
    assert_eq!((kind, attempts), (FailureKind::Connect, 3));
    Ok(())
}

#[tokio::test]
async fn a_page_size_that_the_server_refuses_is_the_users_to_mend() -> Outcome {
    let server = Server::start(Duration::ZERO, |request| match request.parameter("ws.op") {
        Some(_) => Reply::status(400, "Maximum for \"ws.size\" parameter is 300."),
        None => Tracker::default().answer(request),
    })
    .await?;
    let error = read(&bugs(&server.root, &[])?)
        .await
        .error
        .ok_or("no error")?;
    assert_eq!(error.class(), ErrorClass::User);
    assert!(
        error
            .to_string()
            .contains("Maximum for \"ws.size\" parameter is 300."),
        "{error}"
    );
    Ok(())
}
