//! `COPY step TO 'location' STORED AS format PARTITIONED BY (…) OPTIONS (…)`: an output table.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use tables::Format;

use super::columns::check_repetition;
use super::cursor::{Cursor, Parsed};
use super::diagnostic::Report;
use super::output_options::{OutputOptions, resolve_options};
use super::resolve::Resolver;
use super::source::{location, resolve_location};
use super::split::DIALECT;
use super::statement::{CopyStatement, Name};
use super::suggest::nearest;

/// An output with its parameters replaced.
#[derive(Debug, Clone)]
pub struct Output {
    /// The step or source that is written; `None` if the `COPY` has a query of its own.
    pub relation: Option<Name>,
    /// What is written, as a query.
    pub query: Box<Query>,
    /// Where to.
    pub location: String,
    /// The format of the files.
    pub format: Format,
    /// Partition columns, outermost first.
    pub partition_by: Vec<Name>,
    /// Options.
    pub options: OutputOptions,
    /// The whole statement.
    pub span: Span,
    /// The location's place.
    pub location_span: Span,
}

/// Reads the rest of a `COPY`, after the keyword.
pub(super) fn read(cursor: &mut Cursor, report: &mut Report) -> Parsed<CopyStatement> {
    let (relation, query) = if cursor.accept_token(&Token::LParen) {
        let query = cursor.sql(Parser::parse_query)?;
        cursor.expect_token(&Token::RParen)?;
        (None, query)
    } else {
        let name = cursor.declared_name("a view's name or a query in parentheses")?;
        let query = cursor.sql(|_| select_all(&name))?;
        (Some(name), query)
    };
    cursor.expect(Keyword::TO)?;
    let (location, location_span) = location(cursor)?;
    let (mut format, mut partitioned_by, mut options) = (None, None, None);
    while cursor.peek().token != Token::EOF {
        let start = cursor.here();
        let twice = if cursor.accept(Keyword::STORED) {
            cursor.expect(Keyword::AS)?;
            format.replace(cursor.name("a format")?).is_some()
        } else if cursor.accept(Keyword::PARTITIONED) {
            cursor.expect(Keyword::BY)?;
            partitioned_by.replace(cursor.names("a column")?).is_some()
        } else if cursor.accept(Keyword::OPTIONS) {
            options.replace(cursor.options()?).is_some()
        } else {
            return Err(cursor.unexpected(&["STORED AS", "PARTITIONED BY", "OPTIONS"]));
        };
        if twice {
            return Err(cursor.error(cursor.since(start), "this clause is already there"));
        }
    }
    let format = match format {
        None => Format::default(),
        // A mistake is reported, and the rest is looked at as if there were none.
        Some(word) => named(&word, report).unwrap_or_default(),
    };
    let partitioned_by = partitioned_by.unwrap_or_default();
    check_repetition(&partitioned_by, "PARTITIONED BY", report);
    Ok(CopyStatement {
        relation,
        query,
        location,
        location_span,
        format,
        partitioned_by,
        options: options.unwrap_or_default(),
        span: cursor.span(),
    })
}

/// The format that a word names; reports a word that names none.
fn named(word: &Name, report: &mut Report) -> Option<Format> {
    let names = Format::NAMES.iter();
    let found = names
        .clone()
        .find(|(name, _)| word.value.eq_ignore_ascii_case(name));
    if found.is_none() {
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        let upper = word.value.to_uppercase();
        report.push(
            report
                .error_at(
                    word.span,
                    format!("an output cannot be stored as `{upper}`"),
                )
                .with_suggestion(nearest(&upper, names.iter().copied()))
                .with_help(format!("outputs are stored as {}", names.join(", "))),
        );
    }
    found.map(|(_, format)| *format)
}

/// `SELECT * FROM name`.
fn select_all(name: &Name) -> Result<Box<Query>, ParserError> {
    let tokens = [
        Token::make_keyword("SELECT"),
        Token::Mul,
        Token::make_keyword("FROM"),
        Token::make_word(&name.value, Some('"')),
    ];
    let tokens = tokens
        .into_iter()
        .map(|token| TokenWithSpan::new(token, name.span))
        .collect();
    Parser::new(&DIALECT)
        .with_tokens_with_locations(tokens)
        .parse_query()
}

/// Checks an output and types its options. `None` if its location is unknown or wrong.
///
/// `query` is what it writes, with parameters replaced where they are known.
pub(super) fn resolve(
    statement: &CopyStatement,
    query: Box<Query>,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Option<Output> {
    let location = resolve_location(
        &statement.location,
        statement.location_span,
        resolver,
        report,
    );
    let options = resolve_options(statement, resolver, report);
    Some(Output {
        relation: statement.relation.clone(),
        query,
        location: location?,
        format: statement.format,
        partition_by: statement.partitioned_by.clone(),
        options,
        span: statement.span,
        location_span: statement.location_span,
    })
}
