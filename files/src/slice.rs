//! Large files of text in slices, for executors, which share nothing: each reads the records that begin in its slice. Owns
//! which files are sliced and how slices are dealt, and that every record is in one of them, whole.
//!
//! Where records are lines, a slice begins behind the first line end before it. Where line ends may be within quotes, that is
//! known only to who has gone over everything before, which is worth it where that is on a disk: going over text is much
//! faster than decoding it. Anything else is of the first slice, as a whole; that is seen at the beginning of the file, by all
//! slices alike.

use memchr::memchr;

use super::bytes::Text;
use super::csv::Dialect;
use super::csv::split::CsvSplit;
use super::error::ReadError;
use super::format::{Csv, Format};
use super::json::Layout;
use super::listing::{File, Place, Slice};
use super::open::{Block, OpenFile, Written};
use super::split::Split;

/// A slice has so many parts at least.
const LEAST_PARTS: u64 = 8;
/// So many slices at most where each goes over all that is before it: together they read the file two and a half times.
const MOST_GONE_OVER: u64 = 4;

/// How files are cut, where they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a> {
    /// How records are written.
    pub format: &'a Format,
    /// So many bytes are read at once.
    pub part_bytes: usize,
    /// Whether the lines of records are wanted.
    pub lines: bool,
}

/// Deals files to `partitions` so that each has about as many bytes; those that are large for it in slices, if they may be
/// cut and their records can be found.
pub(crate) fn deal(files: Vec<File>, partitions: usize, cut: Option<Cut<'_>>) -> Vec<Vec<File>> {
    let partitions = partitions.max(1);
    let all: u64 = files.iter().map(|file| file.size).sum();
    let share = all.div_ceil(partitions as u64);
    let pieces = files.into_iter().flat_map(|file| match cut {
        Some(cut) => cut.slices(file, share),
        None => vec![(file.size, file)],
    });
    let mut pieces: Vec<(u64, File)> = pieces.collect();
    pieces.sort_by(|(size, file), (other_size, other)| {
        let begin = |file: &File| file.slice.map(|slice| slice.from);
        other_size
            .cmp(size)
            .then_with(|| file.name.cmp(&other.name))
            .then_with(|| begin(file).cmp(&begin(other)))
    });
    let mut dealt: Vec<(u64, Vec<File>)> = vec![(0, Vec::new()); partitions];
    for (size, file) in pieces {
        if let Some(least) = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            least.0 += size;
            least.1.push(file);
        }
    }
    dealt.into_iter().map(|(_, files)| files).collect()
}

impl Cut<'_> {
    /// A file in slices of about `share` bytes, each with its size.
    fn slices(&self, file: File, share: u64) -> Vec<(u64, File)> {
        let least = LEAST_PARTS * self.part_bytes.max(1) as u64;
        let count = file.size.div_ceil(share.max(1)).min(file.size / least);
        let count = count.min(most_slices(&file, self.format, self.lines));
        if count < 2 {
            return vec![(file.size, file)];
        }
        let step = file.size.div_ceil(count);
        let slice = |number: u64| {
            let from = number * step;
            let slice = Slice {
                from,
                // The last one has whatever is behind.
                until: if number + 1 == count {
                    u64::MAX
                } else {
                    from + step
                },
                lines: self.lines,
            };
            let slice = File {
                slice: Some(slice),
                ..file.clone()
            };
            (step, slice)
        };
        (0..count).map(slice).collect()
    }
}

/// How many slices of a file may be worth it, as far as its format tells.
fn most_slices(file: &File, format: &Format, lines: bool) -> u64 {
    let by_lines = match format {
        Format::Text => true,
        Format::Json(json) => {
            json.path.is_none() && json.layout.is_none_or(|layout| layout == Layout::Lines)
        }
        Format::Csv(Csv { dialect, .. }) => are_lines(dialect),
        Format::Binary(_) | Format::Avro | Format::Arrow => false,
    };
    let can_be_gone_over = by_lines || matches!(format, Format::Csv(_));
    let is_here = matches!(file.place, Place::Local(_));
    match () {
        () if !file.has_ranges() => 1,
        () if by_lines && !lines => u64::MAX,
        () if can_be_gone_over && is_here => MOST_GONE_OVER,
        () => 1,
    }
}

/// Whether records are lines, whatever is in them.
fn are_lines(dialect: &Dialect) -> bool {
    dialect.quote.is_none() || !dialect.newlines
}

/// How the records of a slice are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All of the file is read.
    Whole,
    /// Nothing of it is.
    Nothing,
    /// Records are looked for from the beginning of the slice on.
    Seek,
    /// Everything before is gone over.
    GoOver,
}

/// A file of text, or a slice of one, at work.
#[derive(Debug)]
pub(crate) struct SlicedFile {
    open: OpenFile,
    slice: Slice,
    way: Way,
    /// Whether the first record is still to be found.
    searching: bool,
}

impl SlicedFile {
    /// The slice of an open file that the file says, or all of it. `reopen` gives its bytes from there on.
    ///
    /// # Errors
    /// When it cannot be read there.
    pub(crate) fn new(
        mut open: OpenFile,
        reopen: impl FnOnce(u64) -> std::io::Result<Text>,
    ) -> Result<Self, ReadError> {
        let all = Slice {
            from: 0,
            until: u64::MAX,
            lines: false,
        };
        let slice = open.shape.file.slice;
        let way = slice.map_or(Way::Whole, |slice| way(&open, slice));
        let slice = slice.unwrap_or(all);
        if way == Way::Seek {
            // A line end right before the slice ends a record of the slice before.
            open.seek(slice.from - 1, reopen)?;
        }
        Ok(Self {
            open,
            slice,
            way,
            searching: matches!(way, Way::Seek | Way::GoOver),
        })
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// As [`OpenFile::next_block`].
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>, ReadError> {
        loop {
            if self.way == Way::Nothing {
                return Ok(None);
            }
            let Some(mut block) = self.open.next_block()? else {
                return Ok(None);
            };
            if self.way == Way::Whole {
                return Ok(Some(block));
            }
            if self.searching {
                let behind = match self.way {
                    Way::Seek => next_line(&block, 0),
                    _ => next_record(&block, self.slice.from),
                };
                if behind == block.text.len() {
                    // The record at the beginning of the slice may end with the block.
                    self.searching = self.way == Way::GoOver;
                    continue;
                }
                self.searching = false;
                block.drop_beginning(behind);
            }
            if block.offset >= self.slice.until {
                self.way = Way::Nothing;
                return Ok(None);
            }
            let end = match self.way {
                Way::Seek => match self.slice.until.checked_sub(1 + block.offset) {
                    Some(before) => next_line(&block, before),
                    None => 0,
                },
                _ => next_record(&block, self.slice.until),
            };
            if end < block.text.len() {
                self.way = Way::Nothing;
                block.text.truncate(end);
                block.part.last = false;
            }
            return Ok(Some(block));
        }
    }
}

/// How the records of a slice are found: by what every slice of the file sees.
fn way(open: &OpenFile, slice: Slice) -> Way {
    let is_here = matches!(open.shape.file.place, Place::Local(_));
    let (by_lines, can_be_gone_over) = match &open.shape.records {
        Written::Lines { .. } | Written::Json(Layout::Lines) => (true, true),
        Written::Csv { dialect, .. } => (are_lines(dialect), true),
        Written::Json(_) | Written::Avro(_) | Written::Rows => (false, false),
    };
    let found = match open.is_plain() {
        true if by_lines && !slice.lines => Way::Seek,
        true if can_be_gone_over && is_here => Way::GoOver,
        _ if slice.from == 0 => Way::Whole,
        _ => Way::Nothing,
    };
    // Records begin behind the header.
    match open.offset() {
        _ if found == Way::Whole => Way::Whole,
        begin if begin >= slice.until => Way::Nothing,
        begin if begin >= slice.from && found == Way::Seek => Way::GoOver,
        _ => found,
    }
}

/// Where the first line begins behind a line end that is at `from` or behind it; the length of the block if none does.
fn next_line(block: &Block, from: u64) -> usize {
    let text = &block.text;
    let from = usize::try_from(from).map_or(text.len(), |from| from.min(text.len()));
    let found = memchr(block.shape.records.terminator(), &text[from..]);
    found.map_or(text.len(), |at| from + at + 1)
}

/// Where the first record of the block begins that does so at `place` of the file or behind it; its length if none does.
fn next_record(block: &Block, place: u64) -> usize {
    let text = &block.text;
    let Some(at) = place.checked_sub(block.offset).filter(|at| *at > 0) else {
        return 0;
    };
    let at = match usize::try_from(at) {
        Ok(at) if at < text.len() => at,
        _ => return text.len(),
    };
    let Written::Csv { dialect, .. } = &block.shape.records else {
        return next_line(block, at as u64 - 1);
    };
    let mut split = CsvSplit::new(dialect.clone());
    let whole = split.split(&text[..at], false).unwrap_or_default();
    if whole == at {
        return at;
    }
    // A line more and more, until the record ends with one.
    let mut end = at;
    while let Some(found) = memchr(dialect.terminator(), &text[end..]) {
        end += found + 1;
        match split.split(&text[whole..end], false) {
            Ok(record) if record > 0 => return whole + record,
            _ => {}
        }
    }
    text.len()
}
