//! Opening a file: from where it is to whole records of text. Runs on threads that may wait.
//!
//! Owns the beginning of a file (skipped lines, its header) and the one loop that cuts a file into parts of whole records.

use std::io::{self, Read};
use std::sync::Arc;

use datafusion::object_store::path::Path;
use datafusion::object_store::{GetOptions, GetRange, ObjectStore};
use futures::TryStreamExt;
use memchr::memchr_iter;
use tokio::runtime::Handle;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::avro::schema::Schema as AvroSchema;
use super::bytes::Text;
use super::csv::split::CsvSplit;
use super::csv::{Dialect, header};
use super::error::{Counted, Problem, ReadError};
use super::format::{Bytes, Csv, Format, Json};
use super::json::Layout;
use super::json::mask::Mask;
use super::json::split::{StructureSplit, detect};
use super::listing::{File, Place};
use super::split::{Bad, LineSplit, Part, Split};
use super::web;

/// Lines as they nearly always end.
const LINES: LineSplit = LineSplit { terminator: b'\n' };
/// So much of a text is looked at for a line feed before carriage returns are taken for line ends.
const LINE_END_BYTES: usize = 1 << 20;
/// Bytes by which the layout of JSON is seen, if the file has so many.
const LAYOUT_BYTES: usize = 1 << 20;

/// A part of a file: whole records, as bytes or as text.
#[derive(Debug)]
pub(crate) struct Block<T = Vec<u8>> {
    /// The file.
    pub shape: Arc<Shape>,
    /// The records.
    pub text: T,
    /// The number of their first line, from 1.
    pub line: u64,
    /// Where the first of them begins, in bytes of the file's text.
    pub offset: u64,
    /// Which part of the file this is.
    pub part: Part,
    /// The records that are not to be decoded, in their order.
    pub unreadable: Vec<Bad>,
}

/// What is known of a file once it is open.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The file.
    pub file: File,
    /// How its records are written.
    pub records: Written,
    /// Lines are counted from this byte on; how many are before it is not known.
    pub lines_from: u64,
}

/// How the records of a file are written.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    /// As delimiter-separated values.
    Csv {
        /// How they are told apart.
        dialect: Dialect,
        /// The names of the fields.
        names: Vec<String>,
    },
    /// As JSON.
    Json(Layout),
    /// As lines.
    Lines {
        /// What ends one.
        terminator: u8,
    },
    /// As Avro.
    Avro(Arc<AvroSchema>),
    /// As rows.
    Rows,
}

/// A file at the beginning of its first record.
pub(crate) struct OpenFile {
    /// What is known of it.
    pub shape: Arc<Shape>,
    text: Text,
    split: Box<dyn Split>,
    /// Takes away what is no row.
    mask: Option<Mask>,
    buffer: Vec<u8>,
    more: bool,
    line: u64,
    /// Where the buffer begins in the file's text.
    offset: u64,
    first: bool,
    /// A record may have so many bytes.
    most: usize,
    /// So many bytes are read at once.
    part_bytes: usize,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// The bytes of a file from `from` on. `store` is that of a file that is not on this machine.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn bytes_of(
    file: &File,
    store: Option<&Arc<dyn ObjectStore>>,
    from: u64,
) -> io::Result<Box<dyn Read + Send>> {
    match (&file.place, store) {
        (Place::Local(path), _) => {
            let mut opened = std::fs::File::open(path)?;
            if file.slice.is_some() && opened.metadata()?.len() != file.size {
                return Err(changed());
            }
            if from > 0 {
                io::Seek::seek(&mut opened, io::SeekFrom::Start(from))?;
            }
            Ok(Box::new(opened))
        }
        (Place::Stored { key, .. }, Some(store)) => {
            let runtime = Handle::current();
            let key = Path::parse(key).map_err(io::Error::other)?;
            let options = GetOptions {
                range: (from > 0).then_some(GetRange::Offset(from)),
                ..Default::default()
            };
            let got = runtime
                .block_on(store.get_opts(&key, options))
                .map_err(web::as_io)?;
            if file.slice.is_some() && !is_version(file, got.meta.e_tag.as_deref()) {
                return Err(changed());
            }
            let stream = got.into_stream().map_err(web::as_io);
            let reader = StreamReader::new(stream);
            Ok(Box::new(SyncIoBridge::new_with_handle(reader, runtime)))
        }
        (Place::Stored { .. }, None) => Err(io::Error::other(
            "it is in an object store that is not open",
        )),
    }
}

/// Slices of it would be of two files.
fn changed() -> io::Error {
    io::Error::other(
        "it is not the file any more that was there when it was listed; run again when nobody changes it",
    )
}

/// Whether a file is the one that was listed, as far as it was said. Stores quote what they say, or do not.
fn is_version(file: &File, version: Option<&str>) -> bool {
    let bare = |version: &str| {
        version
            .trim_start_matches("W/")
            .trim_matches('"')
            .to_owned()
    };
    match (&file.version, version) {
        (Some(listed), Some(version)) => bare(listed) == bare(version),
        _ => true,
    }
}

impl OpenFile {
    /// Opens a file and reads its beginning. A record has `most` bytes at most.
    ///
    /// # Errors
    /// With the file's name, when it cannot be read, or its beginning is not of the format.
    pub(crate) fn open(
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        format: &Format,
        bytes: &Bytes,
        most: usize,
    ) -> Result<Self, ReadError> {
        let raw = bytes_of(file, store, 0).map_err(|error| unreadable(file, &error))?;
        let text = Text::open(raw, bytes.compression, bytes.encoding());
        let text = text.map_err(|error| unreadable(file, &error))?;
        let mut open = Self {
            shape: Arc::new(Shape {
                file: file.clone(),
                records: Written::Json(Layout::Lines),
                lines_from: 0,
            }),
            offset: text.mark_bytes,
            text,
            split: Box::new(LINES),
            mask: None,
            buffer: Vec::new(),
            more: true,
            line: 1,
            first: true,
            most,
            part_bytes: bytes.part_bytes.max(1),
        };
        open.fill(usize::try_from(file.size).map_or(open.part_bytes, |size| {
            size.saturating_add(1).min(open.part_bytes)
        }))?;
        let records = match format {
            Format::Csv(csv) => open.begin_csv(csv)?,
            Format::Json(json) => open.begin_json(json)?,
            Format::Text => open.begin_lines()?,
            Format::Binary(_) | Format::Avro | Format::Arrow => Written::Rows,
        };
        open.shape = Arc::new(Shape {
            file: file.clone(),
            records,
            lines_from: 0,
        });
        Ok(open)
    }

    /// Goes to a byte of the file, within a record of a file whose records are lines.
    ///
    /// # Errors
    /// When it cannot be read there.
    pub(crate) fn seek(
        &mut self,
        from: u64,
        reopen: impl FnOnce(u64) -> io::Result<Text>,
    ) -> Result<(), ReadError> {
        self.text = reopen(from).map_err(|error| unreadable(&self.shape.file, &error))?;
        self.split = Box::new(LineSplit {
            terminator: self.terminator(),
        });
        self.buffer.clear();
        (self.more, self.first) = (true, false);
        (self.line, self.offset) = (1, from);
        self.shape = Arc::new(Shape {
            lines_from: from,
            ..self.shape.as_ref().clone()
        });
        Ok(())
    }

    /// Where the next record begins in the file's text.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    fn fill(&mut self, most: usize) -> Result<(), ReadError> {
        if self.more {
            let start = self.buffer.len();
            let read = self.text.read(&mut self.buffer, most);
            self.more = read.map_err(|error| unreadable(&self.shape.file, &error))?;
            return self.mask(start);
        }
        Ok(())
    }

    /// Takes away what is no row of what was read behind `start`.
    fn mask(&mut self, start: usize) -> Result<(), ReadError> {
        let Some(mask) = &mut self.mask else {
            return Ok(());
        };
        let mut masked = mask.apply(&mut self.buffer, start);
        if !self.more {
            masked = masked.and_then(|()| mask.finish(&self.buffer));
        }
        masked.map_err(|problem| self.error(problem))
    }

    /// The error of a problem in what is read now.
    fn error(&self, problem: Problem) -> ReadError {
        located(&self.shape, self.line, &self.buffer, b'\n', problem)
    }

    fn drop_beginning(&mut self, bytes: usize, terminator: u8) {
        self.line += memchr_iter(terminator, &self.buffer[..bytes]).count() as u64;
        self.offset += bytes as u64;
        self.buffer.drain(..bytes);
    }

    fn begin_csv(&mut self, csv: &Csv) -> Result<Written, ReadError> {
        let mut dialect = csv.dialect_of(&self.shape.file.name);
        dialect.old_mac = self.has_returns_only()?;
        let terminator = dialect.terminator();
        for _ in 0..dialect.skip_rows {
            let end = loop {
                match memchr::memchr(terminator, &self.buffer) {
                    Some(end) => break end + 1,
                    None if self.more => self.fill(self.part_bytes)?,
                    None => break self.buffer.len(),
                }
            };
            self.drop_beginning(end, terminator);
        }
        let (record, end) = loop {
            match first_record(&dialect, &self.buffer, !self.more) {
                Some(found) => break found,
                None if self.more && self.buffer.len() <= self.most => {
                    self.fill(self.part_bytes)?
                }
                None if self.more => return Err(self.too_long()),
                // Only comments and empty lines, or a quote that is not closed.
                None => break (0, self.buffer.len()),
            }
        };
        let text = std::str::from_utf8(&self.buffer[record..end]);
        let text = text.map_err(|error| self.error(not_utf8(record + error.valid_up_to())))?;
        let names = header::names(&dialect, text).map_err(|mut problem| {
            problem.at += record;
            self.error(problem)
        })?;
        let names = match dialect.header {
            true => {
                self.drop_beginning(end, terminator);
                names
            }
            false => header::numbered(names.len()),
        };
        self.split = Box::new(CsvSplit::new(dialect.clone()));
        Ok(Written::Csv { dialect, names })
    }

    fn begin_json(&mut self, json: &Json) -> Result<Written, ReadError> {
        if let Some(path) = &json.path {
            self.mask = Some(Mask::new(path.clone()));
            self.split = Box::new(StructureSplit::documents());
            self.mask(0)?;
            return Ok(Written::Json(Layout::Documents));
        }
        let layout = match json.layout {
            Some(layout) => layout,
            None => self.layout()?,
        };
        self.split = match layout {
            // A line feed is never within a string.
            Layout::Lines => Box::new(LINES),
            Layout::Documents => Box::new(StructureSplit::documents()),
            Layout::Array => Box::new(StructureSplit::items()),
        };
        Ok(Written::Json(layout))
    }

    fn begin_lines(&mut self) -> Result<Written, ReadError> {
        let terminator = if self.has_returns_only()? {
            b'\r'
        } else {
            b'\n'
        };
        self.split = Box::new(LineSplit { terminator });
        Ok(Written::Lines { terminator })
    }

    /// Whether lines end with a carriage return alone, by so much of the beginning that it does not depend on how much is read at once.
    fn has_returns_only(&mut self) -> Result<bool, ReadError> {
        let has = |bytes: &[u8], byte: u8| memchr::memchr(byte, bytes).is_some();
        while self.more && self.buffer.len() < LINE_END_BYTES && !has(&self.buffer, b'\n') {
            self.fill(self.part_bytes)?;
        }
        let beginning = &self.buffer[..self.buffer.len().min(LINE_END_BYTES)];
        Ok(has(beginning, b'\r') && !has(beginning, b'\n'))
    }

    /// The layout, by so much of the beginning that it does not depend on how much is read at once.
    fn layout(&mut self) -> Result<Layout, ReadError> {
        loop {
            let white = self.buffer.len() - self.buffer.trim_ascii_start().len();
            let end = white + LAYOUT_BYTES;
            if !self.more || self.buffer.len() >= end {
                let beginning = &self.buffer[white..self.buffer.len().min(end)];
                let beginning = String::from_utf8_lossy(beginning);
                return Ok(detect(&beginning).unwrap_or(Layout::Lines));
            }
            self.fill(self.part_bytes)?;
        }
    }

    /// Whether all of it was given.
    pub(crate) fn is_at_end(&self) -> bool {
        self.buffer.is_empty() && !self.more
    }

    /// Whether its bytes are its text.
    pub(crate) fn is_plain(&self) -> bool {
        self.text.compression.is_none() && self.text.encoding == encoding_rs::UTF_8
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// With the place, when the file cannot be read, or a record does not end, or has more bytes than it may have.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>, ReadError> {
        loop {
            if self.buffer.is_empty() && !self.more {
                // Something around the records may be open still.
                let ended = self.split.split(&self.buffer, true);
                ended.map_err(|problem| self.error(problem))?;
                return Ok(None);
            }
            let end = self.split.split(&self.buffer, !self.more);
            let end = end.map_err(|problem| self.error(problem))?;
            if end > 0 {
                return Ok(Some(self.take(end)));
            }
            if !self.more {
                return Ok(None);
            }
            if self.buffer.len() > self.most {
                return Err(self.too_long());
            }
            // A long record is read in steps that grow with it.
            self.fill(self.part_bytes.max(self.buffer.len() / 2))?;
        }
    }

    fn take(&mut self, end: usize) -> Block {
        let mut rest = Vec::with_capacity(self.part_bytes + self.buffer.len() - end + 64);
        rest.extend_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end);
        let text = std::mem::replace(&mut self.buffer, rest);
        let (line, offset) = (self.line, self.offset);
        self.offset += end as u64;
        self.line += memchr_iter(self.terminator(), &text).count() as u64;
        Block {
            shape: Arc::clone(&self.shape),
            text,
            line,
            offset,
            unreadable: Vec::new(),
            part: Part {
                first: std::mem::replace(&mut self.first, false),
                last: !self.more && self.buffer.is_empty(),
            },
        }
    }

    fn terminator(&self) -> u8 {
        self.shape.records.terminator()
    }

    fn too_long(&self) -> ReadError {
        let most = self.most >> 20;
        let mut error = ReadError::of_file(
            &self.shape.file.name,
            format!("a record is longer than {most} MiB, which is the most that one may have in the memory of this run"),
        )
        .of_memory();
        error.line = Some(self.line);
        counted_in(&self.shape, error)
    }
}

impl Written {
    /// What ends a line.
    pub(crate) fn terminator(&self) -> u8 {
        match self {
            Self::Csv { dialect, .. } => dialect.terminator(),
            Self::Lines { terminator } => *terminator,
            Self::Json(_) | Self::Avro(_) | Self::Rows => b'\n',
        }
    }
}

impl Block {
    /// Takes away the records before a byte, which are of another slice.
    pub(crate) fn drop_beginning(&mut self, bytes: usize) {
        let terminator = self.shape.records.terminator();
        self.line += memchr_iter(terminator, &self.text[..bytes]).count() as u64;
        self.offset += bytes as u64;
        self.text.drain(..bytes);
        self.part.first &= bytes == 0;
    }

    /// The records as text.
    ///
    /// # Errors
    /// With the line that has bytes which are no UTF-8.
    pub(crate) fn checked(mut self) -> Result<Block<String>, ReadError> {
        match String::from_utf8(std::mem::take(&mut self.text)) {
            Ok(text) => {
                let unreadable = std::mem::take(&mut self.unreadable);
                Ok(self.read_as(text, unreadable))
            }
            Err(error) => {
                let problem = not_utf8(error.utf8_error().valid_up_to());
                let terminator = self.shape.records.terminator();
                let bytes = error.as_bytes();
                Err(located(&self.shape, self.line, bytes, terminator, problem))
            }
        }
    }

    /// The block with its bytes as a text of the same length.
    pub(crate) fn read_as(self, text: String, unreadable: Vec<Bad>) -> Block<String> {
        Block {
            shape: self.shape,
            text,
            line: self.line,
            offset: self.offset,
            part: self.part,
            unreadable,
        }
    }
}

impl Block<String> {
    /// The error of a problem in it.
    pub(crate) fn error(&self, problem: Problem) -> ReadError {
        let terminator = self.shape.records.terminator();
        let text = self.text.as_bytes();
        located(&self.shape, self.line, text, terminator, problem)
    }
}

fn located(shape: &Shape, line: u64, text: &[u8], terminator: u8, problem: Problem) -> ReadError {
    let before = &text[..problem.at.min(text.len())];
    let line = line + memchr_iter(terminator, before).count() as u64;
    let error = ReadError::of_problem(&shape.file.name, Some(line), problem);
    counted_in(shape, error)
}

/// The error, whose line is counted as those of the file are.
fn counted_in(shape: &Shape, mut error: ReadError) -> ReadError {
    error.counted = (shape.lines_from > 0).then(|| {
        Box::new(Counted {
            from: shape.lines_from,
            terminator: shape.records.terminator(),
        })
    });
    error
}

/// A record has bytes that are no UTF-8 from `at` on.
pub(crate) fn not_utf8(at: usize) -> Problem {
    Problem::new(at, "the bytes are no UTF-8")
        .with_help("say how the file is encoded, as in `encoding 'windows-1252'`")
}

fn unreadable(file: &File, error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::of_file(
            &file.name,
            "the file is cut short: what it is compressed with does not end",
        ),
        _ => ReadError::of_file(&file.name, format!("cannot be read: {error}")),
    }
}

/// Where the first record begins and ends, behind comments and empty lines; `None` if its end is not there yet.
fn first_record(dialect: &Dialect, text: &[u8], at_end: bool) -> Option<(usize, usize)> {
    let terminator = dialect.terminator();
    let mut start = 0;
    loop {
        let rest = &text[start..];
        let line = memchr::memchr(terminator, rest).map(|at| start + at + 1);
        let content = &rest[..line.map_or(rest.len(), |end| end - start)];
        let is_skipped = content.trim_ascii().is_empty()
            || dialect.comment.is_some() && content.first().copied() == dialect.comment;
        if !is_skipped {
            break;
        }
        start = line?;
    }
    // A line more and more, until the record ends with one.
    let (mut split, mut end) = (CsvSplit::new(dialect.clone()), start);
    loop {
        end = match memchr::memchr(terminator, &text[end..]) {
            Some(at) => end + at + 1,
            None => return at_end.then_some((start, text.len())),
        };
        if split
            .split(&text[start..end], false)
            .is_ok_and(|end| end > 0)
        {
            return Some((start, end));
        }
    }
}
