//! The memory ceiling and the signals, whatever a query does. `scripts/hostile` has the long list.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use rstest::rstest;
use serde_json::Value;
use testkit::{Outcome, Workspace, wait_for};

use super::launchpad::workspace;
use super::signals::run_in;

const CEILING: u64 = 256 << 20;
const OUT: &str = "COPY v TO 'out/';";

fn hostile(definition: &str) -> anyhow::Result<Workspace> {
    let workspace = workspace()?;
    workspace.write("hostile.sql", definition)?;
    Ok(workspace)
}

/// Runs the definition under the ceiling; the outcome, and the most that was resident by the kernel's own mark.
fn under_the_ceiling(workspace: &Workspace) -> anyhow::Result<(Outcome, u64)> {
    let mut child = workspace.start(["run", "./hostile.sql", "--memory", "256MiB"])?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    wait_for("the end of the run", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: Option<u64> =
            line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        peak = peak.max(kibibytes.unwrap_or_default() << 10);
        (!child.runs().unwrap_or(false)).then_some(())
    })?;
    Ok((child.wait()?, peak))
}

#[track_caller]
fn holds(outcome: &Outcome, peak: u64) {
    assert!(matches!(outcome.code, Some(0 | 8)), "{}", outcome.all());
    assert!(
        peak <= CEILING + CEILING / 20,
        "{} MiB were resident: {}",
        peak >> 20,
        outcome.all()
    );
}

#[rstest]
#[case::repeat("repeat", "SELECT repeat('x', 1000000000) AS a")]
#[case::lpad("lpad", "SELECT lpad('x', 1000000000) AS a")]
#[case::rpad("rpad", "SELECT rpad('x', 500000000, 'ж') AS a")]
#[case::replace(
    "replace",
    "SELECT replace(repeat('a', 1000000), 'a', repeat('b', 1000)) AS a"
)]
#[case::range("range", "SELECT unnest(range(1, 2000000000)) AS a")]
#[case::array_repeat(
    "array_repeat",
    "SELECT array_length(array_repeat('x', 500000000)) AS a"
)]
fn a_function_that_would_make_more_than_is_left_is_named(
    #[case] function: &str,
    #[case] query: &str,
) -> anyhow::Result<()> {
    let workspace = hostile(&format!("CREATE VIEW v AS {query}; {OUT}"))?;
    let (outcome, peak) = under_the_ceiling(&workspace)?;
    holds(&outcome, peak);
    let named = format!("`{function}` would make");
    outcome.expect(8, &[&named, "of the memory ceiling", "--memory"]);
    Ok(())
}

/// Steps of which each has twice the text of the one before.
fn doubled(times: usize) -> anyhow::Result<String> {
    let mut text = String::from("CREATE VIEW v0 AS SELECT 'abcdefgh' AS s;");
    for step in 1..=times {
        let before = step - 1;
        write!(
            text,
            "CREATE VIEW v{step} AS SELECT s || s AS s FROM v{before};"
        )?;
    }
    write!(text, "CREATE VIEW v AS SELECT * FROM v{times}; {OUT}")?;
    Ok(text)
}

#[test]
fn what_no_function_bounds_ends_at_the_ceiling_and_says_so() -> anyhow::Result<()> {
    let workspace = hostile(&doubled(26)?)?;
    let (outcome, peak) = under_the_ceiling(&workspace)?;
    holds(&outcome, peak);
    outcome.expect(8, &["memory is exhausted", "its ceiling is 256 MiB"]);
    let run = run_in(&outcome.stderr).unwrap_or_default();
    let shown = workspace.run(["runs", "show", run, "--output", "json"])?;
    shown.expect(0, &[]);
    let record: Value = serde_json::from_str(&shown.stdout)?;
    let run = &record["run"];
    if run["state"] == "running" {
        // Memory grew too fast for more than the message. The process is gone, so the next run goes on.
        return Ok(());
    }
    assert_eq!(
        (&run["state"], &run["exit_code"]),
        (&"failed".into(), &8.into())
    );
    let said = run["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains("its ceiling is 256 MiB"), "{record}");
    Ok(())
}

#[test]
fn a_value_of_a_file_that_is_larger_than_the_ceiling_ends_the_run() -> anyhow::Result<()> {
    let workspace = hostile(&format!(
        "CREATE EXTERNAL TABLE f (a TEXT, b BIGINT) STORED AS CSV LOCATION 'f.csv' OPTIONS ('format.has_header' true); \
         CREATE VIEW v AS SELECT a, b FROM f; {OUT}"
    ))?;
    let mut file = File::create(workspace.path().join("f.csv"))?;
    file.write_all(b"a,b\n1,1\n")?;
    for _ in 0..300 {
        file.write_all(&[b'x'; 1 << 20])?;
    }
    file.write_all(b",2\n")?;
    let (outcome, peak) = under_the_ceiling(&workspace)?;
    holds(&outcome, peak);
    outcome.expect(8, &["--memory"]);
    Ok(())
}

#[test]
fn settings_that_lift_what_the_budget_decided_are_refused_at_their_place() -> anyhow::Result<()> {
    let workspace = hostile(&format!(
        "SET datafusion.execution.target_partitions = 20000;\nSET datafusion.execution.batch_size = 64;\n\
         CREATE VIEW v AS SELECT 1 AS a; {OUT}"
    ))?;
    let run = ["run", "./hostile.sql", "--memory", "256MiB"];
    let refused = workspace.run(run)?;
    refused.expect(3, &["hostile.sql:1:", "cannot be 20000", "2 at most"]);
    assert!(
        !refused.stderr.contains("`datafusion.execution.batch_size"),
        "{}",
        refused.all()
    );
    Ok(())
}

#[test]
fn steps_that_double_are_refused_before_they_are_planned_for_ever() -> anyhow::Result<()> {
    let mut text = String::from("CREATE VIEW v0 AS SELECT 1 AS a;\n");
    for step in 1..=40 {
        let before = step - 1;
        writeln!(
            text,
            "CREATE VIEW v{step} AS SELECT x.a FROM v{before} x JOIN v{before} y ON x.a = y.a;"
        )?;
    }
    let workspace = hostile(&(text + "COPY v40 TO 'out/';"))?;
    for command in ["run", "validate"] {
        let refused = workspace.run([command, "./hostile.sql"])?;
        refused.expect(3, &["hostile.sql:", "more than 5000 operators"]);
    }
    Ok(())
}

/// One call that would take hours, of values that are known while planning or not before.
#[rstest]
#[case::planning("SELECT levenshtein(repeat('a', 3000000), repeat('b', 3000000)) AS a")]
#[case::executing(
    "SELECT levenshtein(repeat('a', 3000000 + i), repeat('b', 3000000)) AS a FROM generate_series(1, 64) AS t(i)"
)]
fn a_query_that_never_yields_does_not_delay_a_signal(#[case] query: &str) -> anyhow::Result<()> {
    let workspace = hostile(&format!("CREATE VIEW v AS {query}; {OUT}"))?;
    let child = workspace.start(["run", "./hostile.sql"])?;
    wait_for("the query", || {
        child.said().contains("local (").then_some(())
    })?;
    let asked = std::time::Instant::now();
    child.signal("TERM")?;
    let outcome = child.wait()?;
    eprintln!("ended {} ms after the signal", asked.elapsed().as_millis());
    outcome.expect(143, &["stopping cleanly", "nothing was published"]);
    workspace
        .run(["runs", "--state", "cancelled"])?
        .expect(0, &["hostile"]);
    Ok(())
}
