//! The keys of every entry type, once: entries are written from these tables and the WADL is made of them.

use crate::links::Version;

/// What a key holds, as far as a client that reads the WADL needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Text, a number, a flag, or a list of them.
    Plain,
    /// A whole number declared as such.
    Integer,
    /// A point in time.
    DateTime,
    /// A link to an entry of the named type.
    Link(&'static str),
    /// A link to a collection of entries of the named type.
    Collection(&'static str),
    /// A link to a file kept by the service.
    File,
}

/// Which versions have the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Always,
    DevelOnly,
    BeforeDevel,
}

/// One key of an entry type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// The name in the JSON object.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) holds: Holds,
    since: Since,
}

impl Key {
    /// Whether entries served in `version` have this key.
    pub(crate) fn is_in(&self, version: Version) -> bool {
        match self.since {
            Since::Always => true,
            Since::DevelOnly => version == Version::Devel,
            Since::BeforeDevel => version != Version::Devel,
        }
    }

    const fn devel_only(mut self) -> Self {
        self.since = Since::DevelOnly;
        self
    }

    const fn before_devel(mut self) -> Self {
        self.since = Since::BeforeDevel;
        self
    }
}

/// An entry type: its name and its own keys. `self_link`, `web_link`, `resource_type_link` and
/// `http_etag`, which every type has, are not listed.
#[derive(Debug)]
pub(crate) struct EntryType {
    /// The name in `resource_type_link`.
    pub(crate) name: &'static str,
    /// The keys besides the four standard ones, in the order they are written.
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, holds: Holds) -> Key {
    Key {
        name,
        holds,
        since: Since::Always,
    }
}

const fn plain(name: &'static str) -> Key {
    key(name, Holds::Plain)
}

const fn time(name: &'static str) -> Key {
    key(name, Holds::DateTime)
}

const fn link(name: &'static str, to: &'static str) -> Key {
    key(name, Holds::Link(to))
}

const fn collection(name: &'static str, of: &'static str) -> Key {
    key(name, Holds::Collection(of))
}

const fn file(name: &'static str) -> Key {
    key(name, Holds::File)
}

/// A bug.
pub(crate) const BUG: EntryType = EntryType {
    name: "bug",
    keys: &[
        key("id", Holds::Integer),
        plain("private"),
        plain("information_type"),
        plain("name"),
        plain("title"),
        plain("description"),
        link("owner_link", "person"),
        collection("bug_tasks_collection_link", "bug_task"),
        link("duplicate_of_link", "bug"),
        time("date_created"),
        collection("activity_collection_link", "bug_activity"),
        plain("can_expire").before_devel(),
        collection("subscriptions_collection_link", "bug_subscription"),
        time("date_last_updated"),
        link("who_made_private_link", "person"),
        time("date_made_private"),
        plain("heat"),
        collection("bug_watches_collection_link", "bug_watch"),
        collection("cves_collection_link", "cve"),
        collection("vulnerabilities_collection_link", "vulnerability"),
        collection("duplicates_collection_link", "bug"),
        collection("attachments_collection_link", "bug_attachment"),
        plain("security_related"),
        time("latest_patch_uploaded"),
        plain("tags"),
        time("date_last_message"),
        plain("number_of_duplicates"),
        plain("message_count"),
        plain("users_affected_count"),
        plain("users_unaffected_count"),
        collection("users_affected_collection_link", "person"),
        collection("users_unaffected_collection_link", "person"),
        plain("users_affected_count_with_dupes"),
        plain("other_users_affected_count_with_dupes"),
        collection("users_affected_with_dupes_collection_link", "person"),
        plain("lock_status").devel_only(),
        plain("lock_reason").devel_only(),
        collection("messages_collection_link", "message"),
        collection("linked_branches_collection_link", "bug_branch"),
        collection(
            "linked_merge_proposals_collection_link",
            "branch_merge_proposal",
        )
        .devel_only(),
    ],
};

/// A task: a bug in one target.
pub(crate) const BUG_TASK: EntryType = EntryType {
    name: "bug_task",
    keys: &[
        link("bug_link", "bug"),
        link("milestone_link", "milestone"),
        plain("status"),
        plain("status_explanation").devel_only(),
        plain("importance"),
        plain("importance_explanation").devel_only(),
        link("assignee_link", "person"),
        plain("bug_target_display_name"),
        plain("bug_target_name"),
        link("bug_watch_link", "bug_watch"),
        time("date_assigned"),
        time("date_created"),
        time("date_confirmed"),
        time("date_deferred").devel_only(),
        time("date_incomplete"),
        time("date_in_progress"),
        time("date_closed"),
        time("date_left_new"),
        time("date_triaged"),
        time("date_fix_committed"),
        time("date_fix_released"),
        time("date_left_closed"),
        link("owner_link", "person"),
        link("target_link", "bug_target"),
        plain("title"),
        collection("related_tasks_collection_link", "bug_task"),
        plain("is_complete"),
    ],
};

/// One change of a bug.
pub(crate) const BUG_ACTIVITY: EntryType = EntryType {
    name: "bug_activity",
    keys: &[
        link("bug_link", "bug"),
        time("datechanged"),
        link("person_link", "person"),
        plain("whatchanged"),
        plain("oldvalue"),
        plain("newvalue"),
        plain("message"),
    ],
};

/// A message of a bug; the first is its description.
pub(crate) const MESSAGE: EntryType = EntryType {
    name: "message",
    keys: &[
        collection("bug_attachments_collection_link", "bug_attachment"),
        plain("content"),
        time("date_created"),
        time("date_deleted"),
        time("date_last_edited"),
        link("owner_link", "person"),
        link("parent_link", "message"),
        collection("revisions_collection_link", "message_revision"),
        plain("subject"),
        plain("visible"),
    ],
};

/// The membership of a person in a team.
pub(crate) const TEAM_MEMBERSHIP: EntryType = EntryType {
    name: "team_membership",
    keys: &[
        time("date_expires"),
        time("date_joined"),
        plain("last_change_comment"),
        link("last_changed_by_link", "person"),
        link("member_link", "person"),
        plain("status"),
        link("team_link", "person"),
    ],
};

/// The keys a person and a team share.
macro_rules! person_keys {
    ($($more:expr),* $(,)?) => {
        &[
            collection("recipes_collection_link", "source_package_recipe"),
            plain("latitude").before_devel(),
            plain("longitude").before_devel(),
            plain("time_zone"),
            plain("private"),
            plain("is_valid"),
            plain("is_team"),
            plain("account_status").devel_only(),
            plain("account_status_history").devel_only(),
            plain("visibility"),
            plain("name"),
            plain("display_name"),
            file("logo_link"),
            plain("is_probationary"),
            plain("id"),
            plain("karma"),
            plain("homepage_content"),
            plain("description"),
            file("mugshot_link"),
            collection("languages_collection_link", "language"),
            plain("hide_email_addresses"),
            time("date_created"),
            collection("sshkeys_collection_link", "ssh_key"),
            plain("is_ubuntu_coc_signer"),
            collection("gpg_keys_collection_link", "gpg_key"),
            collection("wiki_names_collection_link", "wiki_name"),
            collection("irc_nicknames_collection_link", "irc_id"),
            collection("jabber_ids_collection_link", "jabber_id"),
            collection("social_accounts_collection_link", "social_account"),
            collection("memberships_details_collection_link", "team_membership"),
            collection("open_membership_invitations_collection_link", "team_membership"),
            collection("confirmed_email_addresses_collection_link", "email_address"),
            link("team_owner_link", "person"),
            link("preferred_email_address_link", "email_address"),
            plain("mailing_list_auto_subscribe_policy"),
            link("archive_link", "archive"),
            collection("ppas_collection_link", "archive"),
            collection("sub_teams_collection_link", "team"),
            collection("super_teams_collection_link", "team"),
            collection("members_collection_link", "person"),
            collection("admins_collection_link", "person"),
            collection("participants_collection_link", "person"),
            collection("deactivated_members_collection_link", "person"),
            collection("expired_members_collection_link", "person"),
            collection("invited_members_collection_link", "person"),
            collection("members_details_collection_link", "team_membership"),
            collection("proposed_members_collection_link", "person"),
            collection("all_specifications_collection_link", "specification").devel_only(),
            collection("valid_specifications_collection_link", "specification").devel_only(),
            $($more),*
        ]
    };
}

/// A person.
pub(crate) const PERSON: EntryType = EntryType {
    name: "person",
    keys: person_keys!(),
};

/// A team.
pub(crate) const TEAM: EntryType = EntryType {
    name: "team",
    keys: person_keys!(
        plain("team_description"),
        plain("membership_policy"),
        plain("subscription_policy"),
        plain("renewal_policy"),
        plain("default_membership_period"),
        plain("default_renewal_period"),
    ),
};

/// The keys that a reader of bugs may follow of what has bugs. Those of its own come behind its name for people.
macro_rules! pillar_keys {
    ($($own:expr),*) => {
        &[
            plain("active"),
            link("bug_supervisor_link", "person"),
            time("date_created"),
            plain("description"),
            plain("display_name"),
            $($own,)*
            plain("information_type"),
            plain("name"),
            plain("official_bugs"),
            link("owner_link", "person"),
            plain("private"),
            plain("summary"),
            plain("title"),
        ]
    };
}

/// A project.
pub(crate) const PROJECT: EntryType = EntryType {
    name: "project",
    keys: pillar_keys!(),
};

/// A distribution.
pub(crate) const DISTRIBUTION: EntryType = EntryType {
    name: "distribution",
    keys: pillar_keys!(plain("domain_name")),
};

/// A source package of a distribution. Only the keys that a reader of bugs may follow.
pub(crate) const SOURCE_PACKAGE: EntryType = EntryType {
    name: "distribution_source_package",
    keys: &[
        plain("display_name"),
        link("distribution_link", "distribution"),
        plain("name"),
        plain("title"),
        link("upstream_product_link", "project"),
    ],
};

/// Every entry type the fake serves.
pub(crate) const ENTRY_TYPES: [&EntryType; 10] = [
    &BUG,
    &BUG_TASK,
    &BUG_ACTIVITY,
    &MESSAGE,
    &PERSON,
    &TEAM,
    &TEAM_MEMBERSHIP,
    &PROJECT,
    &DISTRIBUTION,
    &SOURCE_PACKAGE,
];
