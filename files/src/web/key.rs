//! Keys of a web server's store. Owns that a key says which file is meant and which version of it was seen, so that whoever
//! gets it, on this machine or another, reads that version or nothing.
//!
//! A key is the path and query of an address and, once the file was looked at, three words more: whether it may be read in
//! ranges, its length, its version. Addresses have no spaces.

use std::borrow::Cow;

use datafusion::object_store::path::{self, Path};
use percent_encoding::percent_decode_str;

/// Stands for a `/` that does not divide folders: keys have no empty parts, and a query has no folders.
const SLASH: char = '∕';
/// What stands for a length that the server does not say.
const UNKNOWN: &str = "?";

/// A file of a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The path without the `/` before it, and the query.
    pub(super) target: String,
    /// What was seen of it; `None` if nobody has looked.
    pub(super) seen: Option<Seen>,
}

/// What a server says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its length; `None` where an answer ends when it ends.
    pub(crate) length: Option<u64>,
    /// Whether parts of it can be asked for.
    pub(crate) ranges: bool,
    /// What tells it from others that were at this address: an `ETag`, or a time of change.
    pub(crate) version: Option<String>,
}

impl Key {
    /// What a key says.
    pub(super) fn parse(key: &str) -> Self {
        let key = key.replace(SLASH, "/");
        let mut words = key.splitn(4, ' ');
        let target = words.next().unwrap_or_default().to_owned();
        let seen = match (words.next(), words.next(), words.next()) {
            (Some(ranges), Some(length), version) => Some(Seen {
                length: length.parse().ok(),
                ranges: ranges == "ranges",
                version: version.map(str::to_owned),
            }),
            _ => None,
        };
        Self { target, seen }
    }

    /// As a key of a store.
    pub(super) fn path(&self) -> Result<Path, path::Error> {
        let mut key = String::new();
        let (mut in_query, mut before) = (false, '/');
        for character in self.target.chars() {
            in_query |= character == '?';
            key.push(match character {
                '/' if in_query || before == '/' => SLASH,
                other => other,
            });
            before = character;
        }
        if let Some(seen) = &self.seen {
            key.push_str(if seen.ranges { " ranges " } else { " whole " });
            match seen.length {
                Some(length) => key.push_str(&length.to_string()),
                None => key.push_str(UNKNOWN),
            }
            if let Some(version) = &seen.version {
                key.push(' ');
                key.push_str(&version.replace('/', &SLASH.to_string()));
            }
        }
        Path::parse(key)
    }
}

/// Whether the files of a store are on a web server.
pub(crate) fn is_web(store: &str) -> bool {
    store.starts_with("http://") || store.starts_with("https://")
}

/// What was seen of a file on a web server; `None` of any other.
pub(crate) fn seen(store: &str, key: &str) -> Option<Seen> {
    is_web(store).then(|| Key::parse(key).seen).flatten()
}

/// The address of a file in a store, for people.
pub(crate) fn shown(store: &str, key: &str) -> String {
    match is_web(store) {
        true => format!("{store}{}", Key::parse(key).target),
        false => format!("{store}{key}"),
    }
}

/// The folders and the name in a key of a store.
pub(crate) fn path<'a>(store: &str, key: &'a str) -> Cow<'a, str> {
    if !is_web(store) {
        return key.into();
    }
    let target = Key::parse(key).target;
    let path = target.split('?').next().unwrap_or_default();
    percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_was_seen_at_an_address() {
        let versions = [
            None,
            Some("W/\"a/b c\""),
            Some("Wed, 21 Oct 2026 07:28:00 GMT"),
        ];
        for target in [
            "a.csv",
            "a/b%20c/d.csv.gz",
            "//a//b",
            "x/?format=csv&from=a//b/",
            "?q=1",
        ] {
            let bare = Key {
                target: target.to_owned(),
                seen: None,
            };
            assert_eq!(Key::parse(bare.path().unwrap().as_ref()), bare);
            for (version, length) in versions.into_iter().zip([None, Some(0), Some(7)]) {
                let key = Key {
                    seen: Some(Seen {
                        length,
                        ranges: length == Some(7),
                        version: version.map(str::to_owned),
                    }),
                    ..bare.clone()
                };
                assert_eq!(Key::parse(key.path().unwrap().as_ref()), key);
            }
        }
    }
}
