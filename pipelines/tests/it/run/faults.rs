//! A server that fails: what can be had is had, what cannot is told, and a healed server completes it.

use std::collections::BTreeSet;

use anyhow::Context;
use launchpad_fake::{Drift, Faults, Options, RetryAfter, landmarks};
use rstest::rstest;
use serde_json::Value;

use super::launchpad::{Launchpad, run_year};
use super::published::{assert_same, events};

fn faults() -> Faults {
    Faults {
        retry_after: RetryAfter(0),
        ..Faults::default()
    }
}

#[rstest]
#[case::a_503(Faults { fail_every: Some(7), ..faults() })]
#[case::an_html_503(Faults { fail_every: Some(7), html_503: true, ..faults() })]
#[case::a_429(Faults { rate_limit_every: Some(5), ..faults() })]
#[case::a_dropped_connection(Faults { drop_every: Some(7), ..faults() })]
#[case::a_truncated_body(Faults { truncate_every: Some(7), ..faults() })]
#[case::malformed_json(Faults { malformed_json_every: Some(7), ..faults() })]
#[case::html_for_json(Faults { html_200_every: Some(7), ..faults() })]
#[case::a_slow_query(Faults { slow_query_page_over: Some(20), ..faults() })]
#[case::a_compressed_tag(Faults { etag_gzip: true, fail_every: Some(11), ..faults() })]
#[case::all_at_once(Faults {
    fail_every: Some(11), rate_limit_every: Some(13), drop_every: Some(17), truncate_every: Some(19),
    malformed_json_every: Some(23), html_200_every: Some(29), slow_query_page_over: Some(30), ..faults()
})]
fn the_table_is_the_same_in_spite_of(#[case] faults: Faults) -> anyhow::Result<()> {
    let options = Options {
        bugs: 30,
        ..Options::default()
    };
    let (sound, faulty) = (
        Launchpad::start(options.clone())?,
        Launchpad::start(Options { faults, ..options })?,
    );
    let (expected, workspace) = (sound.workspace()?, faulty.workspace()?);
    expected.run(run_year(&[]))?.expect(0, &[]);
    workspace
        .run(run_year(&[]))?
        .expect(0, &["repeated", "quarantined  0 items"]);
    assert!(!faulty.stats().faults.is_empty(), "no fault happened");
    assert_same(
        &events(&workspace.path().join("events"))?,
        &events(&expected.path().join("events"))?,
    );
    Ok(())
}

#[test]
fn rows_that_are_there_throughout_are_found_in_a_list_that_moves() -> anyhow::Result<()> {
    // Several pages of tasks, with rows appearing and leaving after each.
    let options = Options {
        bugs: 130,
        ..Options::default()
    };
    let drifting = Some(Drift {
        every: 1,
        insert: 1,
        remove: 1,
    });
    let faulty = Launchpad::start(Options {
        faults: Faults {
            drifting,
            ..faults()
        },
        ..options.clone()
    })?;
    let sound = Launchpad::start(options)?;
    let (expected, workspace) = (sound.workspace()?, faulty.workspace()?);
    expected.run(run_year(&[]))?.expect(0, &[]);
    workspace.run(run_year(&[]))?.expect(0, &[]);
    let gone = faulty
        .stats()
        .faults
        .get("drifting")
        .copied()
        .unwrap_or_default();
    assert!(gone >= 3, "the list did not move: {:?}", faulty.stats());
    let (expected, found) = (
        events(&expected.path().join("events"))?,
        events(&workspace.path().join("events"))?,
    );
    let left: BTreeSet<String> = (0..u32::try_from(gone)?)
        .map(|n| format!("b-{}", landmarks::FIRST_BUG + n))
        .collect();
    let stayed = expected.iter().filter(|(_, row)| {
        !row["parent_item_id"]
            .as_str()
            .is_some_and(|bug| left.contains(bug))
    });
    let missing: Vec<&String> = stayed
        .map(|(id, _)| id)
        .filter(|id| !found.contains_key(*id))
        .collect();
    assert!(
        missing.is_empty(),
        "{} are missing: {missing:?}",
        missing.len()
    );
    Ok(())
}

#[test]
fn bugs_that_cannot_be_read_are_listed_and_a_healed_server_completes_the_table()
-> anyhow::Result<()> {
    let options = Options {
        bugs: 30,
        ..Options::default()
    };
    let [broken, malformed, missing] = [
        landmarks::ORDINARY,
        landmarks::FIRST_BUG + 16,
        landmarks::FIRST_BUG + 20,
    ];
    let faults = Faults {
        broken_bugs: [broken].into(),
        malformed_bugs: [malformed].into(),
        missing_field_bugs: [missing].into(),
        ..faults()
    };
    let mut server = Launchpad::start(options.clone())?;
    let sound = server.workspace()?;
    sound
        .run(run_year(&["--set", "actors=everyone"]))?
        .expect(0, &[]);
    let expected = events(&sound.path().join("events"))?;

    server.restart(Options {
        faults,
        ..options.clone()
    })?;
    let workspace = server.workspace()?;
    let outcome = workspace.run(run_year(&["--set", "actors=everyone", "--output", "json"]))?;
    outcome.expect(5, &[]);
    let document: Value = serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())?;
    assert_eq!(
        (&document["run"]["state"], &document["run"]["exit_code"]),
        (&Value::from("partial"), &Value::from(5))
    );
    assert_eq!(
        document["quarantine"]["total"],
        document["run"]["counts"]["quarantined"]
    );
    let items = document["quarantine"]["items"]
        .as_array()
        .context("no items")?;
    for (bug, class, reason) in [
        (broken, "transient", "500"),
        (malformed, "malformed", "JSON"),
        (missing, "malformed", "date_created"),
    ] {
        let url = format!("{}devel/bugs/{bug}", server.root());
        let item = items.iter().find(|item| {
            item["url"]
                .as_str()
                .is_some_and(|found| found.starts_with(&url))
        });
        let item = item.with_context(|| format!("{url} is not among {items:#?}"))?;
        assert_eq!(item["class"], class, "{item}");
        assert!(
            item["reason"]
                .as_str()
                .is_some_and(|said| said.contains(reason)),
            "{item}"
        );
        assert_eq!(item["unit"], bug.to_string());
    }
    let id = document["run"]["id"].as_str().context("no id")?;
    let url = format!("devel/bugs/{malformed}");
    workspace
        .run(["runs", "show", id])?
        .expect(0, &["in quarantine", &url, "partial"]);

    let table = workspace.path().join("events");
    let published = events(&table)?;
    let of = |row: &serde_json::Map<String, Value>, bug: u32| {
        row["parent_item_id"] == format!("b-{bug}")
    };
    let others = expected
        .iter()
        .filter(|(_, row)| ![broken, malformed, missing].iter().any(|bug| of(row, *bug)));
    let lost: Vec<_> = others
        .filter(|(id, row)| published.get(*id) != Some(*row))
        .map(|(id, _)| id)
        .take(5)
        .collect();
    assert!(
        lost.is_empty(),
        "bugs that can be read are not all there: {lost:?}"
    );

    server.restart(options)?;
    workspace
        .run(run_year(&["--set", "actors=everyone"]))?
        .expect(0, &["quarantined  0 items"]);
    assert_same(&events(&table)?, &expected);
    Ok(())
}
