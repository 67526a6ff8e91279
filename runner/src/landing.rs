//! Landing: extracted records as Parquet chunks under the run's work folder, each entered in the ledger.
//!
//! Owns the chunk files, their order of durability (file, then ledger) and what a later attempt finds again. Does not
//! decide what is extracted, and never touches a published table.
//!
//! A chunk is written to a temporary name, synced, renamed, and only then entered: the ledger never names a file that is
//! not whole. A file that the ledger does not name is a leftover of a killed attempt and is removed before the next one
//! begins. The keys of the chunk's units, those without a record included, stand in the file's own metadata.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use connectors::extract::Unit;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use engine::private::{create_file, make_folder};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::context::RunContext;
use super::error::LandingError;
use super::memory::MemoryGate;
use crate::store::{Chunk, RunAttempt, RunStore, read_ledger};

/// The metadata key under which a chunk lists the keys of its units.
const UNITS: &str = "spillway.units";

/// Records encoded at once; bounds the size of an Arrow text column.
const BATCH: usize = 512;

/// A chunk is closed early when its records hold so many bytes, whatever their number.
const CHUNK_BYTES: usize = 24 << 20;

/// Where and how the records of one source land.
#[derive(Debug)]
pub struct Landing {
    source: String,
    schema: SchemaRef,
    work_dir: PathBuf,
    attempt: RunAttempt,
    store: Arc<dyn RunStore>,
    gate: Arc<MemoryGate>,
    chunk_items: usize,
    concurrent: usize,
    next: u64,
    buffer: Vec<Unit>,
    buffered_bytes: usize,
    writing: VecDeque<JoinHandle<Result<(Chunk, u64), LandingError>>>,
    totals: Landed,
}

/// What has landed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Landed {
    /// Chunks.
    pub chunks: u64,
    /// Units.
    pub units: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// The folder, within a run's work folder, in which the records of `source` land.
pub fn folder(work_dir: &Path, source: &str) -> PathBuf {
    work_dir.join("landing").join(source)
}

/// The files in which the records of `source` landed, in their order.
///
/// # Errors
/// [`LandingError::Io`] when the folder cannot be read. There is none before the first record.
pub fn chunks(work_dir: &Path, source: &str) -> Result<Vec<PathBuf>, LandingError> {
    let path = folder(work_dir, source);
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(LandingError::io("list", &path))?,
    };
    let mut chunks = Vec::new();
    for entry in entries {
        chunks.push(entry.map_err(LandingError::io("list", &path))?.path());
    }
    chunks.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "parquet")
    });
    chunks.sort();
    Ok(chunks)
}

impl Landing {
    /// Opens the landing of `source`, whose records have these columns, and returns it with the keys of the units that
    /// earlier attempts landed.
    ///
    /// # Errors
    /// [`LandingError::Damaged`] when a chunk of the ledger is missing or altered.
    pub async fn open(
        run: &RunContext,
        source: &str,
        schema: SchemaRef,
        gate: Arc<MemoryGate>,
    ) -> Result<(Self, HashSet<String>), LandingError> {
        let RunContext {
            work_dir,
            attempt,
            store,
            settings,
            ..
        } = run;
        let folder = folder(work_dir, source);
        make_folder(&folder).map_err(LandingError::io("make the folder", &folder))?;
        let chunks: Vec<Chunk> = read_ledger(store.as_ref(), attempt.run, source)
            .try_collect()
            .await?;
        let mut totals = Landed::default();
        let mut units = HashSet::new();
        for chunk in &chunks {
            units.extend(units_of(&work_dir.join(&chunk.path), chunk)?);
            totals.add(chunk);
        }
        remove_leftovers(&folder, work_dir, &chunks)?;
        let landing = Self {
            source: String::from(source),
            schema,
            work_dir: work_dir.clone(),
            attempt: *attempt,
            store: Arc::clone(store),
            gate,
            chunk_items: settings.extract_chunk_size.value,
            concurrent: settings.max_concurrent_chunks.value.max(1),
            next: chunks.last().map_or(0, |chunk| chunk.sequence + 1),
            buffer: Vec::new(),
            buffered_bytes: 0,
            writing: VecDeque::new(),
            totals,
        };
        Ok((landing, units))
    }

    /// Takes a unit; writes a chunk when enough are gathered. Waits while as many chunks as may be are being written.
    ///
    /// # Errors
    /// As the writing of a chunk; nothing that was entered in the ledger is lost.
    pub async fn add(&mut self, unit: Unit) -> Result<(), LandingError> {
        self.gate.buffered(unit.rows() as u64);
        self.buffered_bytes += unit.bytes;
        self.buffer.push(unit);
        if self.buffer.len() >= self.chunk_items || self.buffered_bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Hands what is gathered to a writer.
    ///
    /// # Errors
    /// As [`Landing::add`].
    pub async fn flush(&mut self) -> Result<(), LandingError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        while self.writing.len() >= self.concurrent {
            self.settle_oldest().await?;
        }
        let units = std::mem::take(&mut self.buffer);
        self.buffered_bytes = 0;
        let path = format!("landing/{}/chunk-{:06}.parquet", self.source, self.next);
        let (work_dir, source, sequence) = (self.work_dir.clone(), self.source.clone(), self.next);
        let schema = Arc::clone(&self.schema);
        self.next += 1;
        self.writing.push_back(tokio::task::spawn_blocking(move || {
            let records = units.iter().map(|unit| unit.rows() as u64).sum();
            Ok((
                write_chunk(&work_dir, path, source, sequence, &schema, &units)?,
                records,
            ))
        }));
        Ok(())
    }

    /// Writes out all that is gathered, waits for it, and tells what has landed in all attempts together.
    ///
    /// # Errors
    /// As [`Landing::add`].
    pub async fn finish(&mut self) -> Result<Landed, LandingError> {
        self.flush().await?;
        while !self.writing.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(self.totals)
    }

    /// What is entered in the ledger so far.
    pub fn totals(&self) -> Landed {
        self.totals
    }

    /// The oldest chunk under way, once it is whole; never when none is under way. May be dropped while it waits; what it
    /// gives goes to [`Landing::enter`].
    ///
    /// # Errors
    /// As [`Landing::add`].
    pub async fn whole(&mut self) -> Result<(Chunk, u64), LandingError> {
        let Some(writing) = self.writing.front_mut() else {
            return std::future::pending().await;
        };
        let written = writing.await;
        self.writing.pop_front();
        written?
    }

    /// Enters a whole chunk in the ledger.
    ///
    /// # Errors
    /// As [`Landing::add`].
    pub async fn enter(&mut self, (chunk, records): (Chunk, u64)) -> Result<(), LandingError> {
        self.store
            .append_chunks(self.attempt, std::slice::from_ref(&chunk))
            .await?;
        self.gate.written(records);
        self.totals.add(&chunk);
        Ok(())
    }

    /// Waits for the oldest chunk under way and enters it: entries keep their order whichever is written first.
    async fn settle_oldest(&mut self) -> Result<(), LandingError> {
        let Some(writing) = self.writing.pop_front() else {
            return Ok(());
        };
        let written = writing.await??;
        self.enter(written).await
    }
}

impl Landed {
    fn add(&mut self, chunk: &Chunk) {
        self.chunks += 1;
        self.units += chunk.units;
        self.rows += chunk.rows;
        self.bytes += chunk.bytes;
    }
}

fn write_chunk(
    work_dir: &Path,
    path: String,
    source: String,
    sequence: u64,
    schema: &SchemaRef,
    units: &[Unit],
) -> Result<Chunk, LandingError> {
    let target = work_dir.join(&path);
    let temporary = target.with_extension("parquet.tmp");
    let encode = |source| LandingError::Encode {
        path: target.clone(),
        source,
    };
    let keys: Vec<&str> = units.iter().map(|unit| unit.key.as_str()).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(encode)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            String::from(UNITS),
            serde_json::Value::from(keys).to_string(),
        )]))
        .build();
    let file = create_file(&temporary).map_err(LandingError::io("create", &temporary))?;
    let sink = Hashing {
        inner: BufWriter::new(file),
        digest: Sha256::new(),
        bytes: 0,
    };
    let mut writer =
        ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).map_err(encode)?;
    let mut rows = 0;
    for slices in batches(units) {
        let columns = join(&slices, schema).map_err(|source| LandingError::Columns {
            path: target.clone(),
            source,
        })?;
        rows += columns.num_rows() as u64;
        writer.write(&columns).map_err(encode)?;
    }
    let sink = writer.into_inner().map_err(encode)?;
    let (digest, bytes) = (hex::encode(sink.digest.finalize()), sink.bytes);
    let file = sink
        .inner
        .into_inner()
        .map_err(|error| LandingError::io("write", &temporary)(error.into_error()))?;
    file.sync_all()
        .map_err(LandingError::io("sync", &temporary))?;
    std::fs::rename(&temporary, &target).map_err(LandingError::io("rename", &temporary))?;
    if let Some(folder) = target.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(LandingError::io("sync the folder of", &target))?;
    }
    Ok(Chunk {
        source,
        sequence,
        path,
        rows,
        units: units.len() as u64,
        bytes,
        digest,
        cursor: units.last().map(|unit| unit.key.clone()),
        landed_at: Utc::now(),
    })
}

/// The records of all units, [`BATCH`] at a time: what is written at once decides the pages of the file, so it must not
/// depend on how many records a unit has.
fn batches(units: &[Unit]) -> Vec<Vec<RecordBatch>> {
    let mut batches = vec![Vec::new()];
    let mut room = BATCH;
    for records in units.iter().flat_map(|unit| &unit.records) {
        let mut done = 0;
        while done < records.num_rows() {
            if room == 0 {
                batches.push(Vec::new());
                room = BATCH;
            }
            let rows = room.min(records.num_rows() - done);
            if let Some(last) = batches.last_mut() {
                last.push(records.slice(done, rows));
            }
            (done, room) = (done + rows, room - rows);
        }
    }
    batches.retain(|slices| !slices.is_empty());
    batches
}

/// Slices as one batch of the schema.
fn join(slices: &[RecordBatch], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |(index, field): (usize, &Arc<Field>)| {
        let parts: Vec<&dyn Array> = slices
            .iter()
            .map(|slice| slice.column(index).as_ref())
            .collect();
        let whole = concat(&parts)?;
        text_fits(&whole)?;
        cast(&whole, field.data_type())
    };
    let columns: Result<Vec<ArrayRef>, ArrowError> =
        schema.fields().iter().enumerate().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

/// Views may show one text many times, a column of text holds it as often: at most 2 GiB.
fn text_fits(column: &ArrayRef) -> Result<(), ArrowError> {
    if *column.data_type() != DataType::Utf8View {
        return Ok(());
    }
    let texts = column.as_string_view().iter().flatten();
    let bytes: usize = texts.map(str::len).sum();
    if bytes > i32::MAX as usize {
        return Err(ArrowError::OffsetOverflowError(bytes));
    }
    Ok(())
}

/// The unit keys of a chunk that an earlier attempt landed, after making sure that it is what the ledger says.
fn units_of(path: &Path, chunk: &Chunk) -> Result<Vec<String>, LandingError> {
    let damaged = |problem| LandingError::Damaged {
        path: path.to_path_buf(),
        problem,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("missing")),
        Err(error) => return Err(LandingError::io("open", path)(error)),
    };
    let mut hashing = Hashing {
        inner: io::sink(),
        digest: Sha256::new(),
        bytes: 0,
    };
    io::copy(&mut file, &mut hashing).map_err(LandingError::io("read", path))?;
    if hashing.bytes != chunk.bytes || hex::encode(hashing.digest.finalize()) != chunk.digest {
        return Err(damaged("not the one in the ledger"));
    }
    let reader = SerializedFileReader::new(file).map_err(|_| damaged("not a Parquet file"))?;
    let metadata = reader.metadata().file_metadata();
    metadata
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == UNITS))
        .and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok())
        .ok_or_else(|| damaged("without its list of units"))
}

fn remove_leftovers(folder: &Path, work_dir: &Path, chunks: &[Chunk]) -> Result<(), LandingError> {
    let known: HashSet<PathBuf> = chunks
        .iter()
        .map(|chunk| work_dir.join(&chunk.path))
        .collect();
    for entry in std::fs::read_dir(folder).map_err(LandingError::io("list", folder))? {
        let path = entry.map_err(LandingError::io("list", folder))?.path();
        if !known.contains(&path) {
            std::fs::remove_file(&path).map_err(LandingError::io("remove the leftover", &path))?;
        }
    }
    Ok(())
}

/// Counts and digests what passes through.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.digest.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn a_chunk_is_the_same_file_however_its_records_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("landing")).unwrap();
        let schema = |text| Arc::new(Schema::new(vec![Field::new("text", text, true)]));
        let digest = |rows: usize, text: DataType| {
            let batch = |first: usize| {
                let rows = first..(first + rows).min(2_000);
                let texts =
                    rows.map(|row| (row % 7 > 0).then(|| format!("a record, number {row}")));
                let column = cast(&texts.collect::<StringArray>(), &text).unwrap();
                RecordBatch::try_new(schema(text.clone()), vec![column]).unwrap()
            };
            let unit = Unit {
                key: String::from("all"),
                records: (0..2_000).step_by(rows).map(batch).collect(),
                bytes: 0,
                quarantined: Vec::new(),
            };
            let path = String::from("landing/chunk.parquet");
            let source = String::from("crawl");
            let landed = schema(DataType::Utf8);
            let chunk = write_chunk(folder.path(), path, source, 0, &landed, &[unit]).unwrap();
            assert_eq!(chunk.rows, 2_000);
            chunk.digest
        };
        let whole = digest(BATCH, DataType::Utf8);
        for rows in [1, 7, 513, 2_000] {
            assert_eq!(digest(rows, DataType::Utf8View), whole, "{rows} rows");
        }
    }
}
