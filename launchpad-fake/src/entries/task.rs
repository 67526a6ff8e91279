//! The entry of a task: a bug in one target.

use serde_json::Value;

use super::{Context, Entry, Fields, optional_time, time};
use crate::generator::bug::{Bug, Task};
use crate::generator::targets::{self, Target};
use crate::generator::text;
use crate::generator::vocabulary::{EXPLANATIONS, IMPORTANCES, MILESTONES, STATUSES, is_closed};
use crate::keys;
use crate::links::Links;

/// The path of a bug in a target.
pub(crate) fn path(target: &Target, bug: u32) -> String {
    format!("{}/+bug/{bug}", target.path)
}

/// Writes a task of a bug.
pub(crate) fn entry(context: Context<'_>, bug: &Bug, task: &Task) -> Entry {
    let target = targets::get(task.target);
    let path = path(target, bug.id);
    let self_link = context.links.api(&path);
    let title = text::title(context.generator.seed(), bug.id, bug.title_revision);
    let milestone = task.milestone.map(|milestone| {
        context.links.api(&format!(
            "{}/+milestone/{}",
            target.path,
            MILESTONES[usize::from(milestone)]
        ))
    });
    let mut fields = Fields::default();
    fields.set("bug_link", context.links.api(&format!("bugs/{}", bug.id)));
    fields.set("milestone_link", milestone);
    fields.set("status", STATUSES[usize::from(task.status)]);
    fields.set(
        "status_explanation",
        task.status_explanation
            .map(|text| EXPLANATIONS[usize::from(text)]),
    );
    fields.set("importance", IMPORTANCES[usize::from(task.importance)]);
    fields.set("importance_explanation", Value::Null);
    fields.set(
        "assignee_link",
        task.assignee.map(|assignee| context.person(assignee)),
    );
    fields.set("bug_target_display_name", target.display_name);
    fields.set("bug_target_name", target.bug_target_name);
    fields.set("bug_watch_link", Value::Null);
    fields.set("date_created", time(task.created));
    let dates = &task.dates;
    for (key, date) in [
        ("date_assigned", dates.assigned),
        ("date_confirmed", dates.confirmed),
        ("date_deferred", dates.deferred),
        ("date_incomplete", dates.incomplete),
        ("date_in_progress", dates.in_progress),
        ("date_closed", dates.closed),
        ("date_left_new", dates.left_new),
        ("date_triaged", dates.triaged),
        ("date_fix_committed", dates.fix_committed),
        ("date_fix_released", dates.fix_released),
        ("date_left_closed", dates.left_closed),
    ] {
        fields.set(key, optional_time(date));
    }
    fields.set("owner_link", context.person(task.owner));
    fields.set("target_link", context.links.api(target.path));
    fields.set(
        "title",
        format!("Bug #{} in {}: \"{title}\"", bug.id, target.display_name),
    );
    fields.collections(&self_link, &["related_tasks_collection_link"]);
    fields.set("is_complete", is_closed(task.status));
    fields.entry(
        &keys::BUG_TASK,
        context.links,
        &self_link,
        &Links::bugs_web(&path),
    )
}
