//! The statements of a definition as they were read, before parameters have values.
//!
//! Owns the shapes only; each statement's reading and checking has its own module.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ColumnDef, Expr, Query, Value, ValueWithSpan, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use tables::Format;

use super::parameters::{Parameter, placeholder_name};

/// A name and where it stands. Unquoted names are lowercase, as DataFusion compares them.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// One key and value of an option list, or of a `SET`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The option's name, lowercase.
    pub key: Name,
    /// A constant expression; bare words are strings.
    pub value: Expr,
    /// Where the value stands.
    pub value_span: Span,
}

/// `CREATE EXTERNAL TABLE`.
#[derive(Debug, Clone)]
pub struct SourceStatement {
    /// The table's name.
    pub name: Name,
    /// The word behind `STORED AS`.
    pub kind: Name,
    /// Declared columns; `None` if the source tells its own.
    pub columns: Option<Vec<ColumnDef>>,
    /// Hive partition columns of a file source.
    pub partitioned_by: Vec<Name>,
    /// A constant expression.
    pub location: Expr,
    /// Where the location stands.
    pub location_span: Span,
    /// Options as written.
    pub options: Vec<Entry>,
    /// The whole statement.
    pub span: Span,
}

/// `CREATE VIEW`.
#[derive(Debug, Clone)]
pub struct ViewStatement {
    /// The view's name.
    pub name: Name,
    /// Its query, parameters not replaced.
    pub query: Box<Query>,
    /// The whole statement.
    pub span: Span,
}

/// `ASSERT`.
#[derive(Debug, Clone)]
pub struct AssertStatement {
    /// `SELECT condition AS passed`, parameters not replaced.
    pub query: Box<Query>,
    /// What to say if it is not true.
    pub message: String,
    /// The whole statement.
    pub span: Span,
}

/// `COPY … TO`.
#[derive(Debug, Clone)]
pub struct CopyStatement {
    /// The step or source that is written; `None` if the statement has a query of its own.
    pub relation: Option<Name>,
    /// What is written, parameters not replaced.
    pub query: Box<Query>,
    /// Where to: a constant expression.
    pub location: Expr,
    /// Where the location stands.
    pub location_span: Span,
    /// The format of the files.
    pub format: Format,
    /// Partition columns.
    pub partitioned_by: Vec<Name>,
    /// Options as written.
    pub options: Vec<Entry>,
    /// The whole statement.
    pub span: Span,
}

/// One statement of a definition.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `DECLARE`.
    Declare(Parameter),
    /// `SET`.
    Set(Entry),
    /// `CREATE EXTERNAL TABLE`.
    Source(SourceStatement),
    /// `CREATE VIEW`.
    View(ViewStatement),
    /// `ASSERT`.
    Assert(AssertStatement),
    /// `COPY`.
    Copy(CopyStatement),
}

impl Statement {
    /// The whole statement, or the part of it that stands for it.
    pub fn span(&self) -> Span {
        match self {
            Self::Declare(parameter) => parameter.span,
            Self::Set(entry) => entry.key.span,
            Self::Source(source) => source.span,
            Self::View(view) => view.span,
            Self::Assert(assert) => assert.span,
            Self::Copy(copy) => copy.span,
        }
    }

    /// The query of a step, a check or an output.
    pub(super) fn query(&self) -> Option<&Query> {
        match self {
            Self::View(view) => Some(&view.query),
            Self::Assert(assert) => Some(&assert.query),
            Self::Copy(copy) => Some(&copy.query),
            Self::Declare(_) | Self::Set(_) | Self::Source(_) => None,
        }
    }

    /// Shows every syntax tree of the statement to a visitor.
    pub(super) fn visit<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        let entries = match self {
            Self::Declare(parameter) => return parameter.default.visit(visitor),
            Self::Set(entry) => return entry.value.visit(visitor),
            Self::View(view) => return view.query.visit(visitor),
            Self::Assert(assert) => return assert.query.visit(visitor),
            Self::Source(source) => {
                source.location.visit(visitor)?;
                &source.options
            }
            Self::Copy(copy) => {
                copy.query.visit(visitor)?;
                copy.location.visit(visitor)?;
                &copy.options
            }
        };
        entries
            .iter()
            .try_for_each(|entry| entry.value.visit(visitor))
    }
}

/// A use of a parameter.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// The name without `$`, lowercase.
    pub(super) name: String,
    pub(super) span: Span,
    /// Whether it stands where an expression may stand, so that a value can take its place.
    pub(super) replaceable: bool,
}

/// Every `$name` in the trees that `visit` walks.
pub(super) fn parameter_uses(visit: impl FnOnce(&mut UseCollector) -> ControlFlow<()>) -> Vec<Use> {
    let mut collector = UseCollector::default();
    // The collector never breaks off.
    let _ = visit(&mut collector);
    let expressions = collector.in_expressions;
    collector
        .values
        .into_iter()
        .map(|(name, span)| Use {
            replaceable: expressions.contains(&span),
            name,
            span,
        })
        .collect()
}

/// Collects the placeholders of a syntax tree.
#[derive(Default)]
pub(super) struct UseCollector {
    values: Vec<(String, Span)>,
    in_expressions: Vec<Span>,
}

impl Visitor for UseCollector {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan {
            value: Value::Placeholder(_),
            span,
        }) = expression
        {
            self.in_expressions.push(*span);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &value.value {
            self.values.push((placeholder_name(text), value.span));
        }
        ControlFlow::Continue(())
    }
}
