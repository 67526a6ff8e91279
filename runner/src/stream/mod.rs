//! Streams of rows as a library, without SQL and without a pipeline: a source, stages that work on chunks in parallel, a sink.
//!
//! ```text
//! Source ─► buffer ─► Stage ─► buffer ─► … ─► Sink
//! files, a table,     workers, order,         a file, memory,
//! a query, memory,    retries, timeout,       a function
//! any stream          put aside
//! ```
//!
//! [`Flow`] puts them together and runs them, [`Handle`] looks at it meanwhile. Owns how chunks get from one part to the next:
//! bounded, counted, the last one marked; what is done when a stage fails; and that a sink is ended only after everything
//! before it was. How files are read and written is `files`' and `tables`'; nothing here is published to a table or recorded as
//! a run. `docs/streams.md` is the guide.

mod buffer;
mod chunk;
mod error;
mod file_sink;
mod file_source;
mod flow;
mod held;
mod metrics;
mod monitor;
mod parts;
mod sink;
mod source;
mod stage;
mod tries;

pub use chunk::{Chunk, IntoChunks, Metadata};
pub use error::{Cause, StreamError};
pub use file_sink::FileSink;
pub use file_source::FileSource;
pub use flow::{Flow, Report};
pub use metrics::{Metrics, StageMetrics, Status};
pub use monitor::Handle;
pub use sink::{FunctionSink, MemorySink, Sink};
pub use source::Source;
pub use stage::Stage;
pub use tries::PutAside;

/// What chunks are made of, in the version that streams have.
pub use datafusion::arrow;
pub use files::BadRow;
pub use tables::{Compression, Format, WrittenFile};
