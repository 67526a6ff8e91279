//! How the values of files are told apart, found in the values. Owns how likely a way of reading is: records that have many fields
//! and all the same number of them, and fields that look like values.
//!
//! After van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by detecting row and type patterns" (2019), with
//! fewer kinds of values.

use std::collections::{BTreeMap, HashSet};

use memchr::{memchr, memchr_iter};
use serde::{Deserialize, Serialize};

use super::split::CsvSplit;
use super::{Dialect, Records};
use crate::number::Number;
use crate::split::Split;
use crate::time;

/// What may be between fields, the likeliest first. A space and a colon are within too many values.
const DELIMITERS: [u8; 6] = [b',', b';', b'\t', b'|', b'^', b'~'];
/// What may be around fields.
const QUOTES: [Option<u8>; 3] = [Some(b'"'), None, Some(b'\'')];
/// What a table of one column is worth, compared with others.
const ONE_COLUMN: f64 = 1e-3;

/// What of a dialect is to be found; the rest is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detect {
    /// What is between fields.
    pub delimiter: bool,
    /// What is around fields.
    pub quote: bool,
    /// Whether the first record has names.
    pub header: bool,
    /// How many lines are before it.
    pub skip_rows: bool,
}

/// A record as it is read in some way.
struct Record {
    /// Where it begins.
    at: usize,
    fields: Vec<(String, bool)>,
}

/// A way of reading a text.
struct Way {
    dialect: Dialect,
    records: Vec<Record>,
    likelihood: f64,
}

/// Texts that are told apart in different ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Differs {
    /// Which of them is not as the first one.
    pub index: usize,
    /// What it is by itself.
    pub itself: Dialect,
    /// What the others are.
    pub others: Dialect,
}

/// Another way has to be so many times as likely for a text to be a different one.
const CLEARLY: f64 = 1.5;

/// The likeliest dialect of texts, each of which begins a file. `said` is what is known of it.
///
/// # Errors
/// When a text has another one than the others.
pub(crate) fn detect(said: &Dialect, texts: &[&str], wanted: Detect) -> Result<Dialect, Differs> {
    // Every text has the same ways, in the same order, those that it cannot be read in too.
    let ways: Vec<Vec<Way>> = texts.iter().map(|text| ways(said, text, wanted)).collect();
    let sum = |way: usize| -> f64 { ways.iter().map(|ways| ways[way].likelihood).sum() };
    let count = ways.first().map_or(0, Vec::len);
    let mut best = 0;
    for way in 1..count {
        if sum(way) > sum(best) {
            best = way;
        }
    }
    let mut known: Option<Dialect> = None;
    for (index, (ways, text)) in ways.iter().zip(texts).enumerate() {
        let (Some(chosen), Some(own)) = (ways.get(best), likeliest(ways)) else {
            continue;
        };
        let dialect = with_beginning(chosen, text, wanted);
        let others = known.get_or_insert_with(|| dialect.clone());
        let differs = own.likelihood > CLEARLY * chosen.likelihood;
        if differs || dialect.header != others.header || dialect.skip_rows != others.skip_rows {
            return Err(Differs {
                index,
                itself: with_beginning(own, text, wanted),
                others: others.clone(),
            });
        }
    }
    Ok(known.unwrap_or_else(|| said.clone()))
}

fn likeliest(ways: &[Way]) -> Option<&Way> {
    let mut ways = ways.iter();
    let first = ways.next()?;
    Some(
        ways.fold(first, |best, way| match way.likelihood > best.likelihood {
            true => way,
            false => best,
        }),
    )
}

fn ways(said: &Dialect, text: &str, wanted: Detect) -> Vec<Way> {
    let has = |byte: u8| memchr(byte, text.as_bytes()).is_some();
    let said = Dialect {
        old_mac: has(b'\r') && !has(b'\n'),
        ..said.clone()
    };
    let text = table(&said, text, wanted);
    let mut ways = Vec::new();
    for delimiter in choices(wanted.delimiter, &DELIMITERS, said.delimiter) {
        for quote in choices(wanted.quote, &QUOTES, said.quote) {
            let dialect = Dialect {
                delimiter,
                quote,
                ..said.clone()
            };
            let records = records(&dialect, text).unwrap_or_default();
            ways.push(Way {
                likelihood: likelihood(&records),
                dialect,
                records,
            });
        }
    }
    ways
}

/// A text behind the lines that are said to be none of it.
fn table<'a>(said: &Dialect, text: &'a str, wanted: Detect) -> &'a str {
    match wanted.skip_rows {
        true => text,
        false => behind_lines(text, said.terminator(), said.skip_rows),
    }
}

/// A way with what the records say of their beginning.
fn with_beginning(way: &Way, text: &str, wanted: Detect) -> Dialect {
    let mut dialect = way.dialect.clone();
    let first = match wanted.skip_rows {
        true => first_of_table(&way.records),
        false => 0,
    };
    if wanted.skip_rows {
        let before = way.records.get(first).map_or(0, |record| record.at);
        let lines = memchr_iter(dialect.terminator(), &text.as_bytes()[..before]);
        dialect.skip_rows = if first == 0 { 0 } else { lines.count() as u64 };
    }
    if wanted.header {
        dialect.header = has_header(&way.records[first.min(way.records.len())..]);
    }
    dialect
}

/// What may be, if it is not said.
fn choices<T: Copy>(is_wanted: bool, all: &[T], said: T) -> Vec<T> {
    match is_wanted {
        true => all.to_vec(),
        false => vec![said],
    }
}

fn behind_lines(text: &str, terminator: u8, lines: u64) -> &str {
    let mut rest = text;
    for _ in 0..lines {
        rest = memchr(terminator, rest.as_bytes()).map_or("", |at| &rest[at + 1..]);
    }
    rest
}

/// The whole records of a text; `None` if it cannot be read so.
fn records(dialect: &Dialect, text: &str) -> Option<Vec<Record>> {
    let mut split = CsvSplit::new(dialect.clone());
    let whole = match split.split(text.as_bytes(), false).ok()? {
        0 => split.split(text.as_bytes(), true).ok()?,
        whole => whole,
    };
    let mut reader = Records::new(dialect, text.get(..whole)?);
    let mut records = Vec::new();
    while let Some(at) = reader.next_record(false) {
        let mut fields = Vec::new();
        loop {
            let (field, last) = reader.field().ok()?;
            fields.push((field.text.into_owned(), field.quoted));
            if last {
                break;
            }
        }
        // Lines of white space are no records to anybody.
        if fields.len() > 1 || !fields[0].0.trim().is_empty() || fields[0].1 {
            records.push(Record { at, fields });
        }
    }
    (!records.is_empty()).then_some(records)
}

/// How likely records are so.
fn likelihood(records: &[Record]) -> f64 {
    let (mut lengths, mut values, mut fields) = (BTreeMap::new(), 0_u32, 0_u32);
    for record in records {
        *lengths.entry(record.fields.len()).or_insert(0_u32) += 1;
        for (text, quoted) in &record.fields {
            values += u32::from(*quoted || kind(text).is_some());
            fields += 1;
        }
    }
    let patterns: f64 = lengths
        .iter()
        .map(|(length, count)| {
            let length = *length as f64;
            f64::from(*count) * (length - 1.0).max(ONE_COLUMN) / length
        })
        .sum();
    if records.is_empty() {
        return 0.0;
    }
    patterns / lengths.len() as f64 * f64::from(values) / f64::from(fields.max(1))
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Empty,
    Number,
    Instant,
    Boolean,
    Text,
}

/// What a field without quotes looks like; `None` if rather two fields, or one with quotes.
fn kind(text: &str) -> Option<Kind> {
    let text = text.trim();
    let decimal = text
        .trim_start_matches(['+', '-', '$', '€', '£'])
        .trim_end_matches('%')
        .replace(',', ".");
    if text.is_empty() {
        Some(Kind::Empty)
    } else if Number::read(&decimal).is_some() || is_grouped(text) {
        Some(Kind::Number)
    } else if time::read_date(text).is_some()
        || time::read_timestamp(text).is_some()
        || is_local(text)
    {
        Some(Kind::Instant)
    } else if ["true", "false", "yes", "no"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
    {
        Some(Kind::Boolean)
    } else if text
        .bytes()
        .any(|byte| DELIMITERS.contains(&byte) && byte != b',')
        || has_quotes(text)
    {
        None
    } else if text.contains(',') {
        // Between words, with a space behind it, a comma is a comma.
        text.split(',')
            .skip(1)
            .all(|part| part.starts_with(' '))
            .then_some(Kind::Text)
    } else {
        Some(Kind::Text)
    }
}

/// Whether quotes are around it, or at one end.
fn has_quotes(text: &str) -> bool {
    text.starts_with(['"', '\'']) || text.ends_with('"')
}

/// `1,234,567.89` or `1.234.567,89`.
fn is_grouped(text: &str) -> bool {
    let whole = |text: &str, group: char| {
        let mut parts = text.split(group);
        let first = parts
            .next()
            .unwrap_or_default()
            .trim_start_matches(['-', '+']);
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let mut rest = parts.peekable();
        rest.peek().is_some()
            && (1..=3).contains(&first.len())
            && is_digits(first)
            && rest.all(|part| part.len() == 3 && is_digits(part))
    };
    let cut = |point: char| {
        let (whole, fraction) = text.rsplit_once(point).unwrap_or((text, ""));
        fraction
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(whole)
    };
    cut('.').is_some_and(|text| whole(text, ',')) || cut(',').is_some_and(|text| whole(text, '.'))
}

/// `31.01.2026`, `1/31/26`, `10:30`.
fn is_local(text: &str) -> bool {
    let (mut digits, mut others) = (0, 0);
    let is_made_so = text.bytes().all(|byte| match byte {
        b'0'..=b'9' => {
            digits += 1;
            true
        }
        b'.' | b'/' | b':' | b'-' | b' ' => {
            others += 1;
            true
        }
        _ => false,
    });
    is_made_so
        && digits >= 3
        && (1..=5).contains(&others)
        && text.starts_with(|first: char| first.is_ascii_digit())
}

/// Where the table begins: at the first record that has as many fields as most, or as the widest if there are as many of those.
fn first_of_table(records: &[Record]) -> usize {
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for record in records {
        *lengths.entry(record.fields.len()).or_default() += 1;
    }
    let most = lengths.iter().max_by_key(|(_, count)| **count);
    let most = most.map_or(0, |(length, _)| *length);
    let first = records
        .iter()
        .position(|record| record.fields.len() == most);
    first.unwrap_or(0)
}

/// Whether the first record names the columns: it has texts over values of other kinds. Over texts alone it does, if
/// they are names: all there, and no two the same.
fn has_header(records: &[Record]) -> bool {
    let Some((first, rest)) = records.split_first() else {
        return true;
    };
    let (mut names, mut values) = (0, 0);
    for (index, (text, _)) in first.fields.iter().enumerate() {
        let head = kind(text).unwrap_or(Kind::Text);
        let below: HashSet<Option<Kind>> = rest
            .iter()
            .filter_map(|record| record.fields.get(index))
            .map(|(text, _)| kind(text))
            .filter(|kind| *kind != Some(Kind::Empty))
            .map(|kind| kind.filter(|kind| *kind != Kind::Text))
            .collect();
        let mut below = below.into_iter();
        let (Some(only), None) = (below.next().flatten(), below.next()) else {
            continue;
        };
        names += usize::from(head == Kind::Text);
        values += usize::from(head == only);
    }
    let texts = first.fields.iter().map(|(text, _)| text.trim());
    let is_text = |text: &str| !text.is_empty() && kind(text).is_none_or(|kind| kind == Kind::Text);
    let mut known = HashSet::new();
    let are_names = texts
        .clone()
        .all(|text| is_text(text) && known.insert(text));
    match (names, values) {
        (0, 0) => are_names,
        (names, values) => names > values || names == values && are_names,
    }
}

impl Dialect {
    /// As a person reads what was found.
    pub(crate) fn words(&self) -> String {
        let delimiter = match self.delimiter {
            b'\t' => "\\t".to_owned(),
            byte => char::from(byte).to_string(),
        };
        let quote = self
            .quote
            .map_or_else(String::new, |quote| char::from(quote).to_string());
        format!(
            "delimiter `{delimiter}`, quote `{quote}`, has_header {}, skip_rows {}",
            self.header, self.skip_rows
        )
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ALL: Detect = Detect {
        delimiter: true,
        quote: true,
        header: true,
        skip_rows: true,
    };

    #[rstest]
    #[case::plain("a,b\n1,2\n3,4\n", ',', Some('"'), true, 0)]
    #[case::semicolons("name;x\nann;1,5\nbob;2,7\n", ';', Some('"'), true, 0)]
    #[case::decimal_commas("1,5;2,7\n3,1;4,2\n0,5;0,6\n", ';', Some('"'), false, 0)]
    #[case::tabs("a\tb c, d\n1\tx, y\n2\tz, w\n", '\t', Some('"'), true, 0)]
    #[case::pipes("id|when\n1|2026-01-01\n2|2026-01-02\n", '|', Some('"'), true, 0)]
    #[case::carets("a^b\n1^2\n", '^', Some('"'), true, 0)]
    #[case::single_quotes("a,b\n'x,y',1\n'z, w',2\n'u',3\n", ',', Some('\''), true, 0)]
    #[case::double_quotes("a,b\n\"x,y\",1\n\"z;w\",2\n\"u\",3\n", ',', Some('"'), true, 0)]
    #[case::quoted_line_ends("id;t\n1;\"a\nb\nc\"\n2;\"d\n\ne\"\n", ';', Some('"'), true, 0)]
    #[case::quotes_that_are_none(
        "id,size\n1,\"5 inch\n2,7\n3,\"6 inch\n4,x\n5,y\n",
        ',',
        None,
        true,
        0
    )]
    #[case::no_header("1,x,2026-01-01\n2,y,2026-01-02\n", ',', Some('"'), false, 0)]
    #[case::texts_alone("first,last\nann,lee\nbob,fox\n", ',', Some('"'), true, 0)]
    #[case::the_same_twice("ann,ann\nbob,fox\n", ',', Some('"'), false, 0)]
    #[case::preamble(
        "Report of sales\nfrom the shop; all of it\n\nid;n;x\n1;2;3\n4;5;6\n7;8;9\n",
        ';',
        Some('"'),
        true,
        3
    )]
    #[case::preamble_with_commas(
        "Made by hand, on Monday, by us\nid;n\n1;2\n4;5\n7;8\n",
        ';',
        Some('"'),
        true,
        1
    )]
    #[case::one_column("name\nann\nbob\n", ',', Some('"'), true, 0)]
    #[case::one_column_of_numbers("1\n2\n3\n", ',', Some('"'), false, 0)]
    #[case::windows("a;b\r\n1;2\r\n3;4\r\n", ';', Some('"'), true, 0)]
    #[case::old_mac("a;b\r1;2\r3;4\r", ';', Some('"'), true, 0)]
    #[case::times(
        "when,n\n2026-01-01 10:00:00,5\n2026-01-01 11:30:00,6\n",
        ',',
        Some('"'),
        true,
        0
    )]
    #[case::addresses(
        "url;n\nhttp://a.b/c?d=1,2;5\nhttp://a.b/c;6\n",
        ';',
        Some('"'),
        true,
        0
    )]
    #[case::empty_fields("a,b,c\n,,\n1,,3\n,2,\n", ',', Some('"'), true, 0)]
    #[case::apostrophes("id,t\n1,it's\n2,'tis so\n3,x\n", ',', Some('"'), true, 0)]
    #[case::header_alone("a;b;c\n", ';', Some('"'), true, 0)]
    #[case::grouped_numbers("a;b\n1.234,5;2\n2.345.678,9;3\n", ';', Some('"'), true, 0)]
    fn a_dialect_is_what_makes_most_sense(
        #[case] text: &str,
        #[case] delimiter: char,
        #[case] quote: Option<char>,
        #[case] header: bool,
        #[case] skip_rows: u64,
    ) {
        let found = detect(&Dialect::default(), &[text], ALL).unwrap();
        assert_eq!(
            (
                char::from(found.delimiter),
                found.quote.map(char::from),
                found.header,
                found.skip_rows
            ),
            (delimiter, quote, header, skip_rows)
        );
    }

    #[test]
    fn what_is_said_is_not_looked_for() {
        let said = Dialect {
            delimiter: b',',
            skip_rows: 1,
            ..Dialect::default()
        };
        let wanted = Detect {
            delimiter: false,
            skip_rows: false,
            ..ALL
        };
        let found = detect(&said, &["x\na;b,c\n1;2,3\n"], wanted).unwrap();
        assert_eq!(
            (found.delimiter, found.skip_rows, found.header),
            (b',', 1, true)
        );
        assert_eq!(
            found.words(),
            "delimiter `,`, quote `\"`, has_header true, skip_rows 1"
        );
    }
    #[test]
    fn texts_are_told_apart_together() {
        let detect = |texts: &[&str]| detect(&Dialect::default(), texts, ALL);
        // The second one has no quotes, which is no contradiction.
        let found = detect(&["a;b\n'x;y';1\n'z';2\n", "a;b\nu;3\n"]).unwrap();
        assert_eq!((found.delimiter, found.quote), (b';', Some(b'\'')));
        let differs = detect(&["a;b\n1;2\n3;4\n", "a,b\n5,6\n"]).unwrap_err();
        assert_eq!(
            (
                differs.index,
                differs.itself.delimiter,
                differs.others.delimiter
            ),
            (1, b',', b';')
        );
        let differs = detect(&["a;b\n1;2\n", "5;6\n7;8\n"]).unwrap_err();
        assert_eq!(
            (differs.index, differs.itself.header, differs.others.header),
            (1, false, true)
        );
    }
}
