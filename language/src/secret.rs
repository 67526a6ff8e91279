//! What is a secret in a definition: which names carry one, how one is referred to, and which
//! parts of a text are hidden before a source line is ever shown.
//!
//! Reading the environment or the file behind a reference belongs to whoever opens the connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use datafusion::sql::sqlparser::ast::Value;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::suggest::edits;

/// Words that make an option's name the name of a credential.
const SECRET_WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "accountkey",
];

/// Words that make a following `key` a credential: `api_key`, `access_key`.
const KEY_WORDS: &[&str] = &[
    "api",
    "access",
    "account",
    "encryption",
    "private",
    "secret",
    "shared",
    "signing",
];

/// Last words that say that the option is about a credential but does not hold it: `token_url`.
const HARMLESS_ENDINGS: &[&str] = &[
    "url",
    "uri",
    "endpoint",
    "type",
    "parameter",
    "param",
    "path",
    "field",
    "header",
    "limit",
    "count",
];

/// Whether an option or parameter of this name holds a credential.
///
/// A name is split at everything that is not a letter or a digit. `token`, `token_secret`,
/// `database.password` and `api_key` are credentials; `key`, `sort_key` and `token_url` are not.
pub fn is_credential(name: &str) -> bool {
    credential_by(name, |word, known| word == known)
}

/// Like [`is_credential`], but also for a name with one typing slip in it. Used to decide what is
/// hidden, where hiding too much costs nothing.
fn resembles_credential(name: &str) -> bool {
    credential_by(name, |word, known| {
        word == known || known.len() >= 5 && edits(word, known) <= 1
    })
}

fn credential_by(name: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    let name = name.to_lowercase();
    let words: Vec<&str> = name
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words
        .last()
        .is_some_and(|last| HARMLESS_ENDINGS.contains(last))
    {
        return false;
    }
    words
        .iter()
        .any(|word| SECRET_WORDS.iter().any(|known| same(word, known)))
        || words
            .windows(2)
            .any(|pair| pair[1] == "key" && KEY_WORDS.iter().any(|known| same(pair[0], known)))
}

/// Where a credential is kept. The credential itself never stands in a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretReference {
    /// `env:NAME`: an environment variable of the process that opens the connection.
    Environment(String),
    /// `file:/absolute/path`: the content of a file, as container platforms mount secrets.
    File(PathBuf),
}

/// The text is not a reference. It does not say what the text was: it may be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reference to a secret: expected env:NAME or file:/path")]
pub struct NotAReference;

impl FromStr for SecretReference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        if let Some(name) = text.strip_prefix("env:") {
            let valid = name.chars().enumerate().all(|(index, character)| {
                character == '_'
                    || character.is_ascii_alphabetic()
                    || index > 0 && character.is_ascii_digit()
            });
            if valid && !name.is_empty() {
                return Ok(Self::Environment(name.to_owned()));
            }
        }
        if let Some(path) = text.strip_prefix("file:")
            && path.starts_with('/')
            && path.len() > 1
        {
            return Ok(Self::File(PathBuf::from(path)));
        }
        Err(NotAReference)
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(formatter, "env:{name}"),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
        }
    }
}

/// Parameters of addresses that sign them or permit what they name, beside those that are named like a credential.
const SIGNATURES: &[&str] = &[
    "sig",
    "signature",
    "x-amz-signature",
    "x-goog-signature",
    "awsaccesskeyid",
    "key",
    "jwt",
];

/// Words that make a parameter a place in a list, though it is called a token: `page_token`.
const PLACES: &[&str] = &["page", "next", "continuation", "cursor"];

/// Whether a parameter in the query of an address holds a secret: a signature of an object store, a key, a token.
pub fn is_secret_parameter(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SIGNATURES.contains(&name.as_str())
        || is_credential(&name)
            && !name
                .split(|character: char| !character.is_alphanumeric())
                .any(|word| PLACES.contains(&word))
}

/// Whether a location carries a secret: a password before its host (`scheme://user:password@host`), or a signature or
/// token in its query (`?sig=…`).
pub(super) fn carries_secret(location: &str) -> bool {
    // A list of locations, in JSON.
    if location.trim_start().starts_with("[\"") {
        return location.split('"').any(carries_secret);
    }
    let signed = location.split_once('?').is_some_and(|(_, query)| {
        query
            .split(['&', ';'])
            .filter_map(|parameter| parameter.split_once('='))
            .any(|(name, value)| !value.is_empty() && is_secret_parameter(name))
    });
    signed || has_password(location)
}

fn has_password(location: &str) -> bool {
    let Some((_, rest)) = location.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':') && !user.ends_with(':'))
}

/// The string of a literal in an AST, whichever way it was quoted.
pub(super) fn string_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::NationalStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Some(text),
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

/// The parts of a text that must not be shown, found in its tokens.
///
/// `broken_at` is where the tokens end early (a string that is never closed): if a credential's
/// value was being written there, everything from there on is hidden.
///
/// The search looks at tokens, not at statements, because it must also work for text that does not
/// parse: after a credential's name every literal up to the next comma, semicolon or unquoted word
/// is hidden, inside `OPTIONS (…)` every token is, unless it is a reference or a parameter.
pub(super) fn hidden_parts(tokens: &[TokenWithSpan], broken_at: Option<Location>) -> Vec<Span> {
    let mut hidden = Vec::new();
    let mut watch = Watch::default();
    for token in tokens {
        if watch.sees(&token.token) {
            hidden.push(token.span);
        }
    }
    if let Some(start) = broken_at
        && watch.armed()
    {
        hidden.push(Span::new(
            start,
            Location {
                line: u64::MAX,
                column: u64::MAX,
            },
        ));
    }
    hidden
}

/// State of the search for secrets along a token stream.
#[derive(Default)]
struct Watch {
    /// Parentheses open since `OPTIONS (`; zero outside of an option list.
    depth: usize,
    options_word_seen: bool,
    /// A credential's name was the latest key.
    armed: bool,
    /// In a `DECLARE` of a credential, to its end.
    declaring: bool,
    declare_word_seen: bool,
}

impl Watch {
    fn armed(&self) -> bool {
        self.armed || self.declaring
    }

    /// Takes the next token; true if it is to be hidden.
    fn sees(&mut self, token: &Token) -> bool {
        if matches!(token, Token::Whitespace(_)) {
            return false;
        }
        let options_word_seen = std::mem::take(&mut self.options_word_seen);
        let declare_word_seen = std::mem::take(&mut self.declare_word_seen);
        match token {
            Token::SemiColon => {
                *self = Self::default();
                return false;
            }
            Token::LParen if options_word_seen || self.depth > 0 => self.depth += 1,
            Token::RParen if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.armed = false;
                }
            }
            Token::Comma if self.depth <= 1 => self.armed = false,
            _ => {}
        }
        match token {
            Token::Word(word) if word.quote_style.is_none() => {
                if self.depth > 0 && self.armed {
                    return true;
                }
                self.options_word_seen = word.value.eq_ignore_ascii_case("options");
                self.declare_word_seen = word.value.eq_ignore_ascii_case("declare");
                let credential = resembles_credential(&word.value);
                self.declaring |= declare_word_seen && credential;
                self.armed = credential;
                false
            }
            Token::Placeholder(_)
            | Token::LParen
            | Token::RParen
            | Token::Comma
            | Token::Eq
            | Token::Period
            | Token::RArrow => false,
            other => {
                let text = literal_text(other);
                if self.armed() {
                    let shown = text.is_some_and(|text| text.parse::<SecretReference>().is_ok());
                    return text.is_some() && !shown || text.is_none() && self.depth > 0;
                }
                let Some(text) = text else { return false };
                // A quoted key (`'token' 'value'`) or the second part of a dotted one.
                self.armed = resembles_credential(text);
                carries_secret(text)
            }
        }
    }
}

/// The text of a literal token; `None` for a token that is no literal.
fn literal_text(token: &Token) -> Option<&str> {
    match token {
        Token::Number(text, _)
        | Token::SingleQuotedString(text)
        | Token::DoubleQuotedString(text)
        | Token::TripleSingleQuotedString(text)
        | Token::TripleDoubleQuotedString(text)
        | Token::SingleQuotedByteStringLiteral(text)
        | Token::DoubleQuotedByteStringLiteral(text)
        | Token::SingleQuotedRawStringLiteral(text)
        | Token::DoubleQuotedRawStringLiteral(text)
        | Token::NationalStringLiteral(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::HexStringLiteral(text) => Some(text),
        Token::DollarQuotedString(text) => Some(&text.value),
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_known() {
        for name in [
            "token",
            "token_secret",
            "PASSWORD",
            "db.password",
            "api_key",
            "access-key",
            "aws.secret_access_key",
            "sas_token",
            "apikey",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "key",
            "sort_key",
            "token_url",
            "member",
            "tokens",
            "keys",
            "secretary",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn references_are_read_and_literals_are_not() {
        assert_eq!(
            "env:LP_TOKEN".parse(),
            Ok(SecretReference::Environment("LP_TOKEN".to_owned()))
        );
        assert_eq!(
            "file:/run/secrets/token".parse(),
            Ok(SecretReference::File("/run/secrets/token".into()))
        );
        for text in [
            "",
            "env:",
            "env:1A",
            "env:A B",
            "file:",
            "file:/",
            "file:relative",
            "hunter2",
        ] {
            assert_eq!(
                text.parse::<SecretReference>(),
                Err(NotAReference),
                "{text}"
            );
        }
    }

    #[test]
    fn a_signature_in_a_location_is_seen() {
        for location in [
            "az://lake/a?sv=2022-11-02&sig=abc",
            "https://b.s3.example/a?X-Amz-Signature=0f",
            "https://api/a?access_token=1",
            "gs://lake/a?x=1;X-Goog-Signature=1",
            "[\"a?b=1\", \"https://b.s3.example/a?X-Amz-Signature=0f\"]",
            "[\"s3://a/b\", \"s3://ada:hunter2@c/\"]",
        ] {
            assert!(carries_secret(location), "{location}");
        }
        for location in [
            "events/?day=1",
            "https://api/a?page_token=1",
            "a?sig=",
            "a/sig=1/",
        ] {
            assert!(!carries_secret(location), "{location}");
        }
    }

    #[test]
    fn a_password_in_a_location_is_seen() {
        assert!(has_password("postgres://ada:hunter2@db/app"));
        assert!(!has_password("postgres://ada@db/app"));
        assert!(!has_password("https://host/a:b@c"));
        assert!(!has_password("events/a:b@c"));
    }
}
