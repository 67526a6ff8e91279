//! What became of the rows that a query read: of which queries that can be said, and that it comes out even.

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use files::FilesTable;

/// A query that gives each row that it reads, or leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// It gives all of them.
    All,
    /// Its filters leave some out.
    Filtered,
}

impl Account {
    /// Of a query; `None` where rows come together, are repeated, or come from where they are not counted.
    pub fn of(query: &LogicalPlan) -> Option<Self> {
        let of_inputs = || {
            let inputs = query.inputs().into_iter().map(Self::of);
            let inputs: Option<Vec<Self>> = inputs.collect();
            inputs.map(|inputs| match inputs.contains(&Self::Filtered) {
                true => Self::Filtered,
                false => Self::All,
            })
        };
        match query {
            LogicalPlan::TableScan(scan) => {
                let table = source_as_provider(&scan.source).ok()?;
                table.downcast_ref::<FilesTable>()?;
                scan.fetch.is_none().then_some(Self::All)
            }
            LogicalPlan::Filter(_) => of_inputs().map(|_| Self::Filtered),
            LogicalPlan::Sort(sort) if sort.fetch.is_some() => None,
            LogicalPlan::Projection(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Union(_) => of_inputs(),
            _ => None,
        }
    }

    /// Rows that were left out of those that were read; `None` if that cannot be.
    pub fn left_out(self, read: u64, given: u64) -> Option<u64> {
        let left_out = read.checked_sub(given)?;
        (left_out == 0 || self == Self::Filtered).then_some(left_out)
    }
}
