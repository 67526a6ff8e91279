//! From text to the tokens of each statement.
//!
//! Statements are separated at the token level, so a semicolon in a string or a comment separates
//! nothing, and a mistake in one statement leaves the others readable.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace,
};

/// The dialect of definitions: the one that DataFusion uses unless told otherwise.
pub(super) static DIALECT: GenericDialect = GenericDialect {};

/// The tokens of one statement, blanks and comments included, without its semicolon.
///
/// The last token is an end marker that stands where the statement ends.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) tokens: Vec<TokenWithSpan>,
    /// From the first to the last token that means something.
    pub(super) span: Span,
    /// A comment behind the statement on its last line, or right above it.
    pub(super) comment: Option<String>,
}

/// The statements of a text.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) pieces: Vec<Piece>,
    /// Every token of the text, for hiding secrets and for the fingerprint.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Why the tokens end before the text does. The statement it happened in is not in `pieces`.
    pub(super) error: Option<TokenizerError>,
}

/// How many operators may follow one another without a comma or a branch of a `CASE` between them, those of the
/// brackets around included; also how many queries may be united, and types be put into one another.
///
/// Each one makes the syntax tree a level deeper, and trees are walked recursively: without a limit
/// a generated file could use up the stack.
const CHAIN_LIMIT: usize = 1_000;

/// How many brackets may be open at once. Where the parser reads by recursion it counts less than that itself, but not in types.
const BRACKET_LIMIT: usize = 200;

/// Words behind which an expression goes on.
const OPERATORS: [Keyword; 20] = [
    Keyword::AND,
    Keyword::AT,
    Keyword::BETWEEN,
    Keyword::COLLATE,
    Keyword::DIV,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::MATCH,
    Keyword::MEMBER,
    Keyword::NOT,
    Keyword::NOTNULL,
    Keyword::OPERATOR,
    Keyword::OR,
    Keyword::OVERLAPS,
    Keyword::REGEXP,
    Keyword::RLIKE,
    Keyword::SIMILAR,
    Keyword::XOR,
];

/// Operators since the last comma, in each bracket that is open.
struct Chains {
    open: Vec<usize>,
    all: usize,
}

impl Chains {
    fn operator(&mut self) {
        if let Some(here) = self.open.last_mut() {
            *here += 1;
            self.all += 1;
        }
    }

    fn begin_anew(&mut self) {
        if let Some(here) = self.open.last_mut() {
            self.all -= std::mem::take(here);
        }
    }

    fn close(&mut self) {
        if self.open.len() > 1 {
            self.all -= self.open.pop().unwrap_or_default();
        }
    }
}

impl Piece {
    /// Where the statement becomes too deep to walk, if it does.
    pub(super) fn too_deep(&self) -> Option<Span> {
        let mut chains = Chains {
            open: vec![0],
            all: 0,
        };
        let (mut unions, mut types) = (0_usize, 0_usize);
        let mut before = Keyword::NoKeyword;
        for token in &self.tokens {
            let mut keyword = Keyword::NoKeyword;
            match &token.token {
                Token::Whitespace(_) => continue,
                Token::Number(_, _) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {}
                Token::LParen | Token::LBrace => chains.open.push(0),
                Token::LBracket => {
                    chains.operator();
                    chains.open.push(0);
                }
                Token::RParen | Token::RBrace | Token::RBracket => chains.close(),
                Token::Comma => chains.begin_anew(),
                Token::Lt if matches!(before, Keyword::STRUCT | Keyword::ARRAY | Keyword::MAP) => {
                    types += 1;
                }
                Token::Word(word) => {
                    keyword = word.keyword;
                    match keyword {
                        Keyword::CASE => chains.open.push(0),
                        Keyword::END => chains.close(),
                        Keyword::WHEN | Keyword::THEN | Keyword::ELSE => chains.begin_anew(),
                        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                            unions += 1
                        }
                        keyword if OPERATORS.contains(&keyword) => chains.operator(),
                        _ => {}
                    }
                }
                _ => chains.operator(),
            }
            before = keyword;
            if chains.all.max(unions).max(types) > CHAIN_LIMIT || chains.open.len() > BRACKET_LIMIT
            {
                return Some(token.span);
            }
        }
        None
    }
}

/// Takes a text apart.
pub(super) fn split(text: &str) -> Split {
    let mut tokens = Vec::new();
    let error = Tokenizer::new(&DIALECT, text)
        .tokenize_with_location_into_buf(&mut tokens)
        .err();
    let mut pieces = Vec::new();
    let mut start = 0;
    for (index, token) in tokens.iter().enumerate() {
        if token.token == Token::SemiColon {
            pieces.extend(piece(&tokens, start, index, token.span));
            start = index + 1;
        }
    }
    if error.is_none() {
        let end = tokens.last().map_or_else(Span::empty, |last| last.span);
        pieces.extend(piece(&tokens, start, tokens.len(), end));
    }
    Split {
        pieces,
        tokens,
        error,
    }
}

fn piece(tokens: &[TokenWithSpan], start: usize, end: usize, closing: Span) -> Option<Piece> {
    let statement = &tokens[start..end];
    let means_something = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let first = statement.iter().find(means_something)?;
    let last = statement.iter().rfind(means_something)?;
    let span = Span::new(first.span.start, last.span.end);
    let mut own: Vec<TokenWithSpan> = statement.to_vec();
    let marker = if end < tokens.len() {
        closing
    } else {
        Span::new(last.span.end, last.span.end)
    };
    own.push(TokenWithSpan::new(Token::EOF, marker));
    let comment = comment_behind(&tokens[(end + 1).min(tokens.len())..])
        .or_else(|| comment_above(tokens, start, span.start));
    Some(Piece {
        tokens: own,
        span,
        comment,
    })
}

/// The text of a `--` comment.
fn comment_text(token: &Token) -> Option<&str> {
    match token {
        Token::Whitespace(Whitespace::SingleLineComment { comment, prefix }) if prefix == "--" => {
            Some(comment.trim())
        }
        _ => None,
    }
}

fn comment_behind(tokens: &[TokenWithSpan]) -> Option<String> {
    tokens
        .iter()
        .find(|token| {
            !matches!(
                token.token,
                Token::Whitespace(Whitespace::Space | Whitespace::Tab)
            )
        })
        .and_then(|token| comment_text(&token.token))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The comment lines that stand directly above a statement, joined.
fn comment_above(tokens: &[TokenWithSpan], from: usize, start: Location) -> Option<String> {
    let mut lines = Vec::new();
    let mut expected = start.line.checked_sub(1)?;
    let before = tokens[from..]
        .iter()
        .take_while(|token| token.span.start < start)
        .collect::<Vec<_>>();
    // A comment on the line of the previous statement's semicolon belongs to that statement.
    let previous_line = from
        .checked_sub(1)
        .and_then(|semicolon| tokens.get(semicolon))
        .map_or(0, |semicolon| semicolon.span.start.line);
    for token in before.into_iter().rev() {
        match comment_text(&token.token) {
            Some(text)
                if token.span.start.line == expected && token.span.start.line != previous_line =>
            {
                lines.push(text.to_owned());
                expected = expected.checked_sub(1)?;
            }
            Some(_) => break,
            None => {}
        }
    }
    lines.reverse();
    let joined = lines.join(" ").trim().to_owned();
    (!joined.is_empty()).then_some(joined)
}
