//! What a generated bug is: its state now and everything that happened to it. Texts are elsewhere.

use super::people::PersonId;
use super::targets::TargetId;
use super::vocabulary::{Importance, Status};

/// A point in time in microseconds since the epoch.
pub(crate) type Micros = i64;

/// A generated bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bug {
    /// The number in its link.
    pub(crate) id: u32,
    /// When it was reported.
    pub(crate) created: Micros,
    /// When anything of it last changed: no activity or message is later.
    pub(crate) last_updated: Micros,
    /// Who reported it.
    pub(crate) owner: PersonId,
    /// Whether only those who are logged in see it.
    pub(crate) private: bool,
    /// The bug it is a duplicate of.
    pub(crate) duplicate_of: Option<u32>,
    /// A position in the information types.
    pub(crate) information_type: u8,
    /// Its tags, as a set of bits.
    pub(crate) tags: u16,
    /// Who gets notifications, as a set of bits.
    pub(crate) subscribers: u64,
    /// Who said to be affected, as a set of bits.
    pub(crate) affected: u64,
    /// How often its title changed.
    pub(crate) title_revision: u32,
    /// How often its description changed.
    pub(crate) description_revision: u32,
    /// Whether only its participants may comment.
    pub(crate) locked: bool,
    /// When a patch was attached last.
    pub(crate) latest_patch: Option<Micros>,
    /// Its tasks, the first the one it was reported with.
    pub(crate) tasks: Vec<Task>,
    /// What changed, in order of time.
    pub(crate) activity: Vec<Activity>,
    /// Its messages, in order of time; the first is the description.
    pub(crate) messages: Vec<Message>,
}

impl Bug {
    /// Who wrote a message other than the description, as a set of bits.
    pub(crate) fn commenters(&self) -> u64 {
        self.messages
            .iter()
            .skip(1)
            .fold(0, |set, message| set | super::people::bit(message.owner))
    }
}

/// A bug in one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// Where.
    pub(crate) target: TargetId,
    /// Who added it.
    pub(crate) owner: PersonId,
    /// When it was added.
    pub(crate) created: Micros,
    /// Its status now.
    pub(crate) status: Status,
    /// Its importance now.
    pub(crate) importance: Importance,
    /// Who works on it.
    pub(crate) assignee: Option<PersonId>,
    /// A position in the milestones.
    pub(crate) milestone: Option<u8>,
    /// A position in the explanations.
    pub(crate) status_explanation: Option<u8>,
    /// When it came to which status.
    pub(crate) dates: Dates,
}

/// When a task came to which status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dates {
    pub(crate) assigned: Option<Micros>,
    pub(crate) confirmed: Option<Micros>,
    pub(crate) deferred: Option<Micros>,
    pub(crate) incomplete: Option<Micros>,
    pub(crate) in_progress: Option<Micros>,
    pub(crate) closed: Option<Micros>,
    pub(crate) left_new: Option<Micros>,
    pub(crate) triaged: Option<Micros>,
    pub(crate) fix_committed: Option<Micros>,
    pub(crate) fix_released: Option<Micros>,
    pub(crate) left_closed: Option<Micros>,
}

/// One change of a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Activity {
    /// When.
    pub(crate) time: Micros,
    /// By whom.
    pub(crate) person: PersonId,
    /// What.
    pub(crate) change: Change,
}

/// What changed. `task` is a position in the bug's tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    AddedBug,
    Status {
        task: u8,
        old: Status,
        new: Status,
    },
    Importance {
        task: u8,
        old: Importance,
        new: Importance,
    },
    Assignee {
        task: u8,
        old: Option<PersonId>,
        new: Option<PersonId>,
    },
    Milestone {
        task: u8,
        old: Option<u8>,
        new: Option<u8>,
    },
    StatusExplanation {
        task: u8,
        old: Option<u8>,
        new: Option<u8>,
    },
    TaskAdded {
        task: u8,
    },
    Tags {
        old: u16,
        new: u16,
    },
    /// To this revision from the one before it.
    Title {
        revision: u32,
    },
    /// To this revision from the one before it.
    Description {
        revision: u32,
    },
    Subscribed(PersonId),
    Unsubscribed(PersonId),
    InformationType {
        old: u8,
        new: u8,
    },
    Lock {
        locked: bool,
    },
    MarkedDuplicate {
        of: u32,
    },
    MergeProposalLinked {
        number: u32,
    },
    /// A position in the notes.
    Note(u8),
}

/// A message of a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// When it was written.
    pub(crate) time: Micros,
    /// By whom.
    pub(crate) owner: PersonId,
    /// Whether only those who are logged in see it.
    pub(crate) hidden: bool,
    /// When it was last edited.
    pub(crate) edited: Option<Micros>,
    /// When it was deleted; its content is then empty.
    pub(crate) deleted: Option<Micros>,
}
