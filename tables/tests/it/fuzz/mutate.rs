//! Changes to control files: values of JSON become others of their kind or of another, and bytes become others.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Texts that lead elsewhere, end early, or are nearly right.
const TEXTS: [&str; 22] = [
    "..",
    ".",
    "",
    "../victim/city=a/part-00000-0123456789ab.parquet",
    "../../victim/kept",
    "city=a/../../victim/kept",
    "/etc/passwd",
    "0123456789ab/../../../victim",
    "0123456789ab/rows/../../../../victim/kept",
    "city=Ghent//part-00000-0123456789ab.parquet",
    "city=Ghent/part-00000-0123456789ab.parquet",
    "city=Ghent\0/part-00000-0123456789ab.parquet",
    "part-00000-0123456789ab.parquet",
    "fence-67e55044-10b1-426f-9247-bb680e5fe0c8",
    "\u{1b}[2J\u{202e}",
    "append",
    "Fence",
    "zstd(99999999999)",
    "Timestamp(µs, \"Nowhere/At_All\")",
    "Decimal128(255, -128)",
    "FixedSizeList 999999999999",
    "2026-13-45T99:99:99Z",
];

/// Names of files in the folders of the control folder.
pub(crate) const NAMES: [&str; 14] = [
    "commits/18446744073709551615.json",
    "commits/18446744073709551615.done",
    "commits/9007199254740991.done",
    "commits/00000000.json",
    "commits/00000009.json",
    "commits/3.json",
    "commits/00000003.json.bak",
    "commits/00000004.done",
    "intents/...json",
    "intents/..json",
    "intents/.json",
    "intents/0123456789ab.json",
    "intents/zzzzzzzzzzzz.json",
    "staging/zzzz/rows/x",
];

/// Another content. `others` are those of the table's other control files.
pub(crate) fn content(random: &mut ChaCha8Rng, content: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    match serde_json::from_slice(content) {
        Ok(mut value) if random.random_ratio(4, 5) => {
            for _ in 0..random.random_range(1..=3) {
                change(random, &mut value, others);
            }
            serde_json::to_vec(&value).unwrap_or_default()
        }
        _ => bytes(random, content, others),
    }
}

fn bytes(random: &mut ChaCha8Rng, content: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut changed = content.to_vec();
    match random.random_range(0..5) {
        0 => changed.truncate(random.random_range(0..=content.len())),
        1 => changed.clone_from(others.choose(random).unwrap_or(&Vec::new())),
        2 => changed = b"[".repeat(random.random_range(0..200_000)),
        3 => {
            let at = random.random_range(0..=changed.len());
            changed.splice(at..at, std::iter::repeat_n(random.random(), 7));
        }
        _ => {
            for byte in &mut changed {
                if random.random_ratio(1, 100) {
                    *byte = random.random();
                }
            }
        }
    }
    changed
}

/// Changes one value, at any depth.
fn change(random: &mut ChaCha8Rng, value: &mut Value, others: &[Vec<u8>]) {
    let deeper = random.random_ratio(5, 6);
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = random.random_range(0..fields.len());
            let name = fields.keys().nth(at).cloned().unwrap_or_default();
            if random.random_ratio(1, 12) {
                fields.remove(&name);
            } else if let Some(field) = fields.get_mut(&name) {
                change(random, field, others);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.random_range(0..items.len());
            match random.random_range(0..8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(random, &mut items[at], others),
            }
        }
        value => *value = instead(random, value, others),
    }
}

fn instead(random: &mut ChaCha8Rng, value: &Value, others: &[Vec<u8>]) -> Value {
    match random.random_range(0..10) {
        0 => Value::Null,
        1 => json!([TEXTS.choose(random)]),
        2 => borrowed(random, others).unwrap_or(Value::Null),
        3 | 4 => number(random),
        5 => match value {
            Value::String(text) => json!(text.repeat(3)),
            other => json!([other, other]),
        },
        6 => match value.as_u64() {
            Some(number) => json!(
                number
                    .wrapping_add(random.random_range(0..3))
                    .wrapping_sub(1)
            ),
            None => json!("x".repeat(random.random_range(0..70_000))),
        },
        _ => json!(TEXTS.choose(random)),
    }
}

fn number(random: &mut ChaCha8Rng) -> Value {
    match random.random_range(0..7) {
        0 => json!(u64::MAX),
        1 => json!(u64::MAX >> random.random_range(0..64)),
        2 => json!((1_u64 << 53) - 1),
        3 => json!(i64::MIN),
        4 => json!(1e308),
        5 => json!(0),
        _ => json!(random.random_range(0..10)),
    }
}

/// A value of another control file.
fn borrowed(random: &mut ChaCha8Rng, others: &[Vec<u8>]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(others.choose(random)?).ok()?;
    while random.random_ratio(4, 5) {
        value = match value {
            Value::Object(fields) => {
                let values: Vec<Value> = fields.into_iter().map(|(_, value)| value).collect();
                values.choose(random)?.clone()
            }
            Value::Array(items) => items.choose(random)?.clone(),
            plain => return Some(plain),
        };
    }
    Some(value)
}
