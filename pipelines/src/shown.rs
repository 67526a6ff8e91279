//! Text from outside as it may be shown: secrets in addresses hidden, and nothing in it that a terminal would obey. Owns what
//! a terminal would obey; what is a secret is [`runner::redact`]'s, and where text goes the printer's.
//!
//! Outside is everything that this program did not write itself: answers of servers, names and values in files, errors of
//! libraries that quote them. JSON output keeps the text exactly, written with escapes.

use std::borrow::Cow;
use std::fmt::{self, Write};

use runner::redact::redacted;

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
