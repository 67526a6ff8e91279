//! Who has the lease of a table, as messages say it.

use std::fmt;

use chrono::{DateTime, Utc};

/// Who holds, or last held, the lease of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The run; `None` if it has not written its name yet.
    pub run_id: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.run_id, self.pid, self.since) {
            (Some(run_id), Some(pid), Some(since)) => {
                write!(
                    f,
                    "run {run_id} (process {pid}, since {})",
                    since.format("%Y-%m-%d %H:%M:%S UTC")
                )
            }
            _ => f.write_str("another run that has just begun"),
        }
    }
}
