//! JSON text as Launchpad writes it: `, ` and `: ` between items, ASCII only, and `&`, `<`, `>` escaped.
//!
//! Owns the escaping; which keys an entry has is the business of [`crate::keys`].

use std::fmt::Write as _;

use serde_json::Value;

/// Appends `value` to `out`.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (position, (name, member)) in members.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write_member(name, member, out);
            }
            out.push('}');
        }
    }
}

/// Appends `"name": value`.
pub(crate) fn write_member(name: &str, value: &Value, out: &mut String) {
    write_text(name, out);
    out.push_str(": ");
    write(value, out);
}

/// Appends `text` as a JSON string.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '&' | '<' | '>' => escape(character, out),
            ' '..='~' | '\u{7f}' => out.push(character),
            other => escape(other, out),
        }
    }
    out.push('"');
}

fn escape(character: char, out: &mut String) {
    let mut units = [0_u16; 2];
    for unit in character.encode_utf16(&mut units) {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_non_ascii_characters_are_escaped() {
        let value = serde_json::json!([
            "a&b<c>",
            "\u{2019}\u{1f600}",
            "tab\there \"quoted\"",
            null,
            3
        ]);
        let mut out = String::new();
        write(&value, &mut out);
        assert_eq!(
            out,
            r#"["a\u0026b\u003cc\u003e", "\u2019\ud83d\ude00", "tab\there \"quoted\"", null, 3]"#
        );
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value);
    }
}
