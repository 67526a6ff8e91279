//! From files to the streams that decode them. Owns that a file is taken apart once, in order, whoever decodes its parts, and
//! that no more parts wait than there are streams.
//!
//! ```text
//! files ─► readers: open, decompress, cut into whole records ─► queue ─► streams: decode
//!          (threads that may wait, a file each)                  bounded   (as many as the plan has partitions)
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::object_store::ObjectStore;
use flume::{Receiver, Sender};

use super::ahead::Ahead;
use super::avro::block::Block as AvroBlock;
use super::avro::container::AvroFile;
use super::bytes::Text;
use super::error::ReadError;
use super::format::{Bytes, Format, LONGEST_RECORD};
use super::guard::{GaveUp, guarded};
use super::listing::{File, Place};
use super::open::{Block, OpenFile, Shape, Written, bytes_of};
use super::rows::RowsFile;
use super::salvage::lenient;
use super::slice::SlicedFile;
use super::stores::Stores;

/// A record may have this share of the memory that queries have.
const RECORD_SHARE: usize = 8;
/// What a record may have at least.
const LEAST_RECORD: usize = 1 << 20;

/// The parts of files, for all streams that decode them.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pieces: Receiver<Result<Piece<Vec<u8>>, ReadError>>,
    /// Whether records with bytes that are no UTF-8 are told from the others, and not an error.
    is_lenient: bool,
    /// For the parts that are under way.
    _reservation: Arc<MemoryReservation>,
}

/// A part of a file on its way to who decodes it.
#[derive(Debug)]
pub(crate) enum Piece<T> {
    /// Records.
    Text(Block<T>),
    /// A block of Avro.
    Avro(Arc<Shape>, AvroBlock),
    /// Rows, as the file has them.
    Rows(Arc<Shape>, RecordBatch),
}

/// What readers work on.
struct Work {
    files: Mutex<VecDeque<File>>,
    stores: Stores,
    /// The stores for large files, whose bytes come by several requests.
    ahead: Option<(Ahead, Stores)>,
    format: Format,
    bytes: Bytes,
    most: usize,
}

/// How long a record may be in this memory.
pub fn longest_record(pool: &dyn MemoryPool) -> usize {
    let share = match pool.memory_limit() {
        MemoryLimit::Finite(limit) => limit / RECORD_SHARE,
        _ => LONGEST_RECORD,
    };
    share.clamp(LEAST_RECORD, LONGEST_RECORD)
}

impl Feed {
    /// Begins to read files for so many streams. Must be called within a runtime.
    ///
    /// # Errors
    /// When the memory for the parts under way, or a store, cannot be had.
    pub(crate) fn start(
        files: Vec<File>,
        format: Format,
        bytes: Bytes,
        streams: usize,
        context: &TaskContext,
    ) -> datafusion::error::Result<Self> {
        let readers = streams.min(files.len()).max(1);
        let reservation = MemoryConsumer::new("FileScan").register(context.memory_pool());
        reservation.try_grow((2 * readers + streams) * bytes.part_bytes)?;
        let ahead = Ahead::of(readers);
        let is_far = |file: &File| matches!(file.place, Place::Stored { .. });
        // Without the memory for it, files come by one request each.
        let ahead = (files.iter().any(|file| is_far(file) && ahead.is_for(file))
            && reservation.try_grow(readers * ahead.memory()).is_ok())
        .then_some(ahead);
        let (sender, pieces) = flume::bounded(streams);
        let registry = &context.runtime_env().object_store_registry;
        let stores = Stores::of(&files, registry.as_ref())?;
        let work = Arc::new(Work {
            ahead: ahead.map(|ahead| (ahead, stores.ahead(ahead))),
            stores,
            files: Mutex::new(files.into()),
            format,
            bytes,
            most: longest_record(context.memory_pool().as_ref()),
        });
        for _ in 0..readers {
            let (work, sender) = (Arc::clone(&work), sender.clone());
            // Ends when the plan and its streams are gone: then nobody takes a part.
            tokio::task::spawn_blocking(move || work.read(&sender));
        }
        Ok(Self {
            pieces,
            is_lenient: false,
            _reservation: Arc::new(reservation),
        })
    }

    /// Tells records with bytes that are no UTF-8 from the others.
    #[must_use]
    pub(crate) fn lenient(mut self, is_lenient: bool) -> Self {
        self.is_lenient = is_lenient;
        self
    }

    /// The next part of any file; `None` when all are read.
    ///
    /// # Errors
    /// What a reader met.
    pub(crate) async fn next(&self) -> Result<Option<Piece<String>>, ReadError> {
        // Looked at by who decodes it, so that all of them do: there may be one reader.
        Ok(match self.pieces.recv_async().await.ok().transpose()? {
            None => None,
            Some(Piece::Text(block)) => Some(Piece::Text(match self.is_lenient {
                true => lenient(block)?,
                false => block.checked()?,
            })),
            Some(Piece::Avro(shape, block)) => {
                let block = block.unpacked(&shape.file.name)?;
                Some(Piece::Avro(shape, block))
            }
            Some(Piece::Rows(shape, rows)) => Some(Piece::Rows(shape, rows)),
        })
    }
}

impl Work {
    fn read(&self, sender: &Sender<Result<Piece<Vec<u8>>, ReadError>>) {
        while let Some(file) = self.next() {
            let read = || self.read_file(&file, sender);
            let outcome =
                guarded(read).unwrap_or_else(|GaveUp| Err(ReadError::gave_up(&file.name)));
            if let Err(error) = outcome {
                self.lock().clear();
                drop(sender.send(Err(error)));
                return;
            }
        }
    }

    fn read_file(
        &self,
        file: &File,
        sender: &Sender<Result<Piece<Vec<u8>>, ReadError>>,
    ) -> Result<(), ReadError> {
        let store = match &self.ahead {
            Some((ahead, stores)) if ahead.is_for(file) => stores.get(file),
            _ => self.stores.get(file),
        };
        if self.format == Format::Avro {
            return self.read_blocks(file, store, sender);
        }
        if self.format.is_of_rows() {
            return self.read_rows(file, store, sender);
        }
        let open = OpenFile::open(file, store, &self.format, &self.bytes, self.most)?;
        let reopen = |from| Ok(Text::plain(bytes_of(file, store, from)?));
        let mut open = SlicedFile::new(open, reopen)?;
        while let Some(block) = open.next_block()? {
            if sender.send(Ok(Piece::Text(block))).is_err() {
                self.lock().clear();
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_rows(
        &self,
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        sender: &Sender<Result<Piece<Vec<u8>>, ReadError>>,
    ) -> Result<(), ReadError> {
        let mut open = RowsFile::open(file, store, &self.format, &self.bytes, self.most)?;
        let shape = Arc::new(Shape {
            file: file.clone(),
            records: Written::Rows,
            lines_from: 0,
        });
        while let Some(rows) = open.next_rows()? {
            if sender
                .send(Ok(Piece::Rows(Arc::clone(&shape), rows)))
                .is_err()
            {
                self.lock().clear();
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_blocks(
        &self,
        file: &File,
        store: Option<&Arc<dyn ObjectStore>>,
        sender: &Sender<Result<Piece<Vec<u8>>, ReadError>>,
    ) -> Result<(), ReadError> {
        let mut open = AvroFile::open(file, store, &self.bytes, self.most)?;
        let shape = Arc::new(Shape {
            file: file.clone(),
            records: Written::Avro(Arc::clone(open.schema())),
            lines_from: 0,
        });
        while let Some(block) = open.next_block()? {
            let piece = Piece::Avro(Arc::clone(&shape), block);
            if sender.send(Ok(piece)).is_err() {
                self.lock().clear();
                return Ok(());
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<File> {
        self.lock().pop_front()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
