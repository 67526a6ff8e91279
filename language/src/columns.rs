//! Lists of columns in the values of an output's options: `'a, b DESC NULLS LAST'`. Owns their reading, and that a mistake
//! is shown at its place in the text.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::cursor::{Cursor, Parsed};
use super::diagnostic::Report;
use super::split::{DIALECT, Piece};
use super::statement::{Entry, Name};

/// One column of a sort order.
#[derive(Debug, Clone)]
pub struct SortKey {
    /// The column.
    pub column: Name,
    /// Largest first.
    pub descending: bool,
    /// NULL before everything else. Unless said: in `sort` last when ascending and first when descending, in `order`
    /// always, so that a value wins over none.
    pub nulls_first: bool,
}

/// Reads `a, b` out of a string.
pub(super) fn read_columns(text: &str, entry: &Entry, report: &mut Report) -> Vec<Name> {
    read_sort_keys(text, entry, Directions::None, report)
        .into_iter()
        .map(|key| key.column)
        .collect()
}

/// What may stand behind the columns of a list, and where NULL comes if nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directions {
    /// Columns only.
    None,
    /// NULL last when ascending, first when descending.
    OfSql,
    /// NULL first.
    NullFirst,
}

/// Reads `a, b DESC NULLS LAST` out of a string. Places point into the string where it stands in the
/// text as it is, else at the whole value.
pub(super) fn read_sort_keys(
    text: &str,
    entry: &Entry,
    directions: Directions,
    report: &mut Report,
) -> Vec<SortKey> {
    let name = entry.key.value.as_str();
    let Some(mut cursor) = cursor_into(text, entry, report) else {
        report.error(
            entry.value_span,
            format!("option `{name}` is not a list of columns"),
        );
        return Vec::new();
    };
    let keys = match read_keys(&mut cursor, directions) {
        Ok(keys) => keys,
        Err(mistake) => {
            report.push(*mistake);
            return Vec::new();
        }
    };
    let columns: Vec<Name> = keys.iter().map(|key| key.column.clone()).collect();
    check_repetition(&columns, &format!("option `{name}`"), report);
    keys
}

fn read_keys(cursor: &mut Cursor, directions: Directions) -> Parsed<Vec<SortKey>> {
    let ordered = directions != Directions::None;
    let mut keys = Vec::new();
    loop {
        let column = cursor.name("a column")?;
        let (mut descending, mut nulls_first) = (false, None);
        if ordered {
            descending = cursor.accept(Keyword::DESC);
            if !descending {
                cursor.accept(Keyword::ASC);
            }
            if cursor.accept(Keyword::NULLS) {
                let first = cursor.accept(Keyword::FIRST);
                if !first {
                    cursor.expect(Keyword::LAST)?;
                }
                nulls_first = Some(first);
            }
        }
        keys.push(SortKey {
            column,
            descending,
            nulls_first: nulls_first.unwrap_or(descending || directions == Directions::NullFirst),
        });
        if cursor.peek().token == Token::EOF {
            return Ok(keys);
        }
        if !cursor.accept_token(&Token::Comma) {
            return Err(cursor.unexpected(if ordered {
                &[",", "ASC", "DESC", "NULLS FIRST", "NULLS LAST"]
            } else {
                &[","]
            }));
        }
    }
}

/// Reports the columns of a list that are in it twice.
pub(super) fn check_repetition(names: &[Name], place: &str, report: &mut Report) {
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|known| known.value == name.value) {
            report.error(
                name.span,
                format!("column `{}` is twice in {place}", name.value),
            );
        }
    }
}

/// A reader of the text of an option's value; `None` if the text cannot be taken apart.
fn cursor_into(text: &str, entry: &Entry, report: &Report) -> Option<Cursor> {
    let mut tokens = Tokenizer::new(&DIALECT, text)
        .tokenize_with_location()
        .ok()?;
    let whole = entry.value_span;
    let width = whole.end.column.saturating_sub(whole.start.column);
    let length = u64::try_from(text.chars().count()).ok()?;
    // One more character on each side: the quotes. Anything else was escaped or computed.
    let literal = matches!(entry.value, Expr::Value(_)) && whole.start.line == whole.end.line;
    let offset = match width.checked_sub(length) {
        Some(quotes @ (0 | 2)) if literal && !text.contains('\n') => Some(quotes / 2),
        _ => None,
    };
    let shift = |place: Location| Location {
        line: whole.start.line,
        column: whole.start.column + offset.unwrap_or(0) + place.column - 1,
    };
    for token in &mut tokens {
        token.span = match offset {
            Some(_) => Span::new(shift(token.span.start), shift(token.span.end)),
            None => whole,
        };
    }
    let end = tokens.last().map_or(whole, |last| last.span);
    tokens.push(TokenWithSpan::new(
        Token::EOF,
        if offset.is_some() {
            Span::new(end.end, end.end)
        } else {
            whole
        },
    ));
    let piece = Piece {
        tokens,
        span: whole,
        comment: None,
    };
    Some(Cursor::new(piece, report.source()))
}
