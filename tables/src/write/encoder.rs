//! One partition's rows into files: cuts chunks, row groups and files, and has them encoded. Owns everything that decides on
//! the bytes but the format; does not know where rows come from.
//!
//! With [`PartitionWriter::write`] the bytes depend on the rows and their order alone. The encoder of the `parquet` crate
//! looks at its page limits after every slice it is given, so it is given slices that are cut by row ordinals only, and
//! row groups and files are cut between them. [`PartitionWriter::append`] encodes rows as they come, which saves a copy.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, make_array};
use datafusion::arrow::compute::concat_batches;
use datafusion::error::{DataFusionError, Result};
use sha2::{Digest, Sha256};

use super::format::FileEncoder;
use super::names::Ordinals;
use super::{StagedFile, WriteSpec};
use crate::error::Error;
use crate::store::{StageTarget, StagedUpload, StoreError};

/// Rows that are encoded at once; a multiple of the encoder's own batches.
pub(super) const CHUNK_ROWS: usize = 8192;
/// What an open file holds beside its encoder's buffers, per column: schema, statistics, page index.
const OPEN_COLUMN_BYTES: usize = 1024;

/// The files of one partition, or of a range of one, one after the other.
pub(super) struct PartitionWriter {
    spec: Arc<WriteSpec>,
    ordinals: Arc<Ordinals>,
    partition: String,
    range: u32,
    /// Rows that wait to be a chunk, and their bytes.
    parts: VecDeque<(RecordBatch, usize)>,
    part_rows: usize,
    part_bytes: usize,
    /// Rows that the next file's row groups will have, about.
    expected_rows: usize,
    file: Option<OpenFile>,
    finished: Vec<StagedFile>,
}

struct OpenFile {
    encoder: Box<dyn FileEncoder>,
    upload: Box<dyn StagedUpload>,
    hash: Sha256,
    bytes: u64,
    rows: u64,
    group_rows: usize,
    ordinal: u32,
    name: String,
    staged: String,
}

impl PartitionWriter {
    pub(super) fn new(spec: &Arc<WriteSpec>, ordinals: &Arc<Ordinals>, partition: String) -> Self {
        Self::of_range(spec, ordinals, partition, 0)
    }

    /// For one of the ranges that the partition is split into.
    pub(super) fn of_range(
        spec: &Arc<WriteSpec>,
        ordinals: &Arc<Ordinals>,
        partition: String,
        range: u32,
    ) -> Self {
        Self {
            spec: Arc::clone(spec),
            ordinals: Arc::clone(ordinals),
            partition,
            range,
            parts: VecDeque::new(),
            part_rows: 0,
            part_bytes: 0,
            expected_rows: spec.limits.row_group_rows,
            file: None,
            finished: Vec::new(),
        }
    }

    pub(super) fn is_of(&self, partition: &str, range: u32) -> bool {
        self.partition == partition && self.range == range
    }

    /// Tells how many rows a row group will have, if not as many as the table's options allow.
    pub(super) fn expect_rows(&mut self, rows: usize) {
        self.expected_rows = rows.min(self.spec.limits.row_group_rows);
    }

    /// Takes rows of the file's schema, in order.
    pub(super) async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let bytes = bytes_of(&rows);
        self.part_rows += rows.num_rows();
        self.part_bytes += bytes;
        self.parts.push_back((rows, bytes));
        while self.part_rows >= self.next_chunk_rows() {
            let chunk = self.take_chunk(self.next_chunk_rows())?;
            self.encode(&chunk).await?;
        }
        Ok(())
    }

    /// Encodes rows of the file's schema at once. The bytes then depend on how the rows were cut.
    pub(super) async fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut at = 0;
        while at < rows.num_rows() {
            let length = self.next_chunk_rows().min(rows.num_rows() - at);
            self.encode(&rows.slice(at, length)).await?;
            at += length;
        }
        Ok(())
    }

    /// Gives memory back by ending the row group early.
    pub(super) async fn end_row_group(&mut self) -> Result<()> {
        match &mut self.file {
            Some(file) => file.end_row_group().await,
            None => Ok(()),
        }
    }

    /// Encodes what is left and ends the last file.
    pub(super) async fn close(&mut self) -> Result<Vec<StagedFile>> {
        if self.part_rows > 0 {
            let chunk = self.take_chunk(self.part_rows)?;
            self.encode(&chunk).await?;
        }
        self.end_file().await?;
        Ok(std::mem::take(&mut self.finished))
    }

    /// Bytes held now: waiting rows, the encoder's buffers, an allowance for the open file.
    pub(super) fn memory(&self) -> usize {
        let columns = self.spec.file_schema.fields().len();
        self.part_bytes
            + self.encoding()
            + self
                .file
                .as_ref()
                .map_or(0, |_| OPEN_COLUMN_BYTES * (1 + columns))
    }

    /// Bytes of the row group being encoded: what [`Self::end_row_group`] gives back.
    pub(super) fn encoding(&self) -> usize {
        match &self.file {
            Some(file) if file.group_rows > 0 => file.encoder.memory(),
            _ => 0,
        }
    }

    fn next_chunk_rows(&self) -> usize {
        let in_group = self.file.as_ref().map_or(0, |file| file.group_rows);
        CHUNK_ROWS.min(self.spec.limits.row_group_rows - in_group)
    }

    /// The first `rows` waiting rows as one batch.
    fn take_chunk(&mut self, rows: usize) -> Result<RecordBatch> {
        let mut taken = Vec::new();
        let mut missing = rows;
        while missing > 0
            && let Some((first, bytes)) = self.parts.pop_front()
        {
            self.part_bytes -= bytes;
            if first.num_rows() > missing {
                let rest = first.slice(missing, first.num_rows() - missing);
                let bytes = bytes / first.num_rows() * rest.num_rows();
                self.part_bytes += bytes;
                self.parts.push_front((rest, bytes));
                taken.push(first.slice(0, missing));
                missing = 0;
            } else {
                missing -= first.num_rows();
                taken.push(first);
            }
        }
        self.part_rows -= rows;
        let chunk = match taken.as_slice() {
            [one] => one.clone(),
            several => concat_batches(&self.spec.file_schema, several)?,
        };
        plain_nulls(&chunk)
    }

    async fn encode(&mut self, chunk: &RecordBatch) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let schema = &self.spec.file_schema;
                let encoder = self
                    .spec
                    .encoding
                    .begin(schema, chunk, self.expected_rows)?;
                let place = (self.partition.as_str(), self.range);
                let file = OpenFile::create(&self.spec, place, &self.ordinals, encoder).await?;
                none.insert(file)
            }
        };
        file.encoder.write(chunk)?;
        file.rows += chunk.num_rows() as u64;
        file.group_rows += chunk.num_rows();
        let limits = &self.spec.limits;
        if file.group_rows >= limits.row_group_rows
            || file.encoder.group_bytes() >= limits.row_group_bytes
        {
            file.end_row_group().await?;
        }
        if file.encoder.file_bytes() as u64 >= limits.target_file_bytes {
            self.end_file().await?;
        }
        Ok(())
    }

    async fn end_file(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            self.finished.push(file.finish(&self.partition).await?);
        }
        Ok(())
    }
}

impl OpenFile {
    async fn create(
        spec: &WriteSpec,
        (partition, range): (&str, u32),
        ordinals: &Ordinals,
        encoder: Box<dyn FileEncoder>,
    ) -> Result<Self> {
        let ordinal = ordinals.next(partition, range);
        let name = spec.file_name(partition, (range, ordinal), ordinals.suffix());
        let published = if partition.is_empty() {
            name.clone()
        } else {
            format!("{partition}/{name}")
        };
        let target = StageTarget {
            staged: format!("{}/{published}", spec.folder),
            published,
            readable: spec.readable,
            expected_bytes: spec.limits.target_file_bytes,
        };
        let store = spec.store.open()?;
        let upload = store.stage(&target).await.map_err(external)?;
        Ok(Self {
            encoder,
            upload,
            hash: Sha256::new(),
            bytes: 0,
            rows: 0,
            group_rows: 0,
            ordinal,
            name,
            staged: target.staged,
        })
    }

    async fn end_row_group(&mut self) -> Result<()> {
        self.encoder.end_group()?;
        self.group_rows = 0;
        let encoded = self.take_encoded()?;
        self.upload.write(encoded).await.map_err(external)
    }

    async fn finish(mut self, partition: &str) -> Result<StagedFile> {
        self.encoder.finish()?;
        let rest = self.take_encoded()?;
        let upload = self.upload.finish(rest).await.map_err(external)?;
        Ok(StagedFile {
            partition: partition.to_owned(),
            name: self.name,
            staged: self.staged,
            upload,
            // The operator's to say.
            ordinal: self.ordinal,
            rows: self.rows,
            bytes: self.bytes,
            plain_bytes: self.encoder.plain_bytes(),
            sha256: hex::encode(self.hash.finalize()),
            repeated_keys: None,
        })
    }

    /// The encoded bytes since the last call, hashed on their way to the storage.
    fn take_encoded(&mut self) -> Result<Bytes> {
        let encoded = self.encoder.take_encoded()?;
        self.hash.update(&encoded);
        self.bytes += encoded.len() as u64;
        Ok(encoded.into())
    }
}

fn external(error: StoreError) -> DataFusionError {
    Error::Store(error).into()
}

/// The encoder cuts pages differently for "no NULL bitmap" and "a bitmap without a NULL", and which of the two a chunk
/// has depends on what it was cut from. A bitmap without a NULL is dropped.
fn plain_nulls(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns: Result<Vec<ArrayRef>> = batch
        .columns()
        .iter()
        .map(|column| {
            if column.data_type().is_nested()
                || (column.nulls().is_some() && column.null_count() == 0)
            {
                Ok(make_array(without_empty_nulls(column.to_data())?))
            } else {
                Ok(Arc::clone(column))
            }
        })
        .collect();
    Ok(RecordBatch::try_new(batch.schema(), columns?)?)
}

fn without_empty_nulls(data: ArrayData) -> Result<ArrayData> {
    let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    let children: Result<Vec<ArrayData>> = data
        .child_data()
        .iter()
        .cloned()
        .map(without_empty_nulls)
        .collect();
    Ok(data
        .into_builder()
        .nulls(nulls)
        .child_data(children?)
        .build()?)
}

/// The bytes of these rows. Batches are often slices of a larger one; counting all of that for each of them would give
/// memory back that is not held.
pub(super) fn bytes_of(rows: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| {
        array
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| array.get_array_memory_size())
    };
    rows.columns().iter().map(column).sum()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::buffer::NullBuffer;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::options::TableOptions;
    use crate::schema::TableSchema;
    use crate::store::{LocalStore, Store};

    async fn digest(rows: RecordBatch) -> String {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(&folder.path().join("t")).unwrap());
        let (schema, _) = TableSchema::normalize(&rows.schema(), &[]);
        let spec = WriteSpec::new(store, "token", &schema, &TableOptions::default());
        let (spec, ordinals) = (Arc::new(spec), Arc::new(Ordinals::default()));
        let mut writer = PartitionWriter::new(&spec, &ordinals, String::new());
        writer.write(rows).await.unwrap();
        writer.close().await.unwrap().remove(0).sha256
    }

    #[tokio::test]
    async fn a_bitmap_without_a_null_gives_the_bytes_of_no_bitmap() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        // More rows than a page takes, so that a page is cut.
        let plain: Int64Array = (0..60_000).collect();
        let (_, values, _) = plain.clone().into_parts();
        let with_bitmap = Int64Array::new(values, Some(NullBuffer::new_valid(60_000)));
        assert!(with_bitmap.nulls().is_some());
        let batch = |array: Int64Array| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array)]).unwrap()
        };
        assert_eq!(digest(batch(with_bitmap)).await, digest(batch(plain)).await);
    }
}
