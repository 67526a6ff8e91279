//! Why a stream did not come to its end. Owns the words: what failed, at which chunk, after how many tries.

use std::error::Error;
use std::io;

use crate::quantity::count;

/// What a source, a stage or a sink says is wrong.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a stream did not come to its end. A sink that is a file left nothing then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream was asked for something that there is not.
    #[error("the stream cannot run: {problem}")]
    Setting {
        /// What.
        problem: String,
    },
    /// The source gave an error.
    #[error("reading {from} failed after {}", count(*chunks, "chunk"))]
    Source {
        /// The source.
        from: String,
        /// Chunks that it gave before.
        chunks: u64,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// A stage could not do its work.
    #[error("stage `{stage}` failed on chunk {id}{}", after(*tries))]
    Stage {
        /// The stage.
        stage: String,
        /// Which of the source's chunks.
        sequence: u64,
        /// The chunk.
        id: String,
        /// How often it was tried.
        tries: u32,
        /// What the last try said.
        #[source]
        cause: Cause,
    },
    /// A stage put more chunks aside than it may.
    #[error(
        "stage `{stage}` may put {} aside, and chunk {id} is one more{}", count(*most as u64, "chunk"), after(*tries)
    )]
    TooManyPutAside {
        /// The stage.
        stage: String,
        /// How many it may.
        most: usize,
        /// Which of the source's chunks is one too many.
        sequence: u64,
        /// That chunk.
        id: String,
        /// How often it was tried.
        tries: u32,
        /// What the last try said.
        #[source]
        cause: Cause,
    },
    /// The sink could not take a chunk, or not be ended.
    #[error("writing to {to} failed{}", at_chunk(id.as_deref()))]
    Sink {
        /// The sink.
        to: String,
        /// The chunk; none if it had all of them.
        id: Option<String>,
        /// What it said.
        #[source]
        cause: Cause,
    },
    /// Somebody cancelled it.
    #[error("the stream was cancelled")]
    Cancelled,
    /// Blocking was asked for where nothing may block.
    #[error(
        "run_blocking would block a thread of an async runtime, on which the stream might wait for ever; await `run` instead"
    )]
    InsideRuntime,
    /// The system has no threads left.
    #[error("no thread can be started")]
    Threads {
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn after(tries: u32) -> String {
    match tries {
        0 | 1 => String::new(),
        tries => format!(", after {tries} tries"),
    }
}

fn at_chunk(id: Option<&str>) -> String {
    id.map(|id| format!(" at chunk {id}")).unwrap_or_default()
}

/// Something panicked: an error of the chunk it was at work on, not of the process.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {message}")]
pub(super) struct Panicked {
    message: String,
}

impl Panicked {
    /// With what it said.
    pub(super) fn new(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.unwrap_or("it did not say why").to_owned(),
        }
    }
}
