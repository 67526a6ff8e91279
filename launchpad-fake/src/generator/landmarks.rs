//! Bugs that are in every generated set, at fixed ids, each with one thing that is easily got wrong.
//!
//! A set of fewer bugs than there are landmarks has the first of them only.

/// The id of the first bug.
pub const FIRST_BUG: u32 = 2_000_001;

/// An ordinary bug; its first message and activity fall on the moment it was created.
pub const ORDINARY: u32 = FIRST_BUG;
/// More than 200 messages: three pages of the default size.
pub const THREE_PAGES_OF_MESSAGES: u32 = FIRST_BUG + 1;
/// More than 75 messages: two pages of the default size.
pub const TWO_PAGES_OF_MESSAGES: u32 = FIRST_BUG + 2;
/// More than 75 activity entries: two pages of the default size.
pub const TWO_PAGES_OF_ACTIVITY: u32 = FIRST_BUG + 3;
/// A task in every target.
pub const MANY_TASKS: u32 = FIRST_BUG + 4;
/// Private: 404 and no task in any search for the anonymous.
pub const PRIVATE: u32 = FIRST_BUG + 5;
/// Changes and messages of [`crate::SAMPLE_MEMBER`] at [`EDGE_MOMENTS`].
pub const EDGES_OF_TIME: u32 = FIRST_BUG + 6;
/// More than 75 messages, some of the first page hidden: a first page shorter than its size.
pub const HIDDEN_MESSAGES: u32 = FIRST_BUG + 7;
/// A message that was edited and one that was deleted.
pub const CHANGED_MESSAGES: u32 = FIRST_BUG + 8;
/// Created ten years before the sample starts, with changes and messages in the sample's time.
pub const OLD_BUG: u32 = FIRST_BUG + 9;
/// A duplicate of [`OLD_BUG`].
pub const DUPLICATE: u32 = FIRST_BUG + 10;
/// Everything happened before the sample starts.
pub const BEFORE_THE_SAMPLE: u32 = FIRST_BUG + 11;
/// Everything happened after the sample ends.
pub const AFTER_THE_SAMPLE: u32 = FIRST_BUG + 12;
/// No time has microseconds.
pub const WHOLE_SECONDS: u32 = FIRST_BUG + 13;
/// The assignee is a team that the anonymous may not see: the link is redacted.
pub const REDACTED_ASSIGNEE: u32 = FIRST_BUG + 14;

/// The moments at which [`crate::SAMPLE_MEMBER`] (in Lisbon) acts in [`EDGES_OF_TIME`], once by a
/// change and once by a message, with what is special about each. In order of time.
pub const EDGE_MOMENTS: [(&str, &str); 13] = [
    (
        "2024-12-31T23:59:59.999999+00:00",
        "the last microsecond before the sample",
    ),
    (
        "2025-01-01T00:00:00+00:00",
        "the first moment of the sample",
    ),
    (
        "2025-03-30T00:59:59.999999+00:00",
        "the last microsecond before the clocks go forward",
    ),
    (
        "2025-03-30T01:00:00+00:00",
        "the clocks have gone forward: 02:00 local time, there was no 01:00",
    ),
    (
        "2025-06-01T23:59:59.999999+00:00",
        "the last microsecond of a week in UTC, Monday already in Lisbon",
    ),
    ("2025-06-02T00:00:00+00:00", "Monday 00:00:00 in UTC"),
    (
        "2025-10-26T00:30:00+00:00",
        "01:30 local time, in summer time",
    ),
    (
        "2025-10-26T00:59:59.999999+00:00",
        "the last microsecond of summer time",
    ),
    (
        "2025-10-26T01:00:00+00:00",
        "01:00 local time, for the second time",
    ),
    (
        "2025-10-26T01:30:00+00:00",
        "01:30 local time, for the second time",
    ),
    (
        "2025-12-31T23:59:59.999999+00:00",
        "the last microsecond of the sample",
    ),
    (
        "2026-01-01T00:00:00+00:00",
        "the first moment after the sample",
    ),
    (
        "2026-01-01T00:00:00.000001+00:00",
        "one microsecond after the end of the sample",
    ),
];
