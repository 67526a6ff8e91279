//! Notices a job that stands still: nothing of it is at work, and executors have nothing else to do. Owns the limit; what
//! follows is the caller's to decide.
//!
//! Ballista may forget to go on with a job, or lose a task on its way to an executor; then everybody is alive and waits.

use std::time::Duration;

use tokio::time::Instant;

/// So long is no planning and no pause between stages.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Since when a job stands still.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Option<Instant>,
}

impl Stall {
    /// Takes what was seen at this time; gives for how long the job has stood still, once that is too long.
    pub(super) fn look(&mut self, idle: bool, now: Instant) -> Option<Duration> {
        if !idle {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let stood = now.duration_since(since);
        (stood > STALL_TIMEOUT).then_some(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_stands_still_for_long_is_noticed() {
        let mut stall = Stall::default();
        let begun = Instant::now();
        assert_eq!(stall.look(true, begun), None);
        assert_eq!(stall.look(true, begun + STALL_TIMEOUT), None);
        let late = STALL_TIMEOUT + Duration::from_secs(1);
        assert_eq!(stall.look(true, begun + late), Some(late));
    }

    #[test]
    fn a_task_at_work_begins_the_count_anew() {
        let mut stall = Stall::default();
        let begun = Instant::now();
        assert_eq!(stall.look(true, begun), None);
        assert_eq!(stall.look(false, begun + STALL_TIMEOUT), None);
        assert_eq!(stall.look(true, begun + 2 * STALL_TIMEOUT), None);
        assert_eq!(stall.look(true, begun + 3 * STALL_TIMEOUT), None);
    }
}
