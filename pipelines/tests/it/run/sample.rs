//! The first command of a new user: the bundled sample, with nothing configured.

use anyhow::Context;
use serde_json::Value;
use testkit::Folder;

use super::launchpad::workspace;
use super::published::{assert_same, events, thousands};

#[test]
fn the_sample_makes_a_table_of_the_counts_it_tells_and_a_second_run_changes_nothing()
-> anyhow::Result<()> {
    let workspace = workspace()?;
    let first = workspace.run(["run", "launchpad_bugs"])?;
    let table = workspace.path().join("events");
    let (rows, files) = (events(&table)?.len(), Folder::of(&table)?);
    assert!(rows > 1000, "{}", first.all());
    first.expect(
        0,
        &[
            "bundled sample",
            "LP_WEB_ROOT=production",
            "--set member=",
            &format!("{} records", thousands(rows)),
            &format!(
                "{} rows of `events`: {} files added",
                thousands(rows),
                files.len()
            ),
            &format!(
                "table        {} rows in {} files",
                thousands(rows),
                files.len()
            ),
            "quarantined  0 items",
            "memory       peak",
            &table.display().to_string(),
            "duckdb -c",
        ],
    );
    assert_eq!(
        first.stdout,
        "",
        "data only on standard output: {}",
        first.all()
    );
    assert!(!first.stderr.contains("nothing changed"), "{}", first.all());

    let second = workspace.run(["run", "launchpad_bugs"])?;
    second.expect(
        0,
        &[
            "nothing changed",
            "0 files added",
            &format!("{} rows", thousands(rows)),
        ],
    );
    assert_eq!(files.changes(&Folder::of(&table)?), [] as [String; 0]);
    Ok(())
}

#[test]
fn the_document_of_a_run_is_all_of_standard_output_and_its_counts_add_up() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let outcome = workspace.run(["run", "launchpad_bugs", "--output", "json"])?;
    outcome.expect(0, &[]);
    let document: Value = serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())?;
    let table = workspace.path().join("events");
    let (rows, files) = (events(&table)?.len(), Folder::of(&table)?);
    let (run, output, ledger) = (
        &document["run"],
        &document["outputs"][0],
        &document["ledger"][0],
    );

    assert_eq!(document["schema_version"], 1);
    assert_eq!(
        (&run["state"], &run["exit_code"]),
        (&Value::from("succeeded"), &Value::from(0))
    );
    assert_eq!(run["counts"]["written"], rows);
    assert_eq!(run["counts"]["read"], rows);
    assert_eq!(
        (
            &run["counts"]["quarantined"],
            &document["quarantine"]["total"]
        ),
        (&Value::from(0), &Value::from(0))
    );
    assert_eq!(
        (&output["rows"], &output["files"]),
        (&Value::from(rows), &Value::from(files.len()))
    );
    assert_eq!(
        (&output["files_added"], &output["files_removed"]),
        (&Value::from(files.len()), &Value::from(0))
    );
    let bytes: usize = files.files().map(|(_, content)| content.len()).sum();
    assert_eq!(
        (&output["bytes"], &run["bytes_written"]),
        (&Value::from(bytes), &Value::from(bytes))
    );
    assert_eq!(ledger["rows"], rows);
    let entries = ledger["entries"].as_array().context("no entries")?;
    assert_eq!(
        entries
            .iter()
            .filter_map(|entry| entry["rows"].as_u64())
            .sum::<u64>(),
        rows as u64
    );

    let extract = document["stages"]
        .as_array()
        .context("no stages")?
        .iter()
        .find(|stage| stage["name"] == "extract");
    let metrics = &extract.context("no extraction")?["detail"]["crawl"]["requests"];
    let count = |name: &str| {
        metrics[name]
            .as_u64()
            .with_context(|| format!("no {name} in {metrics}"))
    };
    let accounted =
        count("entries_landed")? + count("entries_filtered")? + count("entries_quarantined")?;
    assert_eq!(count("entries_fetched")?, accounted, "{metrics}");
    assert_eq!(run["counts"]["filtered"], count("entries_filtered")?);
    for stage in ["plan", "extract", "write", "check", "commit"] {
        let found = document["stages"]
            .as_array()
            .and_then(|stages| stages.iter().find(|found| found["name"] == stage));
        assert!(
            found.is_some_and(|found| found["finished_at"].is_string()),
            "{stage}: {found:?}"
        );
    }
    let labels: Vec<&str> = document["memory"]
        .as_array()
        .context("no memory")?
        .iter()
        .filter_map(|one| one["label"].as_str())
        .collect();
    for label in [
        "plan end",
        "extract crawl start",
        "extract crawl end",
        "write start",
        "write end",
        "commit end",
    ] {
        assert!(labels.contains(&label), "{label} is not among {labels:?}");
    }

    let id = run["id"].as_str().context("no id")?;
    let shown = workspace.run(["runs", "show", id, "--output", "json"])?;
    assert_eq!(
        serde_json::from_str::<Value>(&shown.stdout)?,
        document,
        "{}",
        shown.all()
    );
    Ok(())
}

#[test]
fn memory_is_measured_at_every_landed_chunk() -> anyhow::Result<()> {
    let outcome = workspace()?.run([
        "run",
        "launchpad_bugs",
        "--extract-chunk-size",
        "50",
        "--output",
        "json",
    ])?;
    outcome.expect(0, &[]);
    let document: Value = serde_json::from_str(&outcome.stdout)?;
    let chunks = document["ledger"][0]["chunks"]
        .as_u64()
        .context("no chunks")?;
    assert!(chunks > 2, "{chunks}");
    let labels: Vec<&str> = document["memory"]
        .as_array()
        .context("no memory")?
        .iter()
        .filter_map(|one| one["label"].as_str())
        .collect();
    for chunk in 1..=chunks {
        assert!(
            labels.contains(&format!("chunk {chunk}").as_str()),
            "chunk {chunk} of {chunks}: {labels:?}"
        );
    }
    Ok(())
}

#[test]
fn the_table_is_the_same_under_the_least_memory() -> anyhow::Result<()> {
    let (roomy, tight) = (workspace()?, workspace()?);
    roomy.run(["run", "launchpad_bugs"])?.expect(0, &[]);
    tight
        .run([
            "run",
            "launchpad_bugs",
            "--preset",
            "low-memory",
            "--memory",
            "192MiB",
        ])?
        .expect(0, &[]);
    assert_same(
        &events(&tight.path().join("events"))?,
        &events(&roomy.path().join("events"))?,
    );
    Ok(())
}

#[test]
fn landed_records_are_removed_after_publishing_unless_they_are_to_be_kept() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let runs = workspace.path().join(".pipelines/runs");
    workspace.run(["run", "launchpad_bugs"])?.expect(0, &[]);
    assert!(Folder::of(&runs)?.is_empty(), "{:?}", Folder::of(&runs)?);
    workspace
        .run(["run", "launchpad_bugs", "--keep-landing"])?
        .expect(0, &[]);
    assert!(
        Folder::of(&runs)?
            .files()
            .any(|(path, _)| path.contains("landing/crawl/chunk-")),
        "{:?}",
        Folder::of(&runs)?
    );
    Ok(())
}

#[test]
fn a_parameter_and_a_setting_may_come_from_the_environment_and_the_command_line_wins()
-> anyhow::Result<()> {
    let workspace = workspace()?
        .with("PIPELINES_SET__DESTINATION", "elsewhere/")
        .with("PIPELINES_EXTRACT_CHUNK_SIZE", "40");
    let run = |more: &[&str]| -> anyhow::Result<Value> {
        let mut command = vec!["run", "launchpad_bugs", "--output", "json"];
        command.extend(more);
        let outcome = workspace.run(command)?;
        outcome.expect(0, &[]);
        Ok(serde_json::from_str::<Value>(&outcome.stdout)?["run"].take())
    };
    let first = run(&[])?;
    assert_eq!(first["parameters"]["destination"], "elsewhere/");
    assert_eq!(first["settings"]["extract_chunk_size"]["value"], "40");
    let second = run(&["--set", "destination=here/", "--extract-chunk-size", "30"])?;
    assert_eq!(second["parameters"]["destination"], "here/");
    assert_eq!(second["settings"]["extract_chunk_size"]["value"], "30");
    assert!(
        first["settings"]["extract_chunk_size"]["origin"]
            != second["settings"]["extract_chunk_size"]["origin"]
    );
    assert_same(
        &events(&workspace.path().join("elsewhere"))?,
        &events(&workspace.path().join("here"))?,
    );
    Ok(())
}
