//! A strict reader of JSON text, one token at a time. Owns the grammar; numbers stay the digits that they were written with.

use std::borrow::Cow;

use memchr::memchr;

use crate::error::{Problem, shown};

/// Levels that values may nest.
const MOST_LEVELS: usize = 128;

/// What a value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// `[`.
    Array,
    /// `{`.
    Object,
}

/// Reads a text that holds whole values.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    levels: usize,
}

impl<'a> Lexer<'a> {
    /// From `at` on.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at,
            levels: 0,
        }
    }

    /// Where the next byte is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Goes over white space, and tells what stands behind it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The kind of the next value.
    ///
    /// # Errors
    /// When no value begins there.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind, Problem> {
        Ok(match self.peek() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => return Err(self.unexpected("a value")),
        })
    }

    /// Takes a byte that has to be there.
    ///
    /// # Errors
    /// When another is.
    pub(crate) fn expect(&mut self, byte: u8, what: &str) -> Result<(), Problem> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// Takes a byte if it is there.
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Something else stands here than what the grammar wants.
    pub(crate) fn unexpected(&self, what: &str) -> Problem {
        let rest: String = self.text[self.at..].chars().take(20).collect();
        let line = rest.lines().next().unwrap_or_default().trim_end();
        let found = match self.text[self.at..].is_empty() {
            true => String::from("the document ends"),
            false => format!("`{}` stands", shown(line)),
        };
        // Where the text ends, that is behind the last thing that is there.
        let at = match self.text[self.at..].is_empty() {
            true => self.text.trim_ascii_end().len(),
            false => self.at,
        };
        Problem::new(
            at,
            format!("this is no JSON: {found} where {what} is expected"),
        )
    }

    /// Takes the beginning of an array or an object.
    ///
    /// # Errors
    /// When values nest too deep.
    pub(crate) fn open(&mut self, byte: u8) -> Result<(), Problem> {
        self.expect(byte, "a value")?;
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(Problem::new(
                self.at,
                format!("values nest more than {MOST_LEVELS} levels deep"),
            ));
        }
        Ok(())
    }

    /// Takes the end of an array or an object if it is there; `first` says that nothing has to be before it.
    ///
    /// # Errors
    /// When neither the end nor a comma is there.
    #[inline]
    pub(crate) fn close(&mut self, byte: u8, first: bool) -> Result<bool, Problem> {
        if self.accept(byte) {
            self.levels -= 1;
            return Ok(true);
        }
        if !first {
            let what = if byte == b']' {
                "`,` or `]`"
            } else {
                "`,` or `}`"
            };
            self.expect(b',', what)?;
        }
        Ok(false)
    }

    /// Takes a key and the colon behind it.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Problem> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// Takes a key and the colon behind it if they are there, written without white space and as `key` is: nothing in it may
    /// need an escape.
    #[inline]
    pub(crate) fn accept_key(&mut self, key: &str) -> bool {
        let rest = self.bytes()[self.at..].strip_prefix(b"\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(key.as_bytes()));
        let is_there = rest.is_some_and(|rest| rest.starts_with(b"\":"));
        if is_there {
            self.at += key.len() + 3;
        }
        is_there
    }

    /// Takes `null`, `true` or `false`.
    ///
    /// # Errors
    /// When another word is there.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), Problem> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected("a value"))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// When another word is there.
    pub(crate) fn boolean(&mut self) -> Result<bool, Problem> {
        let is_true = self.peek() == Some(b't');
        self.word(if is_true { "true" } else { "false" })?;
        Ok(is_true)
    }

    /// Takes a number, as it is written.
    ///
    /// # Errors
    /// When it is written otherwise than JSON has it.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a str, Problem> {
        let (bytes, start) = (self.bytes(), self.at);
        let digits = |from: usize| {
            let rest = &bytes[from..];
            from + rest
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(rest.len())
        };
        let whole = start + usize::from(bytes.get(start) == Some(&b'-'));
        let mut end = digits(whole);
        let mut is_right = end > whole && (bytes[whole] != b'0' || end == whole + 1);
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = digits(fraction);
            is_right &= end > fraction;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(exponent);
            is_right &= end > exponent;
        }
        let goes_on = bytes.get(end).is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-' | b'_')
        });
        if !is_right || goes_on {
            return Err(self.unexpected("a number"));
        }
        self.at = end;
        Ok(&self.text[start..end])
    }

    /// Takes a string.
    ///
    /// # Errors
    /// When it does not end, or has something in it that strings must not have.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        let (bytes, start) = (self.bytes(), self.at + 1);
        let mut from = start;
        let mut kept: Option<String> = None;
        loop {
            let end = plain_end(bytes, from);
            let piece = &self.text[from..end];
            match bytes.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(match kept {
                        Some(mut kept) => {
                            kept.push_str(piece);
                            Cow::Owned(kept)
                        }
                        None => Cow::Borrowed(piece),
                    });
                }
                Some(b'\\') => {}
                Some(_) if memchr(b'"', &bytes[end..]).is_some() => {
                    return Err(Problem::new(
                        end,
                        "this is no JSON: a string has a control character in it that is not escaped",
                    ));
                }
                _ => {
                    return Err(Problem::new(
                        self.at,
                        "this is no JSON: the string that begins here does not end",
                    ));
                }
            }
            let kept = kept.get_or_insert_with(String::new);
            kept.push_str(piece);
            let (character, behind) = escaped(bytes, end)?;
            kept.push(character);
            from = behind;
        }
    }

    /// Goes over a value, which is looked at as strictly as any other, and gives it as it is written.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn skip(&mut self) -> Result<&'a str, Problem> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Null => self.word("null")?,
            Kind::Boolean => drop(self.boolean()?),
            Kind::Number => drop(self.number()?),
            Kind::String => drop(self.string()?),
            Kind::Array => {
                self.open(b'[')?;
                let mut first = true;
                while !self.close(b']', first)? {
                    self.skip()?;
                    first = false;
                }
            }
            Kind::Object => {
                self.open(b'{')?;
                let mut first = true;
                while !self.close(b'}', first)? {
                    self.key()?;
                    self.skip()?;
                    first = false;
                }
            }
        }
        Ok(&self.text[start..self.at])
    }
}

/// Whether nothing in a text needs an escape in a string.
pub(crate) fn is_plain(text: &str) -> bool {
    plain_end(text.as_bytes(), 0) == text.len()
}

/// The first quote, backslash or control character at `from` or behind it, or the end: eight bytes at a time, since most
/// strings are short.
#[inline]
fn plain_end(bytes: &[u8], mut from: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    // The highest bit of the first byte that is less than `least`, and of no byte before it.
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word & HIGHEST;
    while let Some(word) = bytes.get(from..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return from + found.trailing_zeros() as usize / 8;
        }
        from += 8;
    }
    let rest = bytes.get(from..).unwrap_or_default();
    let found = rest
        .iter()
        .position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    from + found.unwrap_or(rest.len())
}

/// The character of the escape at `at`, and where it ends.
fn escaped(bytes: &[u8], at: usize) -> Result<(char, usize), Problem> {
    let wrong = || {
        Problem::new(
            at,
            "this is no JSON: a string has an escape in it that there is not",
        )
    };
    let simple = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = code_unit(bytes, at + 2).ok_or_else(wrong)?;
            let (units, behind): (&[u16], usize) = match first {
                0xD800..=0xDBFF if bytes.get(at + 6..at + 8) == Some(b"\\u") => {
                    let second = code_unit(bytes, at + 8).ok_or_else(wrong)?;
                    (&[first, second], at + 12)
                }
                first => (&[first], at + 6),
            };
            let character = char::decode_utf16(units.iter().copied()).next();
            let character = character.and_then(Result::ok).ok_or_else(|| {
                Problem::new(
                    at,
                    "this is no JSON: a string has half of a surrogate pair in it",
                )
            })?;
            return Ok((character, behind));
        }
        _ => return Err(wrong()),
    };
    Ok((simple, at + 2))
}

fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut lexer = Lexer::new(text, 0);
        lexer.skip().is_ok() && lexer.peek().is_none()
    }

    #[rstest]
    #[case("{\"a\":2 \"a\":7}")]
    #[case("{\"id\":2,}")]
    #[case("[1,]")]
    #[case("[1 2]")]
    #[case("01")]
    #[case("1.")]
    #[case(".5")]
    #[case("+1")]
    #[case("1e")]
    #[case("nul")]
    #[case("NaN")]
    #[case("\"\\ud842\"")]
    #[case("\"\\ud842\\u0041\"")]
    #[case("\"\\x\"")]
    #[case("\"a\nb\"")]
    #[case("{'a':1}")]
    #[case("[1")]
    #[case("\"a")]
    #[case("")]
    fn what_is_no_json_is_refused(#[case] text: &str) {
        assert!(!is_json(text));
    }

    #[test]
    fn characters_beyond_the_basic_plane_are_pairs() {
        let mut lexer = Lexer::new("\"\\ud842\\udfb7\\u7530\\ud83d\\ude00\"", 0);
        assert_eq!(lexer.string().unwrap(), "\u{20BB7}\u{7530}\u{1F600}");
    }

    #[test]
    fn depth_has_a_limit() {
        assert!(is_json(&format!("{}{}", "[".repeat(128), "]".repeat(128))));
        assert!(!is_json(&format!("{}{}", "[".repeat(129), "]".repeat(129))));
        assert!(!is_json(&"[".repeat(2_000_000)));
    }

    proptest! {
        #[test]
        fn a_second_opinion_agrees(text in "[\\[\\]{}\":,0-9eE.+\\-a\\\\u ntrue]{0,30}") {
            let other = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers beyond what a double holds are no mistake of the grammar.
            let other = other.is_ok() || other.is_err_and(|error| error.to_string().contains("number out of range"));
            prop_assert_eq!(is_json(&text), other);
        }
    }
}
