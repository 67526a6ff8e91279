//! Checks across statements: names are declared once, above their first use, and used.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::depth::{self, levels};
use super::diagnostic::{Diagnostic, Report};
use super::parameters::Parameter;
use super::statement::{Name, Statement, parameter_uses};
use super::suggest::nearest;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Parameter,
    Table,
    Output,
}

/// A statement, or what is left of one that could not be read.
#[derive(Debug)]
pub(super) enum Item {
    Read(Box<Statement>),
    /// The name that it would have declared.
    Broken(Option<(Kind, String)>),
}

/// The position of each declaration.
#[derive(Default)]
struct Declared {
    parameters: BTreeMap<String, usize>,
    tables: BTreeMap<String, usize>,
}

/// Checks all names. Returns the warnings; errors go to the report.
pub(super) fn check(items: &[Item], report: &mut Report) -> Vec<Diagnostic> {
    let declared = declarations(items, report);
    let mut used = BTreeSet::new();
    let mut depths = BTreeMap::<String, usize>::new();
    for (position, item) in items.iter().enumerate() {
        let Item::Read(statement) = item else {
            continue;
        };
        check_parameters(statement, position, &declared, &mut used, report);
        if let Some(query) = statement.query() {
            let read = tables_of(query);
            check_tables(&read, position, &declared, report);
            let below = read.iter().filter_map(|table| depths.get(&table.value));
            let depth = levels(query) + below.max().copied().unwrap_or_default();
            if depth > depth::LIMIT {
                report.push(too_deep(statement, report));
            } else if let Statement::View(view) = statement.as_ref() {
                depths.insert(view.name.value.clone(), depth);
            }
        }
    }
    let outputs = items.iter().any(|item| match item {
        Item::Read(statement) => matches!(statement.as_ref(), Statement::Copy(_)),
        Item::Broken(declares) => matches!(declares, Some((Kind::Output, _))),
    });
    if !outputs {
        report.push(
            report
                .error_at(Span::empty(), "the pipeline writes nothing: it has no COPY")
                .with_help("write a step: COPY step TO 'table/' STORED AS PARQUET"),
        );
    }
    items
        .iter()
        .filter_map(|item| match item {
            Item::Read(statement) => Some(statement.as_ref()),
            Item::Broken(_) => None,
        })
        .filter_map(|statement| match statement {
            Statement::Declare(parameter) if !used.contains(&parameter.name) => {
                Some(unused(parameter, report))
            }
            _ => None,
        })
        .collect()
}

fn too_deep(statement: &Statement, report: &Report) -> Diagnostic {
    report
        .error_at(
            statement.span(),
            format!(
                "the plan of this would be more than {} levels deep, with the steps that it reads",
                depth::LIMIT
            ),
        )
        .with_help("publish a table in between and go on from it in another pipeline")
}

fn unused(parameter: &Parameter, report: &Report) -> Diagnostic {
    let message = format!("parameter `{}` is never used", parameter.name);
    Diagnostic::warning(report.source(), parameter.span, message)
}

fn declarations(items: &[Item], report: &mut Report) -> Declared {
    let mut declared = Declared::default();
    for (position, item) in items.iter().enumerate() {
        let (kind, name, span) = match item {
            Item::Read(statement) => match statement.as_ref() {
                Statement::Declare(parameter) => (Kind::Parameter, &parameter.name, parameter.span),
                Statement::Source(source) => (Kind::Table, &source.name.value, source.name.span),
                Statement::View(view) => (Kind::Table, &view.name.value, view.name.span),
                Statement::Set(_) | Statement::Assert(_) | Statement::Copy(_) => continue,
            },
            Item::Broken(Some((kind, name))) => (*kind, name, Span::empty()),
            Item::Broken(None) => continue,
        };
        let (names, what) = match kind {
            Kind::Parameter => (&mut declared.parameters, "parameter"),
            Kind::Table => (&mut declared.tables, "table or view"),
            Kind::Output => continue,
        };
        if names.contains_key(name) {
            if span != Span::empty() {
                report.error(span, format!("{what} `{name}` is declared twice"));
            }
        } else {
            names.insert(name.clone(), position);
        }
    }
    declared
}

fn check_parameters(
    statement: &Statement,
    position: usize,
    declared: &Declared,
    used: &mut BTreeSet<String>,
    report: &mut Report,
) {
    for found in parameter_uses(|collector| statement.visit(collector)) {
        let name = found.name;
        match declared.parameters.get(&name) {
            None => {
                let candidates = declared.parameters.keys().map(String::as_str);
                let near = nearest(&name, candidates).map(|near| format!("${near}"));
                let written = report.source().slice(found.span);
                let mut mistake =
                    report.error_at(found.span, format!("unknown parameter `{written}`"));
                let is_name = name.starts_with(|first: char| first == '_' || first.is_alphabetic());
                if !(is_name && written.starts_with('$')) {
                    mistake.help = Some("a parameter is a name behind a `$`: $name".to_owned());
                } else if near.is_none() {
                    mistake.help = Some(format!("declare it above: DECLARE {name} TEXT;"));
                }
                report.push(mistake.with_suggestion(near.as_deref()));
            }
            Some(declaration) if *declaration >= position => {
                report.push(
                    report
                        .error_at(
                            found.span,
                            format!("parameter `${name}` is used before it is declared"),
                        )
                        .with_help("move its DECLARE above this statement"),
                );
            }
            Some(_) if !found.replaceable => {
                report.push(
                    report
                        .error_at(found.span, "a parameter cannot stand here")
                        .with_help("parameters stand where an expression may stand"),
                );
            }
            Some(_) => {}
        }
        used.insert(name);
    }
}

fn check_tables(read: &[Name], position: usize, declared: &Declared, report: &mut Report) {
    for table in read {
        let name = &table.value;
        match declared.tables.get(name) {
            Some(declaration) if *declaration < position => {}
            Some(_) => report.push(
                report
                    .error_at(
                        table.span,
                        format!("`{name}` is used before it is declared"),
                    )
                    .with_help("a statement uses only what is declared above it"),
            ),
            None => {
                let candidates = declared.tables.keys().map(String::as_str);
                let near = nearest(name, candidates);
                let mistake = report
                    .error_at(table.span, format!("unknown table or view `{name}`"))
                    .with_suggestion(near);
                report.push(if near.is_none() {
                    mistake.with_help("declare it above: CREATE EXTERNAL TABLE … or CREATE VIEW …")
                } else {
                    mistake
                });
            }
        }
    }
}

/// A query as DataFusion's statement.
pub(super) fn engine_statement(query: Box<Query>) -> EngineStatement {
    EngineStatement::Statement(Box::new(SqlStatement::Query(query)))
}

/// The tables and views that a query reads, each with its first place.
pub(super) fn tables_of(query: &Query) -> Vec<Name> {
    let mut places = RelationPlaces::default();
    // The visitor never breaks off.
    let _ = query.visit(&mut places);
    let statement = engine_statement(Box::new(query.clone()));
    let Ok((references, _)) = resolve_table_references(&statement, true) else {
        return Vec::new();
    };
    references
        .iter()
        .map(name_of)
        .filter(|name| !places.functions.contains(name))
        .map(|name| {
            let known = places.relations.iter().find(|known| known.value == name);
            Name {
                span: known.map_or_else(Span::empty, |known| known.span),
                value: name,
            }
        })
        .collect()
}

fn name_of(reference: &TableReference) -> String {
    let parts = [
        reference.catalog(),
        reference.schema(),
        Some(reference.table()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(".")
}

/// Where the relations of a query stand, and which of them are calls of table functions.
#[derive(Default)]
struct RelationPlaces {
    relations: Vec<Name>,
    functions: BTreeSet<String>,
}

impl Visitor for RelationPlaces {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.relations.extend(name_at(relation));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        } = factor
        {
            self.functions
                .extend(name_at(name).map(|function| function.value));
        }
        ControlFlow::Continue(())
    }
}

/// A possibly qualified name as one.
fn name_at(object: &ObjectName) -> Option<Name> {
    let parts: Vec<Name> = object
        .0
        .iter()
        .filter_map(|part| part.as_ident().cloned().map(Name::from))
        .collect();
    let span = parts
        .iter()
        .map(|part| part.span)
        .reduce(|left, right| left.union(&right))?;
    let value = parts.into_iter().map(|part| part.value).collect::<Vec<_>>();
    Some(Name {
        value: value.join("."),
        span,
    })
}
