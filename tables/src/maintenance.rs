//! Looking after a table: what compaction and retention share, which is the table that there is, the run that changes it,
//! and which partitions are meant. Owns neither of the two.

use std::fmt;
use std::pin::pin;
use std::str::FromStr;

use futures::future::{Either, select};
use tracing::warn;

use crate::commit::{CommitAction, MaintenanceAction};
use crate::error::{Error, Result};
use crate::layout;
use crate::log::{Commit, DataFile};
use crate::options::{OptionProblem, TableOptions};
use crate::staging::{CommitInfo, Purpose, Staging};
use crate::table::Table;

/// How often a change by someone else, between reading the table and taking its lease, is followed before giving up.
const ATTEMPTS: usize = 3;

/// The newest commit of a table that must be there.
pub(crate) async fn current(table: &Table) -> Result<Commit> {
    table.current().await?.ok_or_else(|| Error::NoTable {
        table: table.location().to_owned(),
    })
}

/// Where there is nothing to do, a process that was cut off may have decided it and not finished. A live one finishes
/// its own work.
pub(crate) async fn bring_to_rest(table: &Table) -> Result<()> {
    if table.leftovers().await?.is_clean() {
        return Ok(());
    }
    match table.recover().await {
        Err(Error::LeaseHeld { .. }) => Ok(()),
        done => done.map(drop),
    }
}

/// How the files of the table are written, as its log says; the defaults where it does not.
pub(crate) fn options_of(commit: &Commit) -> TableOptions {
    let partition_by = commit.schema.partition_by();
    match &commit.options {
        Some(recorded) => recorded.to_options(partition_by),
        None => TableOptions {
            partition_by: partition_by.to_vec(),
            ..TableOptions::default()
        },
    }
}

/// Does to the table what `action` chooses, in one commit, unless `stop` completes before that is decided. Gives what
/// is told of it, and the commit if anything changed.
pub(crate) async fn carry_out<A: MaintenanceAction>(
    table: &Table,
    run_id: &str,
    action: A,
    stop: impl Future<Output = ()> + Send,
) -> Result<(A::Report, Option<Commit>)> {
    let (run, base) = begin(table, run_id, &action).await?;
    let prepared = match select(pin!(action.prepare(&run, &base)), pin!(stop)).await {
        Either::Left((prepared, _)) => prepared,
        Either::Right(((), _)) => Err(Error::Stopped {
            table: table.location().to_owned(),
        }),
    };
    let (report, change) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            if let Err(left) = run.abandon().await {
                warn!(table = table.location(), error = %left, "staged files remain; the next run drops them");
            }
            return Err(error);
        }
    };
    if change.is_empty() {
        run.abandon().await?;
        return Ok((report, None));
    }
    let commit = run.publish(change, carried(&base)).await?;
    Ok((report, Some(commit)))
}

/// Begins a run that builds on the newest commit and carries its schema and options over.
async fn begin(
    table: &Table,
    run_id: &str,
    action: &dyn CommitAction,
) -> Result<(Staging, Commit)> {
    for _ in 0..ATTEMPTS {
        let seen = current(table).await?;
        let purpose = Purpose {
            run_id,
            action,
            options: options_of(&seen),
            transaction: None,
        };
        let run = table.begin_for(purpose, seen.schema.columns()).await?;
        match run.base() {
            Some(base) if base.number == seen.number => return Ok((run, seen)),
            // Someone committed before the lease was ours: their schema and options count.
            _ => run.abandon().await?,
        }
    }
    let newest = current(table).await?;
    Err(Error::Superseded {
        table: table.location().to_owned(),
        number: newest.number,
        run_id: newest.run_id,
    })
}

/// What a commit says that read no source: everything is as the commit before said.
fn carried(base: &Commit) -> CommitInfo {
    CommitInfo {
        cursors: base.cursors.clone(),
        plan_fingerprint: base.plan_fingerprint.clone(),
        ..CommitInfo::default()
    }
}

/// Chooses partitions by the values of some of their columns: `year=2026/month=9`, in any order. Values are spelled as
/// in the folder names; special characters may be escaped or not, except `/` and `%`, which must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFilter {
    columns: Vec<(String, Option<String>)>,
}

impl PartitionFilter {
    /// Whether a partition path such as `year=2026/month=9` has all these values.
    pub fn matches(&self, partition: &str) -> bool {
        let values = layout::split(partition);
        self.columns.iter().all(|column| values.contains(column))
    }

    /// Checks that the columns are partition columns of the table.
    fn problem(&self, partition_by: &[String]) -> Option<OptionProblem> {
        let (unknown, _) = self
            .columns
            .iter()
            .find(|(name, _)| !partition_by.contains(name))?;
        Some(OptionProblem {
            option: "partition",
            name: Some(unknown.clone()),
            reason: "the table is not partitioned by such a column".to_owned(),
            candidates: partition_by.to_vec(),
        })
    }
}

impl FromStr for PartitionFilter {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let segments: Vec<&str> = text.trim_matches('/').split('/').collect();
        if let Some(segment) = segments.iter().find(|segment| !segment.contains('=')) {
            return Err(OptionProblem {
                option: "partition",
                name: Some((*segment).to_owned()),
                reason: "write it as the folders are named, as in year=2026/month=9".to_owned(),
                candidates: Vec::new(),
            });
        }
        Ok(Self {
            columns: layout::split(&segments.join("/")),
        })
    }
}

impl fmt::Display for PartitionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, value)) in self.columns.iter().enumerate() {
            let value = value
                .as_deref()
                .map_or_else(|| layout::NULL_PARTITION.to_owned(), layout::escape);
            let slash = if position > 0 { "/" } else { "" };
            write!(f, "{slash}{}={value}", layout::escape(name))?;
        }
        Ok(())
    }
}

impl Commit {
    /// The files of the partitions that one of these filters takes; all files without filters.
    ///
    /// # Errors
    /// [`Error::Options`] if a filter names a column that the table is not partitioned by.
    pub fn files_matching<'a>(
        &'a self,
        filters: &'a [PartitionFilter],
    ) -> Result<impl Iterator<Item = &'a DataFile>> {
        check_filters(filters, self)?;
        Ok(self
            .files
            .iter()
            .filter(move |file| chosen(filters, file.partition())))
    }
}

/// Whether any filter takes the partition; without filters, all are taken.
pub(crate) fn chosen(filters: &[PartitionFilter], partition: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.matches(partition))
}

/// # Errors
/// [`Error::Options`] if a filter names a column that the table is not partitioned by.
pub(crate) fn check_filters(filters: &[PartitionFilter], commit: &Commit) -> Result<()> {
    let problems: Vec<OptionProblem> = filters
        .iter()
        .filter_map(|filter| filter.problem(commit.schema.partition_by()))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Options { problems })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_partitions_by_some_of_their_columns_in_any_order() {
        let filter: PartitionFilter = "month=9/year=2026".parse().unwrap();
        assert!(filter.matches("kind=a/year=2026/month=9"));
        assert!(!filter.matches("kind=a/year=2026/month=10"));
        let null: PartitionFilter = "city=__HIVE_DEFAULT_PARTITION__/".parse().unwrap();
        assert!(null.matches("city=__HIVE_DEFAULT_PARTITION__"));
        let odd: PartitionFilter = "city=a%2Fb c".parse().unwrap();
        assert!(odd.matches("city=a%2Fb c"));
        assert_eq!(odd.to_string(), "city=a%2Fb c");
        assert!("2026".parse::<PartitionFilter>().is_err());
        assert!("".parse::<PartitionFilter>().is_err());
        assert!(filter.problem(&["year".to_owned()]).is_some());
    }
}
