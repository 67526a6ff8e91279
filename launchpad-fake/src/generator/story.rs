//! Tells what happened to one bug: from the seed and the bug's index, and nothing else.
//!
//! A story is a list of times, each with what is due then; going through them in order gives the
//! changes, the messages and the state the bug is in now, so that they always agree.

use chrono::DateTime;

use super::bug::{Activity, Bug, Change, Dates, Message, Micros, Task};
use super::people::{self, ACTORS, ADA, PersonId, SECRET};
use super::random::{Purpose, Random};
use super::targets::TARGETS;
use super::vocabulary as words;
use crate::landmarks::{self, FIRST_BUG};

const SECOND: Micros = 1_000_000;
const DAY: Micros = 86_400 * SECOND;

/// 2025-01-01, [`crate::SAMPLE_START`].
pub(crate) const SAMPLE_START: Micros = 1_735_689_600 * SECOND;
/// 2026-01-01, [`crate::SAMPLE_END`].
pub(crate) const SAMPLE_END: Micros = 1_767_225_600 * SECOND;
/// 2026-04-01: nothing happens later.
pub(crate) const LATEST: Micros = 1_775_001_600 * SECOND;
/// 2010-01-01: nothing happens earlier.
const EARLIEST: Micros = 1_262_304_000 * SECOND;
/// 2024-07-01: most bugs are reported from here to the end of the sample.
const USUAL_START: Micros = 1_719_792_000 * SECOND;

/// Comments of a bug, the description not counted: mean 9.8, as on 43,761 real bugs.
const COMMENTS: [(f64, f64); 9] = [
    (0.0, 0.6),
    (0.1, 2.6),
    (0.25, 5.0),
    (0.5, 8.5),
    (0.75, 12.0),
    (0.9, 17.5),
    (0.99, 42.5),
    (0.999, 120.0),
    (1.0, 247.9),
];

/// Days from report to fix, as on the same bugs.
const DAYS_TO_FIX: [(f64, f64); 6] = [
    (0.0, 0.02),
    (0.25, 9.0),
    (0.5, 45.0),
    (0.75, 130.0),
    (0.9, 288.0),
    (1.0, 2_177.0),
];

/// Changes of a bug besides its report and its tasks.
const CHANGES: [(f64, f64); 5] = [
    (0.0, 1.0),
    (0.5, 4.5),
    (0.9, 11.0),
    (0.99, 30.0),
    (1.0, 70.0),
];

/// How many tasks a bug has, from one, by weight: 1 to 5.
const TASK_WEIGHTS: [u64; 5] = [40, 28, 16, 10, 6];

/// What is due at a time.
#[derive(Debug, Clone, Copy)]
enum Due {
    Message { by: Option<PersonId> },
    Change { by: Option<PersonId> },
    AddTask,
    Assign(PersonId),
    Release,
    MarkDuplicate,
}

/// What stories are told from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The seed.
    pub(crate) seed: u64,
    /// The share of the sample's member in what is done.
    pub(crate) member_share: f64,
}

/// The bug at this index.
pub(crate) fn tell(source: Source, index: u32) -> Bug {
    let mut teller = Teller::new(source, index);
    let mut due = teller.plan();
    due.sort_by_key(|(time, _)| *time);
    for (time, due) in due {
        teller.happen(time, due);
    }
    teller.finish()
}

/// A story that is being told.
pub(super) struct Teller {
    pub(super) random: Random,
    pub(super) index: u32,
    pub(super) id: u32,
    /// How often the sample's member is the one who acts.
    member_share: f64,
    /// From when to when things happen, apart from work on old bugs.
    span: (Micros, Micros),
    pub(super) bug: Bug,
    /// The order in which targets get tasks: from where, in which steps.
    targets: (usize, usize),
    /// Whether the first task has got its fix: its status then stays.
    pub(super) released: bool,
}

impl Teller {
    fn new(source: Source, index: u32) -> Self {
        let mut random = Random::new(source.seed, Purpose::Story, index, 0);
        let id = FIRST_BUG + index;
        let created = created(&mut random, id);
        let days = random.quantile(&DAYS_TO_FIX);
        // At most some thousand days: the conversion keeps the value.
        let fixed = created + (days * DAY as f64) as Micros;
        let latest = if id == landmarks::BEFORE_THE_SAMPLE {
            SAMPLE_START - DAY
        } else {
            LATEST
        };
        // In one bug of ten the member does nothing, and is there as a subscriber only.
        let member_share = if index % 10 == 3 && !is_landmark(id) {
            0.0
        } else {
            source.member_share
        };
        let mut teller = Self {
            bug: Bug {
                id,
                created,
                last_updated: created,
                owner: ADA,
                private: id == landmarks::PRIVATE || index % 97 == 60,
                duplicate_of: duplicate_of(id),
                information_type: 0,
                tags: 0,
                subscribers: 0,
                affected: 0,
                title_revision: 0,
                description_revision: 0,
                locked: false,
                latest_patch: None,
                tasks: Vec::new(),
                activity: Vec::new(),
                messages: Vec::new(),
            },
            targets: (
                random.position(TARGETS.len()),
                1 + random.position(TARGETS.len() - 1),
            ),
            random,
            index,
            id,
            member_share,
            span: (created, fixed.min(latest)),
            released: false,
        };
        teller.report();
        teller
    }

    /// The moment the bug is reported: its description, its first task, its first subscribers.
    fn report(&mut self) {
        let created = self.bug.created;
        let owner = if self.role() == 0 {
            ADA
        } else {
            self.somebody_else()
        };
        self.bug.owner = owner;
        if self.bug.private {
            self.bug.information_type = words::PRIVATE;
        }
        self.bug.subscribers = people::bit(owner);
        if self.role() == 3 {
            self.bug.subscribers |= people::bit(ADA);
        }
        for _ in 0..self.random.below(4) {
            self.bug.affected |= people::bit(self.somebody_else());
        }
        for _ in 0..self.random.below(3) {
            self.bug.tags |= 1 << self.random.below(16);
        }
        self.bug.activity.push(Activity {
            time: created,
            person: owner,
            change: Change::AddedBug,
        });
        self.bug.messages.push(message(created, owner));
        self.add_task(created, owner);
    }

    /// What the sample's member is to the bug: 0 reporter, 1 assignee, 3 subscriber, else commenter.
    pub(super) fn role(&self) -> u32 {
        self.index % 5
    }

    fn plan(&mut self) -> Vec<(Micros, Due)> {
        let mut due = Vec::new();
        let comments = match self.id {
            landmarks::THREE_PAGES_OF_MESSAGES => 230,
            landmarks::TWO_PAGES_OF_MESSAGES | landmarks::HIDDEN_MESSAGES => 99,
            landmarks::CHANGED_MESSAGES => 8,
            // Between 0 and 247: the conversion keeps the whole part.
            _ => self.random.quantile(&COMMENTS) as u32,
        };
        let changes = match self.id {
            landmarks::TWO_PAGES_OF_ACTIVITY => 119,
            _ => self.random.quantile(&CHANGES) as u32,
        };
        let tasks = match self.id {
            landmarks::MANY_TASKS => TARGETS.len(),
            _ => 1 + self.random.weighted(&TASK_WEIGHTS),
        };
        for position in 0..comments {
            // A commenter by role wrote at least the first comment.
            let by = (position == 0 && matches!(self.role(), 2 | 4)).then_some(ADA);
            due.push((self.moment(), Due::Message { by }));
        }
        if comments == 0 && matches!(self.role(), 2 | 4) {
            due.push((self.moment(), Due::Message { by: Some(ADA) }));
        }
        due.extend((0..changes).map(|_| (self.moment(), Due::Change { by: None })));
        due.extend((1..tasks).map(|_| (self.moment(), Due::AddTask)));
        if self.id == landmarks::REDACTED_ASSIGNEE {
            due.push((self.moment(), Due::Assign(SECRET)));
        } else if self.role() == 1 {
            due.push((self.moment(), Due::Assign(ADA)));
        }
        if self.bug.duplicate_of.is_some() {
            due.push((self.moment(), Due::MarkDuplicate));
        }
        if self.span.1 < LATEST && self.random.chance(0.55) {
            due.push((self.span.1, Due::Release));
        }
        if self.id == landmarks::EDGES_OF_TIME {
            for (moment, _) in landmarks::EDGE_MOMENTS {
                // The list is a constant whose moments a test reads.
                let Ok(moment) = DateTime::parse_from_rfc3339(moment) else {
                    continue;
                };
                due.push((moment.timestamp_micros(), Due::Change { by: Some(ADA) }));
                due.push((moment.timestamp_micros(), Due::Message { by: Some(ADA) }));
            }
        }
        due
    }

    /// A moment between the report and the fix, more often near the report; for an old bug as often
    /// one in the time of the sample.
    fn moment(&mut self) -> Micros {
        let (from, to) = self.span;
        let old = from < USUAL_START && self.id != landmarks::BEFORE_THE_SAMPLE;
        let time = if old && self.random.chance(0.5) {
            between(&mut self.random, SAMPLE_START - 30 * DAY, LATEST)
        } else {
            let share = self.random.unit();
            // Spans are far below 2^53 microseconds.
            from + ((to - from) as f64 * share * share) as Micros
        };
        // Some times of the real service are whole seconds.
        let time = if self.random.chance(0.08) {
            time - time.rem_euclid(SECOND)
        } else {
            time
        };
        time.max(from)
    }

    pub(super) fn somebody_else(&mut self) -> PersonId {
        // ACTORS is below 256: the conversion keeps the value.
        1 + self.random.below(u64::from(ACTORS) - 1) as PersonId
    }

    fn somebody(&mut self) -> PersonId {
        if self.random.chance(self.member_share) {
            ADA
        } else {
            self.somebody_else()
        }
    }

    fn happen(&mut self, time: Micros, due: Due) {
        match due {
            Due::Message { by } => {
                let owner = by.unwrap_or_else(|| self.somebody());
                let message = self.comment(time, owner);
                self.bug.messages.push(message);
            }
            Due::Change { by } => {
                let person = by.unwrap_or_else(|| self.somebody());
                let change = self.change(time);
                self.log(time, person, change);
            }
            Due::AddTask => {
                let person = self.somebody();
                let task = self.add_task(time, person);
                self.log(time, person, Change::TaskAdded { task });
            }
            Due::Assign(assignee) => {
                let person = self.somebody();
                let change = self.assign(time, 0, Some(assignee));
                self.log(time, person, change);
            }
            Due::Release => {
                let person = self.somebody();
                self.released = true;
                if let Some(change) = self.set_status(time, 0, words::FIX_RELEASED) {
                    self.log(time, person, change);
                }
            }
            Due::MarkDuplicate => {
                let person = self.somebody();
                if let Some(of) = self.bug.duplicate_of {
                    self.log(time, person, Change::MarkedDuplicate { of });
                }
            }
        }
    }

    fn log(&mut self, time: Micros, person: PersonId, change: Change) {
        self.bug.activity.push(Activity {
            time,
            person,
            change,
        });
    }

    fn comment(&mut self, time: Micros, owner: PersonId) -> Message {
        let number = self.bug.messages.len();
        let later = (time + between(&mut self.random, SECOND, 3 * DAY)).min(LATEST);
        let chance = self.random.unit();
        let mut message = message(time, owner);
        match self.id {
            landmarks::HIDDEN_MESSAGES => message.hidden = matches!(number, 3 | 10..=15 | 80),
            landmarks::CHANGED_MESSAGES => {
                message.edited = (number == 2).then_some(later);
                message.deleted = (number == 3).then_some(later);
            }
            landmarks::EDGES_OF_TIME | landmarks::BEFORE_THE_SAMPLE => {}
            _ if chance < 0.01 => message.hidden = true,
            _ if chance < 0.03 => message.edited = Some(later),
            _ if chance < 0.033 => message.deleted = Some(later),
            _ => {}
        }
        message
    }

    fn add_task(&mut self, time: Micros, owner: PersonId) -> u8 {
        let (from, step) = self.targets;
        // There are as many targets as tasks at most, and fewer than 256.
        let position = self.bug.tasks.len();
        // The number of targets is a prime: no step meets a target twice.
        let target = ((from + position * step) % TARGETS.len()) as u8;
        self.bug.tasks.push(Task {
            target,
            owner,
            created: time,
            status: words::NEW,
            importance: words::UNDECIDED,
            assignee: None,
            milestone: None,
            status_explanation: None,
            dates: Dates::default(),
        });
        position as u8
    }

    fn finish(mut self) -> Bug {
        let bug = &mut self.bug;
        if self.id == landmarks::WHOLE_SECONDS {
            strip_microseconds(bug);
        }
        let changed = bug.activity.iter().map(|activity| activity.time);
        let written = bug.messages.iter().map(|message| {
            message
                .time
                .max(message.edited.unwrap_or(0))
                .max(message.deleted.unwrap_or(0))
        });
        bug.last_updated = changed.chain(written).max().unwrap_or(bug.created);
        self.bug
    }
}

/// The bug that the bug with this id is a duplicate of: now and then the one before it, which never is
/// a duplicate itself.
pub(super) fn duplicate_of(id: u32) -> Option<u32> {
    (id % 32 == landmarks::DUPLICATE % 32).then(|| id - 1)
}

impl Bug {
    /// Whether the bug after this one is a duplicate of it.
    pub(crate) fn has_duplicate(&self) -> bool {
        duplicate_of(self.id + 1) == Some(self.id)
    }
}

fn message(time: Micros, owner: PersonId) -> Message {
    Message {
        time,
        owner,
        hidden: false,
        edited: None,
        deleted: None,
    }
}

fn is_landmark(id: u32) -> bool {
    (FIRST_BUG..=landmarks::REDACTED_ASSIGNEE).contains(&id)
}

/// A moment from `from` up to, not including, `to`.
fn between(random: &mut Random, from: Micros, to: Micros) -> Micros {
    let length = u64::try_from(to - from).unwrap_or(1).max(1);
    // Below the length, which came from an i64.
    from + random.below(length) as Micros
}

fn created(random: &mut Random, id: u32) -> Micros {
    let kind = random.unit();
    let usual = between(random, USUAL_START, SAMPLE_END);
    match id {
        // 2024-12-01, 2015-01-05, 2023-01-10 and 2026-01-10, each a little after midnight.
        landmarks::EDGES_OF_TIME => 1_733_011_205_123_456,
        landmarks::OLD_BUG => 1_420_416_007_000_001,
        landmarks::BEFORE_THE_SAMPLE => 1_673_308_811_500_000,
        landmarks::AFTER_THE_SAMPLE => 1_768_003_213_250_000,
        id if is_landmark(id) => usual,
        _ if kind < 0.12 => between(random, EARLIEST, USUAL_START),
        _ if kind < 0.92 => usual,
        _ => between(random, SAMPLE_END, LATEST - 30 * DAY),
    }
}

fn strip_microseconds(bug: &mut Bug) {
    let strip = |time: &mut Micros| *time -= time.rem_euclid(SECOND);
    let strip_some = |time: &mut Option<Micros>| {
        if let Some(time) = time {
            *time -= time.rem_euclid(SECOND);
        }
    };
    strip(&mut bug.created);
    strip_some(&mut bug.latest_patch);
    for activity in &mut bug.activity {
        strip(&mut activity.time);
    }
    for message in &mut bug.messages {
        strip(&mut message.time);
        strip_some(&mut message.edited);
        strip_some(&mut message.deleted);
    }
    for task in &mut bug.tasks {
        strip(&mut task.created);
        let dates = &mut task.dates;
        for date in [
            &mut dates.assigned,
            &mut dates.confirmed,
            &mut dates.deferred,
            &mut dates.incomplete,
            &mut dates.in_progress,
            &mut dates.closed,
            &mut dates.left_new,
            &mut dates.triaged,
            &mut dates.fix_committed,
            &mut dates.fix_released,
            &mut dates.left_closed,
        ] {
            strip_some(date);
        }
    }
}
