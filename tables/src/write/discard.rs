//! Brings the columns of a plan to the table's order and types, and finds the rows in which a value does not fit.
//!
//! A column that is cast without loss needs no look at its values. One that is *checked* does: its cast gives NULL, or a
//! value that casts back to another one, where it does not fit. Such a plan carries one more column that says which rows
//! fit; the operator drops the others and counts them, so that what it read, wrote and left out adds up in one place,
//! whatever process it runs in.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, TryCastExpr,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::schema::normalize;

/// The column that says whether a row fits, behind those of the table.
const FITS: &str = "__spillway_fits";

/// `input` with the columns of `schema`, and with [`FITS`] behind them if any column is `checked`.
pub(super) fn to_schema(
    input: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
    checked: &[String],
) -> Result<Arc<dyn ExecutionPlan>> {
    let from = input.schema();
    if let Some(extra) = from
        .fields()
        .iter()
        .find(|field| schema.index_of(field.name()).is_err())
    {
        return plan_err!(
            "the plan has a column {} that the table does not have",
            extra.name()
        );
    }
    let mut expressions = Vec::with_capacity(schema.fields().len());
    let mut same = from.fields().len() == schema.fields().len();
    let mut fits: Option<Arc<dyn PhysicalExpr>> = None;
    for (position, field) in schema.fields().iter().enumerate() {
        let Ok(index) = from.index_of(field.name()) else {
            return plan_err!(
                "the plan has no column {}, which the table has",
                field.name()
            );
        };
        let source = from.field(index).data_type();
        let mut expression: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        same &= index == position;
        if checked.contains(field.name()) {
            same = false;
            let (value, fit) = checked_cast(expression, source, field.data_type());
            expression = value;
            fits = Some(match fits {
                Some(others) => Arc::new(BinaryExpr::new(others, Operator::And, fit)),
                None => fit,
            });
        } else if source != field.data_type() {
            same = false;
            expression = Arc::new(CastExpr::new(expression, field.data_type().clone(), None));
        }
        expressions.push((expression, field.name().clone()));
    }
    if let Some(fits) = fits {
        expressions.push((fits, FITS.to_owned()));
    }
    if same {
        Ok(input)
    } else {
        Ok(Arc::new(ProjectionExec::try_new(expressions, input)?))
    }
}

/// The value as the table's type, NULL where it does not fit, and whether it does. NULL always fits.
fn checked_cast(
    column: Arc<dyn PhysicalExpr>,
    source: &DataType,
    target: &DataType,
) -> (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>) {
    // In the plain spelling first, which loses nothing: fewer pairs of types are cast that way.
    let plain = normalize(source).unwrap_or_else(|_| source.clone());
    let column: Arc<dyn PhysicalExpr> = if plain == *source {
        column
    } else {
        Arc::new(CastExpr::new(column, plain.clone(), None))
    };
    let value: Arc<dyn PhysicalExpr> =
        Arc::new(TryCastExpr::new(Arc::clone(&column), target.clone()));
    let mut holds: Arc<dyn PhysicalExpr> = Arc::new(IsNotNullExpr::new(Arc::clone(&value)));
    // Text has many spellings of one value; between other types a value that fits comes back as it was.
    if plain != DataType::Utf8 {
        let back: Arc<dyn PhysicalExpr> = Arc::new(TryCastExpr::new(Arc::clone(&value), plain));
        let equal = BinaryExpr::new(back, Operator::IsNotDistinctFrom, Arc::clone(&column));
        holds = Arc::new(BinaryExpr::new(holds, Operator::And, Arc::new(equal)));
    }
    let absent = Arc::new(IsNullExpr::new(column));
    let fits = Arc::new(BinaryExpr::new(absent, Operator::Or, holds));
    (value, fits)
}

/// The rows of a batch that fit, without the column that says so.
pub(super) fn fitting(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let fits = schema.fields().len();
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|column| *column != fits)
        .collect();
    let rows = batch.project(&kept)?;
    Ok(filter_record_batch(&rows, batch.column(fits).as_boolean())?)
}
