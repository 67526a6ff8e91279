//! The fixed words of bugs: statuses, importances, information types, tags, milestones, notes.

/// The statuses of a task, in the order the service sorts them. A status is a position in this list.
pub(crate) const STATUSES: [&str; 14] = [
    "New",
    "Incomplete",
    "Opinion",
    "Invalid",
    "Won't Fix",
    "Expired",
    "Confirmed",
    "Triaged",
    "In Progress",
    "Deferred",
    "Fix Committed",
    "Fix Released",
    "Does Not Exist",
    "Unknown",
];

/// A position in [`STATUSES`].
pub(crate) type Status = u8;

pub(crate) const NEW: Status = 0;
pub(crate) const INCOMPLETE: Status = 1;
pub(crate) const CONFIRMED: Status = 6;
pub(crate) const TRIAGED: Status = 7;
pub(crate) const IN_PROGRESS: Status = 8;
pub(crate) const DEFERRED: Status = 9;
pub(crate) const FIX_COMMITTED: Status = 10;
pub(crate) const FIX_RELEASED: Status = 11;

/// Whether a task of this status needs no more work.
pub(crate) fn is_closed(status: Status) -> bool {
    matches!(status, 2..=5 | FIX_RELEASED | 12)
}

/// The importances of a task. An importance is a position in this list.
pub(crate) const IMPORTANCES: [&str; 7] = [
    "Unknown",
    "Undecided",
    "Critical",
    "High",
    "Medium",
    "Low",
    "Wishlist",
];

/// A position in [`IMPORTANCES`].
pub(crate) type Importance = u8;

/// The importance of a new task.
pub(crate) const UNDECIDED: Importance = 1;

/// The weight the service sorts an importance by.
pub(crate) fn importance_rank(importance: Importance) -> u16 {
    [999, 5, 50, 40, 30, 20, 10]
        .get(usize::from(importance))
        .copied()
        .unwrap_or(0)
}

/// The information types of a bug. An information type is a position in this list.
pub(crate) const INFORMATION_TYPES: [&str; 6] = [
    "Public",
    "Public Security",
    "Private Security",
    "Private",
    "Proprietary",
    "Embargoed",
];

/// The position of `Public Security`.
pub(crate) const PUBLIC_SECURITY: u8 = 1;
/// The position of `Private`.
pub(crate) const PRIVATE: u8 = 3;

/// The tags bugs have. A set of tags is a set of bits, the first tag the lowest.
pub(crate) const TAGS: [&str; 16] = [
    "api",
    "build",
    "crash",
    "documentation",
    "example-tag",
    "install",
    "locale",
    "memory",
    "network",
    "parser",
    "performance",
    "regression",
    "security",
    "ui",
    "upgrade",
    "verification-needed",
];

/// The tags in a set, in the order the service lists them.
pub(crate) fn tags_in(set: u16) -> impl Iterator<Item = &'static str> {
    TAGS.iter()
        .enumerate()
        .filter(move |(bit, _)| set & (1 << bit) != 0)
        .map(|(_, tag)| *tag)
}

/// The milestones of every target.
pub(crate) const MILESTONES: [&str; 4] = ["1.0", "1.1", "2.0-beta", "later"];

/// Explanations of a status.
pub(crate) const EXPLANATIONS: [&str; 3] = [
    "Waiting for the reporter.",
    "Fixed by the new parser & tests.",
    "See the <linked> bug.",
];

/// A change that nothing else in a bug depends on: what changed, the old value, the new value.
pub(crate) type Note = (&'static str, Option<&'static str>, Option<&'static str>);

/// Such changes.
pub(crate) const NOTES: [Note; 21] = [
    (
        "attachment added",
        None,
        Some("trace.log https://bugs.launchpad.test/bugs/2000001/+attachment/1/+files/trace.log"),
    ),
    (
        "attachment removed",
        Some("old.log https://bugs.launchpad.test/bugs/2000001/+attachment/2/+files/old.log"),
        None,
    ),
    (
        "branch linked",
        None,
        Some("lp:~bob-example/exampleproj/fix"),
    ),
    (
        "branch unlinked",
        Some("lp:~bob-example/exampleproj/fix"),
        None,
    ),
    (
        "merge proposal unlinked",
        Some("https://code.launchpad.test/~bob-example/exampleproj/+git/exampleproj/+merge/900007"),
        None,
    ),
    (
        "bug watch added",
        None,
        Some("http://tracker.example.org/show_bug.cgi?id=42&view=all"),
    ),
    (
        "bug watch removed",
        Some("http://tracker.example.org/show_bug.cgi?id=41"),
        None,
    ),
    ("cve linked", None, Some("2025-00001")),
    ("cve unlinked", Some("2025-00001"), None),
    ("nominated for series", None, Some("Exampledistro Aurora")),
    ("bug task deleted", Some("examplelegacy"), None),
    ("affects", Some("examplelegacy"), Some("exampleproj")),
    ("bug presence added", None, Some("exampleproj")),
    ("changed duplicate marker", Some("2000001"), Some("2000010")),
    ("removed duplicate marker", Some("2000010"), None),
    ("bug presence removed", Some("exampleproj"), None),
    ("security vulnerability", Some("no"), Some("yes")),
    ("visibility", Some("public"), Some("private")),
    ("converted to question", None, Some("700001")),
    (
        "exampleproj: importance explanation",
        None,
        Some("Many people & machines hit this."),
    ),
    (
        "exampleproj: remote watch",
        None,
        Some("Example Tracker #42"),
    ),
];
