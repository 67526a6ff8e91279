//! `ASSERT condition AS 'message'`: a check of what was staged, before anything is published.

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::cursor::{Cursor, Parsed};
use super::split::DIALECT;
use super::statement::AssertStatement;

/// A check with its parameters replaced.
#[derive(Debug, Clone)]
pub struct Assert {
    /// `SELECT condition AS passed`: one row, one BOOLEAN that must be true; NULL is not true.
    pub query: Box<Query>,
    /// What to say if it is not.
    pub message: String,
    /// The whole statement.
    pub span: Span,
}

/// Reads the rest of an `ASSERT`, after the keyword. Without a message the condition is the message.
pub(super) fn read(cursor: &mut Cursor) -> Parsed<AssertStatement> {
    let (condition, _) = cursor.expression()?;
    let message = if cursor.accept(Keyword::AS) {
        let found = cursor.peek();
        let Token::SingleQuotedString(message) = found.token else {
            return Err(cursor.expected("a message in single quotes", &found, None));
        };
        cursor.accept_token(&Token::SingleQuotedString(message.clone()));
        message
    } else {
        condition.to_string()
    };
    cursor.finish()?;
    let query = cursor.sql(|_| select(condition))?;
    Ok(AssertStatement {
        query,
        message,
        span: cursor.span(),
    })
}

/// `SELECT condition AS passed`.
fn select(condition: Expr) -> Result<Box<Query>, ParserError> {
    let mut query = Parser::new(&DIALECT)
        .try_with_sql("SELECT 1")?
        .parse_query()?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::ExprWithAlias {
            expr: condition,
            alias: Ident::new("passed"),
        }];
    }
    Ok(query)
}
