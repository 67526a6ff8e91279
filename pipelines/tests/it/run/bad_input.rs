//! Requests that cannot be right: told with the place, before anything is asked for, with the table left alone.

use launchpad_fake::{Faults, OAuthRule, Options};
use rstest::rstest;
use testkit::Folder;

use super::launchpad::{Launchpad, assert_untouched, run_between, run_year, workspace};
use super::published::events;

#[rstest]
#[case::an_unknown_pipeline(&["run", "launchpad_bgus"], 3, &["no pipeline is named `launchpad_bgus`", "`launchpad_bugs`"])]
#[case::a_file_that_is_not_there(&["run", "./nothing.sql"], 3, &["nothing.sql"])]
#[case::an_unknown_parameter(&["run", "launchpad_bugs", "--set", "membr=ada-example"], 3, &["membr", "`member`"])]
#[case::a_missing_parameter(&["run", "launchpad_bugs", "--from", "2025-01-01", "--to", "2026-01-01"], 3, &["member", "--set member="])]
#[case::a_parameter_without_value(&["run", "launchpad_bugs", "--set", "member"], 2, &["name=value"])]
#[case::a_wrong_type(&["run", "launchpad_bugs", "--set", "member=ada-example", "--from", "yesterday", "--to", "2026-01-01"], 3, &["--from", "yesterday", "DATE"])]
#[case::a_day_that_does_not_exist(&["run", "launchpad_bugs", "--set", "member=ada-example", "--from", "2025-02-30", "--to", "2026-01-01"], 3, &["--from", "2025-02-30"])]
#[case::a_reversed_window(&["run", "launchpad_bugs", "--set", "member=ada-example", "--from", "2026-01-01", "--to", "2025-01-01"], 3, &["2026-01-01", "2025-01-01"])]
#[case::an_empty_window(&["run", "launchpad_bugs", "--set", "member=ada-example", "--from", "2026-01-01", "--to", "2026-01-01"], 3, &["2026-01-01", "empty"])]
#[case::an_unknown_choice(&["run", "launchpad_bugs", "--set", "member=ada-example", "--set", "actors=nobody", "--from", "2025-01-01", "--to", "2026-01-01"], 3, &["actors", "nobody", "everyone"])]
#[case::an_unknown_flag(&["run", "launchpad_bugs", "--form", "2025-01-01"], 2, &["--form", "--from"])]
#[case::an_unknown_command(&["rnu", "launchpad_bugs"], 2, &["rnu", "run"])]
#[case::flags_that_contradict(&["run", "launchpad_bugs", "--resume", "--restart"], 2, &["--resume", "--restart"])]
#[case::a_setting_of_the_wrong_kind(&["run", "launchpad_bugs", "--memory", "lots", "--set", "member=ada-example", "--from", "2025-01-01", "--to", "2026-01-01"], 3, &["--memory", "lots"])]
#[case::an_unknown_preset(&["run", "launchpad_bugs", "--preset", "fast", "--set", "member=ada-example", "--from", "2025-01-01", "--to", "2026-01-01"], 3, &["--preset", "fast", "low-memory"])]
#[case::too_little_memory(&["run", "launchpad_bugs", "--memory", "1MiB", "--set", "member=ada-example", "--from", "2025-01-01", "--to", "2026-01-01"], 3, &["too small", "192"])]
fn a_wrong_request_is_refused_before_anything_is_asked_for(
    #[case] command: &[&str],
    #[case] code: i32,
    #[case] words: &[&str],
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    let asked = server.requests();
    let outcome = workspace.run(command)?;
    outcome.expect(code, words);
    assert!(
        outcome.stdout.is_empty(),
        "an error is no data: {}",
        outcome.all()
    );
    assert_eq!(server.requests(), asked);
    assert_untouched(&workspace, &before)
}

#[rstest]
#[case::of_a_source(
    "CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (membr 'ada-example');\nCOPY crawl TO 'x/';",
    &["own.sql:1:", "membr", "`member`"]
)]
#[case::of_a_location(
    "CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bgus' OPTIONS (member 'ada-example');\nCOPY crawl TO 'x/';",
    &["own.sql:1:", "bgus", "`bugs`"]
)]
#[case::of_an_output("COPY (SELECT 1 AS one) TO 'x/' OPTIONS (publsh 'append');", &["own.sql:1:", "publsh", "`publish`"])]
#[case::of_the_pipeline("SET pipeline.prset = 'default';\nCOPY (SELECT 1 AS one) TO 'x/';", &["own.sql:1:", "`pipeline.preset`"])]
#[case::of_a_secret(
    "CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (member 'ada-example', token 'hunter2');\nCOPY crawl TO 'x/';",
    &["own.sql:1:", "secret", "env:NAME"]
)]
fn a_wrong_option_is_refused_with_its_place(
    #[case] text: &str,
    #[case] words: &[&str],
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    workspace.write("pipelines.d/own.sql", text)?;
    let asked = server.requests();
    let outcome = workspace.run(["run", "own"])?;
    outcome.expect(3, words);
    assert!(!outcome.all().contains("hunter2"), "{}", outcome.all());
    assert_eq!(server.requests(), asked);
    assert!(!workspace.path().join("x").exists());
    assert_untouched(&workspace, &before)
}

#[test]
fn a_misspelt_variable_is_refused_by_every_command() -> anyhow::Result<()> {
    let workspace = workspace()?.with("PIPELINES_MEMROY", "1GiB");
    for command in [vec!["run", "launchpad_bugs"], vec!["list"], vec!["runs"]] {
        workspace
            .run(&command)?
            .expect(3, &["PIPELINES_MEMROY", "did you mean PIPELINES_MEMORY"]);
    }
    assert!(!workspace.path().join("events").exists());
    Ok(())
}

#[test]
fn a_misspelt_service_is_refused_with_those_that_exist() -> anyhow::Result<()> {
    let workspace = workspace()?.with("LP_WEB_ROOT", "productoin");
    workspace
        .run(run_year(&[]))?
        .expect(3, &["productoin", "production"]);
    assert!(!workspace.path().join("events").exists());
    Ok(())
}

#[test]
fn a_host_that_does_not_answer_ends_the_run_as_one_to_be_repeated() -> anyhow::Result<()> {
    let mut server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    server.stop();
    let outcome = workspace.run(run_year(&[]))?;
    outcome.expect(
        6,
        &[
            "extraction of `crawl` failed",
            &server.root(),
            "run the same command again",
        ],
    );
    assert_untouched(&workspace, &before)?;
    server.restart(Options {
        bugs: 15,
        ..Options::default()
    })?;
    workspace.run(run_year(&[]))?.expect(0, &["attempt 2"]);
    Ok(())
}

#[test]
fn a_server_that_sends_nothing_but_html_ends_the_run_as_one_to_be_repeated() -> anyhow::Result<()> {
    let options = Options {
        bugs: 15,
        ..Options::default()
    };
    let mut server = Launchpad::start(options.clone())?;
    let (workspace, before) = server.published_month()?;
    let faults = Faults {
        html_200_every: Some(1),
        ..Faults::default()
    };
    server.restart(Options {
        faults,
        ..options.clone()
    })?;
    workspace
        .run(run_year(&[]))?
        .expect(6, &["extraction of `crawl` failed", "HTML", &server.root()]);
    assert!(server.requests() < 20, "{:?}", server.stats());
    assert_untouched(&workspace, &before)?;
    server.restart(options)?;
    workspace.run(run_year(&[]))?.expect(0, &[]);
    Ok(())
}

#[test]
fn wrong_credentials_are_explained_and_never_shown() -> anyhow::Result<()> {
    let rule = |required| OAuthRule {
        required,
        token: String::from("good-token"),
        secret: String::from("good-secret"),
        expired_token: Some(String::from("expired-token")),
    };
    let options = Options {
        bugs: 15,
        ..Options::default()
    };
    let mut server = Launchpad::start(options.clone())?;
    let (mut workspace, before) = server.published_month()?;
    server.restart(Options {
        oauth: Some(rule(true)),
        ..options
    })?;
    for (token, secret) in [
        ("wrong-token", "good-secret"),
        ("good-token", "wrong-secret"),
        ("expired-token", "good-secret"),
    ] {
        workspace.set("LP_ACCESS_TOKEN", token);
        workspace.set("LP_ACCESS_TOKEN_SECRET", secret);
        let asked = server.requests();
        let outcome = workspace.run(run_between("2025-01-01", "2026-01-01", &["-vv"]))?;
        outcome.expect(1, &["401", "credentials", "`token_secret`"]);
        assert!(
            server.requests() - asked <= 2,
            "a refusal is not asked for again"
        );
        assert!(!outcome.all().contains(secret), "{}", outcome.all());
        for (path, content) in Folder::of(&workspace.path().join(".pipelines"))?.files() {
            let there = content
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes());
            assert!(!there, "{path} holds the secret");
        }
        assert_untouched(&workspace, &before)?;
    }
    workspace.set("LP_ACCESS_TOKEN", "good-token");
    workspace.set("LP_ACCESS_TOKEN_SECRET", "good-secret");
    let outcome = workspace.run(run_year(&[]))?;
    outcome.expect(0, &[]);
    let private = format!("b-{}", launchpad_fake::landmarks::PRIVATE);
    let events = events(&workspace.path().join("events"))?;
    assert!(
        events.values().any(|row| row["parent_item_id"] == *private),
        "the token may see the private bug"
    );
    Ok(())
}

#[test]
fn a_check_that_fails_publishes_nothing_and_names_itself() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let definition = |most: u32| {
        format!(
            "CREATE VIEW numbers AS SELECT value FROM generate_series(1, {most});\n\
             ASSERT (SELECT max(value) FROM numbers) < 10 AS 'numbers are small';\n\
             ASSERT (SELECT count(*) FROM numbers) > 100 AS 'there are many';\n\
             ASSERT (SELECT NULL::BOOLEAN) AS 'what is not known does not hold';\n\
             COPY numbers TO 'numbers/' OPTIONS (publish 'replace');\n"
        )
    };
    workspace.write(
        "numbers.sql",
        "COPY (SELECT value FROM generate_series(1, 5)) TO 'numbers/';\n",
    )?;
    workspace.run(["run", "./numbers.sql"])?.expect(0, &[]);
    let before = Folder::of(&workspace.path().join("numbers"))?;
    assert!(!before.is_empty());
    workspace.write("numbers.sql", &definition(20))?;
    let outcome = workspace.run(["run", "./numbers.sql"])?;
    outcome.expect(
        4,
        &[
            "numbers are small",
            "numbers.sql:2",
            "there are many",
            "numbers.sql:3",
            "not known",
            "nothing was published",
        ],
    );
    assert_eq!(
        before.changes(&Folder::of(&workspace.path().join("numbers"))?),
        [] as [String; 0]
    );
    let staging = Folder::of(&workspace.path().join(".numbers.spillway/staging"))?;
    assert!(staging.is_empty(), "{staging:?}");
    Ok(())
}

#[test]
fn a_table_of_another_schema_is_refused_before_the_server_is_asked() -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    workspace.write(
        "pipelines.d/narrow.sql",
        "CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (member 'ada-example');\n\
         CREATE VIEW few AS SELECT key AS event_id, resource AS event_type, CAST(position AS DOUBLE) AS week FROM crawl;\n\
         COPY few TO 'events/' PARTITIONED BY (event_type) OPTIONS (publish 'merge', key 'event_id');\n",
    )?;
    let asked = server.requests();
    workspace
        .run(["run", "narrow"])?
        .expect(1, &["events", "partitioned by", "replace"]);
    workspace.write(
        "pipelines.d/narrow.sql",
        "CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (member 'ada-example');\n\
         CREATE VIEW few AS SELECT key AS event_id, resource AS event_type, CAST(position AS DOUBLE) AS week, 1 AS year,\n\
         1 AS month FROM crawl;\n\
         COPY few TO 'events/' PARTITIONED BY (event_type, year, month) OPTIONS (publish 'merge', key 'event_id');\n",
    )?;
    workspace
        .run(["run", "narrow"])?
        .expect(1, &["events", "schema", "week", "replace"]);
    assert_eq!(server.requests(), asked);
    assert_untouched(&workspace, &before)
}

#[test]
fn a_file_with_more_columns_than_can_be_planned_is_refused() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let keys: Vec<String> = (0..10_001)
        .map(|number| format!("\"k{number}\":1"))
        .collect();
    workspace.write("wide.json", &format!("{{{}}}\n", keys.join(",")))?;
    workspace.write(
        "wide.sql",
        "CREATE EXTERNAL TABLE f STORED AS JSON LOCATION 'wide.json';\nCREATE VIEW v AS SELECT count(*) AS n FROM f;\nCOPY v TO 'out/';\n",
    )?;
    workspace.run(["run", "./wide.sql"])?.expect(
        3,
        &[
            "cannot open the source `f`",
            "it has 10001 columns, and 10000 can be planned",
            "declare those",
        ],
    );
    Ok(())
}
