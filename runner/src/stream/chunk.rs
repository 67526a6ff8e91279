//! What goes through a stream: rows, with where they come from. Owns how a chunk is known, and how several are made of one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;

/// What is said of a chunk beside its rows. A source says under `source` where it is from; stages may say more.
pub type Metadata = BTreeMap<String, String>;

/// Some rows of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Unique in the stream: the number of the source's chunk, and behind a point those of the pieces that stages made of it,
    /// as `17`, `17.0`, `17.1`.
    pub id: String,
    /// Which of the source's chunks it is, or is a piece of, from 0.
    pub sequence: u64,
    /// Whether no other comes behind it, here. What enters a stage, and what enters the sink, has the mark once.
    pub is_last: bool,
    /// What else is known of it.
    pub metadata: Metadata,
    /// When the source gave it.
    pub created_at: DateTime<Utc>,
    /// The rows.
    pub batch: RecordBatch,
}

impl Chunk {
    /// The chunk of a source that is the `sequence`th. Streams make their own; this one is to try a stage with.
    pub fn new(sequence: u64, batch: RecordBatch) -> Self {
        Self {
            id: sequence.to_string(),
            sequence,
            is_last: false,
            metadata: Metadata::new(),
            created_at: Utc::now(),
            batch,
        }
    }

    /// The same chunk with other rows.
    #[must_use]
    pub fn with(self, batch: RecordBatch) -> Self {
        Self { batch, ..self }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}

/// What a stage may give for a chunk: one, one or none (`Option`), any number (`Vec`). Each is made of the chunk that came, as
/// with [`Chunk::with`]; what tells chunks apart, [`Chunk::id`] and [`Chunk::sequence`], is set by the stream.
pub trait IntoChunks: Send {
    /// Those, in their order.
    fn into_chunks(self) -> Vec<Chunk>;
}

impl IntoChunks for Chunk {
    fn into_chunks(self) -> Vec<Chunk> {
        vec![self]
    }
}

impl IntoChunks for Option<Chunk> {
    fn into_chunks(self) -> Vec<Chunk> {
        self.into_iter().collect()
    }
}

impl IntoChunks for Vec<Chunk> {
    fn into_chunks(self) -> Vec<Chunk> {
        self
    }
}

/// What a stage gave for the chunk `of`, known as such.
pub(super) fn made_of(of: &Chunk, mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    let several = chunks.len() > 1;
    for (number, chunk) in chunks.iter_mut().enumerate() {
        chunk.id = match several {
            true => format!("{}.{number}", of.id),
            false => of.id.clone(),
        };
        chunk.sequence = of.sequence;
        chunk.is_last = false;
    }
    chunks
}
