//! Parts of files to rows of the table. Owns the decoder of the file that is at hand, and the columns that are not in files:
//! those of partitions.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};

use super::avro::decode::AvroDecoder;
use super::binary;
use super::columns::{Columns, misfit_of};
use super::csv::decode::CsvDecoder;
use super::csv::header;
use super::error::{ReadError, listed};
use super::feed::Piece;
use super::format::Format;
use super::json::decode::JsonDecoder;
use super::open::{Shape, Written};
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
    /// Which of all of them, files' columns first, are wanted, in this order.
    pub projection: Vec<usize>,
}

impl Wanted {
    /// What the rows look like.
    pub(crate) fn schema(&self) -> SchemaRef {
        let all: Vec<&Arc<Field>> = self
            .in_files
            .fields()
            .iter()
            .chain(&self.partition_by)
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

    /// The wanted columns that files have.
    fn of_files(&self) -> Vec<usize> {
        let count = self.in_files.fields().len();
        self.projection
            .iter()
            .copied()
            .filter(|&index| index < count)
            .collect()
    }
}

/// Decodes the parts that one stream takes.
#[derive(Debug)]
pub(crate) struct Decoder {
    wanted: Wanted,
    schema: SchemaRef,
    batch_rows: usize,
    /// The file at hand.
    open: Option<(Arc<Shape>, OfFile)>,
}

#[derive(Debug)]
struct OfFile {
    decoder: OfFormat,
    /// The values of wanted partition columns, one of each.
    partition: Vec<ArrayRef>,
}

#[derive(Debug)]
enum OfFormat {
    Csv(CsvDecoder),
    Json(JsonDecoder),
    Text(TextDecoder),
    Avro(AvroDecoder, RowsDecoder),
    Rows(RowsDecoder),
}

impl Decoder {
    /// For batches of so many rows at most.
    pub(crate) fn new(wanted: Wanted, batch_rows: usize) -> Self {
        Self {
            schema: wanted.schema(),
            wanted,
            batch_rows,
            open: None,
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
        let shape = match piece {
            Piece::Text(block) => &block.shape,
            Piece::Avro(shape, _) | Piece::Rows(shape, _) => shape,
        };
        let of_file = match self.open.take() {
            Some((known, of_file)) if Arc::ptr_eq(&known, shape) => of_file,
            _ => self.of_file(shape)?,
        };
        let (_, of_file) = self.open.insert((Arc::clone(shape), of_file));
        let decoded = match (&mut of_file.decoder, piece) {
            (OfFormat::Rows(decoder), Piece::Rows(_, rows)) => {
                decoder.decode(rows, at, self.batch_rows)?
            }
            (OfFormat::Csv(decoder), Piece::Text(block)) => decoder
                .decode(&block.text, at, self.batch_rows)
                .map_err(|problem| block.error(problem))?,
            (OfFormat::Json(decoder), Piece::Text(block)) => decoder
                .decode(&block.text, block.part, at, self.batch_rows)
                .map_err(|problem| block.error(problem))?,
            (OfFormat::Text(decoder), Piece::Text(block)) => decoder
                .decode(&block.text, at, self.batch_rows)
                .map_err(|problem| block.error(problem))?,
            (OfFormat::Avro(decoder, columns), Piece::Avro(_, block)) => {
                match decoder.decode(block, at, self.batch_rows)? {
                    None => None,
                    Some(rows) => columns
                        .decode(&rows, 0, rows.num_rows())?
                        .map(|(batch, count)| (batch, at + count)),
                }
            }
            _ => return internal_err!("a file of another format"),
        };
        let Some((rows, end)) = decoded else {
            return Ok(None);
        };
        let batch = with_partition(rows, &of_file.partition, &self.wanted, &self.schema)?;
        Ok(Some((batch, end)))
    }

    fn of_file(&self, shape: &Shape) -> Result<OfFile> {
        let of_files = self.wanted.of_files();
        let in_files = &self.wanted.in_files;
        let columns = Columns::new(Arc::new(in_files.project(&of_files)?), self.wanted.inferred);
        let decoder = match (&shape.records, &self.wanted.format) {
            (Written::Csv { dialect, names }, Format::Csv(csv)) => {
                let all = fields(shape, names, in_files, csv.by_position || !dialect.header)?;
                if all.iter().all(Option::is_none) {
                    return Err(no_column(shape, names, in_files).into());
                }
                let place = |column: usize| of_files.iter().position(|&wanted| wanted == column);
                let fields = all.iter().map(|column| column.and_then(place)).collect();
                OfFormat::Csv(CsvDecoder::new(dialect.clone(), columns, fields))
            }
            (Written::Json(layout), _) => {
                let decoder = JsonDecoder::new(columns, in_files.fields(), *layout);
                OfFormat::Json(
                    decoder.map_err(|problem| ReadError::of_file(&shape.file.name, problem))?,
                )
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
            partition: self.partition(shape)?,
        })
    }

    fn partition(&self, shape: &Shape) -> Result<Vec<ArrayRef>> {
        let first = self.wanted.in_files.fields().len();
        let wanted = self
            .wanted
            .projection
            .iter()
            .filter_map(|index| index.checked_sub(first));
        wanted
            .map(|index| {
                let field = &self.wanted.partition_by[index];
                partition_value(
                    field,
                    shape.file.partition.get(index).and_then(Option::as_deref),
                    &shape.file.name,
                )
            })
            .collect()
    }
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

/// Puts the partition columns where they are wanted.
fn with_partition(
    rows: RecordBatch,
    partition: &[ArrayRef],
    wanted: &Wanted,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    if partition.is_empty() {
        return Ok(rows);
    }
    let count = wanted.in_files.fields().len();
    let (mut of_files, mut of_partition) = (rows.columns().iter(), partition.iter());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for &index in &wanted.projection {
        if index < count {
            columns.extend(of_files.next().cloned());
        } else if let Some(value) = of_partition.next() {
            let repeated = datafusion::arrow::array::UInt32Array::from(vec![0; rows.num_rows()]);
            columns.push(datafusion::arrow::compute::take(value, &repeated, None)?);
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
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
