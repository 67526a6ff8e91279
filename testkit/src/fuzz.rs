//! Fuzzing: inputs drawn by a seed from valid ones, for as long as is asked for.
//!
//! Owns the time, the seed, the mutations, and that a case which hangs or ends the process can be found again. What is
//! done with an input is the target's: an ignored test in a module `fuzz`, which `scripts/fuzz` runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A case that takes longer than this hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);

/// Calls `case` with fresh chance until `SPILLWAY_FUZZ_SECONDS` (10) are over, beginning with the seed
/// `SPILLWAY_FUZZ_SEED` (the time), and returns how often. Each case is to note its input with [`Chance::note`].
///
/// # Panics
/// As `case` does; the seed of the case is printed, and with it as `SPILLWAY_FUZZ_SEED` the case comes first. A case
/// that takes longer than five minutes ends the process.
pub fn run(target: &str, mut case: impl FnMut(&mut Chance)) -> u64 {
    let seconds = number("SPILLWAY_FUZZ_SECONDS").unwrap_or(10);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let first =
        number("SPILLWAY_FUZZ_SEED").unwrap_or_else(|| now.map_or(1, |time| time.as_secs() << 24));
    let input = std::env::temp_dir().join(format!("spillway-fuzz-{target}"));
    say(format_args!(
        "{target}: seed {first}, {seconds} s; the input of the latest case is in {}",
        input.display()
    ));
    let seed = Arc::new(AtomicU64::new(first));
    watch(target, &seed);
    let (begin, limit) = (Instant::now(), Duration::from_secs(seconds));
    let mut executions = 0;
    while begin.elapsed() < limit {
        let tell = Tell(seed.load(Ordering::Relaxed));
        case(&mut Chance::new(tell.0, Some(input.clone())));
        std::mem::forget(tell);
        executions += 1;
        seed.fetch_add(1, Ordering::Relaxed);
    }
    say(format_args!(
        "{target}: {executions} cases without a finding"
    ));
    executions
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/fuzz says so how it runs"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[expect(clippy::print_stdout, reason = "who runs a target reads it")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

/// Prints the seed of a case that panics.
struct Tell(u64);

impl Drop for Tell {
    fn drop(&mut self) {
        say(format_args!("found by SPILLWAY_FUZZ_SEED={}", self.0));
    }
}

fn watch(target: &str, seed: &Arc<AtomicU64>) {
    let (target, seed) = (String::from(target), Arc::clone(seed));
    std::thread::spawn(move || {
        let mut before = (seed.load(Ordering::Relaxed), Instant::now());
        loop {
            std::thread::park_timeout(Duration::from_millis(500));
            let now = seed.load(Ordering::Relaxed);
            if now != before.0 {
                before = (now, Instant::now());
            } else if before.1.elapsed() > CASE_TIMEOUT {
                say(format_args!(
                    "{target}: the case of SPILLWAY_FUZZ_SEED={now} hangs"
                ));
                std::process::abort();
            }
        }
    });
}

/// Choices, the same for the same seed.
#[derive(Debug)]
pub struct Chance {
    state: u64,
    input: Option<PathBuf>,
}

impl Chance {
    /// Choices of this seed; inputs are noted in the file.
    pub fn new(seed: u64, input: Option<PathBuf>) -> Self {
        Self { state: seed, input }
    }

    /// Keeps the input of this case where it is found when the process is not there any more.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn note(&self, input: &[u8]) {
        if let Some(file) = &self.input {
            std::fs::write(file, input).expect("the input is written");
        }
    }

    /// A number (SplitMix64).
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % (limit.max(1) as u64)).unwrap_or_default()
    }

    /// True one time in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several; there must be one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A text made of one of `corpus` by some changes: words dropped, doubled, exchanged, taken from another text or
    /// from `words`, repeated very often, or cut.
    pub fn text(&mut self, corpus: &[&str], words: &[&str]) -> String {
        let mut pieces: Vec<String> = split(self.pick::<&str>(corpus));
        for _ in 0..=self.below(8) {
            let at = self.below(pieces.len());
            if pieces.is_empty() {
                pieces.push(String::from(*self.pick(words)));
            }
            match self.below(11) {
                0 => drop(pieces.remove(at)),
                1 => pieces.insert(at, pieces[at].clone()),
                2 => {
                    let other = self.below(pieces.len());
                    pieces.swap(at, other);
                }
                3 | 4 => pieces[at] = String::from(*self.pick(words)),
                5 => pieces.insert(at, String::from(*self.pick(words))),
                6 => {
                    let other = split(self.pick::<&str>(corpus));
                    let begin = self.below(other.len());
                    let end = (begin + 1 + self.below(20)).min(other.len());
                    pieces.splice(at..at, other[begin..end].iter().cloned());
                }
                7 => {
                    // Depth and length beyond what anybody writes.
                    let length = (1 + self.below(4)).min(pieces.len() - at);
                    let times = *self.pick(&[10, 100, 1_500, 20_000]);
                    let again: String = pieces[at..at + length].concat().repeat(times);
                    pieces.insert(at, again.chars().take(200_000).collect());
                }
                8 => pieces[at] = self.damaged(&pieces[at].clone()),
                9 => pieces.truncate(at + 1),
                _ => {
                    let end = (at + 1 + self.below(10)).min(pieces.len());
                    drop(pieces.drain(at..end));
                }
            }
        }
        pieces.concat()
    }

    fn damaged(&mut self, word: &str) -> String {
        const STRANGE: [char; 14] = [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{202e}',
            '\u{feff}',
            '\u{2028}',
            'ß',
            '𐍈',
            '\'',
            '"',
            '$',
            '\\',
            '\u{10ffff}',
        ];
        let mut characters: Vec<char> = word.chars().collect();
        let at = self.below(characters.len() + 1);
        characters.insert(at.min(characters.len()), *self.pick(&STRANGE));
        characters.into_iter().collect()
    }

    /// A JSON value made of `value` by some changes: of type, of size, of depth, of keys; nothing that was there is sure.
    pub fn json(&mut self, value: &Value) -> Value {
        if self.one_in(24) {
            return self.strange();
        }
        match value {
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.json(item)).collect();
                if !items.is_empty() && self.one_in(6) {
                    let at = self.below(items.len());
                    match self.below(3) {
                        0 => drop(items.remove(at)),
                        1 => items.push(items[at].clone()),
                        _ => items.reverse(),
                    }
                }
                Value::Array(items)
            }
            Value::Object(fields) => {
                let mut changed = serde_json::Map::new();
                for (name, field) in fields {
                    match self.below(40) {
                        0 => {}
                        1 => drop(changed.insert(name.to_uppercase(), self.json(field))),
                        _ => drop(changed.insert(name.clone(), self.json(field))),
                    }
                }
                Value::Object(changed)
            }
            Value::String(text) if self.one_in(12) => Value::String(self.damaged(text)),
            other => other.clone(),
        }
    }

    fn strange(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => Value::Bool(self.one_in(2)),
            2 => Value::from(*self.pick(&[0, -1, i64::MAX, i64::MIN, 1 << 53])),
            3 => Value::from(*self.pick(&[u64::MAX, 1 << 63])),
            4 => Value::from(*self.pick(&[0.5, -0.0, 1e300, 5e-324])),
            5 => Value::from(vec![Value::Null; self.below(100)]),
            6 => Value::String("x".repeat(*self.pick(&[0, 1, 70_000]))),
            7 => Value::Object(serde_json::Map::new()),
            _ => (0..self.below(100)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
        }
    }

    /// Bytes made of `bytes` by some changes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = self.number().to_le_bytes()[0],
                2 => drop(bytes.splice(at..at, b"[{\"".repeat(1 + self.below(3) * 50_000))),
                _ => {
                    let end = (at + self.below(30)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
            }
        }
        bytes
    }
}

/// Words, numbers, single signs and blanks.
fn split(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut before = None;
    for character in text.chars() {
        let kind = match character {
            c if c.is_alphanumeric() || c == '_' => Some(0),
            c if c.is_whitespace() => Some(1),
            _ => None,
        };
        match pieces.last_mut() {
            Some(piece) if kind.is_some() && kind == before => piece.push(character),
            _ => pieces.push(String::from(character)),
        }
        before = kind;
    }
    pieces
}
