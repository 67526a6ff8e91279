//! The entries of people, teams and memberships.

use serde_json::Value;

use super::{Context, Entry, Fields, REDACTED, Viewer, time};
use crate::generator::people::{self, PersonId, Standing};
use crate::keys;
use crate::links::Links;

const COLLECTIONS: [&str; 24] = [
    "recipes_collection_link",
    "languages_collection_link",
    "sshkeys_collection_link",
    "gpg_keys_collection_link",
    "wiki_names_collection_link",
    "irc_nicknames_collection_link",
    "jabber_ids_collection_link",
    "social_accounts_collection_link",
    "memberships_details_collection_link",
    "open_membership_invitations_collection_link",
    "confirmed_email_addresses_collection_link",
    "ppas_collection_link",
    "sub_teams_collection_link",
    "super_teams_collection_link",
    "members_collection_link",
    "admins_collection_link",
    "participants_collection_link",
    "deactivated_members_collection_link",
    "expired_members_collection_link",
    "invited_members_collection_link",
    "members_details_collection_link",
    "proposed_members_collection_link",
    "all_specifications_collection_link",
    "valid_specifications_collection_link",
];

/// 2008-03-01 and a little: when the first account was made, a few days before the next.
const FIRST_ACCOUNT: i64 = 1_204_365_600_250_000;
const ACCOUNT_EVERY: i64 = 13 * 86_400_000_000 + 3_600_000_001;

/// When an account was made.
pub(crate) fn created(id: PersonId) -> i64 {
    FIRST_ACCOUNT + i64::from(id) * ACCOUNT_EVERY
}

/// The address of a person. Nothing is delivered there: the domain is reserved.
pub(crate) fn email(id: PersonId) -> String {
    format!("{}@example.org", people::get(id).name)
}

/// Writes a person or a team.
pub(crate) fn entry(context: Context<'_>, id: PersonId) -> Entry {
    let person = people::get(id);
    let path = format!("~{}", person.name);
    let self_link = context.links.api(&path);
    let known = context.viewer == Viewer::Known;
    let team = person.is_team();
    let private = person.standing == Standing::PrivateTeam;
    let mut fields = Fields::default();
    fields.null(&["latitude", "longitude", "homepage_content"]);
    fields.set("time_zone", person.time_zone);
    fields.set("private", private);
    fields.set("is_valid", person.standing != Standing::Suspended);
    fields.set("is_team", team);
    fields.set(
        "account_status",
        if person.standing == Standing::Suspended {
            "Suspended"
        } else {
            "Active"
        },
    );
    fields.set("account_status_history", REDACTED);
    fields.set("visibility", if private { "Private" } else { "Public" });
    fields.set("name", person.name);
    fields.set("display_name", person.display_name);
    fields.set("is_probationary", false);
    fields.set(
        "id",
        if known {
            Value::from(1_000 + u32::from(id))
        } else {
            REDACTED.into()
        },
    );
    fields.set("karma", if team { 0 } else { u32::from(id) * 37 % 1_009 });
    fields.set(
        "description",
        format!("{} is an invented account.", person.display_name),
    );
    fields.set("hide_email_addresses", true);
    fields.set("date_created", time(created(id)));
    fields.set("is_ubuntu_coc_signer", !team && id.is_multiple_of(3));
    // People have no members, so no owner either.
    let team_owner = people::members(id)
        .first()
        .map(|owner| context.person(*owner));
    fields.set("team_owner_link", team_owner);
    let address = (!team).then(|| {
        if known {
            format!("{self_link}/+email/{}", email(id))
        } else {
            REDACTED.to_owned()
        }
    });
    fields.set("preferred_email_address_link", address);
    fields.set(
        "mailing_list_auto_subscribe_policy",
        "Ask me when I join a team",
    );
    fields.set("archive_link", Value::Null);
    fields.collections(&self_link, &COLLECTIONS);
    for key in ["logo_link", "mugshot_link"] {
        fields.set(
            key,
            format!("{self_link}/{}", key.trim_end_matches("_link")),
        );
    }
    let kind = if team {
        fields.null(&[
            "team_description",
            "default_membership_period",
            "default_renewal_period",
        ]);
        fields.set("membership_policy", "Restricted Team");
        fields.set("subscription_policy", "Restricted Team");
        fields.set("renewal_policy", "invite them to apply for renewal");
        &keys::TEAM
    } else {
        &keys::PERSON
    };
    fields.entry(kind, context.links, &self_link, &Links::web(&path))
}

/// Writes the membership of `member` in `team`.
pub(crate) fn membership(context: Context<'_>, team: PersonId, member: PersonId) -> Entry {
    let path = format!(
        "~{}/+member/{}",
        people::get(team).name,
        people::get(member).name
    );
    let owner = people::members(team).first().copied().unwrap_or(member);
    let mut fields = Fields::default();
    fields.null(&["date_expires", "last_change_comment"]);
    fields.set(
        "date_joined",
        time(created(team).max(created(member)) + 86_400_000_000),
    );
    fields.set("last_changed_by_link", context.person(owner));
    fields.set("member_link", context.person(member));
    fields.set(
        "status",
        if member == owner {
            "Administrator"
        } else {
            "Approved"
        },
    );
    fields.set("team_link", context.person(team));
    fields.entry(
        &keys::TEAM_MEMBERSHIP,
        context.links,
        &context.links.api(&path),
        &Links::web(&path),
    )
}
