//! Invented titles, descriptions and comments.

use super::random::{Purpose, Random};

const WORDS: [&str; 64] = [
    "parser",
    "window",
    "button",
    "crash",
    "timeout",
    "daemon",
    "package",
    "upgrade",
    "locale",
    "socket",
    "cache",
    "driver",
    "kernel",
    "config",
    "menu",
    "dialog",
    "index",
    "queue",
    "worker",
    "backup",
    "when",
    "after",
    "before",
    "without",
    "with",
    "under",
    "during",
    "because",
    "although",
    "while",
    "opens",
    "closes",
    "fails",
    "hangs",
    "returns",
    "ignores",
    "shows",
    "loses",
    "repeats",
    "prints",
    "slow",
    "empty",
    "wrong",
    "missing",
    "stale",
    "broken",
    "second",
    "first",
    "large",
    "small",
    "again",
    "never",
    "always",
    "sometimes",
    "twice",
    "file",
    "folder",
    "network",
    "screen",
    "keyboard",
    "the",
    "a",
    "its",
    "every",
];

/// Words that a careless reader, writer or viewer trips over.
const AWKWARD: [&str; 8] = [
    "a&b",
    "<tag>",
    "\"quoted\"",
    "caf\u{e9}",
    "\u{1f41b}",
    "it\u{2019}s",
    "C:\\temp",
    "comma,separated",
];

/// The lengths of descriptions in characters, measured on 800 real ones.
const DESCRIPTION_LENGTHS: [(f64, f64); 6] = [
    (0.0, 20.0),
    (0.25, 230.0),
    (0.5, 533.0),
    (0.75, 1_300.0),
    (0.9, 3_085.0),
    (1.0, 20_978.0),
];

/// The lengths of comments in characters.
const COMMENT_LENGTHS: [(f64, f64); 5] = [
    (0.0, 4.0),
    (0.5, 160.0),
    (0.9, 700.0),
    (0.99, 2_500.0),
    (1.0, 6_000.0),
];

/// The title of a bug after `revision` changes of it.
pub(crate) fn title(seed: u64, bug: u32, revision: u32) -> String {
    let mut random = Random::new(seed, Purpose::Title, bug, revision);
    let words = 3 + random.position(6);
    let mut title = String::new();
    for _ in 0..words {
        push_word(&mut title, &mut random, 0.04);
    }
    title
}

/// The description of a bug after `revision` changes of it.
pub(crate) fn description(seed: u64, bug: u32, revision: u32) -> String {
    let mut random = Random::new(seed, Purpose::Description, bug, revision);
    let length = random.quantile(&DESCRIPTION_LENGTHS);
    prose(&mut random, length)
}

/// The content of a comment.
pub(crate) fn comment(seed: u64, bug: u32, number: u32) -> String {
    let mut random = Random::new(seed, Purpose::Message, bug, number);
    let length = random.quantile(&COMMENT_LENGTHS);
    prose(&mut random, length)
}

fn prose(random: &mut Random, length: f64) -> String {
    // Lengths are far below 2^53.
    let length = length as usize;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        if text.is_empty() || text.ends_with('\n') {
            push_capital(&mut text, WORDS[random.position(WORDS.len())]);
        } else {
            push_word(&mut text, random, 0.015);
        }
        match random.below(60) {
            0 => text.push_str(".\n\n"),
            1 => text.push_str(".\n"),
            2..=6 => text.push(','),
            _ => {}
        }
    }
    text.truncate(text.trim_end_matches([',', '\n']).len());
    text
}

fn push_word(text: &mut String, random: &mut Random, awkward: f64) {
    let word = if random.chance(awkward) {
        AWKWARD[random.position(AWKWARD.len())]
    } else {
        WORDS[random.position(WORDS.len())]
    };
    if text.is_empty() {
        push_capital(text, word);
    } else {
        text.push(' ');
        text.push_str(word);
    }
}

fn push_capital(text: &mut String, word: &str) {
    let mut characters = word.chars();
    if let Some(first) = characters.next() {
        text.extend(first.to_uppercase());
        text.push_str(characters.as_str());
    }
}
