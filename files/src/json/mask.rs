//! Documents of which only the items of one list are rows. Owns that everything else is read as strictly as they are, and then
//! is white space: places stay where they were, lines what they were, and nothing of a document is kept in memory but what
//! it is within.

use memchr::memchr2;

use super::lexer::Lexer;
use super::path::{Path, Step};
use crate::error::{Problem, listed, shown};

/// Levels that values may nest.
const MOST_LEVELS: usize = 128;
/// A key or a number may have so many bytes.
const MOST_TOKEN: usize = 1 << 20;
/// Keys that a message lists.
const KEYS: usize = 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Mask {
    path: Path,
    /// What the next byte is within, outermost first.
    within: Vec<Level>,
    expected: Expected,
    token: Token,
    /// How many steps of the path led to the value that comes next, if it is on the path.
    matched: Option<usize>,
    /// The beginning of a character whose end is not there yet.
    character: Vec<u8>,
}

#[derive(Debug)]
struct Level {
    is_object: bool,
    /// How many steps led to it, if it is on the path.
    matched: Option<usize>,
    /// Whether its items are rows.
    is_rows: bool,
    /// Whether it has the key of the next step.
    found: bool,
    /// The keys that it has, if the next step is one.
    keys: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A document, or the end of the file.
    Document,
    Value,
    ItemOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
}

#[derive(Debug)]
enum Token {
    Nothing,
    /// A string: what it is as far as somebody wants that, and the escape that is not at its end.
    Text {
        is_key: bool,
        kept: Option<Vec<u8>>,
        escape: Vec<u8>,
    },
    /// A number or a word.
    Bare(Vec<u8>),
    /// A row: the brackets that are open in it, and whether a string is.
    Row {
        open: Vec<u8>,
        in_string: bool,
        escaped: bool,
        is_bare: bool,
    },
}

impl Mask {
    /// Of all but the list where the path ends.
    pub(crate) fn new(path: Path) -> Self {
        Self {
            path,
            within: Vec::new(),
            expected: Expected::Document,
            token: Token::Nothing,
            matched: Some(0),
            character: Vec::new(),
        }
    }

    /// Goes over what was added to a text from `start` on, and leaves nothing of it but rows.
    ///
    /// # Errors
    /// When it is no JSON, or has something else where the path leads.
    pub(crate) fn apply(&mut self, text: &mut [u8], start: usize) -> Result<(), Problem> {
        self.check_characters(text, start)?;
        let mut at = start;
        while at < text.len() {
            at = match &mut self.token {
                Token::Row { .. } => self.row(text, at)?,
                Token::Text { .. } => self.text(text, at)?,
                Token::Bare(_) => self.bare(text, at)?,
                Token::Nothing => self.structure(text, at)?,
            };
        }
        Ok(())
    }

    /// Nothing comes behind a text any more.
    ///
    /// # Errors
    /// When a document does not end.
    pub(crate) fn finish(&mut self, text: &[u8]) -> Result<(), Problem> {
        if let Token::Bare(bare) = &self.token {
            check_bare(bare, text.len())?;
            self.token = Token::Nothing;
            self.expected = self.behind_value();
        }
        let is_whole = matches!(self.token, Token::Nothing)
            && self.expected == Expected::Document
            && self.character.is_empty();
        match is_whole {
            true => Ok(()),
            false => Err(Problem::new(
                text.trim_ascii_end().len(),
                "this is no JSON: the document does not end",
            )),
        }
    }

    /// The text is UTF-8, also where it is not kept.
    fn check_characters(&mut self, text: &[u8], start: usize) -> Result<(), Problem> {
        let carried = self.character.len();
        let joined;
        let added = match carried {
            0 => &text[start..],
            _ => {
                joined = [self.character.as_slice(), &text[start..]].concat();
                joined.as_slice()
            }
        };
        let rest = match std::str::from_utf8(added) {
            Ok(_) => Vec::new(),
            Err(error) if error.error_len().is_none() => added[error.valid_up_to()..].to_vec(),
            Err(error) => {
                let at = (start + error.valid_up_to()).saturating_sub(carried);
                return Err(Problem::new(at, "the bytes are no UTF-8")
                    .with_help("say how the file is encoded, as in `encoding 'windows-1252'`"));
            }
        };
        self.character = rest;
        Ok(())
    }

    fn behind_value(&self) -> Expected {
        match self.within.is_empty() {
            true => Expected::Document,
            false => Expected::CommaOrEnd,
        }
    }

    /// What stands between values, and how they begin.
    fn structure(&mut self, text: &mut [u8], at: usize) -> Result<usize, Problem> {
        let byte = text[at];
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(at + 1);
        }
        let in_object = self.within.last().is_some_and(|level| level.is_object);
        match (self.expected, byte) {
            (Expected::KeyOrEnd | Expected::CommaOrEnd, b'}') if in_object => self.end(at)?,
            (Expected::ItemOrEnd | Expected::CommaOrEnd, b']') if !in_object => self.end(at)?,
            (Expected::CommaOrEnd, b',') => {
                self.expected = match in_object {
                    true => Expected::Key,
                    false => Expected::Value,
                };
                if !in_object {
                    self.matched = self.matched_item();
                }
            }
            (Expected::Colon, b':') => self.expected = Expected::Value,
            (Expected::KeyOrEnd | Expected::Key, b'"') => {
                let is_wanted = self
                    .within
                    .last()
                    .is_some_and(|level| level.matched.is_some());
                self.token = Token::Text {
                    is_key: true,
                    kept: is_wanted.then(Vec::new),
                    escape: Vec::new(),
                };
            }
            (Expected::Document | Expected::Value | Expected::ItemOrEnd, _) => {
                if self.within.last().is_some_and(|level| level.is_rows) {
                    self.token = Token::Row {
                        open: Vec::new(),
                        in_string: false,
                        escaped: false,
                        is_bare: false,
                    };
                    return Ok(at);
                }
                if self.expected == Expected::Document {
                    self.matched = Some(0);
                }
                self.value(byte, at)?;
                if matches!(self.token, Token::Bare(_)) {
                    return Ok(at);
                }
            }
            _ => return Err(self.unexpected(text, at)),
        }
        text[at] = b' ';
        Ok(at + 1)
    }

    /// A value begins.
    fn value(&mut self, byte: u8, at: usize) -> Result<(), Problem> {
        if let Some(matched) = self.matched {
            self.check_kind(matched, byte, at)?;
        }
        let matched = self.matched.take();
        match byte {
            b'{' | b'[' => {
                if self.within.len() == MOST_LEVELS {
                    return Err(too_deep(at));
                }
                let is_object = byte == b'{';
                self.within.push(Level {
                    is_object,
                    matched,
                    is_rows: !is_object && matched == Some(self.path.steps().len()),
                    found: false,
                    keys: Vec::new(),
                });
                self.expected = match is_object {
                    true => Expected::KeyOrEnd,
                    false => Expected::ItemOrEnd,
                };
                if !is_object {
                    self.matched = self.matched_item();
                }
            }
            b'"' => {
                self.token = Token::Text {
                    is_key: false,
                    kept: None,
                    escape: Vec::new(),
                }
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => self.token = Token::Bare(Vec::new()),
            _ => {
                let found = char::from(byte);
                return Err(Problem::new(
                    at,
                    format!("this is no JSON: `{found}` stands where a value is expected"),
                ));
            }
        }
        Ok(())
    }

    /// How many steps lead to the items of the innermost list, if they are on the path.
    fn matched_item(&self) -> Option<usize> {
        let matched = self.within.last()?.matched?;
        (self.path.steps().get(matched) == Some(&Step::Each)).then_some(matched + 1)
    }

    /// On the path is what the next step needs; null is a list without items.
    fn check_kind(&self, matched: usize, byte: u8, at: usize) -> Result<(), Problem> {
        let next = self.path.steps().get(matched);
        let is_right = match next {
            Some(Step::Key(_)) => byte == b'{',
            Some(Step::Each) | None => matches!(byte, b'[' | b'n'),
        };
        let found = match byte {
            b'{' => "an object",
            b'[' => "a list",
            b'"' => "a text",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            // No value at all, which is told so.
            _ => return Ok(()),
        };
        if is_right {
            return Ok(());
        }
        let place = self.path.first(matched);
        Err(match next {
            Some(Step::Key(key)) => {
                let problem = format!(
                    "`{place}` is {found}, and an object with the key `{}` is expected",
                    shown(key)
                );
                let problem = Problem::new(at, problem);
                match byte {
                    b'[' => problem.with_help(format!(
                        "write `{place}[*]` in `path` for each of its items"
                    )),
                    _ => problem,
                }
            }
            _ => Problem::new(at, format!("`{place}` is {found}, and a list is expected"))
                .with_help("name the list whose items are rows with the option `path`"),
        })
    }

    /// A list or an object ends.
    fn end(&mut self, at: usize) -> Result<(), Problem> {
        let Some(level) = self.within.pop() else {
            return Ok(());
        };
        if let (true, Some(matched), false) = (level.is_object, level.matched, level.found)
            && let Some(Step::Key(key)) = self.path.steps().get(matched)
        {
            let there = match level.keys.is_empty() {
                true => "it is empty".to_owned(),
                false => format!(
                    "there are {}",
                    listed(level.keys.iter().map(String::as_str))
                ),
            };
            return Err(Problem::new(
                at,
                format!(
                    "`{}` has no key `{}`; {there}",
                    self.path.first(matched),
                    shown(key)
                ),
            )
            .with_help("say where the list of rows is with the option `path`"));
        }
        self.expected = self.behind_value();
        self.matched = None;
        Ok(())
    }

    fn text(&mut self, text: &mut [u8], at: usize) -> Result<usize, Problem> {
        let Token::Text {
            is_key,
            kept,
            escape,
        } = &mut self.token
        else {
            return Ok(at);
        };
        if !escape.is_empty() {
            escape.push(text[at]);
            text[at] = b' ';
            if is_whole_escape(escape, at)? {
                if let Some(kept) = kept {
                    kept.extend_from_slice(escape);
                }
                escape.clear();
            }
            return Ok(at + 1);
        }
        let found = memchr2(b'"', b'\\', &text[at..]);
        let end = found.map_or(text.len(), |found| at + found);
        if let Some(control) = text[at..end].iter().position(|byte| *byte < 0x20) {
            return Err(Problem::new(
                at + control,
                "this is no JSON: a string has a control character in it that is not escaped",
            ));
        }
        if let Some(kept) = kept {
            kept.extend_from_slice(&text[at..end]);
            if kept.len() > MOST_TOKEN {
                return Err(Problem::new(at, "a key is longer than 1 MiB"));
            }
        }
        text[at..end].fill(b' ');
        if end == text.len() {
            return Ok(end);
        }
        let is_escape = text[end] == b'\\';
        text[end] = b' ';
        if is_escape {
            escape.push(b'\\');
            return Ok(end + 1);
        }
        let (is_key, kept) = (*is_key, kept.take());
        self.token = Token::Nothing;
        self.expected = match is_key {
            true => Expected::Colon,
            false => self.behind_value(),
        };
        if let Some(kept) = kept {
            self.key(&kept, end)?;
        }
        Ok(end + 1)
    }

    /// A key of an object on the path.
    fn key(&mut self, raw: &[u8], at: usize) -> Result<(), Problem> {
        let key =
            unescaped(raw).ok_or_else(|| Problem::new(at, "this is no JSON: a key is none"))?;
        let Some(level) = self.within.last_mut() else {
            return Ok(());
        };
        let next = level
            .matched
            .and_then(|matched| self.path.steps().get(matched));
        self.matched = match next {
            Some(Step::Key(step)) if *step == key => {
                if std::mem::replace(&mut level.found, true) {
                    return Err(Problem::new(
                        at,
                        format!("the key `{}` is twice in an object", shown(&key)),
                    ));
                }
                level.matched.map(|matched| matched + 1)
            }
            _ => None,
        };
        if level.keys.len() < KEYS {
            level.keys.push(key);
        }
        Ok(())
    }

    fn bare(&mut self, text: &mut [u8], at: usize) -> Result<usize, Problem> {
        let Token::Bare(bare) = &mut self.token else {
            return Ok(at);
        };
        let rest = &text[at..];
        let length = rest.iter().position(|byte| ends_bare(*byte));
        let end = length.map_or(text.len(), |length| at + length);
        bare.extend_from_slice(&text[at..end]);
        if bare.len() > MOST_TOKEN {
            return Err(Problem::new(at, "a number is longer than 1 MiB"));
        }
        text[at..end].fill(b' ');
        if length.is_some() {
            check_bare(bare, end)?;
            self.token = Token::Nothing;
            self.expected = self.behind_value();
        }
        Ok(end)
    }

    /// Goes over a row, which stays as it is: who reads it looks at it as strictly.
    fn row(&mut self, text: &[u8], mut at: usize) -> Result<usize, Problem> {
        let Token::Row {
            open,
            in_string,
            escaped,
            is_bare,
        } = &mut self.token
        else {
            return Ok(at);
        };
        loop {
            let Some(&byte) = text.get(at) else {
                return Ok(at);
            };
            if *in_string && std::mem::take(escaped) {
                at += 1;
                continue;
            }
            if *in_string {
                let Some(found) = memchr2(b'"', b'\\', &text[at..]) else {
                    return Ok(text.len());
                };
                at += found + 1;
                *escaped = text[at - 1] == b'\\';
                *in_string = *escaped;
            } else if open.is_empty() && *is_bare && ends_bare(byte) {
                break;
            } else {
                match byte {
                    b'"' => *in_string = true,
                    b'{' | b'[' => {
                        open.push(byte);
                        if open.len() > MOST_LEVELS {
                            return Err(too_deep(at));
                        }
                    }
                    b'}' | b']' => {
                        let opened = if byte == b'}' { b'{' } else { b'[' };
                        if open.pop() != Some(opened) {
                            return Err(self.unexpected(text, at));
                        }
                    }
                    b',' if open.is_empty() => return Err(self.unexpected(text, at)),
                    _ => *is_bare = open.is_empty(),
                }
                at += 1;
            }
            if open.is_empty() && !*in_string && !*is_bare {
                break;
            }
        }
        self.token = Token::Nothing;
        self.expected = Expected::CommaOrEnd;
        Ok(at)
    }

    fn unexpected(&self, text: &[u8], at: usize) -> Problem {
        let what = match self.expected {
            Expected::Document | Expected::Value | Expected::ItemOrEnd => "a value",
            Expected::KeyOrEnd | Expected::Key => "a key in quotes",
            Expected::Colon => "`:`",
            Expected::CommaOrEnd => match self.within.last() {
                Some(level) if level.is_object => "`,` or `}`",
                _ => "`,` or `]`",
            },
        };
        let byte = [text[at]];
        let found = std::str::from_utf8(&byte).unwrap_or("…");
        Problem::new(
            at,
            format!(
                "this is no JSON: `{}` stands where {what} is expected",
                shown(found)
            ),
        )
    }
}

fn too_deep(at: usize) -> Problem {
    Problem::new(
        at,
        format!("values nest more than {MOST_LEVELS} levels deep"),
    )
}

/// Whether a byte cannot be within a number or a word.
fn ends_bare(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\n' | b'\r' | b'\t' | b',' | b']' | b'}' | b':' | b'"' | b'[' | b'{'
    )
}

/// A number or a word is one of JSON's.
fn check_bare(bare: &[u8], at: usize) -> Result<(), Problem> {
    let text = String::from_utf8_lossy(bare);
    let mut lexer = Lexer::new(&text, 0);
    let is_right = lexer.skip().is_ok() && lexer.position() == text.len();
    match is_right {
        true => Ok(()),
        false => Err(Problem::new(
            at,
            format!(
                "this is no JSON: `{}` stands where a value is expected",
                shown(&text)
            ),
        )),
    }
}

/// The text of a string without its quotes.
fn unescaped(raw: &[u8]) -> Option<String> {
    let quoted = format!("\"{}\"", std::str::from_utf8(raw).ok()?);
    let mut lexer = Lexer::new(&quoted, 0);
    lexer.string().ok().map(std::borrow::Cow::into_owned)
}

/// Whether an escape is at its end; half a surrogate pair is not.
fn is_whole_escape(escape: &[u8], at: usize) -> Result<bool, Problem> {
    let is_half = |unit: &[u8]| {
        matches!(
            unit,
            [b'd' | b'D', b'8' | b'9' | b'a'..=b'b' | b'A'..=b'B', ..]
        )
    };
    let goes_on = match escape {
        [b'\\', b'u'] => true,
        [b'\\', b'u', unit @ ..] if unit.len() < 4 => true,
        [b'\\', b'u', unit @ ..] if unit.len() == 4 => is_half(unit),
        [b'\\', b'u', unit @ ..] if unit.len() < 10 && is_half(unit) => {
            let pair = &unit[4..];
            pair.len() == 1 && pair[0] == b'\\' || pair.len() > 1 && pair[1] == b'u'
        }
        _ => false,
    };
    if goes_on {
        return Ok(false);
    }
    match unescaped(escape) {
        Some(_) => Ok(true),
        None => Err(Problem::new(
            at,
            "this is no JSON: a string has an escape in it that there is not",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What is left of a text that arrives in pieces.
    fn masked(path: &str, text: &str, piece: usize) -> Result<String, Problem> {
        let mut mask = Mask::new(Path::parse(path).unwrap());
        let mut masked = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            let start = masked.len();
            masked.extend_from_slice(piece);
            mask.apply(&mut masked, start)?;
        }
        mask.finish(&masked)?;
        Ok(String::from_utf8(masked).unwrap())
    }

    #[test]
    fn rows_stay_where_they_are() {
        let text = "{\"n\":[1],\n\"data\":{\"items\":[{\"a\":\"]\\\"\"},\n {\"b\":[{}]}],\"x\":\"größe\"}}\n";
        for piece in [1, 3, 1_000] {
            let left = masked("$.data.items", text, piece).unwrap();
            assert_eq!(left.len(), text.len());
            assert_eq!(left.matches('\n').count(), text.matches('\n').count());
            assert_eq!(
                left.split_whitespace().collect::<Vec<_>>(),
                ["{\"a\":\"]\\\"\"}", "{\"b\":[{}]}"]
            );
            for row in left.split_whitespace() {
                assert_eq!(left.find(row), text.find(row));
            }
        }
    }

    fn json(levels: u32) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[a\"\\\\{}\\[\\],:\n\u{e9}\u{1F600}]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(levels, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_left_are_the_items(rows in prop::collection::vec(json(2), 0..5), other in json(3), piece in 1_usize..40, pretty in any::<bool>()) {
            let document = serde_json::json!({"a": other, "k": {"other": other, "rows": rows}, "z": other});
            let text = match pretty {
                true => serde_json::to_string_pretty(&document).unwrap(),
                false => document.to_string(),
            };
            let left = masked("$.k.rows", &text, piece).unwrap();
            prop_assert_eq!(left.len(), text.len());
            let read: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&left).into_iter().collect();
            prop_assert_eq!(read.unwrap(), rows);
        }

        #[test]
        fn a_second_opinion_agrees_of_what_is_json(text in "[\\[\\]{}\":,0-9eE.+\\-a\\\\ud8c ntrue]{0,30}", piece in 1_usize..10) {
            // The text is a value that is not wanted.
            let document = format!("{{\"x\": {text} , \"rows\":[]}}");
            let other = serde_json::from_str::<Value>(&document);
            let is_json = other.is_ok() || other.is_err_and(|error| error.to_string().contains("number out of range"));
            let masked = masked("$.rows", &document, piece);
            // Two of them are told by what is behind, where only one is wanted.
            let twice = document.matches("\"rows\"").count() > 1;
            prop_assert!(twice || masked.is_ok() == is_json, "{} {:?}", document, masked);
        }
    }
}
