//! A definition, and reading one from text.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::Visit;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, TokenizerError};

use super::check::{self, Item, Kind};
use super::constants;
use super::cursor::{Cursor, Parsed};
use super::diagnostic::{Diagnostic, Diagnostics, Report};
use super::kind::SourceKind;
use super::options::PipelineOptions;
use super::parameters::{Parameter, convert};
use super::resolve::Resolver;
use super::secret::hidden_parts;
use super::split::{Piece, split};
use super::statement::{
    AssertStatement, CopyStatement, Entry, SourceStatement, Statement, ViewStatement,
    parameter_uses,
};
use super::suggest::nearest;
use super::text::SourceText;
use super::{assert, copy, declare, fingerprint, kind, set, source, view};

/// Where a definition comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It is part of the program.
    Builtin,
    /// A file.
    File(PathBuf),
    /// The text itself was given.
    Given,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => formatter.write_str("built-in"),
            Self::Given => formatter.write_str("given"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// A pipeline as it was written, checked as far as it can be without values and schemas.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The pipeline's name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The whole text. It holds no secret: a text with one is not a definition.
    pub text: String,
    /// Its parameters, in the order of their declarations.
    pub parameters: Vec<Parameter>,
    /// Its options; those that depend on parameters are missing until it is bound.
    pub options: PipelineOptions,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// SHA-256 of its statements; comments, blanks and the case of unquoted words do not count.
    pub fingerprint: String,
    source: Arc<SourceText>,
}

impl Definition {
    /// The text as it may be shown in messages.
    pub fn source_text(&self) -> &Arc<SourceText> {
        &self.source
    }

    /// The `SET` statements.
    pub fn settings(&self) -> impl Iterator<Item = &Entry> {
        self.statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Set(entry) => Some(entry),
                _ => None,
            })
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &SourceStatement> {
        self.statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Source(source) => Some(source),
                _ => None,
            })
    }

    /// The steps.
    pub fn views(&self) -> impl Iterator<Item = &ViewStatement> {
        self.statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::View(view) => Some(view),
                _ => None,
            })
    }

    /// The checks.
    pub fn asserts(&self) -> impl Iterator<Item = &AssertStatement> {
        self.statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Assert(assert) => Some(assert),
                _ => None,
            })
    }

    /// The outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &CopyStatement> {
        self.statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Copy(copy) => Some(copy),
                _ => None,
            })
    }
}

/// Reads a definition whose sources are of these kinds.
///
/// # Errors
/// Every mistake of the text at once: a statement that cannot be read does not hide the mistakes of
/// the others, and names that it would have declared are not reported as missing.
pub fn parse(
    origin: Origin,
    name: &str,
    text: &str,
    kinds: &[SourceKind],
) -> Result<Definition, Diagnostics> {
    let file = match &origin {
        Origin::Builtin | Origin::Given => format!("{name}.sql"),
        Origin::File(path) => path.display().to_string(),
    };
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let split = split(text);
    let hidden = hidden_parts(
        &split.tokens,
        split.error.as_ref().map(|error| error.location),
    );
    let source = Arc::new(SourceText::new(file, text, hidden));
    let mut report = Report::new(&source);
    let mut items = Vec::new();
    for piece in split.pieces {
        let broken = Item::Broken(declared_by(&piece.tokens));
        match read(piece, &mut report) {
            Ok(statement) => items.push(Item::Read(Box::new(statement))),
            Err(mistake) => {
                report.push(*mistake);
                items.push(broken);
            }
        }
    }
    if let Some(error) = &split.error {
        report.push(unreadable(error, &report));
        items.push(Item::Broken(Some((Kind::Output, String::new()))));
    }
    let warnings = check::check(&items, &mut report);
    let statements: Vec<Statement> = items
        .into_iter()
        .filter_map(|item| match item {
            Item::Read(statement) => Some(*statement),
            Item::Broken(_) => None,
        })
        .collect();
    let options = check_values(&statements, kinds, &mut report);
    report.finish()?;
    let parameters = statements
        .iter()
        .filter_map(|statement| match statement {
            Statement::Declare(parameter) => Some(parameter.clone()),
            _ => None,
        })
        .collect();
    Ok(Definition {
        name: name.to_owned(),
        origin,
        text: text.to_owned(),
        parameters,
        options,
        fingerprint: fingerprint::of_tokens(&split.tokens),
        statements,
        warnings,
        source,
    })
}

/// Checks every kind of a source, and every option and location that uses no parameter.
fn check_values(
    statements: &[Statement],
    kinds: &[SourceKind],
    report: &mut Report,
) -> PipelineOptions {
    let now = Utc::now();
    let resolver = Resolver::unbound(now);
    for statement in statements {
        match statement {
            Statement::Declare(parameter) => check_default(parameter, now, report),
            Statement::Source(source) => {
                let kind = kind::named(source, kinds, report);
                source::resolve(source, resolver, report);
                if let Some(kind) = kind {
                    kind::check_partitions(source, kind, report);
                }
            }
            Statement::Copy(copy) => {
                copy::resolve(copy, copy.query.clone(), resolver, report);
            }
            _ => {}
        }
    }
    let entries = statements.iter().filter_map(|statement| match statement {
        Statement::Set(entry) => Some(entry),
        _ => None,
    });
    set::resolve(entries, resolver, report).options
}

/// Checks a default that uses no other parameter.
fn check_default(parameter: &Parameter, now: DateTime<Utc>, report: &mut Report) {
    let Some(default) = &parameter.default else {
        return;
    };
    if !parameter_uses(|collector| default.visit(collector)).is_empty() {
        return;
    }
    let value =
        constants::evaluate(default, now).and_then(|value| convert(&value, &parameter.data_type));
    if let Err(reason) = value {
        parameter.refuse_default(&reason, report);
    }
}

const STATEMENTS: &[&str] = &["DECLARE", "SET", "CREATE", "ASSERT", "COPY"];
const ALLOWED: &str =
    "statements: DECLARE, SET, CREATE EXTERNAL TABLE, CREATE VIEW … AS, ASSERT, COPY … TO";

fn read(piece: Piece, report: &mut Report) -> Parsed<Statement> {
    let source = Arc::clone(report.source());
    let description = piece.comment.clone();
    if let Some(span) = piece.too_deep() {
        let mistake = report
            .error_at(
                span,
                "nested too deeply: too many operators follow one another, or too many brackets are open",
            )
            .with_help("use IN (…) for a list of values, or several steps");
        return Err(Box::new(mistake));
    }
    let mut cursor = Cursor::new(piece, &source);
    let first = cursor.peek();
    let Token::Word(word) = &first.token else {
        let mut mistake = cursor.expected("a statement", &first, None);
        mistake.help = Some(ALLOWED.to_owned());
        return Err(mistake);
    };
    cursor.accept(word.keyword);
    match word.keyword {
        Keyword::DECLARE => declare::read(&mut cursor, description, report).map(Statement::Declare),
        Keyword::SET => set::read(&mut cursor).map(Statement::Set),
        Keyword::ASSERT => assert::read(&mut cursor).map(Statement::Assert),
        Keyword::COPY => copy::read(&mut cursor, report).map(Statement::Copy),
        Keyword::CREATE => read_create(&mut cursor),
        Keyword::INSERT => Err(cursor.error(
            cursor.span(),
            "INSERT INTO arrives with database outputs and is not available in this version",
        )),
        Keyword::SELECT | Keyword::WITH => {
            let mut mistake =
                cursor.error(first.span, "a query does not stand alone in a pipeline");
            mistake.help = Some(
                "name it: CREATE VIEW name AS SELECT …, or write it: COPY (SELECT …) TO '…'"
                    .to_owned(),
            );
            Err(mistake)
        }
        _ => {
            let mut mistake =
                cursor.error(first.span, format!("unknown statement `{}`", word.value));
            mistake.suggestion =
                nearest(&word.value, STATEMENTS.iter().copied()).map(str::to_owned);
            mistake.help = Some(ALLOWED.to_owned());
            Err(mistake)
        }
    }
}

fn read_create(cursor: &mut Cursor) -> Parsed<Statement> {
    let start = cursor.here();
    if cursor.accept(Keyword::OR) && cursor.accept(Keyword::REPLACE) {
        let mut mistake = cursor.error(
            cursor.since(start),
            "OR REPLACE has no meaning here: every name is declared once",
        );
        mistake.help = Some("leave it out".to_owned());
        return Err(mistake);
    }
    if cursor.accept(Keyword::VIEW) {
        return view::read(cursor).map(Statement::View);
    }
    if cursor.accept(Keyword::EXTERNAL) {
        cursor.expect(Keyword::TABLE)?;
        return source::read(cursor).map(Statement::Source);
    }
    let mut mistake = cursor.unexpected(&["EXTERNAL TABLE", "VIEW"]);
    if cursor.accept(Keyword::TABLE) {
        mistake.help = Some("a pipeline has sources (CREATE EXTERNAL TABLE) and steps (CREATE VIEW), no tables of its own".to_owned());
    }
    Err(mistake)
}

/// What a statement that cannot be read would have declared, as far as its first words tell.
fn declared_by(tokens: &[TokenWithSpan]) -> Option<(Kind, String)> {
    let mut words = tokens.iter().filter_map(|token| match &token.token {
        Token::Word(word) => Some(if word.quote_style.is_some() {
            word.value.clone()
        } else {
            word.value.to_ascii_lowercase()
        }),
        _ => None,
    });
    let first = words.next()?;
    match nearest(&first, STATEMENTS.iter().copied())? {
        "DECLARE" => Some((Kind::Parameter, words.next()?)),
        "CREATE" => {
            let name = words
                .skip_while(|word| word != "table" && word != "view")
                .nth(1)?;
            Some((Kind::Table, name))
        }
        "COPY" => Some((Kind::Output, String::new())),
        _ => None,
    }
}

/// The mistake of a text whose tokens end early.
fn unreadable(error: &TokenizerError, report: &Report) -> Diagnostic {
    let lower = error.message.to_lowercase();
    let (message, help) = if lower.contains("dollar-quoted") {
        (
            "a string that begins with `$` is never closed",
            "a parameter is `$name`, without a second `$` behind it",
        )
    } else if lower.contains("unterminated") {
        (
            "a string is never closed",
            "a quote in a string is written twice: 'it''s'",
        )
    } else if lower.contains("comment") {
        ("a comment is never closed", "close it with */")
    } else {
        (
            "this cannot be read",
            "remove the character or put it in quotes",
        )
    };
    let start = error.location;
    report
        .error_at(Span::new(start, start), message)
        .with_help(help)
}
