//! The entry of one change of a bug.

use serde_json::Value;

use super::{Context, Entry, Fields, time};
use crate::generator::bug::{Activity, Bug, Change};
use crate::generator::people::{self, PersonId};
use crate::generator::targets;
use crate::generator::text;
use crate::generator::vocabulary::{
    EXPLANATIONS, IMPORTANCES, INFORMATION_TYPES, MILESTONES, NOTES, STATUSES, tags_in,
};
use crate::keys;
use crate::links::Links;

/// Writes a change of a bug. Its `self_link` is the collection's, as it is for every such entry.
pub(crate) fn entry(context: Context<'_>, bug: &Bug, activity: &Activity) -> Entry {
    let path = format!("bugs/{}/activity", bug.id);
    let words = Words::of(context, bug, &activity.change);
    let mut fields = Fields::default();
    fields.set("bug_link", context.links.api(&format!("bugs/{}", bug.id)));
    fields.set("datechanged", time(activity.time));
    fields.set("person_link", context.person(activity.person));
    fields.set("whatchanged", words.what);
    fields.set("oldvalue", words.old);
    fields.set("newvalue", words.new);
    fields.set("message", words.message);
    fields.entry(
        &keys::BUG_ACTIVITY,
        context.links,
        &context.links.api(&path),
        &Links::bugs_web(&path),
    )
}

/// A change in the service's words.
struct Words {
    what: String,
    old: Value,
    new: Value,
    message: Value,
}

impl Words {
    fn new(what: impl Into<String>, old: impl Into<Value>, new: impl Into<Value>) -> Self {
        Self {
            what: what.into(),
            old: old.into(),
            new: new.into(),
            message: Value::Null,
        }
    }

    fn of(context: Context<'_>, bug: &Bug, change: &Change) -> Self {
        let seed = context.generator.seed();
        let task_name = |task: u8| {
            // The task is one of the bug's.
            let target = bug
                .tasks
                .get(usize::from(task))
                .map_or(0, |task| task.target);
            targets::get(target).bug_target_name
        };
        match change {
            Change::AddedBug => {
                let mut words = Self::new("bug", Value::Null, Value::Null);
                words.message = "added bug".into();
                words
            }
            Change::Status { task, old, new } => Self::new(
                format!("{}: status", task_name(*task)),
                STATUSES[usize::from(*old)],
                STATUSES[usize::from(*new)],
            ),
            Change::Importance { task, old, new } => Self::new(
                format!("{}: importance", task_name(*task)),
                IMPORTANCES[usize::from(*old)],
                IMPORTANCES[usize::from(*new)],
            ),
            Change::Assignee { task, old, new } => Self::new(
                format!("{}: assignee", task_name(*task)),
                old.map(full_name),
                new.map(full_name),
            ),
            Change::Milestone { task, old, new } => {
                let name =
                    |milestone: Option<u8>| milestone.map(|one| MILESTONES[usize::from(one)]);
                Self::new(
                    format!("{}: milestone", task_name(*task)),
                    name(*old),
                    name(*new),
                )
            }
            Change::StatusExplanation { task, old, new } => {
                let text =
                    |explanation: Option<u8>| explanation.map(|one| EXPLANATIONS[usize::from(one)]);
                Self::new(
                    format!("{}: status explanation", task_name(*task)),
                    text(*old),
                    text(*new),
                )
            }
            Change::TaskAdded { task } => {
                Self::new("bug task added", Value::Null, task_name(*task))
            }
            Change::Tags { old, new } => Self::new("tags", tag_list(*old), tag_list(*new)),
            Change::Title { revision } => Self::new(
                "summary",
                text::title(seed, bug.id, revision.saturating_sub(1)),
                text::title(seed, bug.id, *revision),
            ),
            Change::Description { revision } => Self::new(
                "description",
                text::description(seed, bug.id, revision.saturating_sub(1)),
                text::description(seed, bug.id, *revision),
            ),
            Change::Subscribed(person) => bare(format!(
                "added subscriber {}",
                people::get(*person).display_name
            )),
            Change::Unsubscribed(person) => bare(format!(
                "removed subscriber {}",
                people::get(*person).display_name
            )),
            Change::InformationType { old, new } => Self::new(
                "information type",
                INFORMATION_TYPES[usize::from(*old)],
                INFORMATION_TYPES[usize::from(*new)],
            ),
            Change::Lock { locked: true } => Self::new("lock status", "Unlocked", "Comment-only"),
            Change::Lock { locked: false } => Self::new("lock status", "Comment-only", "Unlocked"),
            Change::MarkedDuplicate { of } => {
                Self::new("marked as duplicate", Value::Null, of.to_string())
            }
            Change::MergeProposalLinked { number } => Self::new(
                "merge proposal linked",
                Value::Null,
                Links::code_web(&format!(
                    "~bob-example/exampleproj/+git/exampleproj/+merge/{number}"
                )),
            ),
            Change::Note(note) => {
                let (what, old, new) = NOTES[usize::from(*note)];
                Self::new(what, old, new)
            }
        }
    }
}

fn bare(what: String) -> Words {
    Words::new(what, Value::Null, Value::Null)
}

fn full_name(person: PersonId) -> String {
    let person = people::get(person);
    format!("{} ({})", person.display_name, person.name)
}

fn tag_list(tags: u16) -> String {
    tags_in(tags).collect::<Vec<_>>().join(" ")
}
