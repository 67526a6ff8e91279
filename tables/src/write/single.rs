//! One file of rows that belongs to no table: no log, no partitions, no staging area. Owns that the file is there whole or not
//! at all, and that its rows are those that were given: they go into a hidden file beside it, which takes its name at the end.
//!
//! Every call does its work, and waits for the disk, in the thread of the caller.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;
use uuid::Uuid;

use super::encoder::CHUNK_ROWS;
use super::format::{self, FileEncoder, FileEncoding};
use crate::options::{Compression, Format, OptionProblem, TableOptions};
use crate::schema::TableSchema;

/// A file that is being written. Dropped before it is [finished](Self::finish), it leaves nothing.
pub struct FileWriter {
    target: PathBuf,
    part: Part,
    file: File,
    /// Of the rows as they are given, and as they are in the file.
    given: SchemaRef,
    schema: SchemaRef,
    encoding: Box<dyn FileEncoding>,
    encoder: Option<Box<dyn FileEncoder>>,
    group_rows: usize,
    rows: u64,
    bytes: u64,
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("target", &self.target)
            .field("encoding", &self.encoding)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The bytes of its rows before they were compressed.
    pub plain_bytes: u64,
}

/// Why a file could not be written. There is nothing at its path then that was not there before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Columns that the format does not have, or a compression.
    #[error("{} cannot be written: {}", path.display(), listed(problems))]
    Options {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Vec<OptionProblem>,
    },
    /// Rows whose columns are not those of the rows before.
    #[error("{} has rows of ({before}), and was given some of ({now}); a file has the same columns in all of its rows", path.display())]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// The columns that it has.
        before: String,
        /// The columns that came.
        now: String,
    },
    /// A value that would be another one in the file.
    #[error("{}, column `{column}`: a value of type {from} is not the same as {to}, which is what files hold; cast the column, or make it text", path.display())]
    Inexact {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        from: DataType,
        /// The type that it has in the file.
        to: DataType,
    },
    /// The disk said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The rows could not be encoded.
    #[error("cannot write {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DataFusionError,
    },
}

fn listed(problems: &[OptionProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io {
        action,
        path,
        source,
    }
}

/// The hidden file, which goes unless it was renamed.
struct Part {
    path: PathBuf,
    is_left: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_left {
            // Nobody is left to be told, and readers do not see it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl FileWriter {
    /// Begins a file of these columns. What is at `target` stays until the new file takes its place.
    ///
    /// # Errors
    /// [`FileError::Options`] for columns or a compression that the format does not have, [`FileError::Io`] when there can be
    /// no such file.
    pub fn create(
        target: &Path,
        columns: &Schema,
        format: Format,
        compression: Compression,
    ) -> Result<Self, FileError> {
        let options = TableOptions {
            format,
            compression,
            single_file: true,
            ..TableOptions::default()
        };
        let problems = options.validate(columns);
        if !problems.is_empty() {
            return Err(FileError::Options {
                path: target.to_owned(),
                problems,
            });
        }
        if target.is_dir() || target.file_name().is_none() {
            let error = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(io_error("write a file at", target)(error));
        }
        let (table, _) = TableSchema::normalize(columns, &[]);
        let name = format!(".{}.part", Uuid::now_v7().simple());
        let part = Part {
            path: target.with_file_name(name),
            is_left: true,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part.path)
            .map_err(io_error("make a file beside", target))?;
        Ok(Self {
            target: target.to_owned(),
            part,
            file,
            given: Arc::new(columns.clone()),
            schema: table.file_schema(),
            encoding: format::encoding(&options),
            encoder: None,
            group_rows: 0,
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When they have other columns, or a value that the file cannot hold as it is, or the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), FileError> {
        let rows = self.as_stored(rows)?;
        let mut at = 0;
        while at < rows.num_rows() {
            let length = CHUNK_ROWS.min(rows.num_rows() - at);
            self.encode(&rows.slice(at, length))?;
            at += length;
        }
        Ok(())
    }

    /// Ends the file and puts it in its place.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<WrittenFile, FileError> {
        let nothing = RecordBatch::new_empty(Arc::clone(&self.schema));
        let target = self.target.clone();
        let failed = |source| FileError::Encode {
            path: target.clone(),
            source,
        };
        let encoder = self.encoder(&nothing)?;
        encoder.finish().map_err(failed)?;
        let plain_bytes = encoder.plain_bytes();
        self.take_encoded()?;
        self.file
            .sync_all()
            .map_err(io_error("sync", &self.part.path))?;
        std::fs::rename(&self.part.path, &self.target).map_err(io_error("make", &self.target))?;
        self.part.is_left = false;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error("sync the folder", folder))?;
        Ok(WrittenFile {
            path: self.target.clone(),
            rows: self.rows,
            bytes: self.bytes,
            plain_bytes,
        })
    }

    /// The rows in the types of the file.
    fn as_stored(&self, rows: &RecordBatch) -> Result<RecordBatch, FileError> {
        let (given, schema) = (&self.given, rows.schema());
        let same = given.fields().len() == schema.fields().len()
            && given
                .fields()
                .iter()
                .zip(schema.fields())
                .all(|(one, other)| {
                    one.name() == other.name() && one.data_type() == other.data_type()
                });
        if !same {
            return Err(FileError::OtherColumns {
                path: self.target.clone(),
                before: columns_of(given),
                now: columns_of(&schema),
            });
        }
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns: Result<Vec<ArrayRef>, FileError> = columns
            .map(|(column, field)| self.cast(column, field.name(), field.data_type()))
            .collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns?)
            .map_err(|error| self.encode_error(error.into()))
    }

    fn cast(&self, column: &ArrayRef, name: &str, to: &DataType) -> Result<ArrayRef, FileError> {
        let from = column.data_type();
        if from == to {
            return Ok(Arc::clone(column));
        }
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let cast = |array: &ArrayRef, to: &DataType| {
            cast_with_options(array, to, &options).map_err(|error| self.encode_error(error.into()))
        };
        let stored = cast(column, to)?;
        if is_cut(from) && cast(&stored, from)?.to_data() != column.to_data() {
            return Err(FileError::Inexact {
                path: self.target.clone(),
                column: name.to_owned(),
                from: from.clone(),
                to: to.clone(),
            });
        }
        Ok(stored)
    }

    fn encoder(&mut self, first: &RecordBatch) -> Result<&mut dyn FileEncoder, FileError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => {
                let (group_rows, _) = self.encoding.group_limits();
                let begun = self.encoding.begin(&self.schema, first, group_rows);
                begun.map_err(|error| self.encode_error(error))?
            }
        };
        Ok(self.encoder.insert(encoder).as_mut())
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<(), FileError> {
        let target = self.target.clone();
        let failed = |source| FileError::Encode {
            path: target.clone(),
            source,
        };
        let (most_rows, most_bytes) = self.encoding.group_limits();
        let group_rows = self.group_rows + rows.num_rows();
        let encoder = self.encoder(rows)?;
        encoder.write(rows).map_err(failed)?;
        let is_full = group_rows >= most_rows || encoder.group_bytes() >= most_bytes;
        if is_full {
            encoder.end_group().map_err(failed)?;
        }
        self.group_rows = if is_full { 0 } else { group_rows };
        self.rows += rows.num_rows() as u64;
        if is_full { self.take_encoded() } else { Ok(()) }
    }

    fn take_encoded(&mut self) -> Result<(), FileError> {
        let encoded = self.encoder.as_mut().map(|encoder| encoder.take_encoded());
        let encoded = encoded.unwrap_or_else(|| Ok(Vec::new()));
        let encoded = encoded.map_err(|error| self.encode_error(error))?;
        self.bytes += encoded.len() as u64;
        self.file
            .write_all(&encoded)
            .map_err(io_error("write", &self.target))
    }

    fn encode_error(&self, source: DataFusionError) -> FileError {
        FileError::Encode {
            path: self.target.clone(),
            source,
        }
    }
}

fn columns_of(schema: &Schema) -> String {
    let fields = schema.fields().iter();
    let fields: Vec<String> = fields
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    fields.join(", ")
}

/// Whether the type of files for this one holds fewer of its values: times have microseconds there, and dates are days.
fn is_cut(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Date64 => true,
        DataType::Dictionary(_, values) => is_cut(values),
        DataType::RunEndEncoded(_, item)
        | DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => is_cut(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| is_cut(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn rows(from: i64, count: i64) -> RecordBatch {
        let numbers: Int64Array = (from..from + count).collect();
        let names: StringArray = (from..from + count)
            .map(|number| (number % 3 != 0).then(|| format!("n, \"{number}\"")))
            .collect();
        let numbers: ArrayRef = Arc::new(numbers);
        RecordBatch::try_from_iter([("n", numbers), ("name", Arc::new(names) as ArrayRef)]).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("rows.csv");
        std::fs::write(&target, "before").unwrap();
        let create = || {
            let columns = rows(0, 0).schema();
            FileWriter::create(&target, &columns, Format::Csv, Compression::None).unwrap()
        };
        let mut dropped = create();
        dropped.write(&rows(0, 10)).unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "before");
        assert_eq!(names(folder.path()), ["rows.csv"]);

        let mut writer = create();
        writer.write(&rows(0, 2)).unwrap();
        writer.write(&rows(2, 1)).unwrap();
        let before = std::fs::read_to_string(&target).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!(before, "before");
        let text = std::fs::read_to_string(&target).unwrap();
        assert_eq!(text, "n,name\n0,\n1,\"n, \"\"1\"\"\"\n2,\"n, \"\"2\"\"\"\n");
        assert_eq!((written.rows, written.bytes), (3, text.len() as u64));
        assert_eq!(written.plain_bytes, written.bytes);
        assert_eq!(names(folder.path()), ["rows.csv"]);
    }

    #[test]
    fn every_format_makes_a_file_of_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format) in Format::NAMES {
            let target = folder.path().join(name);
            let columns = rows(0, 0).schema();
            let compression = format.default_compression();
            let writer = FileWriter::create(&target, &columns, format, compression).unwrap();
            let written = writer.finish().unwrap();
            assert_eq!(written.rows, 0, "{name}");
            assert_eq!(written.bytes, std::fs::metadata(&target).unwrap().len());
            assert_eq!(written.bytes == 0, format == Format::Json, "{name}");
        }
    }

    #[test]
    fn what_a_file_cannot_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("t.jsonl");
        let times = |nanos: i64| -> RecordBatch {
            let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(nanos), None]));
            RecordBatch::try_from_iter([("at", times)]).unwrap()
        };
        let columns = times(0).schema();
        let create =
            |format, compression| FileWriter::create(&target, &columns, format, compression);
        let mut writer = create(Format::Json, Compression::None).unwrap();
        writer.write(&times(1_000_000)).unwrap();
        let error = writer.write(&times(1_000_001)).unwrap_err().to_string();
        assert!(
            error.contains("t.jsonl, column `at`: a value of type Timestamp(ns) is not the same as Timestamp(µs)"),
            "{error}"
        );
        let error = writer.write(&rows(0, 1)).unwrap_err().to_string();
        assert!(
            error.contains(
                "has rows of (at Timestamp(ns)), and was given some of (n Int64, name Utf8)"
            ),
            "{error}"
        );
        drop(writer);
        let error = create(Format::Json, Compression::Snappy).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("JSON files are compressed with gzip"),
            "{error}"
        );
        let error = FileWriter::create(folder.path(), &columns, Format::Json, Compression::None);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("cannot write a file at"), "{error}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}
