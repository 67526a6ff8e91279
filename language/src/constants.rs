//! Constant expressions and SQL types, through DataFusion.
//!
//! What a default or an option may be is what DataFusion can compute without reading a table:
//! `DATE '2024-01-01'`, `current_date - INTERVAL '7 days'`. DataFusion's own functions are known here,
//! those of the product are not: a default must mean the same in every process that reads it.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr as LogicalExpr, ExprSchemable};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{CastKind, DataType as SqlType, Expr, ExprWithAlias, Value};

/// Functions and planners, no tables. Built once: it takes some milliseconds.
static STATE: LazyLock<SessionState> =
    LazyLock::new(|| SessionStateBuilder::new().with_default_features().build());

/// Computes a constant expression as of `now`.
///
/// # Errors
/// A sentence that says why it is not a constant: a column, a table, a volatile function, a wrong type.
pub(super) fn evaluate(expression: &Expr, now: DateTime<Utc>) -> Result<ScalarValue, String> {
    let schema = Arc::new(DFSchema::empty());
    let with_alias = ExprWithAlias {
        expr: expression.clone(),
        alias: None,
    };
    let logical = STATE
        .create_logical_expr_from_sql_expr(with_alias, &schema)
        .map_err(|error| match error.find_root() {
            DataFusionError::SchemaError(_, _) => "a constant cannot read a column".to_owned(),
            _ => plain_message(&error),
        })?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .with_query_execution_start_time(Some(now))
        .with_config_options(Arc::clone(STATE.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let simplified = simplifier
        .coerce(logical, &schema)
        .and_then(|coerced| simplifier.simplify(coerced))
        .map_err(|error| plain_message(&error))?;
    match simplified {
        LogicalExpr::Literal(value, _) => Ok(value),
        LogicalExpr::Alias(alias) => match *alias.expr {
            LogicalExpr::Literal(value, _) => Ok(value),
            _ => Err("not a constant".to_owned()),
        },
        _ => Err("not a constant".to_owned()),
    }
}

/// The Arrow type of a SQL type.
///
/// # Errors
/// DataFusion's sentence about a type that it does not know.
pub(super) fn data_type(sql_type: &SqlType) -> Result<DataType, String> {
    let expression = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Null.into())),
        data_type: sql_type.clone(),
        array: false,
        format: None,
    };
    let schema = DFSchema::empty();
    STATE
        .create_logical_expr_from_sql_expr(
            ExprWithAlias {
                expr: expression,
                alias: None,
            },
            &schema,
        )
        .and_then(|logical| logical.get_type(&schema))
        .map_err(|error| plain_message(&error))
}

/// What DataFusion says, without the names of its error kinds and without a backtrace.
pub(super) fn plain_message(error: &DataFusionError) -> String {
    let message = match error.find_root() {
        DataFusionError::SQL(parser_error, _) => parser_error.to_string(),
        DataFusionError::ArrowError(arrow_error, _) => arrow_error.to_string(),
        root => root.message().into_owned(),
    };
    let message = message
        .split("\n\nbacktrace:")
        .next()
        .unwrap_or_default()
        .trim()
        .trim_end_matches('.');
    let message = [
        "Error during planning: ",
        "Cast error: ",
        "sql parser error: ",
        "Optimizer rule 'simplify_expressions' failed",
    ]
    .iter()
    .fold(message, |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    });
    message.lines().collect::<Vec<_>>().join("; ")
}
