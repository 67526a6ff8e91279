//! From DataFusion's planning errors to messages at a place of the definition.
//!
//! DataFusion tells the place of unknown columns and functions; where it does not, the place is looked
//! for in the query by the name in the error, and failing that the statement is shown.

use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::constants::plain_message;
use super::diagnostic::{Diagnostic, Report};
use super::statement::Name;
use super::suggest::nearest;

/// How many names a help line lists.
const LISTED: usize = 20;

/// Describes one planning error of a query that stands in the statement at `statement`.
pub(super) fn describe(
    error: &DataFusionError,
    query: &Query,
    statement: Span,
    state: &SessionState,
    report: &Report,
) -> Diagnostic {
    let told = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| Span::new(place(span.start), place(span.end)));
    let at = |found: Option<Span>| told.or(found).unwrap_or(statement);
    match error.find_root() {
        DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let span = at(find_column(query, &field.name));
                unknown_column(report, span, field, valid_fields)
            }
            SchemaError::AmbiguousReference { field } => report
                .error_at(
                    at(find_column(query, &field.name)),
                    format!("column `{}` is in more than one table", field.name),
                )
                .with_help(format!("name the table: table.{}", field.name)),
            other => report.error_at(at(None), lowered(&other.to_string())),
        },
        root => {
            let message = plain_message(root);
            if let Some(name) = quoted_after(&message, "Invalid function '") {
                let span = at(find_function(query, name));
                let known = state
                    .scalar_functions()
                    .keys()
                    .chain(state.aggregate_functions().keys())
                    .chain(state.window_functions().keys());
                return report
                    .error_at(span, format!("unknown function `{name}`"))
                    .with_suggestion(nearest(name, known.map(String::as_str)));
            }
            let span = at(function_in(&message).and_then(|name| find_function(query, name)));
            if let Some(call) = quoted_after(&message, "argument types '") {
                return wrong_arguments(report, span, call, &message);
            }
            // DataFusion's words for people, where it says what to do.
            let told = error
                .diagnostic()
                .and_then(|told| Some((told, told.helps.first()?)));
            if let Some((told, help)) = told {
                return report
                    .error_at(span, lowered(&told.message))
                    .with_help(lowered(&help.message));
            }
            report.error_at(span, lowered(&message))
        }
    }
}

/// A function that is called with arguments that it does not take.
fn wrong_arguments(report: &Report, span: Span, call: &str, message: &str) -> Diagnostic {
    let mistake = report.error_at(span, format!("no function takes these arguments: {call}"));
    let Some((_, candidates)) = message.split_once("Candidate functions:") else {
        return mistake;
    };
    let candidates: Vec<&str> = candidates
        .split("; ")
        .map(str::trim)
        .filter(|candidate| !candidate.is_empty())
        .collect();
    mistake.with_help(format!("there are: {}", candidates.join(", ")))
}

fn place(place: datafusion::common::Location) -> Location {
    Location {
        line: place.line,
        column: place.column,
    }
}

fn unknown_column(report: &Report, span: Span, field: &Column, valid: &[Column]) -> Diagnostic {
    let shown = match &field.relation {
        Some(relation) => format!("{relation}.{}", field.name),
        None => field.name.clone(),
    };
    if let Some(relation) = &field.relation {
        let mut tables: Vec<&str> = valid
            .iter()
            .filter_map(|column| column.relation.as_ref().map(|table| table.table()))
            .collect();
        tables.dedup();
        if !tables.contains(&relation.table()) {
            let message = format!("unknown table `{relation}` in `{shown}`");
            return report
                .error_at(span, message)
                .with_suggestion(nearest(relation.table(), tables.iter().copied()))
                .with_help(format!("tables here: {}", tables.join(", ")));
        }
    }
    let mut names: Vec<&str> = valid.iter().map(|column| column.name.as_str()).collect();
    names.dedup();
    let near = nearest(&field.name, names.iter().copied()).filter(|near| *near != field.name);
    let mut listed = names
        .iter()
        .take(LISTED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > LISTED {
        listed.push_str(", …");
    }
    let mistake = report
        .error_at(span, format!("unknown column `{shown}`"))
        .with_suggestion(near);
    if listed.is_empty() {
        mistake
    } else {
        mistake.with_help(format!("columns here: {listed}"))
    }
}

/// A sentence with a small first letter, unless it begins with a name in capitals.
fn lowered(message: &str) -> String {
    let mut characters = message.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => message.to_owned(),
    }
}

fn quoted_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name)
}

/// The function that an error is about: `… name 'week_of(Utf8)' …`, `Function 'sum' …`.
fn function_in(message: &str) -> Option<&str> {
    let quoted = quoted_after(message, "'")?;
    let name = quoted.split('(').next().unwrap_or(quoted);
    (!name.is_empty()).then_some(name)
}

fn find_column(query: &Query, name: &str) -> Option<Span> {
    find(
        query,
        |expression| match expression {
            Expr::Identifier(identifier) => Some(identifier),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        },
        name,
    )
}

fn find_function(query: &Query, name: &str) -> Option<Span> {
    find(
        query,
        |expression| match expression {
            Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()),
            _ => None,
        },
        name,
    )
}

/// The first place in a query where `named` finds `name`.
fn find(query: &Query, named: fn(&Expr) -> Option<&Ident>, name: &str) -> Option<Span> {
    struct Search<'a> {
        named: fn(&Expr) -> Option<&Ident>,
        name: &'a str,
    }
    impl Visitor for Search<'_> {
        type Break = Span;

        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Span> {
            match (self.named)(expression).cloned().map(Name::from) {
                Some(found) if found.value.eq_ignore_ascii_case(self.name) => {
                    ControlFlow::Break(found.span)
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query
        .visit(&mut Search { named, name })
        .break_value()
        .filter(|span| *span != Span::empty())
}
