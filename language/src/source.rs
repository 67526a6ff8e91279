//! `CREATE EXTERNAL TABLE name (columns) STORED AS kind LOCATION '…' OPTIONS (…)`.
//!
//! Which options a kind takes is the kind's own knowledge; the places of keys and values are kept so that its answer can
//! be shown in the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{ColumnDef, ColumnOption, Expr, Visit};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::constants;
use super::cursor::{Cursor, Parsed};
use super::diagnostic::{Diagnostic, Report};
use super::parameters::PARAMETER_TYPES;
use super::resolve::{Resolved, Resolver, by_key};
use super::secret::{SecretReference, carries_secret, is_credential};
use super::statement::{Entry, Name, SourceStatement, parameter_uses};
use super::suggest::nearest;

/// The value of a source's option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// The value itself.
    Plain(String),
    /// Where a credential is kept.
    SecretReference(SecretReference),
}

/// Where an option stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpans {
    /// Its key.
    pub key: Span,
    /// Its value.
    pub value: Span,
}

/// A source with its parameters replaced.
#[derive(Debug, Clone)]
pub struct Source {
    /// The table's name.
    pub name: String,
    /// The word of its kind, in capitals.
    pub kind: String,
    /// Where it is: a URL, a path, or a collection of a web service.
    pub location: String,
    /// The declared columns; `None` if the source tells its own.
    pub columns: Option<SchemaRef>,
    /// Hive partition columns of a file source.
    pub partitioned_by: Vec<Name>,
    /// Options by lowercase name; an option that came to NULL is not there.
    pub options: BTreeMap<String, OptionValue>,
    /// The name's place.
    pub span: Span,
    /// The location's place.
    pub location_span: Span,
    /// The options' places.
    pub option_spans: BTreeMap<String, OptionSpans>,
}

/// Reads the rest of a `CREATE EXTERNAL TABLE`, after the keywords.
pub(super) fn read(cursor: &mut Cursor) -> Parsed<SourceStatement> {
    let start = cursor.here();
    if cursor.accept(Keyword::IF) {
        let mut mistake = cursor.error(
            cursor.since(start),
            "IF NOT EXISTS has no meaning here: a table lives as long as the run",
        );
        mistake.help = Some("leave it out".to_owned());
        return Err(mistake);
    }
    let name = cursor.declared_name("a table's name")?;
    let columns = if cursor.peek().token == Token::LParen {
        let start = cursor.here();
        let (columns, constraints) = cursor.sql(Parser::parse_columns)?;
        if let Some(constraint) = constraints.first() {
            return Err(cursor.error(
                cursor.since(start),
                format!("a source has no constraints, found `{constraint}`"),
            ));
        }
        Some(columns)
    } else {
        None
    };
    let mut clauses = Clauses::default();
    while cursor.peek().token != Token::EOF {
        read_clause(cursor, &mut clauses)?;
    }
    let missing = |clause: &str| {
        let found = cursor.peek();
        cursor.expected(&format!("`{clause}`"), &found, None)
    };
    let kind = clauses.kind.ok_or_else(|| missing("STORED AS"))?;
    let (location, location_span) = clauses.location.ok_or_else(|| missing("LOCATION"))?;
    Ok(SourceStatement {
        name,
        kind,
        columns,
        partitioned_by: clauses.partitioned_by.unwrap_or_default(),
        location,
        location_span,
        options: clauses.options.unwrap_or_default(),
        span: cursor.span(),
    })
}

#[derive(Default)]
struct Clauses {
    kind: Option<Name>,
    location: Option<(Expr, Span)>,
    partitioned_by: Option<Vec<Name>>,
    options: Option<Vec<Entry>>,
}

fn read_clause(cursor: &mut Cursor, clauses: &mut Clauses) -> Parsed<()> {
    let start = cursor.here();
    let twice = if cursor.accept(Keyword::STORED) {
        cursor.expect(Keyword::AS)?;
        clauses
            .kind
            .replace(cursor.name("a source kind")?)
            .is_some()
    } else if cursor.accept(Keyword::LOCATION) {
        clauses.location.replace(location(cursor)?).is_some()
    } else if cursor.accept(Keyword::PARTITIONED) {
        cursor.expect(Keyword::BY)?;
        clauses
            .partitioned_by
            .replace(cursor.names("a column")?)
            .is_some()
    } else if cursor.accept(Keyword::OPTIONS) {
        clauses.options.replace(cursor.options()?).is_some()
    } else {
        return Err(cursor.unexpected(&["STORED AS", "LOCATION", "PARTITIONED BY", "OPTIONS"]));
    };
    if twice {
        return Err(cursor.error(cursor.since(start), "this clause is already there"));
    }
    Ok(())
}

/// A location: a constant expression that is not a bare word.
pub(super) fn location(cursor: &mut Cursor) -> Parsed<(Expr, Span)> {
    let found = cursor.peek();
    match found.token {
        Token::EOF | Token::LParen => Err(cursor.expected("a location in quotes", &found, None)),
        _ => {
            let (expression, span) = cursor.expression()?;
            if matches!(expression, Expr::Identifier(_)) {
                return Err(cursor.error(span, "a location is written in single quotes"));
            }
            Ok((expression, span))
        }
    }
}

/// Checks a source and puts in the values of its options. `None` if it cannot be used at all.
pub(super) fn resolve(
    statement: &SourceStatement,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Option<Source> {
    let columns = resolve_columns(statement, report);
    let location = resolve_location(
        &statement.location,
        statement.location_span,
        resolver,
        report,
    );
    let mut options = BTreeMap::new();
    let mut option_spans = BTreeMap::new();
    for (key, entry) in by_key(&statement.options, report) {
        option_spans.insert(
            key.to_owned(),
            OptionSpans {
                key: entry.key.span,
                value: entry.value_span,
            },
        );
        if let Some(value) = resolve_option(entry, resolver, report) {
            options.insert(key.to_owned(), value);
        }
    }
    Some(Source {
        name: statement.name.value.clone(),
        kind: statement.kind.value.to_uppercase(),
        location: location?,
        columns,
        partitioned_by: statement.partitioned_by.clone(),
        options,
        span: statement.name.span,
        location_span: statement.location_span,
        option_spans,
    })
}

fn resolve_columns(statement: &SourceStatement, report: &mut Report) -> Option<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for column in statement.columns.as_ref()? {
        let name = Name::from(column.name.clone());
        if fields.iter().any(|field| *field.name() == name.value) {
            report.error(
                name.span,
                format!("column `{}` is declared twice", name.value),
            );
            continue;
        }
        check_constraints(column, &name, report);
        match constants::data_type(&column.data_type) {
            Ok(data_type) => {
                let not_null = column
                    .options
                    .iter()
                    .any(|option| option.option == ColumnOption::NotNull);
                fields.push(Field::new(name.value, data_type, !not_null));
            }
            Err(reason) => {
                let near = nearest(
                    &column.data_type.to_string(),
                    PARAMETER_TYPES.iter().copied(),
                );
                let message = format!("column `{}` has no usable type: {reason}", name.value);
                report.push(report.error_at(name.span, message).with_suggestion(near));
            }
        }
    }
    Some(Arc::new(Schema::new(fields)))
}

fn check_constraints(column: &ColumnDef, name: &Name, report: &mut Report) {
    for option in &column.options {
        if !matches!(option.option, ColumnOption::NotNull | ColumnOption::Null) {
            report.error(
                name.span,
                format!(
                    "column `{}` of a source may be NULL or NOT NULL, not `{}`",
                    name.value, option.option
                ),
            );
        }
    }
}

/// The text of a location; `None` if it is unknown yet or wrong.
pub(super) fn resolve_location(
    location: &Expr,
    span: Span,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Option<String> {
    let text = match resolver.text(location, span, "the location", report) {
        Resolved::Text(text) => text,
        Resolved::Null => {
            report.error(span, "the location is NULL");
            return None;
        }
        Resolved::Unknown | Resolved::Failed => return None,
    };
    if text.trim().is_empty() {
        report.error(span, "the location is empty");
        return None;
    }
    if carries_secret(&text) {
        report.push(
            report
                .error_at(span, "the location carries a password, a signature or a token")
                .with_help(
                    "leave it out of the URL: credentials of object stores come from variables \
                     (AZURE_STORAGE_SAS_TOKEN, AWS_ACCESS_KEY_ID), of web servers from PIPELINES_STORAGE_HTTP_HEADERS, those of APIs are options that refer to a secret",
                ),
        );
        return None;
    }
    Some(text)
}

fn resolve_option(
    entry: &Entry,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Option<OptionValue> {
    let key = &entry.key.value;
    if !is_credential(key) {
        let what = format!("the value of option `{key}`");
        return match resolver.text(&entry.value, entry.value_span, &what, report) {
            Resolved::Text(text) => Some(OptionValue::Plain(text)),
            Resolved::Null | Resolved::Unknown | Resolved::Failed => None,
        };
    }
    // Only a literal or a parameter can be a reference; anything computed would be a secret's text.
    let resolved = match &entry.value {
        Expr::Value(_) => resolver.text(&entry.value, entry.value_span, "the reference", report),
        _ => Resolved::Text(String::new()),
    };
    match resolved {
        Resolved::Text(text) => match text.parse() {
            Ok(reference) => Some(OptionValue::SecretReference(reference)),
            Err(_) => {
                report.push(literal_secret(entry, report));
                None
            }
        },
        Resolved::Null | Resolved::Unknown | Resolved::Failed => None,
    }
}

fn literal_secret(entry: &Entry, report: &Report) -> Diagnostic {
    if parameter_uses(|collector| entry.value.visit(collector)).len() == 1 {
        return report
            .error_at(
                entry.value_span,
                format!(
                    "option `{}` is a secret: the parameter must refer to it, not be it",
                    entry.key.value
                ),
            )
            .with_help("give 'env:NAME' for a variable or 'file:/path' for a file");
    }
    report
        .error_at(
            entry.value_span,
            format!(
                "option `{}` is a secret and must not stand here",
                entry.key.value
            ),
        )
        .with_help("refer to it: 'env:NAME' for a variable, 'file:/path' for a file")
}
