//! What the queries of this process consist of, for the message of one that is beyond its ceiling. Owns the list of those that
//! are executed; what they hold is told by [`holders`](super::holders).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

static QUERIES: Mutex<Vec<Arc<Parts>>> = Mutex::new(Vec::new());

/// The operators and functions of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) operators: BTreeSet<String>,
    pub(super) functions: BTreeSet<String>,
}

/// A query is executed until this is dropped.
#[derive(Debug)]
pub struct Executing(Arc<Parts>);

impl Drop for Executing {
    fn drop(&mut self) {
        queries().retain(|parts| !Arc::ptr_eq(parts, &self.0));
    }
}

/// Lets the operators and functions of `plan` be named while it is executed.
pub fn executing(plan: &Arc<dyn ExecutionPlan>) -> Executing {
    let mut parts = Parts::default();
    // It never fails: nothing in it does.
    let _ = collect(plan, &mut parts);
    let parts = Arc::new(parts);
    queries().push(Arc::clone(&parts));
    Executing(parts)
}

/// Those of all queries that are executed.
pub(super) fn parts() -> Parts {
    let mut all = Parts::default();
    for parts in queries().iter() {
        all.operators.extend(parts.operators.iter().cloned());
        all.functions.extend(parts.functions.iter().cloned());
    }
    all
}

fn collect(plan: &Arc<dyn ExecutionPlan>, parts: &mut Parts) -> Result<TreeNodeRecursion> {
    plan.apply(|node| {
        parts.operators.insert(String::from(node.name()));
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            let names = aggregate.aggr_expr().iter().map(|one| one.fun().name());
            parts.functions.extend(names.map(String::from));
        }
        node.apply_expressions(&mut |expression| {
            expression.apply(|part| {
                if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
                    parts.functions.insert(String::from(call.fun().name()));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
}

fn queries() -> MutexGuard<'static, Vec<Arc<Parts>>> {
    QUERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, SessionOptions, session};

    #[tokio::test]
    async fn operators_and_functions_are_known_while_a_query_is_executed() {
        let ctx = session(&SessionOptions::new(
            Budget::new(256 << 20, 2, 4096),
            std::env::temp_dir().join("spillway-query-test"),
        ))
        .unwrap();
        let query = "SELECT array_agg(md5(CAST(i AS TEXT))) FROM generate_series(1, 9) AS t(i)";
        let frame = ctx.sql(query).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let executing = executing(&plan);
        let known = parts();
        for name in ["array_agg", "md5"] {
            assert!(known.functions.contains(name), "{name}: {known:?}");
        }
        assert!(known.operators.contains("AggregateExec"), "{known:?}");
        drop(executing);
        assert!(!parts().functions.contains("md5"));
    }
}
