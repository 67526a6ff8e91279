//! Which of several arriving rows with one key is kept. The choice rests on values alone: rows of a plan that runs in
//! several streams, or behind a join, have no order of arrival, and a choice by it would differ from run to run.
//!
//! The row that comes last wins, by: the declared `order`; then the `sort` columns, ascending with NULL first, whatever
//! their direction in the files; then every other column, in the same way.

use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, ExprFunctionExt, ident, lit};
use datafusion::prelude::DataFrame;

use crate::options::TableOptions;
use crate::schema::can_sort;

const RANK: &str = "__spillway_rank";

/// One row of `arrivals` for each `key`, with the columns named in `keep`.
pub(super) fn winners(
    arrivals: DataFrame,
    key: &[String],
    options: &TableOptions,
    keep: &[String],
) -> Result<DataFrame> {
    let rank = row_number()
        .partition_by(key.iter().map(ident).collect())
        .order_by(last_first(&arrivals, key, options))
        .build()?
        .alias(RANK);
    arrivals
        .window(vec![rank])?
        .filter(ident(RANK).eq(lit(1_u64)))?
        .select(keep.iter().map(ident))
}

fn last_first(arrivals: &DataFrame, key: &[String], options: &TableOptions) -> Vec<Sort> {
    let mut order: Vec<(&str, Sort)> = Vec::new();
    let declared = options.order.iter().map(|by| {
        // The order backwards, so that its last row is the first.
        let sort = ident(&by.column).sort(by.descending, !by.nulls_first);
        (by.column.as_str(), sort)
    });
    let greatest = |name| (name, ident(name).sort(false, false));
    let sorted = options.sort.iter().map(|by| greatest(by.column.as_str()));
    let fields = arrivals.schema().fields();
    let others = fields.iter().map(|field| greatest(field.name().as_str()));
    for (name, sort) in declared.chain(sorted).chain(others) {
        let sortable = fields
            .iter()
            .any(|field| field.name() == name && can_sort(field.data_type()));
        if sortable
            && order.iter().all(|(known, _)| *known != name)
            && !key.iter().any(|key| key == name)
        {
            order.push((name, sort));
        }
    }
    order.into_iter().map(|(_, sort)| sort).collect()
}

/// Whether no key of `arrivals` comes twice.
pub(super) async fn are_unique(arrivals: DataFrame, key: &[String]) -> Result<bool> {
    let key: Vec<Expr> = key.iter().map(ident).collect();
    let count = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias(RANK);
    let repeated = arrivals
        .aggregate(key, vec![count])?
        .filter(ident(RANK).gt(lit(1)))?
        .limit(0, Some(1))?
        .collect()
        .await?;
    Ok(repeated.iter().all(|batch| batch.num_rows() == 0))
}
