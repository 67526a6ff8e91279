//! Nothing that the server has is missing, nothing is there twice: against the server's own collections, read page by
//! page without the product.

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::{DateTime, NaiveDate};
use launchpad_fake::landmarks;
use serde_json::{Map, Value};

use super::launchpad::{Launchpad, run_between, run_year};
use super::published::{events, rows};

/// Enough for more than 300 tasks.
const MANY: u32 = 160;

/// Enough for all landmarks and some others.
const FEW: u32 = 40;

/// What happened on the server's bugs within a window, in words that can be compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Happened {
    /// Reports and messages by their identity.
    identified: BTreeSet<String>,
    /// Changes, which have none, by all that they say; sorted, with repetitions.
    changes: Vec<String>,
}

fn micros(time: &Value) -> anyhow::Result<i64> {
    Ok(DateTime::parse_from_rfc3339(time.as_str().context("no time")?)?.timestamp_micros())
}

fn midnight(day: &str) -> anyhow::Result<i64> {
    Ok(day
        .parse::<NaiveDate>()?
        .and_hms_opt(0, 0, 0)
        .context("no midnight")?
        .and_utc()
        .timestamp_micros())
}

fn tail(link: &Value) -> &str {
    link.as_str()
        .and_then(|link| link.rsplit('/').next())
        .unwrap_or_default()
        .trim_start_matches('~')
}

fn change(bug: &str, time: i64, entry: &Value, api: &str) -> String {
    let field = |name: &str| entry[name].to_string().replace(api, "");
    let said = ["whatchanged", "oldvalue", "newvalue", "message"]
        .map(field)
        .join(" | ");
    format!("{bug} | {time} | {} | {said}", tail(&entry["person_link"]))
}

/// Reads the server: everyone's events, or those of one person.
fn on_the_server(
    server: &Launchpad,
    bugs: u32,
    window: (&str, &str),
    person: Option<&str>,
) -> anyhow::Result<(Happened, usize)> {
    let (from, to) = (midnight(window.0)?, midnight(window.1)?);
    let api = format!("{}devel", server.root());
    let wanted = |time: i64, link: &Value| {
        (from..to).contains(&time) && person.is_none_or(|person| tail(link) == person)
    };
    let (mut happened, mut tasks) = (Happened::default(), 0);
    for number in landmarks::FIRST_BUG..landmarks::FIRST_BUG + bugs {
        // Private bugs are not there for the anonymous.
        let Some(bug) = server.entry(&format!("devel/bugs/{number}"))? else {
            continue;
        };
        let pages = |name: &str| server.collection(bug[name].as_str().unwrap_or_default());
        tasks += pages("bug_tasks_collection_link")?.len();
        if wanted(micros(&bug["date_created"])?, &bug["owner_link"]) {
            happened.identified.insert(format!("b-{number}-c"));
        }
        for message in pages("messages_collection_link")? {
            if wanted(micros(&message["date_created"])?, &message["owner_link"]) {
                happened
                    .identified
                    .insert(format!("b-{number}-m{}", tail(&message["self_link"])));
            }
        }
        for entry in pages("activity_collection_link")? {
            let time = micros(&entry["datechanged"])?;
            if wanted(time, &entry["person_link"]) {
                happened
                    .changes
                    .push(change(&format!("b-{number}"), time, &entry, &api));
            }
        }
    }
    happened.changes.sort();
    Ok((happened, tasks))
}

/// Reads the table.
fn in_the_table(rows: &[Map<String, Value>]) -> anyhow::Result<Happened> {
    let mut happened = Happened::default();
    for row in rows {
        let text = |name: &str| {
            row.get(name)
                .and_then(Value::as_str)
                .with_context(|| format!("no {name} in {row:?}"))
        };
        if text("event_type")? == "bug_activity" {
            let said: Value = serde_json::from_str(text("relation_properties")?)?;
            happened.changes.push(change(
                text("parent_item_id")?,
                micros(&row["event_time_utc"])?,
                &said,
                "",
            ));
        } else {
            assert!(
                happened.identified.insert(text("event_id")?.to_owned()),
                "twice: {row:?}"
            );
        }
    }
    happened.changes.sort();
    Ok(happened)
}

#[test]
fn everything_that_anyone_did_on_the_bugs_of_a_person_with_over_300_tasks_is_there()
-> anyhow::Result<()> {
    let server = Launchpad::with_bugs(MANY)?;
    let workspace = server.workspace()?;
    let always = ("2009-01-01", "2030-01-01");
    workspace
        .run(run_between(
            always.0,
            always.1,
            &["--set", "actors=everyone"],
        ))?
        .expect(0, &[]);
    let rows = rows(&workspace.path().join("events"))?;
    let (expected, tasks) = on_the_server(&server, MANY, always, None)?;
    assert!(tasks > 300, "{tasks}");
    assert!(
        in_the_table(&rows)? == expected,
        "{}",
        differences(&in_the_table(&rows)?, &expected)
    );

    let of = |bug: u32, kind: &str| {
        let bug = format!("b-{bug}");
        rows.iter()
            .filter(|row| row["parent_item_id"] == *bug && row["event_type"] == kind)
            .count()
    };
    assert!(of(landmarks::THREE_PAGES_OF_MESSAGES, "bug_message") > 200);
    assert!(
        of(landmarks::HIDDEN_MESSAGES, "bug_message") > 75,
        "a page shortened by hidden messages is not the last"
    );
    assert!(of(landmarks::TWO_PAGES_OF_ACTIVITY, "bug_activity") > 75);
    assert_eq!(of(landmarks::PRIVATE, "bug_created"), 0);
    let many = rows
        .iter()
        .find(|row| row["event_id"] == format!("b-{}-c", landmarks::MANY_TASKS))
        .context("no bug")?;
    let properties: Value =
        serde_json::from_str(many["event_properties"].as_str().context("no properties")?)?;
    assert!(
        properties["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.len() > 5),
        "{properties}"
    );
    Ok(())
}

#[test]
fn a_members_year_is_what_the_member_did_in_it_old_bugs_included() -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(FEW)?;
    let workspace = server.workspace()?;
    workspace.run(run_year(&[]))?.expect(0, &[]);
    let table = workspace.path().join("events");
    let rows = rows(&table)?;
    let (expected, _) = on_the_server(
        &server,
        FEW,
        ("2025-01-01", "2026-01-01"),
        Some("ada-example"),
    )?;
    assert!(
        in_the_table(&rows)? == expected,
        "{}",
        differences(&in_the_table(&rows)?, &expected)
    );
    let old = format!("b-{}", landmarks::OLD_BUG);
    assert!(
        rows.iter().any(|row| row["parent_item_id"] == *old),
        "work of the year on a bug ten years older"
    );
    assert!(
        rows.iter()
            .all(|row| row["employee_id"] == "ada-example" && row["timezone"] == "Europe/Lisbon")
    );
    assert_eq!(events(&table)?.len(), rows.len());
    Ok(())
}

#[test]
fn the_edges_of_the_window_of_weeks_and_of_summer_time_fall_where_they_should() -> anyhow::Result<()>
{
    let server = Launchpad::with_bugs(15)?;
    let workspace = server.workspace()?;
    workspace.run(run_year(&[]))?.expect(0, &[]);
    let rows = rows(&workspace.path().join("events"))?;
    let bug = format!("b-{}", landmarks::EDGES_OF_TIME);
    let at = |moment: &str| -> anyhow::Result<Vec<&Map<String, Value>>> {
        let moment = micros(&Value::from(moment))?;
        let here = rows.iter().filter(|row| row["parent_item_id"] == *bug);
        Ok(here
            .filter(|row| micros(&row["event_time_utc"]).is_ok_and(|time| time == moment))
            .collect())
    };
    let window = midnight("2025-01-01")?..midnight("2026-01-01")?;
    for (moment, what) in landmarks::EDGE_MOMENTS {
        let expected = if window.contains(&micros(&Value::from(moment))?) {
            2
        } else {
            0
        };
        assert_eq!(
            at(moment)?.len(),
            expected,
            "{what}: a change and a message at {moment}"
        );
    }
    for (moment, local, week) in [
        (
            "2025-03-30T00:59:59.999999Z",
            "2025-03-30T00:59:59.999999",
            "2025-03-24",
        ),
        ("2025-03-30T01:00:00Z", "2025-03-30T02:00:00", "2025-03-24"),
        (
            "2025-06-01T23:59:59.999999Z",
            "2025-06-02T00:59:59.999999",
            "2025-05-26",
        ),
        ("2025-06-02T00:00:00Z", "2025-06-02T01:00:00", "2025-06-02"),
        ("2025-10-26T00:30:00Z", "2025-10-26T01:30:00", "2025-10-20"),
        ("2025-10-26T01:00:00Z", "2025-10-26T01:00:00", "2025-10-20"),
        ("2025-10-26T01:30:00Z", "2025-10-26T01:30:00", "2025-10-20"),
    ] {
        for row in at(moment)? {
            assert_eq!(
                (&row["event_time"], &row["week"]),
                (&Value::from(local), &Value::from(week)),
                "{moment}"
            );
        }
    }
    Ok(())
}

fn differences(found: &Happened, expected: &Happened) -> String {
    let missing: Vec<_> = expected
        .identified
        .difference(&found.identified)
        .take(5)
        .collect();
    let surplus: Vec<_> = found
        .identified
        .difference(&expected.identified)
        .take(5)
        .collect();
    let lost: Vec<_> = expected
        .changes
        .iter()
        .filter(|one| !found.changes.contains(one))
        .take(5)
        .collect();
    let odd: Vec<_> = found
        .changes
        .iter()
        .filter(|one| !expected.changes.contains(one))
        .take(5)
        .collect();
    let counts = (found.changes.len(), expected.changes.len());
    format!("missing {missing:?} {lost:#?}, surplus {surplus:?} {odd:#?}, changes {counts:?}")
}
