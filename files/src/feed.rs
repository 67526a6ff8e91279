//! From files to the streams that decode them. Owns that a file is taken apart once, in order, whoever decodes its parts, and
//! that no more parts wait than there are streams.
//!
//! ```text
//! files ─► readers: open, decompress, cut into whole records ─► queue ─► streams: decode
//!          (threads that may wait, a file each)                  bounded   (as many as the plan has partitions)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::object_store::ObjectStore;
use flume::{Receiver, Sender};

use super::arrow::open_rows;
use super::error::ReadError;
use super::format::{Bytes, Format};
use super::guard::{GaveUp, guarded};
use super::listing::{File, Place};
use super::open::{Block, Content, OpenFile, Shape, Written};
use super::split::Part;

/// A record may have this share of the memory that queries have.
const RECORD_SHARE: usize = 8;
/// What a record may have at least and at most.
const RECORD_BYTES: (usize, usize) = (1 << 20, 1 << 30);

/// The parts of files, for all streams that decode them.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    blocks: Receiver<Result<Block, ReadError>>,
    /// For the parts that are under way.
    _reservation: Arc<MemoryReservation>,
}

/// What readers work on.
struct Work {
    files: Mutex<VecDeque<File>>,
    stores: BTreeMap<String, Arc<dyn ObjectStore>>,
    format: Format,
    bytes: Bytes,
    most: usize,
}

/// How long a record may be.
pub(crate) fn most_bytes(context: &TaskContext) -> usize {
    let share = match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(limit) => limit / RECORD_SHARE,
        _ => RECORD_BYTES.1,
    };
    share.clamp(RECORD_BYTES.0, RECORD_BYTES.1)
}

/// The stores of files.
///
/// # Errors
/// When one is not known to the session.
pub(crate) fn stores_of(
    files: &[File],
    context: &TaskContext,
) -> datafusion::error::Result<BTreeMap<String, Arc<dyn ObjectStore>>> {
    let mut stores = BTreeMap::new();
    for file in files {
        if let Place::Stored { store, .. } = &file.place
            && !stores.contains_key(store)
        {
            let url = url::Url::parse(store)
                .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
            let found = context
                .runtime_env()
                .object_store_registry
                .get_store(&url)?;
            stores.insert(store.clone(), found);
        }
    }
    Ok(stores)
}

/// The error of a file whose reader gave up.
pub(crate) fn gave_up(file: &File) -> ReadError {
    ReadError::of_file(
        &file.name,
        "its reader gave up: the file is damaged, or of a kind that is not known",
    )
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
        let (sender, blocks) = flume::bounded(streams);
        let work = Arc::new(Work {
            stores: stores_of(&files, context)?,
            files: Mutex::new(files.into()),
            format,
            bytes,
            most: most_bytes(context),
        });
        for _ in 0..readers {
            let (work, sender) = (Arc::clone(&work), sender.clone());
            // Ends when all streams are gone: then nobody takes a part.
            tokio::task::spawn_blocking(move || work.read(&sender));
        }
        Ok(Self {
            blocks,
            _reservation: Arc::new(reservation),
        })
    }

    /// The next part of any file; `None` when all are read.
    ///
    /// # Errors
    /// What a reader met.
    pub(crate) async fn next(&self) -> Option<Result<Block, ReadError>> {
        self.blocks.recv_async().await.ok()
    }
}

impl Work {
    fn read(&self, sender: &Sender<Result<Block, ReadError>>) {
        while let Some(file) = self.next() {
            let read = || self.read_file(&file, sender);
            let outcome = guarded(read).unwrap_or_else(|GaveUp| Err(gave_up(&file)));
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
        sender: &Sender<Result<Block, ReadError>>,
    ) -> Result<(), ReadError> {
        let store = match &file.place {
            Place::Stored { store, .. } => self.stores.get(store),
            Place::Local(_) => None,
        };
        if self.format == Format::Arrow {
            return self.read_rows(file, store, sender);
        }
        let mut open = OpenFile::open(file, store, &self.format, &self.bytes, self.most)?;
        while let Some(block) = open.next_block()? {
            if sender.send(Ok(block)).is_err() {
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
        sender: &Sender<Result<Block, ReadError>>,
    ) -> Result<(), ReadError> {
        let mut open = open_rows(file, store, &self.bytes, self.most)?;
        let shape = Arc::new(Shape {
            file: file.clone(),
            records: Written::Rows,
        });
        let (mut line, part) = (
            0,
            Part {
                first: false,
                last: false,
            },
        );
        while let Some(rows) = open.next_rows()? {
            let count = rows.num_rows() as u64;
            let block = Block {
                shape: Arc::clone(&shape),
                content: Content::Rows(rows),
                line,
                part,
            };
            line += count;
            if sender.send(Ok(block)).is_err() {
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
