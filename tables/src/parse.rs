//! What is accepted of a control file: a parser for every kind of key, name and number that stands in one. Owns what they
//! may look like; which of them must fit together is the reader's of that file to know (`ControlFile::check`).
//!
//! Control files lie where others may write, and what they say decides which files are moved and deleted. So no value of
//! them is used that did not pass here, and nothing is written that would not pass: fields name their parser with
//! `#[serde(deserialize_with)]`, and names of a listing are parsed before they are believed.

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::options::Format;

/// The greatest number in a control file: what every reader of JSON keeps exactly. Sums of two do not overflow.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;
/// The longest text that messages show, in bytes.
const MAX_LINE_BYTES: usize = 64 << 10;
/// The longest name that common filesystems take, in bytes.
const MAX_SEGMENT_BYTES: usize = 255;
/// Hexadecimal digits of an attempt's name.
const TOKEN_DIGITS: usize = 12;

type Parsed<T> = Result<T, String>;

fn is_hex(text: &str, digits: usize) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(lower_hex)
}

/// Whether `name` is that of an attempt: twelve hexadecimal digits.
pub(crate) fn is_attempt(name: &str) -> bool {
    is_hex(name, TOKEN_DIGITS)
}

/// Whether `name` may be that of a listener, which is part of a file's name.
pub(crate) fn is_listener(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The attempt that an intent's file name tells; `None` for a file that is not ours.
pub(crate) fn attempt_of_intent(name: &str) -> Option<&str> {
    name.strip_suffix(".json").filter(|name| is_attempt(name))
}

/// The attempt that a data file's name carries: `part-00000-<12 hexadecimal digits>.parquet`, or another suffix of a format,
/// with 8 digits more where the table has no order (`write::names`).
pub(crate) fn attempt_of_file(key: &str) -> Option<&str> {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let (stem, suffix) = name.strip_prefix("part-")?.split_once('.')?;
    if !Format::is_suffix(suffix) {
        return None;
    }
    let (ordinal, token) = stem.split_once('-')?;
    let (token, suffix) = match token.split_once('-') {
        Some((token, suffix)) => (token, Some(suffix)),
        None => (token, None),
    };
    ((5..=20).contains(&ordinal.len())
        && ordinal.bytes().all(|byte| byte.is_ascii_digit())
        && is_attempt(token)
        && suffix.is_none_or(|suffix| is_hex(suffix, 8)))
    .then_some(token)
}

/// One segment of a relative key: a name that leads nowhere else.
fn segment(name: &str) -> Parsed<()> {
    let problem = match name {
        "" => "has an empty name in it",
        "." | ".." => "leads elsewhere",
        name if name.len() > MAX_SEGMENT_BYTES => "has a name of more than 255 bytes",
        name if name.contains('/') => "has a slash in a name",
        name if name.chars().any(char::is_control) => "has a control character",
        _ => return Ok(()),
    };
    Err(format!("the key {name:?} {problem}"))
}

fn segments(key: &str) -> Parsed<()> {
    key.split('/').try_for_each(segment)
}

/// The key of a published file: folders `column=value`, and the name of a data file.
pub(crate) fn published_key(key: &str) -> Parsed<()> {
    segments(key)?;
    let partition = key.rsplit_once('/').map(|(partition, _)| partition);
    let plain = |segment: &&str| !segment.contains('=');
    if let Some(folder) = partition.and_then(|partition| partition.split('/').find(plain)) {
        return Err(format!("{folder:?} in {key:?} is not a partition's folder"));
    }
    if attempt_of_file(key).is_none() {
        return Err(format!(
            "{key:?} is not named as a data file of this program"
        ));
    }
    Ok(())
}

/// The key of a staged file: below the folder of an attempt.
pub(crate) fn staged_key(key: &str) -> Parsed<()> {
    segments(key)?;
    match key.split_once('/') {
        Some((attempt, _)) if is_attempt(attempt) => Ok(()),
        _ => Err(format!("{key:?} is not in the staging area of an attempt")),
    }
}

/// The name of an attempt, or of a fence.
fn token_text(token: &str) -> Parsed<()> {
    let is_fence = |token: &str| {
        token
            .strip_prefix("fence-")
            .is_some_and(|uuid| uuid::Uuid::parse_str(uuid).is_ok())
    };
    if is_attempt(token) || is_fence(token) {
        return Ok(());
    }
    Err(format!("{token:?} is not the name of an attempt"))
}

fn line_text(text: &str) -> Parsed<()> {
    if text.len() > MAX_LINE_BYTES {
        return Err(format!("a text of {} bytes is too long", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the text {text:?} has a control character"));
    }
    Ok(())
}

fn sha256_text(text: &str) -> Parsed<()> {
    if is_hex(text, 64) {
        return Ok(());
    }
    Err(format!("{text:?} is not a SHA-256 in hexadecimal"))
}

fn bounded(number: u64) -> Parsed<u64> {
    if number <= MAX_NUMBER {
        return Ok(number);
    }
    Err(format!("the number {number} is above {MAX_NUMBER}"))
}

fn text<'de, D: Deserializer<'de>>(
    from: D,
    accept: fn(&str) -> Parsed<()>,
) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    accept(&text).map_err(D::Error::custom)?;
    Ok(text)
}

/// A number that may be added to another.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bounded(u64::deserialize(from)?).map_err(D::Error::custom)
}

/// As [`number`], or none.
pub(crate) fn optional_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<u64>::deserialize(from)?;
    number.map(bounded).transpose().map_err(D::Error::custom)
}

/// The name of an attempt or a fence.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, token_text)
}

/// The key of a published file.
pub(crate) fn published<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, published_key)
}

/// Keys of published files.
pub(crate) fn all_published<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let keys = Vec::<String>::deserialize(from)?;
    keys.iter()
        .try_for_each(|key| published_key(key))
        .map_err(D::Error::custom)?;
    Ok(keys)
}

/// The key of a staged file.
pub(crate) fn staged<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, staged_key)
}

/// A SHA-256 in hexadecimal.
pub(crate) fn sha256<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, sha256_text)
}

/// A text of one line, which messages may show.
pub(crate) fn line<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, line_text)
}

/// As [`line`], or none.
pub(crate) fn optional_line<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.as_deref()
        .map_or(Ok(()), line_text)
        .map_err(D::Error::custom)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_data_files_are_taken_for_ours() {
        assert_eq!(
            attempt_of_file("lake/t/city=a/part-00000-0123456789ab.parquet"),
            Some("0123456789ab")
        );
        assert_eq!(
            attempt_of_file("part-00001-0123456789ab-89abcdef.parquet"),
            Some("0123456789ab")
        );
        for suffix in [
            "csv",
            "csv.gz",
            "csv.zst",
            "jsonl",
            "jsonl.gz",
            "jsonl.zst",
            "arrow",
        ] {
            assert_eq!(
                attempt_of_file(&format!("part-00000-0123456789ab.{suffix}")),
                Some("0123456789ab"),
                "{suffix}"
            );
        }
        for foreign in [
            "part-00000-0123456789ab.gz",
            "part-00000-0123456789ab.parquet.gz",
            "part-00000-0123456789ab.",
            "part-00000-0123456789ab",
            "lake/t/part-00000-0123456789ab-.parquet",
            "lake/t/part-00000-0123456789ab-89abcdef-.parquet",
            "lake/t/part-00000-0123456789AB.parquet",
            "lake/t/part-00000-0123456789abc.parquet",
            "lake/t/part-0-0123456789ab.parquet",
            "lake/t/part-00000-0123456789ab.parquet.tmp",
            "lake/t/upload.parquet",
        ] {
            assert_eq!(attempt_of_file(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused() {
        let name = "part-00000-0123456789ab.parquet";
        for key in [name.to_owned(), format!("city=Köln a%2Fb/x=1/{name}")] {
            assert_eq!(published_key(&key), Ok(()));
            assert_eq!(staged_key(&format!("0123456789ab/rows/{key}")), Ok(()));
        }
        for wrong in [
            "..",
            "",
            "city=a/../..",
            &format!("../victim/{name}"),
            &format!("/{name}"),
            &format!("city=a//{name}"),
            &format!("city=a/./{name}"),
            &format!("city/{name}"),
            &format!("city=a\u{1b}[2J/{name}"),
            &format!("city=a\0/{name}"),
            &format!("city={}/{name}", "a".repeat(300)),
            "city=a/data.parquet",
            "city=a/",
        ] {
            assert!(published_key(wrong).is_err(), "{wrong:?}");
            assert!(staged_key(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["0123456789ab", "../0123456789ab/rows", "rows/0123456789ab"] {
            assert!(staged_key(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_of_attempts_have_one_spelling() {
        assert_eq!(attempt_of_intent("0123456789ab.json"), Some("0123456789ab"));
        for foreign in ["...json", "..json", ".json", "0123456789AB.json", "x.json"] {
            assert_eq!(attempt_of_intent(foreign), None, "{foreign}");
        }
        assert!(token_text("fence-67e55044-10b1-426f-9247-bb680e5fe0c8").is_ok());
        for wrong in ["", "..", "fence-", "fence-../..", "0123456789ab/.."] {
            assert!(token_text(wrong).is_err(), "{wrong}");
        }
    }
}
