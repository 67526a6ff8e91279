//! The scheduler as a process: it starts, answers, and stops when it is told to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::{Child, Workspace, wait_for};

/// The body of a successful answer; `None` while there is none.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200")
        .then(|| body.trim().to_owned())
}

/// The address that the scheduler says it listens on.
fn address(scheduler: &Child) -> anyhow::Result<String> {
    wait_for("the scheduler's address", || {
        let said = scheduler.said();
        let line = said
            .lines()
            .find(|line| line.contains("scheduler listens"))?;
        Some(String::from(line.split_once("address=")?.1.trim()))
    })
}

fn arguments(work_dir: &Workspace) -> [String; 4] {
    [
        "--bind",
        "127.0.0.1:0",
        "--work-dir",
        &work_dir.path().join("work").display().to_string(),
    ]
    .map(String::from)
}

#[test]
fn scheduler_answers_and_stops_cleanly_on_sigterm() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler")).unwrap();
    let mut scheduler = workspace.start(arguments(&workspace)).unwrap();
    let address = address(&scheduler).unwrap();

    let health = wait_for("/healthz", || get(&address, "/healthz")).unwrap();
    assert_eq!(health, "ok");
    assert_eq!(get(&address, "/api/executors").as_deref(), Some("[]"));
    assert_eq!(get(&address, "/readyz"), None, "ready without an executor");
    assert!(scheduler.runs().unwrap());

    scheduler.signal("TERM").unwrap();
    let ended = scheduler.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.all());
}

#[test]
fn scheduler_says_which_address_is_taken() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler")).unwrap();
    let first = workspace.start(arguments(&workspace)).unwrap();
    let taken = address(&first).unwrap();
    let second = workspace.run(["--bind", &taken]).unwrap();
    assert_eq!(second.code, Some(1), "{}", second.all());
    assert!(
        second.stderr.contains(&format!("cannot listen on {taken}")),
        "{}",
        second.all()
    );
}
