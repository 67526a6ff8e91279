//! The digest of a definition.
//!
//! Two definitions have the same fingerprint when their statements consist of the same tokens:
//! comments, blanks, empty statements and the case of unquoted words do not count.

use std::fmt::Write;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use sha2::{Digest, Sha256};

/// The SHA-256 of a text's statements, in hexadecimal.
pub(super) fn of_tokens(tokens: &[TokenWithSpan]) -> String {
    let mut digest = Sha256::new();
    let mut in_statement = false;
    let mut piece = String::new();
    for token in tokens {
        piece.clear();
        match &token.token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::SemiColon if !in_statement => continue,
            Token::Word(word) if word.quote_style.is_none() => {
                piece.push_str(&word.value.to_ascii_lowercase());
            }
            // The debug form tells every kind of token apart and escapes its text.
            other => {
                // Writing to a string does not fail.
                let _ = write!(piece, "{other:?}");
            }
        }
        in_statement = token.token != Token::SemiColon;
        digest.update(piece.as_bytes());
        digest.update([0]);
    }
    if in_statement {
        // The last semicolon may be left out.
        digest.update(format!("{:?}\0", Token::SemiColon).as_bytes());
    }
    hex::encode(digest.finalize())
}
