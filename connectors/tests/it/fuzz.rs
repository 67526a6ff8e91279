//! Fuzz targets, run by `scripts/fuzz`: what a server may answer, and what may stand in a spec.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use connectors::Rest;
use connectors::extract::Control;
use connectors::source::SourceFactory;
use serde_json::Value;
use testkit::fuzz::{Chance, run};

use crate::server::{Reply, Request, Server};
use crate::support::{bugs, declared, read_with};
use crate::tracker::{Bug, Tracker};

const LAUNCHPAD: &str = include_str!("../../specs/launchpad.toml");

fn tracker(chance: &mut Chance) -> Tracker {
    const ACTIVITY: (&str, &str, &str) = ("2024-01-10T08:00:00+00:00", "ada-example", "summary");
    let bugs = 1 + chance.below(4);
    let mut bug = || Bug {
        tasks: chance.below(4),
        activity: vec![ACTIVITY; chance.below(12)],
        ..Bug::of_ada()
    };
    Tracker::new((1..).zip((0..bugs).map(|_| bug()).collect::<Vec<_>>()))
}

fn hostile(chance: &mut Chance, request: &Request, honest: Reply) -> Reply {
    const HEADERS: [(&str, &str); 7] = [
        ("retry-after", "99999999999999999999"),
        ("retry-after", "Wed, 31 Feb 2024 25:00:00 GMT"),
        ("link", "<>; rel=\"next\""),
        ("link", "<http://127.0.0.1:1/>; rel=next, <<>>;;;"),
        ("location", "//other.example/"),
        ("content-encoding", "gzip"),
        ("content-type", "text/html; charset=\u{fffd}"),
    ];
    let Reply::Json(body) = &honest else {
        return honest;
    };
    let address = request.address.as_str();
    match chance.below(12) {
        0..=4 => honest,
        5 | 6 => Reply::Json(chance.json(body)),
        7 => Reply::Full {
            status: 200,
            headers: vec![("content-type", String::from("application/json"))],
            body: String::from_utf8_lossy(&chance.bytes(body.to_string().as_bytes())).into_owned(),
        },
        8 => {
            let mut body = body.clone();
            let links = [
                address,
                "",
                "?",
                "//",
                "http://[::1",
                "file:///etc/passwd",
                "\u{202e}x",
                "../../../..",
                "http://user:password@127.0.0.1:1/",
            ];
            let link = Value::from(*chance.pick(&links));
            for (name, field) in body.as_object_mut().into_iter().flatten() {
                if name.ends_with("_link") && chance.one_in(2) {
                    field.clone_from(&link);
                }
            }
            Reply::Json(body)
        }
        9 => {
            let (name, value) = *chance.pick(&HEADERS);
            Reply::Full {
                status: *chance.pick(&[200, 204, 301, 304, 401, 418, 429, 500, 503, 599]),
                headers: vec![(name, String::from(value))],
                body: body.to_string(),
            }
        }
        10 => Reply::Truncated,
        _ => Reply::HangUp,
    }
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn rest_answers() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    run("rest_answers", |chance| {
        let tracker = tracker(chance);
        let fate = Mutex::new(Chance::new(chance.number(), None));
        let read = runtime.block_on(async {
            let server = Server::start(Duration::ZERO, move |request| {
                let mut chance = fate.lock().unwrap_or_else(PoisonError::into_inner);
                hostile(&mut chance, request, tracker.answer(request))
            })
            .await
            .unwrap();
            let source = bugs(&server.root, &[("page_size", "10"), ("max_attempts", "2")]).unwrap();
            let reading = read_with(&source, Control::default());
            tokio::time::timeout(Duration::from_secs(50), reading).await
        });
        let read = read.expect("an extraction ends, whatever it is answered");
        if read.error.is_none() {
            assert!(read.adds_up(), "entries are missing: {:?}", read.metrics);
        }
    });
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn specs() {
    const WORDS: [&str; 28] = [
        "[",
        "]",
        "{",
        "}",
        "[[",
        "=",
        ".",
        "\"",
        "'''",
        "\n",
        "#",
        "{tail(x)}",
        "{digest(a, tail(b))}",
        "{parent.",
        "{item.x}",
        "{{",
        "name",
        "resources",
        "records",
        "children",
        "embed",
        "1e999",
        "-0",
        "nan",
        "9999999999999999999",
        "1979-05-27T07:32:00Z",
        "\"\\u0000\"",
        "resource",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spec.toml");
    run("specs", |chance| {
        let text = chance.text(&[LAUNCHPAD, include_str!("ticket.toml")], &WORDS);
        chance.note(text.as_bytes());
        std::fs::write(&path, &text).unwrap();
        let options = [
            ("spec", path.to_str().unwrap()),
            ("member", "ada-example"),
            ("project", "airship"),
        ];
        let declared = declared("tickets", &options);
        // In a thread of the size of a worker's: a finding must not hide in a larger one.
        let checked = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || Rest.check(&declared).len())
            .unwrap()
            .join();
        checked.unwrap_or_else(|panic| resume_unwind(panic));
    });
}
