//! `CREATE VIEW name AS SELECT …`: a step.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::cursor::{Cursor, Parsed};
use super::statement::ViewStatement;

/// A step with its parameters replaced.
#[derive(Debug, Clone)]
pub struct View {
    /// The view's name.
    pub name: String,
    /// Its query.
    pub query: Box<Query>,
    /// The whole statement.
    pub span: Span,
}

/// Reads the rest of a `CREATE VIEW`, after the keywords.
pub(super) fn read(cursor: &mut Cursor) -> Parsed<ViewStatement> {
    let name = cursor.declared_name("a view's name")?;
    if cursor.peek().token == Token::LParen {
        let mut mistake = cursor.error(cursor.peek().span, "a view does not list its columns");
        mistake.help = Some("name them in the query: SELECT … AS name".to_owned());
        return Err(mistake);
    }
    cursor.expect(Keyword::AS)?;
    let query = cursor.sql(Parser::parse_query)?;
    cursor.finish()?;
    Ok(ViewStatement {
        name,
        query,
        span: cursor.span(),
    })
}
