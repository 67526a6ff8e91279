//! Who is answered on the scheduler's ports, and what can be done there by those who are not meant to.

use testkit::certificates::{Authority, NAME};
use testkit::cluster::http_get;
use testkit::raw_http::{HALF_REQUEST, HalfSent, asked_by_nobody, exchange, request};
use testkit::{Child, Workspace, wait_for};

use crate::{address, after, arguments};

const CANCEL: &str = "POST /ballista.protobuf.SchedulerGrpc/CancelJob";

fn start(workspace: &Workspace, flags: &[&str]) -> anyhow::Result<(Child, String)> {
    let flags = flags.iter().map(|flag| String::from(*flag));
    let scheduler = workspace.start(arguments(workspace).into_iter().chain(flags))?;
    let address = address(&scheduler)?;
    wait_for("/healthz", || http_get(&address, "/healthz"))?;
    Ok((scheduler, address))
}

#[track_caller]
fn assert_status(answer: &str, status: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    let head = answer.to_lowercase();
    assert!(!head.contains("access-control-"), "{answer}");
}

#[test]
fn a_web_page_of_the_own_user_can_neither_read_nor_change_anything() -> anyhow::Result<()> {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
    let (_scheduler, address) = start(&workspace, &["--allow-host", "Scheduler.lake.svc"])?;
    let host = format!("Host: {address}");
    let text = "Content-Type: text/plain";
    let grpc = "Content-Type: application/grpc";
    let empty = "Content-Length: 0";
    // The pages for which Ballista would make an exception are pages.
    for origin in [
        "https://evil.example",
        "https://nightlies.apache.org",
        "null",
    ] {
        let origin = format!("Origin: {origin}");
        let asked = |line: &str| request(&address, line, &[&host, &origin, text, empty]);
        assert_status(&asked(CANCEL)?, "403");
        assert_status(&asked("GET /api/jobs")?, "403");
        assert_status(&asked("PATCH /api/job/x")?, "403");
        assert_status(&asked("OPTIONS /api/job/x")?, "403");
        assert_status(&asked("GET /metrics")?, "403");
    }
    // Over HTTP/1.1 nothing is gRPC, whatever it says.
    assert_status(&request(&address, CANCEL, &[&host, text, empty])?, "415");
    assert_status(&request(&address, CANCEL, &[&host, grpc, empty])?, "415");
    let query = "POST /ballista.protobuf.SchedulerGrpc/ExecuteQuery";
    assert_status(&request(&address, query, &[&host, grpc, empty])?, "415");
    assert_status(
        &request(
            &address,
            "GET /ballista.protobuf.SchedulerGrpc/CancelJob",
            &[&host],
        )?,
        "415",
    );
    // A page's own name can be made to lead here.
    for foreign in ["evil.example", "localhost.evil.example:50050", "scheduler"] {
        let foreign = format!("Host: {foreign}");
        for line in ["GET /api/executors", "GET /healthz", CANCEL] {
            assert_status(&request(&address, line, &[&foreign, grpc, empty])?, "421");
        }
    }
    assert_status(&request(&address, "GET /healthz", &[])?, "400");
    // What may be read may only be read.
    for method in ["PATCH", "POST", "DELETE", "OPTIONS"] {
        assert_status(
            &request(&address, &format!("{method} /api/job/x"), &[&host, empty])?,
            "405",
        );
    }
    assert_status(&request(&address, "GET /", &[&host])?, "404");
    for own in [
        host.as_str(),
        "Host: localhost",
        "Host: scheduler.lake.svc:50050",
    ] {
        assert_status(&request(&address, "GET /api/executors", &[own])?, "200");
    }
    Ok(())
}

#[test]
fn another_user_of_the_machine_is_answered_only_where_anybody_is() -> anyhow::Result<()> {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
    let (scheduler, closed) = start(&workspace, &["--metrics-bind", "127.0.0.1:0"])?;
    let Some(answer) = asked_by_nobody(&closed)? else {
        return Ok(());
    };
    assert_eq!(answer, "");
    wait_for("a word of it", || {
        scheduler
            .said()
            .contains("it is of user 65534")
            .then_some(())
    })?;
    let numbers = asked_by_nobody(&after(&scheduler, "numbers are at")?)?;
    assert!(numbers.is_some_and(|numbers| numbers.ends_with("ok")));
    let (_scheduler, open) = start(&workspace, &["--insecure"])?;
    assert!(asked_by_nobody(&open)?.is_some_and(|answer| answer.ends_with("ok")));
    Ok(())
}

#[test]
fn half_sent_requests_leave_room_for_whole_ones_and_are_ended() -> anyhow::Result<()> {
    // More than there are files for.
    const HALF: usize = 300;
    let shell = Workspace::new("/bin/sh")?;
    let folder = shell.path().join("certificates");
    Authority::new()?.issue(&folder, NAME)?;
    let folder = folder.display().to_string();
    for tls in [None, Some(folder.as_str())] {
        let limited = [
            "-c",
            "ulimit -n 256; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_scheduler"),
            "--bind",
            "127.0.0.1:0",
            "--metrics-bind",
            "127.0.0.1:0",
            "--work-dir",
            "work",
        ];
        let tls: Vec<&str> = tls.map_or(Vec::new(), |folder| vec!["--tls", folder]);
        let mut scheduler = shell.start(limited.iter().chain(&tls))?;
        let (port, numbers) = (address(&scheduler)?, after(&scheduler, "numbers are at")?);
        // Where certificates are shown first, whoever says nothing is the one to wait for.
        let begun = tls.first().map_or(HALF_REQUEST, |_| "");
        let half = [
            HalfSent::open(&port, HALF, begun)?,
            HalfSent::open(&numbers, HALF, HALF_REQUEST)?,
        ];
        wait_for("numbers", || http_get(&numbers, "/metrics"))?;
        let asked = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
        let question = [["--bind", port.as_str()].as_slice(), &tls, &["healthcheck"]].concat();
        asked.run(question)?.expect(0, &[]);
        for half in half {
            half.wait_until_closed()?;
        }
        assert!(scheduler.runs()?, "{}", scheduler.said());
    }
    Ok(())
}

#[test]
fn a_head_without_an_end_is_refused() -> anyhow::Result<()> {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
    let (_scheduler, address) = start(&workspace, &[])?;
    let long = "x".repeat(64 << 10);
    let answer = exchange(
        &address,
        &format!("GET /healthz HTTP/1.1\r\nX-Long: {long}"),
    )?;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(http_get(&address, "/healthz").as_deref(), Some("ok"));
    Ok(())
}
