//! A reader of one statement's tokens, with messages that point into the text.
//!
//! Wraps sqlparser's parser, which reads expressions, queries, types and column definitions; what is
//! the language's own (clauses, option lists, locations) is read here with its building blocks.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::diagnostic::Diagnostic;
use super::split::{DIALECT, Piece};
use super::statement::{Entry, Name};
use super::suggest::nearest;
use super::text::SourceText;

/// What a reading step returns: its result, or the one mistake that ends the statement.
pub(super) type Parsed<T> = Result<T, Box<Diagnostic>>;

/// How deep expressions and queries may nest.
const NESTING_LIMIT: usize = 50;

pub(super) struct Cursor {
    parser: Parser<'static>,
    source: Arc<SourceText>,
    span: Span,
}

impl Cursor {
    pub(super) fn new(piece: Piece, source: &Arc<SourceText>) -> Self {
        Self {
            parser: Parser::new(&DIALECT)
                .with_recursion_limit(NESTING_LIMIT)
                .with_tokens_with_locations(piece.tokens),
            source: Arc::clone(source),
            span: piece.span,
        }
    }

    /// The whole statement.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    pub(super) fn peek(&self) -> TokenWithSpan {
        self.parser.peek_token()
    }

    /// Where the next token starts.
    pub(super) fn here(&self) -> Location {
        self.parser.peek_token_ref().span.start
    }

    /// From a place to the end of the last token read.
    pub(super) fn since(&self, start: Location) -> Span {
        let mut index = self.parser.get_current_index();
        while index > 0 && matches!(self.parser.token_at(index).token, Token::Whitespace(_)) {
            index -= 1;
        }
        let end = self.parser.token_at(index).span.end;
        Span::new(start, end.max(start))
    }

    pub(super) fn accept(&mut self, keyword: Keyword) -> bool {
        self.parser.parse_keyword(keyword)
    }

    pub(super) fn accept_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect(&mut self, keyword: Keyword) -> Parsed<()> {
        if self.accept(keyword) {
            Ok(())
        } else {
            Err(self.unexpected(&[&format!("{keyword:?}")]))
        }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Parsed<()> {
        if self.accept_token(token) {
            Ok(())
        } else {
            Err(self.unexpected(&[&token.to_string()]))
        }
    }

    /// The mistake of a token that is none of the expected ones.
    pub(super) fn unexpected(&self, expected: &[&str]) -> Box<Diagnostic> {
        let found = self.peek();
        let expected_list = match expected {
            [] => String::new(),
            [only] => format!("`{only}`"),
            [first @ .., last] => {
                let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
                format!("{} or `{last}`", first.join(", "))
            }
        };
        let suggestion = match &found.token {
            Token::Word(word) => nearest(&word.value, expected.iter().copied()),
            _ => None,
        };
        self.expected(&expected_list, &found, suggestion)
    }

    /// The mistake of a token that is not what `what` describes.
    pub(super) fn expected(
        &self,
        what: &str,
        found: &TokenWithSpan,
        suggestion: Option<&str>,
    ) -> Box<Diagnostic> {
        let shown = if found.token == Token::EOF {
            "the end of the statement".to_owned()
        } else {
            format!("`{}`", self.source.slice(found.span))
        };
        Box::new(
            Diagnostic::error(
                &self.source,
                found.span,
                format!("expected {what}, found {shown}"),
            )
            .with_suggestion(suggestion),
        )
    }

    /// A mistake at a place of the statement.
    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(&self.source, span, message))
    }

    /// A single name.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        let found = self.peek();
        match &found.token {
            Token::Word(_) => self
                .parser
                .parse_identifier()
                .map(Name::from)
                .map_err(|error| self.syntax(error)),
            _ => Err(self.expected(what, &found, None)),
        }
    }

    /// A single name of something declared; a qualified one is refused.
    pub(super) fn declared_name(&mut self, what: &str) -> Parsed<Name> {
        let name = self.name(what)?;
        if self.peek().token == Token::Period {
            let whole = Span::new(name.span.start, self.peek().span.end);
            let mut mistake = self.error(whole, "names of a pipeline are not qualified");
            mistake.help = Some("declare the name without a schema before it".to_owned());
            return Err(mistake);
        }
        Ok(name)
    }

    /// Names in parentheses, separated by commas.
    pub(super) fn names(&mut self, what: &str) -> Parsed<Vec<Name>> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.name(what)?];
        while self.accept_token(&Token::Comma) {
            names.push(self.name(what)?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// Runs one of sqlparser's own reading steps.
    pub(super) fn sql<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>,
    ) -> Parsed<T> {
        read(&mut self.parser).map_err(|error| self.syntax(error))
    }

    pub(super) fn expression(&mut self) -> Parsed<(Expr, Span)> {
        let start = self.here();
        let expression = self.sql(Parser::parse_expr)?;
        Ok((expression, self.since(start)))
    }

    /// A value of an option or a location: a constant expression, or a bare word as a string.
    pub(super) fn value(&mut self) -> Parsed<(Expr, Span)> {
        let found = self.peek();
        let ends = |token: &Token| matches!(token, Token::Comma | Token::RParen | Token::EOF);
        if let Token::Word(word) = &found.token {
            if word.quote_style.is_some() {
                let mut mistake = self.error(found.span, "a string is written in single quotes");
                mistake.help = Some("double quotes are for names".to_owned());
                return Err(mistake);
            }
            let next = &self.parser.peek_nth_token_ref(1).token;
            if ends(next) && word.keyword != Keyword::NULL {
                let text = Value::SingleQuotedString(word.value.clone()).with_span(found.span);
                self.parser.next_token();
                return Ok((Expr::Value(text), found.span));
            }
        }
        if ends(&found.token) {
            return Err(self.expected("a value", &found, None));
        }
        let (expression, span) = self.expression()?;
        let next = self.peek();
        if matches!(next.token, Token::Word(_)) && next.span.start == span.end {
            // `512MiB` is a number and a word that touch.
            let whole = Span::new(span.start, next.span.end);
            let mut mistake = self.error(whole, "a value with letters in it is written in quotes");
            if !self.source.hides_in(whole) {
                mistake.suggestion = Some(format!("'{}'", self.source.slice(whole)));
            }
            return Err(mistake);
        }
        Ok((expression, span))
    }

    /// `OPTIONS (key value, …)`, after the word `OPTIONS`. Keys are bare, dotted or quoted.
    pub(super) fn options(&mut self) -> Parsed<Vec<Entry>> {
        self.expect_token(&Token::LParen)?;
        let mut entries = Vec::new();
        while !self.accept_token(&Token::RParen) {
            let key = self.option_key()?;
            self.accept_token(&Token::Eq);
            let (value, value_span) = self.value()?;
            entries.push(Entry {
                key,
                value,
                value_span,
            });
            if !self.accept_token(&Token::Comma) && self.peek().token != Token::RParen {
                let mut mistake = self.unexpected(&[",", ")"]);
                mistake.help = Some(
                    "options are pairs of a key and a value: OPTIONS (key 'value', other 5)"
                        .to_owned(),
                );
                return Err(mistake);
            }
        }
        Ok(entries)
    }

    fn option_key(&mut self) -> Parsed<Name> {
        let found = self.peek();
        if let Token::SingleQuotedString(text) = &found.token {
            self.parser.next_token();
            return Ok(Name {
                value: text.to_lowercase(),
                span: found.span,
            });
        }
        self.dotted_name("an option's name")
    }

    /// `a.b.c` as one lowercase name.
    pub(super) fn dotted_name(&mut self, what: &str) -> Parsed<Name> {
        let start = self.here();
        let mut value = self.name(what)?.value.to_lowercase();
        while self.accept_token(&Token::Period) {
            value.push('.');
            value.push_str(&self.name("the rest of the name")?.value.to_lowercase());
        }
        Ok(Name {
            value,
            span: self.since(start),
        })
    }

    /// Makes sure that nothing follows.
    pub(super) fn finish(&self) -> Parsed<()> {
        let found = self.peek();
        let Token::Word(word) = &found.token else {
            if found.token == Token::EOF {
                return Ok(());
            }
            return Err(self.expected("the end of the statement", &found, None));
        };
        let mut mistake = self.expected("the end of the statement", &found, None);
        let starts = [
            Keyword::DECLARE,
            Keyword::SET,
            Keyword::CREATE,
            Keyword::ASSERT,
            Keyword::COPY,
        ];
        if starts.contains(&word.keyword) {
            mistake.help = Some("a `;` is missing before it".to_owned());
        }
        Err(mistake)
    }

    /// A mistake that sqlparser found, at the place that it names.
    fn syntax(&self, error: ParserError) -> Box<Diagnostic> {
        let here = self.since(self.here());
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return self.error(
                    self.span,
                    format!("nested too deeply: at most {NESTING_LIMIT} levels are read"),
                );
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let (message, place) = match message.rsplit_once(" at Line: ") {
            Some((message, place)) => (message.to_owned(), read_place(place)),
            None => (message, None),
        };
        let found = place.and_then(|place| self.token_from(place));
        let span = found.as_ref().map_or(here, |token| token.span);
        let wanted = message
            .strip_prefix("Expected: ")
            .and_then(|rest| rest.split_once(", found: "))
            .map(|(wanted, _)| wanted);
        if let Some(wanted) = wanted {
            let found = found.unwrap_or_else(|| self.peek());
            return self.expected(wanted, &found, None);
        }
        if self.source.hides_in(self.span) {
            // The parser's own words may quote the text, and the text holds a secret.
            return self.error(span, "this statement cannot be read");
        }
        let mut characters = message.chars();
        let lowered = characters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(characters).collect()
        });
        self.error(span, lowered)
    }

    fn token_from(&self, place: Location) -> Option<TokenWithSpan> {
        let mut index = 0;
        loop {
            let token = self.parser.token_at(index);
            if token.span.start == place && !matches!(token.token, Token::Whitespace(_)) {
                return Some(token.clone());
            }
            if token.token == Token::EOF {
                return None;
            }
            index += 1;
        }
    }
}

/// `12, Column: 8` as sqlparser ends its messages.
fn read_place(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location {
        line: line.trim().parse().ok()?,
        column: column.trim().parse().ok()?,
    })
}

impl From<Ident> for Name {
    /// A name as DataFusion compares it: lowercase unless it was quoted.
    fn from(identifier: Ident) -> Self {
        Self {
            span: identifier.span,
            value: if identifier.quote_style.is_some() {
                identifier.value
            } else {
                identifier.value.to_ascii_lowercase()
            },
        }
    }
}
