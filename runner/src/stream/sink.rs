//! Where chunks go in the end: what a sink is, and those that keep nothing on a disk.

use std::future::{Future, ready};

use super::chunk::Chunk;
use super::error::Cause;

/// A place for the chunks of a stream. It gets them one after the other, in the order in which the last stage gives them.
///
/// Whatever a stream fails for, its sink is dropped without having been [ended](Self::finish): what it has then should not be
/// seen by anybody.
pub trait Sink: Send + 'static {
    /// What the sink is in the end.
    type Output: Send + 'static;

    /// What it is, for errors.
    fn describe(&self) -> String;

    /// Takes a chunk.
    ///
    /// # Errors
    /// When it cannot; that ends the stream.
    fn write(&mut self, chunk: Chunk) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Ends: all chunks came. From here on the stream cannot be cancelled.
    ///
    /// # Errors
    /// When it cannot; that is the error of the stream.
    fn finish(self) -> impl Future<Output = Result<Self::Output, Cause>> + Send;
}

/// Keeps the chunks, which are what it is in the end.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    chunks: Vec<Chunk>,
}

impl MemorySink {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Sink for MemorySink {
    type Output = Vec<Chunk>;

    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn write(&mut self, chunk: Chunk) -> impl Future<Output = Result<(), Cause>> + Send {
        self.chunks.push(chunk);
        ready(Ok(()))
    }

    fn finish(self) -> impl Future<Output = Result<Vec<Chunk>, Cause>> + Send {
        ready(Ok(self.chunks))
    }
}

/// Calls a function with every chunk.
#[derive(Debug, Clone)]
pub struct FunctionSink<F> {
    take: F,
}

impl<F, W> FunctionSink<F>
where
    F: FnMut(Chunk) -> W + Send + 'static,
    W: Future<Output = Result<(), Cause>> + Send,
{
    /// Calls this function.
    pub fn new(take: F) -> Self {
        Self { take }
    }
}

impl<F, W> Sink for FunctionSink<F>
where
    F: FnMut(Chunk) -> W + Send + 'static,
    W: Future<Output = Result<(), Cause>> + Send,
{
    type Output = ();

    fn describe(&self) -> String {
        "a function".to_owned()
    }

    fn write(&mut self, chunk: Chunk) -> impl Future<Output = Result<(), Cause>> + Send {
        (self.take)(chunk)
    }

    fn finish(self) -> impl Future<Output = Result<(), Cause>> + Send {
        ready(Ok(()))
    }
}
