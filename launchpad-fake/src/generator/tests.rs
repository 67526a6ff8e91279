//! Properties of generated bugs as such; what is served is tested over HTTP.

use super::bug::Bug;
use super::story::{LATEST, SAMPLE_END, SAMPLE_START};
use super::*;
use crate::generator::bug::Change;
use crate::generator::people::{ADA, bit};

const SOURCE: Source = Source {
    seed: 1,
    member_share: 0.5,
};

fn bugs(count: u32) -> Vec<Bug> {
    (0..count).map(|index| story::tell(SOURCE, index)).collect()
}

#[test]
fn nothing_of_a_bug_is_later_than_its_last_update_or_earlier_than_its_report() {
    for bug in bugs(2_000) {
        let times = bug.activity.iter().map(|activity| activity.time);
        let times: Vec<i64> = times
            .chain(bug.messages.iter().map(|message| message.time))
            .collect();
        assert!(
            times
                .iter()
                .all(|time| (bug.created..=bug.last_updated).contains(time)),
            "{bug:?}"
        );
        assert!(bug.last_updated <= LATEST, "{bug:?}");
        assert!(bug.activity.is_sorted_by_key(|activity| activity.time));
        assert!(bug.messages.is_sorted_by_key(|message| message.time));
        assert_eq!(bug.activity[0].change, Change::AddedBug);
        assert_eq!(
            (bug.messages[0].time, bug.messages[0].owner),
            (bug.created, bug.owner)
        );
    }
}

#[test]
fn the_member_is_related_to_every_bug_and_does_about_half() {
    let (mut hers, mut all) = (0, 0);
    for bug in bugs(2_000) {
        let related = bug.owner == ADA
            || bug.subscribers & bit(ADA) != 0
            || bug.commenters() & bit(ADA) != 0
            || bug.tasks.iter().any(|task| task.assignee == Some(ADA));
        assert!(related, "{bug:?}");
        let people = bug.activity.iter().map(|activity| activity.person);
        for person in people.chain(bug.messages.iter().map(|message| message.owner)) {
            all += 1;
            hers += u32::from(person == ADA);
        }
    }
    let share = f64::from(hers) / f64::from(all);
    assert!((0.4..0.6).contains(&share), "{share}");
}

#[test]
fn comments_descriptions_and_fixes_are_spread_as_on_launchpad() {
    let bugs: Vec<Bug> = bugs(5_000).into_iter().skip(15).collect();
    let mut comments: Vec<usize> = bugs.iter().map(|bug| bug.messages.len() - 1).collect();
    let mut days: Vec<i64> = bugs
        .iter()
        .filter_map(|bug| {
            bug.tasks[0]
                .dates
                .fix_released
                .map(|fixed| (fixed - bug.created) / 86_400_000_000)
        })
        .collect();
    let mut lengths: Vec<usize> = bugs
        .iter()
        .take(1_000)
        .map(|bug| text::description(1, bug.id, 0).chars().count())
        .collect();
    let mean = comments.iter().sum::<usize>() as f64 / comments.len() as f64;
    comments.sort_unstable();
    days.sort_unstable();
    lengths.sort_unstable();
    let at = |share: usize, length: usize| length * share / 100;
    assert!((9.3..10.4).contains(&mean), "mean {mean}");
    assert_eq!(comments[at(50, comments.len())], 8);
    assert!((16..=18).contains(&comments[at(90, comments.len())]));
    assert!((35..=50).contains(&comments[at(99, comments.len())]));
    assert!(*comments.last().unwrap() <= 247);
    assert!(
        (25..=60).contains(&days[at(50, days.len())]),
        "{}",
        days[at(50, days.len())]
    );
    assert!((400..700).contains(&lengths[500]), "{}", lengths[500]);
    assert!((2_300..4_000).contains(&lengths[900]), "{}", lengths[900]);
}

#[test]
fn every_word_of_the_activity_occurs() {
    let bugs = bugs(2_000);
    let changes: Vec<&Change> = bugs
        .iter()
        .flat_map(|bug| &bug.activity)
        .map(|activity| &activity.change)
        .collect();
    let some = |wanted: fn(&Change) -> bool| changes.iter().any(|change| wanted(change));
    assert!(some(|change| matches!(change, Change::Status { .. })));
    assert!(some(|change| matches!(change, Change::Importance { .. })));
    assert!(some(|change| matches!(
        change,
        Change::Assignee {
            old: None,
            new: Some(_),
            ..
        }
    )));
    assert!(some(|change| matches!(
        change,
        Change::Assignee {
            old: Some(_),
            new: None,
            ..
        }
    )));
    assert!(some(|change| matches!(
        change,
        Change::Milestone { new: None, .. }
    )));
    assert!(some(|change| matches!(
        change,
        Change::StatusExplanation { .. }
    )));
    assert!(some(|change| matches!(change, Change::TaskAdded { .. })));
    assert!(some(|change| matches!(change, Change::Tags { .. })));
    assert!(some(|change| matches!(change, Change::Title { .. })));
    assert!(some(|change| matches!(change, Change::Description { .. })));
    assert!(some(|change| matches!(change, Change::Subscribed(_))));
    assert!(some(|change| matches!(change, Change::Unsubscribed(_))));
    assert!(some(|change| matches!(
        change,
        Change::InformationType { .. }
    )));
    assert!(some(|change| matches!(
        change,
        Change::Lock { locked: false }
    )));
    assert!(some(|change| matches!(
        change,
        Change::MarkedDuplicate { .. }
    )));
    assert!(some(|change| matches!(
        change,
        Change::MergeProposalLinked { .. }
    )));
    assert!(some(|change| matches!(change, Change::Note(_))));
}

#[test]
fn the_dates_of_the_sample_are_those_of_the_crate() {
    let midnight = |date: &str| {
        let date: chrono::NaiveDate = date.parse().unwrap();
        date.and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_micros()
    };
    assert_eq!(SAMPLE_START, midnight(crate::SAMPLE_START));
    assert_eq!(SAMPLE_END, midnight(crate::SAMPLE_END));
}

#[test]
fn landmarks_are_what_they_say() {
    let bug = |id: u32| story::tell(SOURCE, id - FIRST_BUG);
    assert!(bug(landmarks::THREE_PAGES_OF_MESSAGES).messages.len() > 200);
    assert!((76..150).contains(&bug(landmarks::TWO_PAGES_OF_MESSAGES).messages.len()));
    assert!((76..150).contains(&bug(landmarks::TWO_PAGES_OF_ACTIVITY).activity.len()));
    assert_eq!(
        bug(landmarks::MANY_TASKS).tasks.len(),
        targets::TARGETS.len()
    );
    assert!(bug(landmarks::PRIVATE).private);
    let hidden = bug(landmarks::HIDDEN_MESSAGES);
    assert!(hidden.messages.len() > 75 && hidden.messages.iter().any(|message| message.hidden));
    let changed = bug(landmarks::CHANGED_MESSAGES);
    assert!(
        changed
            .messages
            .iter()
            .any(|message| message.edited.is_some())
    );
    assert!(
        changed
            .messages
            .iter()
            .any(|message| message.deleted.is_some())
    );
    let old = bug(landmarks::OLD_BUG);
    assert!(old.created < SAMPLE_START - 9 * 365 * 86_400_000_000);
    assert!(
        old.messages
            .iter()
            .any(|message| (SAMPLE_START..SAMPLE_END).contains(&message.time))
    );
    assert_eq!(
        bug(landmarks::DUPLICATE).duplicate_of,
        Some(landmarks::OLD_BUG)
    );
    assert!(old.has_duplicate());
    assert!(bug(landmarks::BEFORE_THE_SAMPLE).last_updated < SAMPLE_START);
    assert!(bug(landmarks::AFTER_THE_SAMPLE).created >= SAMPLE_END);
    let whole = bug(landmarks::WHOLE_SECONDS);
    assert!(
        whole
            .messages
            .iter()
            .all(|message| message.time % 1_000_000 == 0)
    );
    assert!(
        whole
            .activity
            .iter()
            .all(|activity| activity.time % 1_000_000 == 0)
    );
    assert_eq!(
        bug(landmarks::REDACTED_ASSIGNEE).tasks[0].assignee,
        Some(people::SECRET)
    );
    let edges = bug(landmarks::EDGES_OF_TIME);
    for (moment, what) in landmarks::EDGE_MOMENTS {
        let moment = chrono::DateTime::parse_from_rfc3339(moment)
            .unwrap()
            .timestamp_micros();
        let written = edges
            .messages
            .iter()
            .any(|message| message.time == moment && message.owner == ADA);
        let changed = edges
            .activity
            .iter()
            .any(|one| one.time == moment && one.person == ADA);
        assert!(written && changed, "{what}");
    }
}

#[test]
fn a_story_does_not_depend_on_what_was_told_before() {
    let one = Index::build(SOURCE, 300);
    for index in [299, 5, 120, 0] {
        let bug = story::tell(SOURCE, index);
        let row = &one.bugs[index as usize];
        assert_eq!(
            (row.id, row.tags, row.last_updated),
            (bug.id, bug.tags, bug.last_updated)
        );
    }
    assert!(one.tasks.is_sorted_by_key(|task| (task.bug, task.position)));
}
