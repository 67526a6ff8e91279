//! The entry of a bug.

use serde_json::Value;

use super::{Context, Entry, Fields, Viewer, optional_time, time};
use crate::generator::bug::Bug;
use crate::generator::people;
use crate::generator::random::{Purpose, Random};
use crate::generator::text;
use crate::generator::vocabulary::{INFORMATION_TYPES, tags_in};
use crate::keys;
use crate::links::Links;

const COLLECTIONS: [&str; 14] = [
    "activity_collection_link",
    "attachments_collection_link",
    "bug_tasks_collection_link",
    "bug_watches_collection_link",
    "cves_collection_link",
    "duplicates_collection_link",
    "linked_branches_collection_link",
    "linked_merge_proposals_collection_link",
    "messages_collection_link",
    "subscriptions_collection_link",
    "users_affected_collection_link",
    "users_affected_with_dupes_collection_link",
    "users_unaffected_collection_link",
    "vulnerabilities_collection_link",
];

/// Writes a bug; `lacking` is a key to leave out.
pub(crate) fn entry(context: Context<'_>, bug: &Bug, lacking: Option<&str>) -> Entry {
    let path = format!("bugs/{}", bug.id);
    let self_link = context.links.api(&path);
    let seed = context.generator.seed();
    let mut figures = Random::new(seed, Purpose::Figures, bug.id, 0);
    let affected = people::in_set(bug.affected).count();
    let duplicates = usize::from(bug.has_duplicate());
    let mut fields = Fields::default();
    fields.set("id", bug.id);
    fields.set("private", bug.private);
    fields.set(
        "information_type",
        INFORMATION_TYPES[usize::from(bug.information_type)],
    );
    fields.set("name", Value::Null);
    fields.set("title", text::title(seed, bug.id, bug.title_revision));
    fields.set(
        "description",
        text::description(seed, bug.id, bug.description_revision),
    );
    fields.set("owner_link", context.person(bug.owner));
    fields.set("can_expire", false);
    fields.set(
        "duplicate_of_link",
        bug.duplicate_of
            .map(|of| context.links.api(&format!("bugs/{of}"))),
    );
    fields.set("date_created", time(bug.created));
    fields.set("date_last_updated", time(bug.last_updated));
    fields.set(
        "date_last_message",
        optional_time(bug.messages.last().map(|message| message.time)),
    );
    fields.set(
        "date_made_private",
        if bug.private {
            time(bug.created)
        } else {
            Value::Null
        },
    );
    fields.set(
        "who_made_private_link",
        bug.private.then(|| context.person(bug.owner)),
    );
    fields.set("latest_patch_uploaded", optional_time(bug.latest_patch));
    fields.set("heat", 6 + figures.below(300));
    fields.set(
        "security_related",
        bug.information_type == 1 || bug.information_type == 2,
    );
    fields.set("tags", tags_in(bug.tags).collect::<Vec<_>>());
    fields.set("number_of_duplicates", duplicates);
    fields.set("message_count", bug.messages.len());
    fields.set("users_affected_count", affected);
    fields.set("users_affected_count_with_dupes", affected + duplicates);
    fields.set(
        "other_users_affected_count_with_dupes",
        affected + duplicates,
    );
    fields.set("users_unaffected_count", figures.below(3));
    fields.set(
        "lock_status",
        if bug.locked {
            "Comment-only"
        } else {
            "Unlocked"
        },
    );
    fields.set("lock_reason", Value::Null);
    fields.collections(&self_link, &COLLECTIONS);
    if let Some(key) = lacking {
        fields.remove(key);
    }
    fields.entry(
        &keys::BUG,
        context.links,
        &self_link,
        &Links::bugs_web(&path),
    )
}

/// Whether the viewer may see the bug.
pub(crate) fn is_visible(bug: &Bug, viewer: Viewer) -> bool {
    !bug.private || viewer == Viewer::Known
}
