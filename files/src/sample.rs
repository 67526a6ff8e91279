//! A look at files before they are read: the columns that they have, and their types. Owns how much is looked at, and where.
//!
//! Of every file its beginning is looked at, of one that is neither compressed nor of another encoding than UTF-8 some places
//! further on, too, if it may be read there; together about [`SAMPLE_BYTES`], or as much as is said. Columns of all files are united by name; a type
//! has room for the values of all of them. What is found later and does not fit ends the run at its place.

use std::io::Read;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Fields, Schema};
use datafusion::object_store::ObjectStore;

use super::by_name::ByName;
use super::csv::guess::Guess as TextGuess;
use super::csv::{Dialect, Records};
use super::error::{Problem, ReadError};
use super::format::{Bytes, Format};
use super::json::Layout;
use super::json::guess::Guess as JsonGuess;
use super::json::lexer::Lexer;
use super::listing::File;
use super::open::{Block, OpenFile, Written, bytes_of};
use super::salvage::{lenient, records};
use super::stores::Stores;

/// Bytes that are looked at, if nothing else is said.
pub const SAMPLE_BYTES: u64 = 8 << 20;
/// Of a file at least.
const LEAST_BYTES: u64 = 4 << 10;
/// Files at most; of more, as many from the whole list.
const MOST_FILES: usize = 8_192;
/// Places within a file.
const WINDOWS: u64 = 8;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Columns in the order in which they came, each with what it may be.
    columns: ByName<Guess>,
    /// Whether all records of all files were looked at.
    pub whole: bool,
    /// Records.
    pub records: u64,
}

#[derive(Debug, Clone)]
enum Guess {
    Text(TextGuess),
    Json(JsonGuess),
}

impl Sample {
    /// The columns as fields.
    pub(crate) fn fields(&self) -> Fields {
        self.columns
            .iter()
            .map(|(name, guess)| {
                let data_type = match guess {
                    Guess::Text(guess) => guess.data_type(),
                    Guess::Json(guess) => guess.data_type(),
                };
                Field::new(name, data_type, true)
            })
            .collect()
    }

    /// The names of the columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name)
    }

    /// What was seen of a column, which is probably at that position.
    fn add(&mut self, name: &str, expected: usize, guess: Guess) {
        let nothing = || match guess {
            Guess::Text(_) => Guess::Text(TextGuess::default()),
            Guess::Json(_) => Guess::Json(JsonGuess::default()),
        };
        let position = self.columns.position(name, expected, nothing);
        match (self.columns.at(position), guess) {
            (Guess::Text(known), Guess::Text(guess)) => *known = std::mem::take(known).and(&guess),
            (Guess::Json(known), Guess::Json(guess)) => *known = std::mem::take(known).and(guess),
            _ => {}
        }
    }

    /// With what was seen of another file.
    fn and(&mut self, other: Self) {
        self.whole &= other.whole;
        self.records += other.records;
        for (index, (name, guess)) in other.columns.into_items().into_iter().enumerate() {
            self.add(&name, index, guess);
        }
    }
}

/// How files are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    /// How records are written.
    pub format: &'a Format,
    /// What is said of the bytes.
    pub bytes: &'a Bytes,
    /// Bytes of all files together.
    pub most: u64,
    /// Whether bad rows are passed over, and not an error.
    pub lenient: bool,
}

/// Looks at files. Waits for them: to be called where that does no harm.
///
/// # Errors
/// With the place of what cannot be read as the format.
pub(crate) fn look(files: &[File], stores: &Stores, how: Look<'_>) -> Result<Sample, ReadError> {
    let step = files.len().div_ceil(MOST_FILES).max(1);
    let looked_at: Vec<&File> = files.iter().step_by(step).collect();
    let of_each = (how.most / looked_at.len().max(1) as u64).max(LEAST_BYTES);
    let mut sample = Sample {
        whole: step == 1,
        ..Sample::default()
    };
    for file in looked_at {
        let looker = Looker {
            file,
            store: stores.get(file),
            how,
        };
        sample.and(looker.look(of_each)?);
    }
    Ok(sample)
}

struct Looker<'a> {
    file: &'a File,
    store: Option<&'a Arc<dyn ObjectStore>>,
    how: Look<'a>,
}

impl Looker<'_> {
    fn look(&self, most: u64) -> Result<Sample, ReadError> {
        // Half for the beginning, if there is a rest to look at.
        let beginning = if self.file.size > most {
            most / 2
        } else {
            most
        };
        let limit = self.how.bytes.longest_record;
        let mut open = OpenFile::open(
            self.file,
            self.store,
            self.how.format,
            self.how.bytes,
            limit,
        )?;
        let mut sample = Sample {
            whole: true,
            ..Sample::default()
        };
        if let Written::Csv { names, .. } = &open.shape.records {
            for (index, name) in names.iter().enumerate() {
                sample.add(name, index, Guess::Text(TextGuess::default()));
            }
        }
        let mut looked = 0;
        loop {
            if looked >= beginning {
                sample.whole = open.is_at_end();
                break;
            }
            let Some(block) = open.next_block()? else {
                break;
            };
            let block = match self.how.lenient {
                true => lenient(block)?,
                false => block.checked()?,
            };
            let seen = match (look_at(&block, beginning - looked), self.how.lenient) {
                (Err(_), true) => look_at_good(&block),
                (seen, _) => seen?,
            };
            sample.and(seen);
            // What is no row of a document is white space here.
            looked += block.text.trim_ascii().len() as u64;
        }
        if !sample.whole && open.is_plain() && self.file.has_ranges() {
            let shape = Arc::clone(&open.shape);
            drop(open);
            let window = (most - beginning) / WINDOWS;
            for number in 1..=WINDOWS {
                let from = self.file.size / (WINDOWS + 1) * number;
                if let Some(seen) = self.window(&shape.records, from, window) {
                    sample.and(Sample {
                        whole: false,
                        ..seen
                    });
                }
            }
        }
        Ok(sample)
    }

    /// The lines of a place in the middle; nothing if they are no records, because the place is within quotes.
    fn window(&self, records: &Written, from: u64, bytes: u64) -> Option<Sample> {
        let read = bytes_of(self.file, self.store, from).ok()?;
        let mut window = Vec::new();
        read.take(bytes).read_to_end(&mut window).ok()?;
        let terminator = records.terminator();
        let first = memchr::memchr(terminator, &window)? + 1;
        let last = memchr::memrchr(terminator, &window)? + 1;
        let lines = std::str::from_utf8(window.get(first..last)?).ok()?;
        match records {
            Written::Csv { dialect, names } => of_csv(dialect, names, lines, usize::MAX).ok(),
            Written::Json(Layout::Lines) => of_json(Layout::Lines, lines, true, usize::MAX).ok(),
            Written::Json(_) | Written::Lines { .. } | Written::Avro(_) | Written::Rows => None,
        }
    }
}

/// A block's beginning of about so many bytes.
fn look_at(block: &Block<String>, most: u64) -> Result<Sample, ReadError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if let Some(bad) = block.unreadable.first() {
        return Err(block.error(bad.problem.clone()));
    }
    let seen = match &block.shape.records {
        Written::Csv { dialect, names } => of_csv(dialect, names, &block.text, most),
        Written::Json(layout) => of_json(*layout, &block.text, block.part.first, most),
        Written::Lines { .. } | Written::Avro(_) | Written::Rows => Ok(Sample::default()),
    };
    seen.map_err(|problem| block.error(problem))
}

/// The records of a block that can be looked at; a column may be in one that cannot.
fn look_at_good(block: &Block<String>) -> Sample {
    let written = &block.shape.records;
    let mut sample = Sample {
        whole: true,
        ..Sample::default()
    };
    for (start, end) in records(written, &block.text, block.part) {
        if block.unreadable.iter().any(|bad| bad.start == start) {
            sample.whole = false;
            continue;
        }
        let record = &block.text[start..end];
        let seen = match written {
            Written::Csv { dialect, names } => of_csv(dialect, names, record, usize::MAX),
            Written::Json(layout) => of_json(*layout, record, false, usize::MAX),
            Written::Lines { .. } | Written::Avro(_) | Written::Rows => Ok(Sample::default()),
        };
        match seen {
            Ok(seen) => sample.and(seen),
            Err(_) => sample.whole = false,
        }
    }
    sample
}

fn of_csv(dialect: &Dialect, names: &[String], text: &str, most: usize) -> Result<Sample, Problem> {
    let mut guesses = vec![TextGuess::default(); names.len()];
    let mut records = Records::new(dialect, text);
    let mut count = 0;
    while records.position() < most && records.next_record(names.len() == 1).is_some() {
        let start = records.position();
        let mut index = 0;
        loop {
            let (field, last) = records.field()?;
            if let Some(guess) = guesses.get_mut(index)
                && (field.quoted || !dialect.is_null(&field.text))
                && !(field.text.is_empty() && field.quoted)
            {
                guess.add(&field.text);
            }
            index += 1;
            if last {
                break;
            }
        }
        if index != names.len() {
            return Err(super::csv::decode::ragged(start, index, names.len()));
        }
        count += 1;
    }
    let mut sample = Sample {
        whole: records.position() == text.len(),
        records: count,
        ..Sample::default()
    };
    for (index, (name, guess)) in names.iter().zip(guesses).enumerate() {
        sample.add(name, index, Guess::Text(guess));
    }
    Ok(sample)
}

fn of_json(layout: Layout, text: &str, first: bool, most: usize) -> Result<Sample, Problem> {
    let mut lexer = Lexer::new(text, 0);
    let mut guess = JsonGuess::Object(ByName::default());
    let mut count = 0;
    if layout == Layout::Array && first {
        lexer.open(b'[')?;
    }
    while lexer.position() < most {
        match lexer.peek() {
            None => break,
            Some(b']') if layout == Layout::Array => break,
            Some(b'{') => guess.add(&mut lexer)?,
            _ => return Err(lexer.unexpected("an object")),
        }
        count += 1;
        if layout == Layout::Array {
            lexer.accept(b',');
        }
    }
    let mut sample = Sample {
        whole: lexer.position() == text.len()
            || layout == Layout::Array && lexer.peek() == Some(b']'),
        records: count,
        ..Sample::default()
    };
    if let JsonGuess::Object(keys) = guess {
        for (index, (name, guess)) in keys.into_items().into_iter().enumerate() {
            sample.add(&name, index, Guess::Json(guess));
        }
    }
    Ok(sample)
}

/// The columns of `declared` that none of the files has; in another case it is the same one if `any_case`.
pub(crate) fn missing<'a>(
    declared: &'a Schema,
    sample: &Sample,
    any_case: bool,
) -> Option<&'a Field> {
    let has = |name: &str| {
        let mut names = sample.names();
        names.any(|known| known == name || any_case && known.eq_ignore_ascii_case(name))
    };
    let mut fields = declared.fields().iter().map(AsRef::as_ref);
    fields.find(|field: &&Field| !has(field.name()))
}
