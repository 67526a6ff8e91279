//! Text from outside as it may be shown and recorded: secrets in addresses hidden, and nothing in it that a terminal would
//! obey. Owns both rules; where text goes is the printer's, the log's and the run store's.
//!
//! Outside is everything that this program did not write itself: answers of servers, names and values in files, errors of
//! libraries that quote them. JSON output keeps the text exactly, written with escapes.

use std::borrow::Cow;
use std::fmt::{self, Write};

use language::is_secret_parameter;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// `text` with the secrets in its addresses hidden: the password before a host, and the values of parameters that sign or
/// permit (`sig`, `X-Amz-Signature`, `access_token`).
pub fn redacted(text: &str) -> Cow<'_, str> {
    let secrets = secrets_in(text);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in secrets {
        if start >= at {
            shown.push_str(&text[at..start]);
            shown.push_str(HIDDEN);
            at = end;
        }
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}

/// Where secrets are in `text`, from the first to the last.
fn secrets_in(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let length = text[start..]
            .find(ends_authority)
            .unwrap_or(text.len() - start);
        let authority = &text[start..start + length];
        if let Some((user, _)) = authority.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
            && !password.is_empty()
        {
            let begin = start + name.len() + 1;
            found.push((begin, begin + password.len()));
        }
    }
    for (at, _) in text.match_indices('=') {
        let name_length = text[..at]
            .bytes()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.%".contains(byte))
            .count();
        let name_start = at - name_length;
        let in_query =
            name_start == 0 || matches!(text.as_bytes()[name_start - 1], b'?' | b'&' | b';');
        if in_query && is_secret_parameter(&text[name_start..at]) {
            let start = at + 1;
            let length = text[start..].find(ends_value).unwrap_or(text.len() - start);
            if length > 0 {
                found.push((start, start + length));
            }
        }
    }
    found.sort_unstable();
    found
}

fn ends_authority(character: char) -> bool {
    matches!(character, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>') || character.is_whitespace()
}

fn ends_value(character: char) -> bool {
    matches!(
        character,
        '&' | '#' | ';' | '"' | '\'' | '`' | '<' | '>' | ')' | ','
    ) || character.is_whitespace()
}

/// Whether a terminal may obey this character, or a reader be misled by it: control characters, and those that change
/// the direction of text or are not seen.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text for a terminal. Line ends and tabs stay; a line after the first is indented by `indent`, so that it cannot be
/// taken for one of ours.
pub(crate) fn lines(text: &str, indent: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in redacted(text).chars() {
        match character {
            '\n' => {
                shown.push('\n');
                shown.push_str(indent);
            }
            '\t' => shown.push('\t'),
            // Writing to a string cannot fail.
            other => {
                let _ = write_safely(&mut shown, other);
            }
        }
    }
    shown
}

/// Text for one cell of a table: all on one line.
pub(crate) fn cell(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in redacted(text).chars() {
        // Writing to a string cannot fail.
        let _ = write_safely(&mut shown, character);
    }
    shown
}

fn write_safely(out: &mut impl Write, character: char) -> fmt::Result {
    match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        other if is_unsafe(other) => write!(out, "{}", other.escape_unicode()),
        other => out.write_char(other),
    }
}

/// A JSON document in which every character that a terminal may obey is written with an escape, which changes nothing of
/// what it says.
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    if !document
        .chars()
        .any(|character| is_unsafe(character) && character != '\n')
    {
        return Cow::Borrowed(document);
    }
    let mut escaped = String::with_capacity(document.len());
    for character in document.chars() {
        if !is_unsafe(character) || character == '\n' {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_hidden_and_nothing_else_is() {
        for (text, shown) in [
            (
                "az://lake/a?sv=2022-11-02&sig=aBc%2Bd%3D&se=2027",
                "az://lake/a?sv=2022-11-02&sig=***&se=2027",
            ),
            (
                "cannot get (https://b.s3.example/a?X-Amz-Signature=0f0f&x-id=1): refused",
                "cannot get (https://b.s3.example/a?X-Amz-Signature=***&x-id=1): refused",
            ),
            (
                "https://ada:hun:ter2@host/a and https://ada:x@host",
                "https://ada:***@host/a and https://ada:***@host",
            ),
            (
                "https://api/x?access_token=1#top",
                "https://api/x?access_token=***#top",
            ),
            ("sig=abc", "sig=***"),
            ("?sig=ä&x=ö", "?sig=***&x=ö"),
        ] {
            assert_eq!(redacted(text), shown);
        }
        for text in [
            "abfss://lake@account.dfs.example/a",
            "https://api/bugs?page_token=abc&ws.start=75",
            "a = b, design=1, key=value",
            "https://[::1]:8080/a",
            "https://host/a?sig=",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let text = "a\u{1b}]0;title\u{7}b\u{7f}c\u{9b}31md\u{202e}e\r\n✓ done\tf";
        assert_eq!(
            lines(text, "  "),
            "a\\u{1b}]0;title\\u{7}b\\u{7f}c\\u{9b}31md\\u{202e}e\\r\n  ✓ done\tf"
        );
        assert_eq!(
            cell(text),
            "a\\u{1b}]0;title\\u{7}b\\u{7f}c\\u{9b}31md\\u{202e}e\\r\\n✓ done\\tf"
        );
        assert_eq!(cell("grüße, 日本語 ✓"), "grüße, 日本語 ✓");
    }

    #[test]
    fn escapes_leave_a_json_document_what_it_was() {
        let value = serde_json::json!({"a\u{9b}": "b\u{7f}\u{202e}\u{e0041}\u{1b}c\nd ü"});
        let written = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&written);
        assert!(!shown.chars().any(|c| is_unsafe(c) && c != '\n'), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
