//! Single changes of a bug whose story is being told: each alters the state and says what it altered.

use super::bug::{Change, Micros};
use super::people::{self, PersonId};
use super::story::Teller;
use super::vocabulary as words;
use crate::landmarks;

impl Teller {
    /// Changes something of the bug and says what.
    pub(super) fn change(&mut self, time: Micros) -> Change {
        // There are as many tasks as targets at most: the conversion keeps the value.
        let task = self.random.position(self.bug.tasks.len()) as u8;
        match self
            .random
            .weighted(&[36, 12, 14, 5, 2, 9, 3, 5, 8, 2, 1, 4, 9])
        {
            0 => {
                let new = self.next_status(task);
                match self.set_status(time, task, new) {
                    Some(change) => change,
                    None => self.retag(),
                }
            }
            1 => {
                let old = self.bug.tasks[usize::from(task)].importance;
                // Six importances besides the old one.
                let new = (old + 1 + self.random.below(6) as u8) % 7;
                self.bug.tasks[usize::from(task)].importance = new;
                Change::Importance { task, old, new }
            }
            2 => {
                let fixed =
                    task == 0 && (self.role() == 1 || self.id == landmarks::REDACTED_ASSIGNEE);
                let assignee = if self.random.chance(0.25) {
                    None
                } else {
                    Some(self.somebody_else())
                };
                let same = self.bug.tasks[usize::from(task)].assignee == assignee;
                if fixed || same {
                    self.retag()
                } else {
                    self.assign(time, task, assignee)
                }
            }
            3 => {
                let milestones = words::MILESTONES.len() as u64;
                let old = self.bug.tasks[usize::from(task)].milestone;
                let new = match old {
                    Some(_) if self.random.chance(0.4) => None,
                    _ => Some(self.random.below(milestones) as u8).filter(|new| Some(*new) != old),
                };
                self.bug.tasks[usize::from(task)].milestone = new;
                if old == new {
                    self.retag()
                } else {
                    Change::Milestone { task, old, new }
                }
            }
            4 => {
                let old = self.bug.tasks[usize::from(task)].status_explanation;
                let new = Some(old.map_or(0, |old| (old + 1) % 3));
                self.bug.tasks[usize::from(task)].status_explanation = new;
                Change::StatusExplanation { task, old, new }
            }
            5 => self.retag(),
            6 => {
                self.bug.title_revision += 1;
                Change::Title {
                    revision: self.bug.title_revision,
                }
            }
            7 => {
                self.bug.description_revision += 1;
                Change::Description {
                    revision: self.bug.description_revision,
                }
            }
            8 => {
                let person = self.somebody_else();
                let subscribed = self.bug.subscribers & people::bit(person) != 0;
                self.bug.subscribers ^= people::bit(person);
                if subscribed {
                    Change::Unsubscribed(person)
                } else {
                    Change::Subscribed(person)
                }
            }
            9 if !self.bug.private => {
                let old = self.bug.information_type;
                let new = if old == 0 { words::PUBLIC_SECURITY } else { 0 };
                self.bug.information_type = new;
                Change::InformationType { old, new }
            }
            10 => {
                self.bug.locked = !self.bug.locked;
                Change::Lock {
                    locked: self.bug.locked,
                }
            }
            11 => {
                // The number of a merge proposal is its own in the whole service.
                let number = 900_000 + self.index * 8 + self.random.below(8) as u32;
                Change::MergeProposalLinked { number }
            }
            12 => {
                let note = self.random.position(words::NOTES.len());
                if note == 0 && self.random.chance(0.5) {
                    self.bug.latest_patch = Some(time);
                }
                Change::Note(note as u8)
            }
            _ => self.retag(),
        }
    }

    fn retag(&mut self) -> Change {
        let old = self.bug.tags;
        self.bug.tags ^= 1 << self.random.below(16);
        Change::Tags {
            old,
            new: self.bug.tags,
        }
    }

    /// Gives a task to somebody, or to nobody.
    pub(super) fn assign(&mut self, time: Micros, task: u8, new: Option<PersonId>) -> Change {
        let task_now = &mut self.bug.tasks[usize::from(task)];
        let old = task_now.assignee;
        task_now.assignee = new;
        task_now.dates.assigned = new.map(|_| time);
        Change::Assignee { task, old, new }
    }

    /// Mostly a step towards the fix, now and then out of the way.
    fn next_status(&mut self, task: u8) -> u8 {
        let status = self.bug.tasks[usize::from(task)].status;
        if self.random.chance(0.3) {
            return [1, 2, 3, 4, 5, 9, 0][self.random.position(7)];
        }
        match status {
            words::NEW => [words::CONFIRMED, words::TRIAGED][self.random.position(2)],
            words::CONFIRMED => words::TRIAGED,
            words::TRIAGED => words::IN_PROGRESS,
            words::IN_PROGRESS => words::FIX_COMMITTED,
            words::FIX_COMMITTED => words::FIX_RELEASED,
            _ => words::CONFIRMED,
        }
    }

    /// Changes a status and its dates. None when it is the status already, or when the task is the
    /// one that has been released.
    pub(super) fn set_status(&mut self, time: Micros, task: u8, new: u8) -> Option<Change> {
        let releasing = new == words::FIX_RELEASED;
        if task == 0 && self.released && !releasing {
            return None;
        }
        let task_now = &mut self.bug.tasks[usize::from(task)];
        let old = task_now.status;
        if old == new {
            return None;
        }
        task_now.status = new;
        let dates = &mut task_now.dates;
        if old == words::NEW {
            dates.left_new = Some(time);
        }
        match (words::is_closed(old), words::is_closed(new)) {
            (false, true) => {
                dates.closed = Some(time);
                dates.left_closed = None;
            }
            (true, false) => {
                dates.left_closed = Some(time);
                dates.closed = None;
            }
            _ => {}
        }
        match new {
            words::INCOMPLETE => dates.incomplete = Some(time),
            words::CONFIRMED => dates.confirmed = Some(time),
            words::TRIAGED => dates.triaged = Some(time),
            words::IN_PROGRESS => dates.in_progress = Some(time),
            words::DEFERRED => dates.deferred = Some(time),
            words::FIX_COMMITTED => dates.fix_committed = Some(time),
            words::FIX_RELEASED => dates.fix_released = Some(time),
            _ => {}
        }
        Some(Change::Status { task, old, new })
    }
}
