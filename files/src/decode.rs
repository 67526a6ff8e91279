//! Parts of files to rows of the table. Owns the decoder of the file that is at hand, the columns that are not in files
//! (those of partitions, and of where a row is from), and that decoding goes on behind a bad row where these are put aside.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options, take};
use datafusion::arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};

use super::avro::decode::AvroDecoder;
use super::bad_rows::{BadRow, BadRows};
use super::binary;
use super::columns::{Columns, misfit_of};
use super::csv::decode::CsvDecoder;
use super::csv::header;
use super::error::{Problem, ReadError, listed};
use super::feed::Piece;
use super::format::Format;
use super::json::Layout;
use super::json::decode::JsonDecoder;
use super::open::{Block, Shape, Written};
use super::origin::Origin;
use super::salvage::record_end;
use super::split::{Bad, Part};
use super::text::TextDecoder;
use super::value::Values;

/// What to do about a file whose header has other names than those that are wanted.
pub(crate) const HEADER_HELP: &str = "if the first line has no names, say `has_header 'false'`; if columns are meant by their place, `by_position 'true'`";

/// What is read of files.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// How records are written.
    pub format: Format,
    /// The columns that files have.
    pub in_files: SchemaRef,
    /// Whether their types were found in the data.
    pub inferred: bool,
    /// The partition columns.
    pub partition_by: Fields,
    /// The columns that say where a row is from.
    pub origin: Origin,
    /// Which of all of them, in this order, are wanted, in the order of this list.
    pub projection: Vec<usize>,
    /// Whether the columns of files that are not wanted are decoded too.
    pub all_columns: bool,
}

impl Wanted {
    /// What the rows look like.
    pub(crate) fn schema(&self) -> SchemaRef {
        let origin = self.origin.fields();
        let all: Vec<&Arc<Field>> = self
            .in_files
            .fields()
            .iter()
            .chain(&self.partition_by)
            .chain(&origin)
            .collect();
        let wanted = self.projection.iter().filter_map(|&index| all.get(index));
        Arc::new(Schema::new(
            wanted.map(|field| Arc::clone(field)).collect::<Vec<_>>(),
        ))
    }

    /// The format, for who opens files: with what need not be read for the wanted columns.
    pub(crate) fn format(&self) -> Format {
        let mut format = self.format.clone();
        if let Format::Binary(of_binary) = &mut format {
            let mut wanted = self.of_files().into_iter();
            let is_content = |index: usize| self.in_files.field(index).name() == binary::CONTENT;
            of_binary.with_content = wanted.any(is_content);
        }
        format
    }

    /// The columns of files that are decoded: those that are wanted, or all of them if what is bad in one nobody wants has to
    /// be noticed.
    fn of_files(&self) -> Vec<usize> {
        let count = self.in_files.fields().len();
        if self.all_columns {
            return (0..count).collect();
        }
        self.projection
            .iter()
            .copied()
            .filter(|&index| index < count)
            .collect()
    }
}

/// What a wanted column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// The next one of those that were decoded.
    OfFile(usize),
    /// The value of a partition column.
    OfPartition(usize),
    /// The file.
    File,
    /// The line.
    Line,
}

impl Wanted {
    /// What each wanted column is; those of files by their place among the decoded ones.
    fn columns(&self) -> Vec<Column> {
        let of_files = self.of_files();
        let (files, partitions) = (self.in_files.fields().len(), self.partition_by.len());
        let wanted = self.projection.iter().map(|&index| {
            let decoded = of_files.iter().position(|&decoded| decoded == index);
            match (decoded, index.checked_sub(files)) {
                (Some(decoded), _) => Column::OfFile(decoded),
                (None, Some(partition)) if partition < partitions => Column::OfPartition(partition),
                (None, Some(behind)) if behind == partitions && self.origin.file.is_some() => {
                    Column::File
                }
                (None, _) => Column::Line,
            }
        });
        wanted.collect()
    }
}

impl Wanted {
    /// Whether the lines of records are wanted.
    pub(crate) fn has_lines(&self) -> bool {
        self.columns().contains(&Column::Line)
    }
}

/// Decodes the parts that one stream takes.
#[derive(Debug)]
pub(crate) struct Decoder {
    wanted: Wanted,
    schema: SchemaRef,
    columns: Vec<Column>,
    batch_rows: usize,
    /// A place in the part at hand, and its line.
    line: (usize, u64),
    /// The file at hand.
    open: Option<(Arc<Shape>, OfFile)>,
    /// Where bad rows go; without, the first one is an error.
    salvage: Option<Salvage>,
}

#[derive(Debug)]
struct OfFile {
    decoder: OfFormat,
    /// For every wanted column, its value if it is the same in all rows of the file, in an array of one.
    constant: Vec<Option<ArrayRef>>,
}

#[derive(Debug)]
enum OfFormat {
    Csv(CsvDecoder),
    Json(JsonDecoder),
    Text(TextDecoder),
    Avro(AvroDecoder, RowsDecoder),
    Rows(RowsDecoder),
}

/// What becomes of bad rows of the part at hand.
#[derive(Debug)]
struct Salvage {
    rows: Arc<BadRows>,
    /// Those that are known and not yet passed, in their order.
    ahead: VecDeque<Bad>,
    good: u64,
}

/// Why text could not be decoded.
enum Fault {
    /// A record that begins there is to blame.
    Record(usize, Problem),
    /// It has no record that could be left out.
    Other(DataFusionError),
}

impl From<DataFusionError> for Fault {
    fn from(error: DataFusionError) -> Self {
        Self::Other(error)
    }
}

impl Decoder {
    /// For batches of so many rows at most. `bad_rows` takes those that cannot be read, if they are put aside.
    pub(crate) fn new(wanted: Wanted, batch_rows: usize, bad_rows: Option<Arc<BadRows>>) -> Self {
        Self {
            schema: wanted.schema(),
            columns: wanted.columns(),
            wanted,
            batch_rows,
            line: (0, 1),
            open: None,
            salvage: bad_rows.map(|rows| Salvage {
                rows,
                ahead: VecDeque::new(),
                good: 0,
            }),
        }
    }

    /// Takes up another part.
    pub(crate) fn begin(&mut self, piece: &Piece<String>) {
        let Piece::Text(block) = piece else {
            return;
        };
        self.line = (0, block.line);
        if let Some(salvage) = &mut self.salvage {
            salvage.ahead = block.unreadable.clone().into();
            salvage.good = 0;
        }
    }

    /// The next rows of a part from `at` on, and where they end; `None` if it has no more.
    ///
    /// # Errors
    /// With the place in the file.
    pub(crate) fn decode(
        &mut self,
        piece: &Piece<String>,
        at: usize,
    ) -> Result<Option<(RecordBatch, usize)>> {
        match piece {
            Piece::Avro(shape, block) => {
                let batch_rows = self.batch_rows;
                let of_file = self.open(shape)?;
                let OfFormat::Avro(decoder, columns) = &mut of_file.decoder else {
                    return internal_err!("a file of another format");
                };
                let decoded = match decoder.decode(block, at, batch_rows)? {
                    None => None,
                    Some(rows) => columns
                        .decode(&rows, 0, rows.num_rows())?
                        .map(|(batch, count)| (batch, at + count)),
                };
                self.whole(decoded, None)
            }
            Piece::Rows(shape, rows) => {
                let batch_rows = self.batch_rows;
                let of_file = self.open(shape)?;
                let OfFormat::Rows(decoder) = &of_file.decoder else {
                    return internal_err!("a file of another format");
                };
                let decoded = decoder.decode(rows, at, batch_rows)?;
                self.whole(decoded, None)
            }
            Piece::Text(block) => match self.salvage.take() {
                None => self
                    .text(block, at, block.text.len())
                    .map_err(|fault| fault.told(block)),
                Some(mut salvage) => {
                    let decoded = self.salvaging(&mut salvage, block, at);
                    self.salvage = Some(salvage);
                    decoded
                }
            },
        }
    }

    /// The next rows of the text of a block, from `at` and up to `until`.
    fn text(
        &mut self,
        block: &Block<String>,
        at: usize,
        until: usize,
    ) -> Result<Option<(RecordBatch, usize)>, Fault> {
        let batch_rows = self.batch_rows;
        let of_file = self.open(&block.shape)?;
        let text = &block.text[..until];
        let (decoded, failed_at) = match &mut of_file.decoder {
            OfFormat::Csv(decoder) => {
                let decoded = decoder.decode(text, at, batch_rows);
                (decoded, decoder.starts().failed_at())
            }
            OfFormat::Json(decoder) => {
                let part = Part {
                    last: block.part.last && until == block.text.len(),
                    ..block.part
                };
                let decoded = decoder.decode(text, part, at, batch_rows);
                (decoded, decoder.starts().failed_at())
            }
            OfFormat::Text(decoder) => (decoder.decode(text, at, batch_rows), None),
            OfFormat::Avro(..) | OfFormat::Rows(_) => {
                return Ok(internal_err!("a file of another format")?);
            }
        };
        match (decoded, failed_at) {
            (Ok(decoded), _) => Ok(self.whole(decoded, Some(block))?),
            (Err(problem), Some(start)) => Err(Fault::Record(start, problem)),
            (Err(problem), None) => Err(Fault::Other(block.error(problem).into())),
        }
    }

    /// As [`Decoder::text`], over the records that cannot be read.
    fn salvaging(
        &mut self,
        salvage: &mut Salvage,
        block: &Block<String>,
        mut at: usize,
    ) -> Result<Option<(RecordBatch, usize)>> {
        let (text, file) = (&block.text, &block.shape.file.name);
        loop {
            let until = salvage.ahead.front().map_or(text.len(), |bad| bad.start);
            let is_blank = at == until
                || matches!(block.shape.records, Written::Json(_))
                    && !salvage.ahead.is_empty()
                    && text[at..until].trim_ascii().is_empty();
            if !is_blank {
                match self.text(block, at, until) {
                    Ok(Some((rows, end))) => {
                        salvage.good += rows.num_rows() as u64;
                        return Ok(Some((rows, end)));
                    }
                    Ok(None) => {}
                    Err(Fault::Record(start, problem)) => {
                        // The rows before it are decoded again.
                        self.open = None;
                        let bad = self.bad(block, start, problem)?;
                        if bad.start < at || bad.end > until {
                            return Err(block.error(bad.problem).into());
                        }
                        salvage.ahead.push_front(bad);
                        continue;
                    }
                    Err(fault) => return Err(fault.told(block)),
                }
            }
            let Some(bad) = salvage.ahead.pop_front() else {
                salvage.rows.read_part(file, block.offset, salvage.good);
                return Ok(None);
            };
            at = bad.end;
            salvage
                .rows
                .add(bad_row(block, bad, salvage.rows.kept_bytes()))?;
        }
    }

    /// The record that begins at `start` and has a problem, if it is certain where it ends.
    fn bad(&mut self, block: &Block<String>, start: usize, problem: Problem) -> Result<Bad> {
        let written = &block.shape.records;
        let end = record_end(written, &block.text, block.part, start);
        // What stands behind an item of an array is not the item's fault.
        let is_within = |end: usize| match written {
            Written::Json(Layout::Array) => problem.at < end,
            _ => true,
        };
        let Some(end) = end.filter(|end| is_within(*end)) else {
            return Err(block.error(problem).into());
        };
        // Told as if nothing was behind it: how much is there depends on where the file is cut.
        let alone = match written {
            Written::Json(_) => self.text(block, start, end),
            _ => Ok(None),
        };
        self.open = None;
        let problem = match alone {
            Err(Fault::Record(_, alone)) => alone,
            _ => problem,
        };
        Ok(Bad {
            start,
            end,
            problem,
            bytes: None,
        })
    }

    /// What decodes a file.
    fn open(&mut self, shape: &Arc<Shape>) -> Result<&mut OfFile> {
        let of_file = match self.open.take() {
            Some((known, of_file)) if Arc::ptr_eq(&known, shape) => of_file,
            _ => self.of_file(shape)?,
        };
        Ok(&mut self.open.insert((Arc::clone(shape), of_file)).1)
    }

    /// The wanted columns of rows that were decoded.
    fn whole(
        &mut self,
        decoded: Option<(RecordBatch, usize)>,
        block: Option<&Block<String>>,
    ) -> Result<Option<(RecordBatch, usize)>> {
        let (Some((rows, end)), Some((_, of_file))) = (decoded, &mut self.open) else {
            return Ok(None);
        };
        let is_all = self.columns.len() == rows.num_columns()
            && self
                .columns
                .iter()
                .enumerate()
                .all(|(index, column)| *column == Column::OfFile(index));
        if is_all {
            return Ok(Some((rows, end)));
        }
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (column, constant) in self.columns.iter().zip(&of_file.constant) {
            columns.push(match (column, constant, block) {
                (Column::OfFile(index), ..) => Arc::clone(rows.column(*index)),
                (_, Some(value), _) => take(value, &UInt32Array::from(vec![0; count]), None)?,
                (Column::Line, _, Some(block)) => {
                    lines(&mut self.line, block, of_file.decoder.starts())
                }
                _ => return internal_err!("a column that nothing has"),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        Ok(Some((batch, end)))
    }

    fn of_file(&self, shape: &Shape) -> Result<OfFile> {
        let of_files = self.wanted.of_files();
        let in_files = &self.wanted.in_files;
        let columns = Columns::new(Arc::new(in_files.project(&of_files)?), self.wanted.inferred);
        let lines = self.columns.contains(&Column::Line);
        let decoder = match (&shape.records, &self.wanted.format) {
            (Written::Csv { dialect, names }, Format::Csv(csv)) => {
                let all = fields(shape, names, in_files, csv.by_position || !dialect.header)?;
                if all.iter().all(Option::is_none) {
                    return Err(no_column(shape, names, in_files).into());
                }
                let place = |column: usize| of_files.iter().position(|&wanted| wanted == column);
                let fields = all.iter().map(|column| column.and_then(place)).collect();
                let decoder = CsvDecoder::new(dialect.clone(), columns, fields);
                OfFormat::Csv(decoder.with_starts(lines))
            }
            (Written::Json(layout), _) => {
                let decoder = JsonDecoder::new(columns, in_files.fields(), *layout);
                let decoder =
                    decoder.map_err(|problem| ReadError::of_file(&shape.file.name, problem))?;
                OfFormat::Json(match self.wanted.all_columns {
                    true => decoder.with_strict_lines().with_starts(lines),
                    false => decoder.with_starts(lines),
                })
            }
            (Written::Lines { terminator }, _) => {
                OfFormat::Text(TextDecoder::new(columns, *terminator))
            }
            (Written::Avro(schema), _) => OfFormat::Avro(
                AvroDecoder::new(&shape.file.name, schema, columns.schema())?,
                RowsDecoder::new(&columns, &shape.file.name),
            ),
            (Written::Rows, _) => OfFormat::Rows(RowsDecoder::new(&columns, &shape.file.name)),
            (Written::Csv { .. }, _) => {
                return internal_err!("a file of another format");
            }
        };
        Ok(OfFile {
            decoder,
            constant: self.constant(shape)?,
        })
    }

    /// For every wanted column, its value if it is the same in all rows of a file.
    fn constant(&self, shape: &Shape) -> Result<Vec<Option<ArrayRef>>> {
        let name = &shape.file.name;
        let constant = self.columns.iter().map(|column| match *column {
            Column::OfFile(_) | Column::Line => Ok(None),
            Column::File => {
                let value: ArrayRef = Arc::new(StringArray::from(vec![name.as_str()]));
                Ok(Some(value))
            }
            Column::OfPartition(index) => {
                let value = shape.file.partition.get(index).and_then(Option::as_deref);
                partition_value(&self.wanted.partition_by[index], value, name).map(Some)
            }
        });
        constant.collect()
    }
}

impl OfFormat {
    /// Where the rows of the last batch begin, if their lines are wanted.
    fn starts(&self) -> &[usize] {
        match self {
            Self::Csv(decoder) => decoder.starts().of_batch(),
            Self::Json(decoder) => decoder.starts().of_batch(),
            Self::Text(_) | Self::Avro(..) | Self::Rows(_) => &[],
        }
    }
}

/// The lines on which records begin. `known` is a place before them, and its line, and goes along.
fn lines(known: &mut (usize, u64), block: &Block<String>, starts: &[usize]) -> ArrayRef {
    let (terminator, text) = (block.shape.records.terminator(), block.text.as_bytes());
    let lines = starts.iter().map(|&start| {
        let passed = &text[known.0..start];
        let ends = memchr::memchr_iter(terminator, passed).count() as u64;
        *known = (start, known.1 + ends);
        i64::try_from(known.1).unwrap_or(i64::MAX)
    });
    Arc::new(Int64Array::from_iter_values(lines))
}

/// The value of a partition column, in an array of one.
///
/// # Errors
/// When the folder's name is no value of the column.
pub(crate) fn partition_value(field: &Field, value: Option<&str>, file: &str) -> Result<ArrayRef> {
    let mut values = Values::new(field.data_type(), 1).ok_or_else(|| {
        ReadError::of_file(file, format!("`{}` cannot be a partition column: folders have no names for values of the type {}", field.name(), field.data_type()))
    })?;
    match value {
        None => values.append_null(),
        Some(text) => values.append(text).map_err(|misfit| {
            let problem = misfit_of(0, field.name(), field.data_type(), false, text, misfit);
            ReadError::of_problem(file, None, problem)
        })?,
    }
    Ok(values.finish()?)
}

/// The message about a file that has none of the columns.
fn no_column(shape: &Shape, names: &[String], schema: &Schema) -> ReadError {
    let wanted = schema.fields().iter().map(|field| field.name().as_str());
    let has = names.iter().map(String::as_str);
    ReadError::of_file(
        &shape.file.name,
        format!(
            "it has the columns {}, and none of {}",
            listed(has),
            listed(wanted)
        ),
    )
    .with_help(HEADER_HELP)
}

/// Takes the columns of rows that are there already, by their names.
#[derive(Debug)]
struct RowsDecoder {
    schema: SchemaRef,
    file: String,
}

impl RowsDecoder {
    fn new(columns: &Columns, file: &str) -> Self {
        Self {
            schema: Arc::clone(columns.schema()),
            file: file.to_owned(),
        }
    }

    fn decode(
        &self,
        rows: &RecordBatch,
        at: usize,
        most: usize,
    ) -> Result<Option<(RecordBatch, usize)>> {
        if at >= rows.num_rows() {
            return Ok(None);
        }
        let count = most.max(1).min(rows.num_rows() - at);
        let exactly = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let columns: Result<Vec<ArrayRef>> = self
            .schema
            .fields()
            .iter()
            .map(|field| match rows.column_by_name(field.name()) {
                None => Ok(new_null_array(field.data_type(), count)),
                Some(column) => {
                    let column = column.slice(at, count);
                    let cast = cast_with_options(&column, field.data_type(), &exactly);
                    cast.map_err(|error| {
                        DataFusionError::from(ReadError {
                            column: Some(field.name().clone()),
                            ..ReadError::of_file(&self.file, error.to_string())
                        })
                    })
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)?;
        Ok(Some((batch, at + count)))
    }
}

impl Fault {
    /// As the error of a block.
    fn told(self, block: &Block<String>) -> DataFusionError {
        match self {
            Self::Record(_, problem) => block.error(problem).into(),
            Self::Other(error) => error,
        }
    }
}

/// What is kept of a record that cannot be read: so many bytes at most.
fn bad_row(block: &Block<String>, bad: Bad, kept: usize) -> BadRow {
    let error = block.error(Problem {
        at: bad.start,
        ..bad.problem
    });
    let bytes = match &bad.bytes {
        Some(bytes) => bytes,
        None => &block.text.as_bytes()[bad.start..bad.end],
    };
    BadRow {
        file: error.file,
        line: error.line.unwrap_or(0),
        offset: block.offset + bad.start as u64,
        length: bytes.len() as u64,
        column: error.column,
        reason: error.problem,
        bytes: bytes[..bytes.len().min(kept)].to_vec(),
    }
}

/// For every field of a file, the column of `schema` that it is.
///
/// # Errors
/// When names and columns do not go together.
fn fields(
    shape: &Shape,
    names: &[String],
    schema: &Schema,
    by_position: bool,
) -> Result<Vec<Option<usize>>, ReadError> {
    if by_position {
        if names.len() != schema.fields().len() {
            return Err(ReadError::of_file(
                &shape.file.name,
                format!(
                    "it has {} columns, and {} are declared",
                    names.len(),
                    schema.fields().len()
                ),
            ));
        }
        return Ok((0..names.len()).map(Some).collect());
    }
    header::fields(names, schema)
        .map_err(|problem| ReadError::of_file(&shape.file.name, problem.problem))
}
