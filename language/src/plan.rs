//! From a bound definition to DataFusion's logical plans.
//!
//! Planning happens in a scratch catalog that holds the sources of the given session and nothing else
//! of it, so that a definition reads only what it declares; the session itself is not changed. All
//! mistakes are reported together; a step that reads a broken step is left out without a word.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::assert::Assert;
use super::bind::Bound;
use super::check::{engine_statement, tables_of};
use super::constants::plain_message;
use super::copy::Output;
use super::diagnostic::{Diagnostic, Diagnostics, Report};
use super::locate::describe;
use super::output_options::DictionaryChoice;
use super::statement::Name;
use super::suggest::nearest;
use super::text::SourceText;

/// Operators of a plan, at most: ten times as many take minutes to optimise, and steps that read a step twice, forty times
/// in a row, for ever.
const MOST_OPERATORS: usize = 5_000;

/// The plans of a pipeline. They are not optimised and read nothing until they are executed.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Each step's name and plan, in order.
    pub views: Vec<(String, LogicalPlan)>,
    /// Each output and the plan of what it writes, in order.
    pub outputs: Vec<(Output, LogicalPlan)>,
    /// Each check and its plan: one row with one BOOLEAN, in order.
    pub asserts: Vec<(Assert, LogicalPlan)>,
}

/// Plans every step, check and output against the tables of `context`.
///
/// The sources of the definition must be registered there under their names. Nothing is executed and
/// `context` is not changed; cancelling leaves nothing behind.
///
/// # Errors
/// Every mistake at once: unknown columns and functions, wrong types, outputs whose partition, key or
/// sort columns are not among their columns, sources that are not registered.
pub async fn plan(bound: &Bound, context: &SessionContext) -> Result<Planned, Diagnostics> {
    let mut report = Report::new(bound.source_text());
    let mut scratch = Scratch::new(context);
    let mut broken = BTreeSet::new();
    for source in &bound.sources {
        let registered = match context
            .table_provider(TableReference::bare(source.name.as_str()))
            .await
        {
            Ok(table) => scratch.register(&source.name, table),
            Err(error) => Err(error),
        };
        if let Err(error) = registered {
            report.error(
                source.span,
                format!(
                    "source `{}` cannot be read: {}",
                    source.name,
                    plain_message(&error)
                ),
            );
            broken.insert(source.name.clone());
        }
    }
    let mut views = Vec::new();
    for view in &bound.views {
        let planned = scratch
            .query(&view.query, view.span, &broken, &mut report)
            .await;
        let registered = planned.and_then(|plan| {
            let table = Arc::new(ViewTable::new(plan.clone(), None));
            match scratch.register(&view.name, table) {
                Ok(()) => Some(plan),
                Err(error) => {
                    report.error(view.span, plain_message(&error));
                    None
                }
            }
        });
        match registered {
            Some(plan) => views.push((view.name.clone(), plan)),
            None => {
                broken.insert(view.name.clone());
            }
        }
    }
    let mut asserts = Vec::new();
    for assert in &bound.asserts {
        let planned = scratch
            .query(&assert.query, assert.span, &broken, &mut report)
            .await;
        if let Some(plan) = planned
            && is_condition(&plan, assert, &mut report)
        {
            asserts.push((assert.clone(), plan));
        }
    }
    let mut outputs = Vec::new();
    for output in &bound.outputs {
        let planned = scratch
            .query(&output.query, output.span, &broken, &mut report)
            .await;
        if let Some(plan) = planned {
            check_columns(output, &plan, &mut report);
            outputs.push((output.clone(), plan));
        }
    }
    report.finish()?;
    Ok(Planned {
        views,
        outputs,
        asserts,
    })
}

/// Plans one check against whatever tables `context` has under the names that it reads, so that it can
/// be evaluated on what was staged.
///
/// # Errors
/// What DataFusion finds wrong, at its place in the definition.
pub async fn plan_assert(
    assert: &Assert,
    source: &Arc<SourceText>,
    context: &SessionContext,
) -> Result<LogicalPlan, Diagnostics> {
    let mut report = Report::new(source);
    let state = with_places(context.state());
    let planned = plan_query(&state, &assert.query, assert.span, &mut report).await;
    if let Some(plan) = planned
        && is_condition(&plan, assert, &mut report)
    {
        return Ok(plan);
    }
    report.finish()?;
    Err(Diagnostics::new(vec![
        Report::new(source).error_at(assert.span, "the check cannot be planned"),
    ]))
}

/// A copy of a session that knows only what a definition declares.
struct Scratch {
    state: SessionState,
    schema: Arc<MemorySchemaProvider>,
}

impl Scratch {
    fn new(context: &SessionContext) -> Self {
        let state = with_places(context.state());
        let catalog_options = &state.config().options().catalog;
        let schema = Arc::new(MemorySchemaProvider::new());
        let catalog = Arc::new(MemoryCatalogProvider::new());
        // A new in-memory catalog takes any schema; there is none that this one could replace.
        let _ = catalog.register_schema(
            &catalog_options.default_schema,
            Arc::clone(&schema) as Arc<dyn SchemaProvider>,
        );
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        catalogs.register_catalog(catalog_options.default_catalog.clone(), catalog);
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(catalogs)
            .build();
        Self { state, schema }
    }

    fn register(
        &mut self,
        name: &str,
        table: Arc<dyn TableProvider>,
    ) -> Result<(), DataFusionError> {
        self.schema
            .register_table(name.to_owned(), table)
            .map(|_| ())
    }

    /// Plans a query; `None` if it is wrong, which is reported, or if it reads something broken.
    async fn query(
        &self,
        query: &Query,
        span: Span,
        broken: &BTreeSet<String>,
        report: &mut Report,
    ) -> Option<LogicalPlan> {
        if tables_of(query)
            .iter()
            .any(|table| broken.contains(&table.value))
        {
            return None;
        }
        plan_query(&self.state, query, span, report).await
    }
}

/// The session with places kept in plans, so that errors can point into the text.
fn with_places(mut state: SessionState) -> SessionState {
    state.config_mut().options_mut().sql_parser.collect_spans = true;
    state
}

async fn plan_query(
    state: &SessionState,
    query: &Query,
    span: Span,
    report: &mut Report,
) -> Option<LogicalPlan> {
    let statement = engine_statement(Box::new(query.clone()));
    let planned = match state.statement_to_plan(statement).await {
        Ok(plan) if is_too_large(&plan) => {
            report.push(too_large(span, report));
            return None;
        }
        // Types are checked by the analyzer; the plan itself stays as it was written.
        Ok(plan) => state
            .analyzer()
            .execute_and_check(plan.clone(), state.config_options(), |_, _| {})
            .map(|_| plan),
        Err(error) => Err(error),
    };
    match planned {
        Ok(plan) => Some(plan),
        Err(error) => {
            for error in error.iter() {
                report.push(describe(error, query, span, state, report));
            }
            None
        }
    }
}

/// Whether a plan, with the steps that it reads in their places, is more than can be optimised in seconds.
fn is_too_large(plan: &LogicalPlan) -> bool {
    let mut operators = 0_usize;
    let counted = plan.apply_with_subqueries(|_| {
        operators += 1;
        Ok(match operators > MOST_OPERATORS {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    counted.is_err() || operators > MOST_OPERATORS
}

fn too_large(span: Span, report: &Report) -> Diagnostic {
    let message = format!(
        "with the steps that it reads in their places, the plan of this has more than {MOST_OPERATORS} operators"
    );
    report.error_at(span, message).with_help(
        "a step is planned again wherever it is read: read it once, or write it with a pipeline of its own and read its table",
    )
}

fn is_condition(plan: &LogicalPlan, assert: &Assert, report: &mut Report) -> bool {
    let data_type = plan.schema().field(0).data_type();
    if matches!(data_type, DataType::Boolean) {
        return true;
    }
    report.push(
        report
            .error_at(
                assert.span,
                format!("the condition is of type {data_type}, not BOOLEAN"),
            )
            .with_help("compare it with something: ASSERT (SELECT count(*) FROM step) > 0 AS '…'"),
    );
    false
}

fn check_columns(output: &Output, plan: &LogicalPlan, report: &mut Report) {
    let schema = plan.schema();
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let options = &output.options;
    let sort: Vec<&Name> = options.sort.iter().map(|key| &key.column).collect();
    let order: Vec<&Name> = options.order.iter().map(|key| &key.column).collect();
    let dictionary = match &options.dictionary {
        Some(DictionaryChoice::Columns(columns)) => columns.as_slice(),
        _ => &[],
    };
    let lists: [(&str, Vec<&Name>); 6] = [
        ("PARTITIONED BY", output.partition_by.iter().collect()),
        ("option `key`", options.key.iter().collect()),
        ("option `order`", order),
        ("option `sort`", sort),
        ("option `dictionary`", dictionary.iter().collect()),
        (
            "option `bloom_filter`",
            options.bloom_filter.iter().collect(),
        ),
    ];
    for (place, names) in lists {
        for name in names {
            if columns.contains(&name.value.as_str()) {
                continue;
            }
            report.push(
                report
                    .error_at(
                        name.span,
                        format!("the output has no column `{}` ({place})", name.value),
                    )
                    .with_suggestion(nearest(&name.value, columns.iter().copied()))
                    .with_help(format!("its columns: {}", columns.join(", "))),
            );
        }
    }
    for name in &output.partition_by {
        let Ok(field) = schema.field_with_unqualified_name(&name.value) else {
            continue;
        };
        if !is_partition_type(field.data_type()) {
            report.push(
                report
                    .error_at(
                        name.span,
                        format!(
                            "a table cannot be partitioned by `{}` of type {}",
                            name.value,
                            field.data_type()
                        ),
                    )
                    .with_help("partition by text, whole numbers, dates or booleans"),
            );
        }
    }
    if !columns.is_empty() && columns.len() == output.partition_by.len() {
        report.error(
            output.span,
            "the output is partitioned by all of its columns: nothing is left to store",
        );
    }
}

fn is_partition_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_partition_type(value),
        other => {
            other.is_integer()
                || matches!(
                    other,
                    DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                        | DataType::Date32
                        | DataType::Boolean
                )
        }
    }
}
