//! Commands that look: list, show, validate, plan, runs, completions.

use anyhow::Context;
use serde_json::Value;
use testkit::{Folder, Outcome};

use super::launchpad::{Launchpad, run_year, workspace};

fn document(outcome: &Outcome) -> anyhow::Result<Value> {
    outcome.expect(0, &[]);
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())
}

const NUMBERS: &str = "SET pipeline.description = 'Some numbers';
DECLARE most BIGINT DEFAULT 3; -- the largest
CREATE VIEW numbers AS SELECT value FROM generate_series(1, $most);
COPY numbers TO 'numbers/';
";

#[test]
fn pipelines_are_listed_with_those_of_the_search_path() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("more/numbers.sql", NUMBERS)?;
    workspace
        .run(["list"])?
        .expect(0, &["launchpad_bugs", "Launchpad bug work"]);
    let listed =
        document(&workspace.run(["list", "--definitions", "more", "--output", "json"])?)?;
    let names: Vec<&str> = listed
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["launchpad_bugs", "numbers"]);
    assert!(Folder::of(&workspace.path().join(".pipelines"))?.is_empty());
    Ok(())
}

#[test]
fn a_pipeline_is_shown_with_parameters_sources_schemas_and_outputs() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let text = workspace.run(["show", "launchpad_bugs"])?;
    let words = [
        "member",
        "required",
        "'member'",
        "LAUNCHPAD",
        "STEP events",
        "event_time_utc",
        "every event has an actor",
    ];
    text.expect(0, &words);
    let shown = document(&workspace.run(["show", "launchpad_bugs", "--output", "json"])?)?;
    let parameter = |name: &str| {
        shown["parameters"]
            .as_array()?
            .iter()
            .find(|one| one["name"] == name)
    };
    assert_eq!(parameter("member").context("no member")?["required"], true);
    assert_eq!(
        parameter("actors").context("no actors")?["default"],
        "'member'"
    );
    let output = &shown["outputs"][0];
    assert_eq!(output["publish"], "merge");
    assert_eq!(
        output["partition_by"],
        serde_json::json!(["event_type", "year", "month"])
    );
    let columns = shown["steps"]
        .as_array()
        .and_then(|steps| steps.iter().find(|step| step["name"] == "events"));
    let columns = columns
        .and_then(|step| step["columns"].as_array())
        .context("no columns")?;
    let r#type = |name: &str| {
        columns
            .iter()
            .find(|one| one["name"] == name)
            .map(|one| one["type"].clone())
    };
    assert_eq!(r#type("week"), Some(Value::from("Date32")));
    assert_eq!(columns.len(), 15);
    Ok(())
}

#[test]
fn definitions_are_validated_without_network_and_every_mistake_of_every_file_is_told()
-> anyhow::Result<()> {
    let server = Launchpad::with_bugs(5)?;
    let workspace = server.workspace()?;
    workspace.run(["validate", "launchpad_bugs"])?.expect(
        0,
        &["launchpad_bugs: 5 parameters, 1 source, 3 steps, 1 output"],
    );
    let one = workspace.write(
        "one.sql",
        "SET pipeline.memmory = '1GiB';\nCOPY (SELECT $nmae AS x) TO 'x/';\n",
    )?;
    let two = workspace.write(
        "two.sql",
        "CREATE VIEW v AS SELECT nothing FROM nowhere;\nCOPY v TO 'v/';\n",
    )?;
    let outcome = workspace.run([
        "validate",
        &one.to_string_lossy(),
        "launchpad_bugs",
        &two.to_string_lossy(),
    ])?;
    outcome.expect(
        3,
        &[
            "one.sql:1:5",
            "`pipeline.memory`",
            "one.sql:2:14",
            "$nmae",
            "two.sql:1:",
            "nowhere",
            "launchpad_bugs: 5",
        ],
    );
    assert_eq!(server.requests(), 0);
    assert!(!workspace.path().join(".pipelines").exists());
    Ok(())
}

#[test]
fn a_plan_tells_what_a_run_would_do_and_writes_nothing() -> anyhow::Result<()> {
    let workspace = workspace()?;
    for command in [
        vec!["plan", "launchpad_bugs"],
        vec!["run", "launchpad_bugs", "--dry-run"],
    ] {
        let outcome = workspace.run(&command)?;
        outcome.expect(
            0,
            &[
                "reads",
                "LAUNCHPAD",
                "steps",
                "events",
                "writes",
                "not there yet",
                "makes the table",
                "nothing was written",
            ],
        );
        let left: Vec<_> = std::fs::read_dir(workspace.path())?
            .filter_map(Result::ok)
            .map(|item| item.file_name())
            .collect();
        assert!(left.is_empty(), "{command:?} left {left:?}");
    }
    Ok(())
}

#[test]
fn a_plan_over_a_table_tells_what_is_there_and_asks_the_server_for_a_count_only()
-> anyhow::Result<()> {
    let server = Launchpad::with_bugs(30)?;
    let workspace = server.workspace()?;
    workspace.run(run_year(&[]))?.expect(0, &[]);
    let (before, asked) = (Folder::of(workspace.path())?, server.requests());
    let mut command = run_year(&["--output", "json"]);
    command[0] = "plan";
    let plan = document(&workspace.run(&command)?)?;
    assert_eq!(
        before.changes(&Folder::of(workspace.path())?),
        [] as [String; 0]
    );
    assert!(server.requests() - asked <= 3, "{:?}", server.stats());
    let (source, output) = (&plan["sources"][0], &plan["outputs"][0]);
    assert!(
        source["items"].as_u64().is_some_and(|items| items > 0),
        "{source}"
    );
    assert!(
        output["now"]
            .as_str()
            .is_some_and(|now| now.contains("commit 1")),
        "{output}"
    );
    assert!(
        output["effect"]
            .as_str()
            .is_some_and(|effect| effect.contains("updating rows by key")),
        "{output}"
    );
    Ok(())
}

#[test]
fn runs_are_listed_newest_first_and_shown_by_the_beginning_of_their_id() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let file = workspace.write("numbers.sql", NUMBERS)?;
    let file = file.to_string_lossy();
    workspace.run(["run", &file])?.expect(0, &[]);
    workspace
        .run(["run", &file, "--set", "most=x"])?
        .expect(3, &["most", "BIGINT"]);
    workspace
        .run(["run", &file, "--set", "most=5"])?
        .expect(0, &[]);
    let runs = document(&workspace.run(["runs", "--output", "json"])?)?;
    let runs = runs.as_array().context("no list")?;
    assert_eq!(runs.len(), 2, "a request that is refused is no run");
    assert_eq!(runs[0]["parameters"]["most"], "5");
    workspace
        .run(["runs"])?
        .expect(0, &["numbers", "succeeded"]);
    workspace
        .run(["runs", "--state", "failed", "--output", "json"])?
        .expect(0, &["[]"]);
    let id = runs[0]["id"].as_str().context("no id")?;
    let shown = workspace.run(["runs", "show", &id[..id.len() - 3]])?;
    shown.expect(
        0,
        &[
            id,
            "numbers",
            "succeeded",
            "$most",
            "plan",
            "commit",
            "OUTPUT",
        ],
    );
    workspace
        .run(["runs", "show", "fff"])?
        .expect(1, &["no run matches `fff`"]);
    workspace
        .run(["runs", "show", "0"])?
        .expect(1, &["several runs"]);
    Ok(())
}

#[test]
fn looking_where_nothing_was_run_leaves_no_trace() -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.run(["runs"])?.expect(0, &["no runs yet"]);
    workspace
        .run(["runs", "--output", "json"])?
        .expect(0, &["[]"]);
    workspace
        .run(["runs", "show", "01"])?
        .expect(1, &["no run matches `01`"]);
    let left: Vec<_> = std::fs::read_dir(workspace.path())?
        .filter_map(Result::ok)
        .map(|item| item.file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn completions_name_every_command() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let words = [
        "_pipelines",
        "launchpad-standin",
        "validate",
        "--keep-landing",
    ];
    workspace.run(["completions", "bash"])?.expect(0, &words);
    for shell in ["zsh", "fish"] {
        workspace
            .run(["completions", shell])?
            .expect(0, &["validate"]);
    }
    Ok(())
}

#[test]
fn the_look_alike_serves_on_a_port_until_it_is_stopped() -> anyhow::Result<()> {
    let mut server = workspace()?.start(["launchpad-standin", "--bugs", "15", "--port", "0"])?;
    let root = server.first_line()?;
    let workspace = workspace()?.with("LP_WEB_ROOT", root);
    workspace
        .run(run_year(&[]))?
        .expect(0, &["quarantined  0 items"]);
    server.signal("TERM")?;
    server.wait()?.expect(0, &[]);
    Ok(())
}

#[test]
fn words_and_the_log_go_to_standard_error_in_the_form_asked_for() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let command = [
        "run",
        "launchpad_bugs",
        "-v",
        "--log-format",
        "json",
        "--progress",
        "none",
        "--output",
        "json",
    ];
    let outcome = workspace.run(command)?;
    outcome.expect(0, &[]);
    let _document: Value = serde_json::from_str(&outcome.stdout)?;
    let lines: Vec<Value> = outcome
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["fields"]["message"] == "stage begins"),
        "{}",
        outcome.all()
    );
    assert!(
        !outcome.all().contains('\u{1b}'),
        "colour where there is no terminal: {}",
        outcome.all()
    );
    Ok(())
}
