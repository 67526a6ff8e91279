//! What comes from outside: text for the terminal, secrets in addresses, credentials in the clear, files that are none,
//! and the limits of the system.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rstest::rstest;
use testkit::{Outcome, Workspace};

use super::launchpad::workspace;

const SPEC: &str = r#"
name = "desk"
summary = "a desk"
[base]
url = "ROOT"
[auth]
kind = "bearer"
[pagination]
style = "single"
[parameters.project]
summary = "any"
[locations.tickets]
summary = "tickets"
list = "ticket"
unit = "{id}"
[resources.ticket]
path = "tickets"
records = "items"
required = ["id", "opened_at"]
[resources.ticket.record]
key = "t-{id}"
time = "opened_at"
url = "{id}"
"#;

const TICKETS: &str = "CREATE EXTERNAL TABLE tickets STORED AS REST LOCATION 'tickets' OPTIONS (spec 'spec.toml');\n\
                       COPY tickets TO 'out/';";

/// Answers every request with this JSON; the server ends with the process.
fn server(body: &'static str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Ok(reading) = stream.try_clone() else {
                continue;
            };
            let lines = BufReader::new(reading).lines().map_while(Result::ok);
            let _headers = lines.take_while(|line| !line.is_empty()).count();
            let _written = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(format!("http://{address}/"))
}

/// Whether a terminal would obey anything in this.
fn assert_harmless(outcome: &Outcome) {
    let obeyed = |character: char| {
        character.is_control() && character != '\n' && character != '\t'
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(obeyed), "{text:?}");
    }
}

#[test]
fn what_a_server_says_is_shown_and_never_obeyed() -> anyhow::Result<()> {
    let root = server(
        r#"{"items": [{"id": "good", "opened_at": "2024-01-01T00:00:00Z"},
            {"id": "\u001b]0;owned\u0007\u009b31mred\u202e\n✓ fake", "opened_at": "\u001b[2J no time"}]}"#,
    )?;
    let workspace = workspace()?;
    workspace.write("spec.toml", &SPEC.replace("ROOT", &root))?;
    workspace.write("tickets.sql", TICKETS)?;
    let outcome = workspace.run(["run", "./tickets.sql"])?;
    outcome.expect(5, &["1 item"]);
    assert_harmless(&outcome);
    let id = last_run(&workspace)?;
    let shown = workspace.run(["runs", "show", &id])?;
    shown.expect(0, &["\\u{1b}]0;owned\\u{7}\\u{9b}31mred\\u{202e}\\n✓ fake"]);
    assert_harmless(&shown);
    // As JSON it is exactly what came, and still nothing that a terminal obeys.
    let json = workspace.run(["runs", "show", &id, "--output", "json"])?;
    assert_harmless(&json);
    let document: serde_json::Value = serde_json::from_str(&json.stdout)?;
    let unit = &document["quarantine"]["items"][0]["unit"];
    assert_eq!(unit, "\u{1b}]0;owned\u{7}\u{9b}31mred\u{202e}\n✓ fake");
    Ok(())
}

fn last_run(workspace: &Workspace) -> anyhow::Result<String> {
    let runs = workspace.run(["runs", "--output", "json"])?;
    let runs: serde_json::Value = serde_json::from_str(&runs.stdout)?;
    Ok(String::from(runs[0]["id"].as_str().unwrap_or_default()))
}

#[test]
fn names_in_files_are_shown_and_never_obeyed() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write(
        "bad.sql",
        "SELECT \u{1b}]0;x\u{7} FROM \"a\u{9b}b\u{202e}\";\nCOPY x TO 'a\u{1b}[2J/';",
    )?;
    let outcome = workspace.run(["run", "./bad.sql"])?;
    outcome.expect(3, &["\\u{1b}"]);
    assert_harmless(&outcome);
    workspace.write("rows.csv", "\"a\u{1b}[31m\",b\nx,1\n")?;
    workspace.write(
        "shown.sql",
        "CREATE EXTERNAL TABLE rows STORED AS CSV LOCATION 'rows.csv' OPTIONS ('format.has_header' true);\nCOPY rows TO 'out/';",
    )?;
    for command in [
        ["show", "./shown.sql"],
        ["plan", "./shown.sql"],
        ["run", "./shown.sql"],
        ["tables", "show"],
    ] {
        let place = if command[0] == "tables" {
            vec!["out/"]
        } else {
            Vec::new()
        };
        let outcome = workspace.run(command.into_iter().chain(place))?;
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert_harmless(&outcome);
    }
    Ok(())
}

#[rstest]
#[case::a_signature("az://lake/a/?sv=2022&sig=SECRET1")]
#[case::a_presigned_address("s3://lake/a/?X-Amz-Signature=SECRET1")]
#[case::a_token("https://host/a?access_token=SECRET1")]
#[case::a_password("s3://ada:SECRET1@lake/a/")]
fn a_location_with_a_secret_is_refused_and_not_shown(#[case] location: &str) -> anyhow::Result<()> {
    let workspace = workspace()?;
    for text in [
        format!(
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{location}';\nCOPY t TO 'out/';"
        ),
        format!("COPY (SELECT 1 AS one) TO '{location}';"),
        String::from("DECLARE place TEXT;\nCOPY (SELECT 1 AS one) TO $place;"),
    ] {
        workspace.write("own.sql", &text)?;
        let place = format!("place={location}");
        let set: &[&str] = if text.contains("DECLARE") {
            &["--set", &place]
        } else {
            &[]
        };
        let outcome = workspace.run(["run", "./own.sql"].iter().chain(set))?;
        outcome.expect(3, &["carries a password, a signature or a token"]);
        assert!(!outcome.all().contains("SECRET1"), "{}", outcome.all());
    }
    let outcome = workspace.run(["tables", "show", location])?;
    assert!(!outcome.all().contains("SECRET1"), "{}", outcome.all());
    Ok(())
}

#[test]
fn credentials_go_over_plain_http_only_where_that_is_allowed() -> anyhow::Result<()> {
    let workspace = workspace()?.with("DESK", "hunter2");
    workspace.write("spec.toml", &SPEC.replace("ROOT", "http://desk.invalid/"))?;
    let with = |options: &str| TICKETS.replace("'spec.toml'", &format!("'spec.toml'{options}"));
    workspace.write("tickets.sql", &with(", token 'env:DESK'"))?;
    workspace
        .run(["run", "./tickets.sql"])?
        .expect(3, &["desk.invalid", "plain http://", "allow_http 'true'"]);
    // Nothing is in the clear without credentials, and with the word the network is asked.
    for options in ["", ", token 'env:DESK', allow_http 'true'"] {
        workspace.write("tickets.sql", &with(&format!("{options}, max_attempts 1")))?;
        let outcome = workspace.run(["run", "./tickets.sql"])?;
        assert!(!outcome.all().contains("plain http"), "{}", outcome.all());
        assert_eq!(outcome.code, Some(6), "{}", outcome.all());
    }
    let root = server(r#"{"items": []}"#)?;
    workspace.write("spec.toml", &SPEC.replace("ROOT", &root))?;
    workspace.write("tickets.sql", &with(", token 'env:DESK'"))?;
    workspace.run(["run", "./tickets.sql"])?.expect(0, &[]);
    Ok(())
}

fn fifo(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(Command::new("mkfifo").arg(path).status()?.success());
    Ok(())
}

#[test]
fn a_fifo_is_refused_wherever_a_file_is_named() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let path = |name: &str| workspace.path().join(name);
    for name in ["own.sql", "spec.toml", "secret"] {
        fifo(&path(name))?;
    }
    let refused = "it is a FIFO, not a regular file";
    workspace
        .run(["run", "./own.sql"])?
        .expect(3, &["own.sql", refused]);
    workspace.write("tickets.sql", TICKETS)?;
    workspace
        .run(["run", "./tickets.sql"])?
        .expect(3, &["spec.toml", refused]);
    std::fs::remove_file(path("spec.toml"))?;
    workspace.write("spec.toml", &SPEC.replace("ROOT", "https://desk.invalid/"))?;
    let secret = format!("'spec.toml', token 'file:{}'", path("secret").display());
    workspace.write("tickets.sql", &TICKETS.replace("'spec.toml'", &secret))?;
    workspace
        .run(["run", "./tickets.sql"])?
        .expect(3, &["secret", refused]);
    workspace.write("good.sql", "COPY (SELECT 1 AS one) TO 'out/';")?;
    for name in ["state.db", "state.db-wal"] {
        let state = path(&format!("state-{name}"));
        std::fs::create_dir(&state)?;
        fifo(&state.join(name))?;
        if name != "state.db" {
            std::fs::write(state.join("state.db"), "")?;
        }
        let state = state.display().to_string();
        for command in [vec!["run", "./good.sql"], vec!["runs"]] {
            let outcome = workspace.run(command.into_iter().chain(["--state-dir", &state]))?;
            outcome.expect(1, &[name, refused]);
        }
    }
    Ok(())
}

/// Runs a command of the shell in which `$0` is the program.
fn shell(command: &str) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let output = Command::new("bash")
        .args(["-c", command, env!("CARGO_BIN_EXE_pipelines")])
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .output()?;
    Ok(Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn a_low_limit_of_open_files_is_raised_or_told() -> anyhow::Result<()> {
    shell("ulimit -n 32; exec $0 list")?.expect(1, &["32 files open", "ulimit -n"]);
    shell("ulimit -Sn 32; exec $0 list")?.expect(0, &["launchpad_bugs"]);
    Ok(())
}

#[test]
fn a_low_limit_of_threads_is_told() -> anyhow::Result<()> {
    // The limit of processes does not bind root: the program is run by somebody else, who has none.
    let other = "cd /; exec setpriv --reuid=54321 --regid=54321 --clear-groups";
    let probe = shell(&format!("{other} test -x $0"))?;
    if probe.code != Some(0) {
        eprintln!(
            "SKIPPED: nobody else can run programs here: {}",
            probe.stderr
        );
        return Ok(());
    }
    let outcome = shell(&format!("{other} bash -c 'ulimit -u 3; exec $0 list' $0"))?;
    outcome.expect(1, &["could start", "threads", "ulimit -u"]);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.all());
    Ok(())
}
