//! The entry of a message of a bug.

use serde_json::Value;

use super::{Context, Entry, Fields, Viewer, optional_time, task, time};
use crate::generator::bug::{Bug, Message};
use crate::generator::targets;
use crate::generator::text;
use crate::keys;
use crate::links::Links;

/// Writes the message with this number. The number stays in its links whatever is hidden.
pub(crate) fn entry(context: Context<'_>, bug: &Bug, number: usize, message: &Message) -> Entry {
    let seed = context.generator.seed();
    // Every bug has the task it was reported with.
    let target = targets::get(bug.tasks.first().map_or(0, |task| task.target));
    let path = format!("{}/comments/{number}", task::path(target, bug.id));
    let self_link = context.links.api(&path);
    let title = text::title(seed, bug.id, 0);
    // A bug has some hundred messages at most.
    let content = match (message.deleted, number) {
        (Some(_), _) => String::new(),
        (None, 0) => text::description(seed, bug.id, 0),
        (None, _) => text::comment(seed, bug.id, number as u32),
    };
    let mut fields = Fields::default();
    fields.set("content", content);
    fields.set("date_created", time(message.time));
    fields.set("date_deleted", optional_time(message.deleted));
    fields.set("date_last_edited", optional_time(message.edited));
    fields.set("owner_link", context.person(message.owner));
    fields.set("parent_link", Value::Null);
    fields.set(
        "subject",
        if number == 0 {
            title
        } else {
            format!("Re: {title}")
        },
    );
    fields.set("visible", !message.hidden);
    fields.collections(
        &self_link,
        &[
            "bug_attachments_collection_link",
            "revisions_collection_link",
        ],
    );
    fields.entry(
        &keys::MESSAGE,
        context.links,
        &self_link,
        &Links::bugs_web(&path),
    )
}

/// Whether the viewer gets the message: hidden ones are dropped from a page after it was cut.
pub(crate) fn is_visible(message: &Message, viewer: Viewer) -> bool {
    !message.hidden || viewer == Viewer::Known
}
