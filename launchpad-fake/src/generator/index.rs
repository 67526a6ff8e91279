//! What is kept of every bug while the server runs: enough to search, a few dozen bytes each.

use std::num::NonZero;
use std::thread;

use super::bug::{Bug, Micros};
use super::people::PersonId;
use super::story::{self, Source};
use super::targets::TargetId;
use super::vocabulary::{Importance, Status};

/// The searchable part of all bugs and tasks.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The bugs, by index.
    pub(crate) bugs: Vec<BugRow>,
    /// The tasks, by bug and position.
    pub(crate) tasks: Vec<TaskRow>,
}

/// The searchable part of a bug.
#[derive(Debug, Clone)]
pub(crate) struct BugRow {
    pub(crate) id: u32,
    pub(crate) last_updated: Micros,
    pub(crate) subscribers: u64,
    pub(crate) commenters: u64,
    pub(crate) affected: u64,
    pub(crate) tags: u16,
    pub(crate) messages: u16,
    pub(crate) owner: PersonId,
    pub(crate) information_type: u8,
    pub(crate) title_revision: u8,
    pub(crate) duplicate: bool,
    pub(crate) patched: bool,
}

/// The searchable part of a task.
#[derive(Debug, Clone)]
pub(crate) struct TaskRow {
    /// The index of its bug.
    pub(crate) bug: u32,
    /// Its position in the bug.
    pub(crate) position: u8,
    pub(crate) target: TargetId,
    pub(crate) status: Status,
    pub(crate) importance: Importance,
    pub(crate) owner: PersonId,
    pub(crate) assignee: Option<PersonId>,
    pub(crate) created: Micros,
}

impl Index {
    /// Tells the stories of `bugs` bugs, on all processors, and keeps their rows.
    pub(crate) fn build(source: Source, bugs: u32) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        // Fewer processors than 2^32: the conversion keeps the value.
        let share = bugs.div_ceil(threads as u32).max(1);
        let mut whole = Self::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..bugs)
                .step_by(share as usize)
                .map(|from| scope.spawn(move || Self::part(source, from, (from + share).min(bugs))))
                .collect();
            for worker in workers {
                // A worker does nothing that panics; were it to, the panic goes on here.
                let part = worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                whole.bugs.extend(part.bugs);
                whole.tasks.extend(part.tasks);
            }
        });
        whole
    }

    fn part(source: Source, from: u32, to: u32) -> Self {
        let mut part = Self::default();
        for index in from..to {
            let bug = story::tell(source, index);
            part.tasks.extend(
                bug.tasks
                    .iter()
                    .enumerate()
                    .map(|(position, task)| TaskRow {
                        bug: index,
                        // No bug has more tasks than there are targets.
                        position: position as u8,
                        target: task.target,
                        status: task.status,
                        importance: task.importance,
                        owner: task.owner,
                        assignee: task.assignee,
                        created: task.created,
                    }),
            );
            part.bugs.push(row(&bug));
        }
        part
    }
}

fn row(bug: &Bug) -> BugRow {
    BugRow {
        id: bug.id,
        last_updated: bug.last_updated,
        subscribers: bug.subscribers,
        commenters: bug.commenters(),
        affected: bug.affected,
        tags: bug.tags,
        messages: u16::try_from(bug.messages.len()).unwrap_or(u16::MAX),
        owner: bug.owner,
        information_type: bug.information_type,
        title_revision: u8::try_from(bug.title_revision).unwrap_or(u8::MAX),
        duplicate: bug.duplicate_of.is_some(),
        patched: bug.latest_patch.is_some(),
    }
}
