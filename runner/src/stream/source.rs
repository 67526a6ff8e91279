//! Where chunks come from: anything that gives batches of rows. Owns that nothing is opened before the stream runs.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::prelude::DataFrame;
use files::BadRows;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};

use super::error::Cause;

/// What gives a stream its rows.
pub struct Source {
    name: String,
    open: BoxFuture<'static, Result<Opened, Cause>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A source that is open.
pub(super) struct Opened {
    /// The columns, which are known before the first row.
    pub(super) schema: SchemaRef,
    /// The rows.
    pub(super) batches: BoxStream<'static, Result<RecordBatch, Cause>>,
    /// Where bad rows of files go.
    pub(super) bad_rows: Option<Arc<BadRows>>,
}

impl Source {
    /// Opened by `open` when the stream runs.
    pub(super) fn opening(
        name: impl Into<String>,
        open: impl Future<Output = Result<Opened, Cause>> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            open: open.boxed(),
        }
    }

    /// Any stream of batches; the name is for errors and metadata.
    pub fn stream<E: Into<Cause> + 'static>(
        name: impl Into<String>,
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch, E>> + Send + 'static,
    ) -> Self {
        let batches = batches.map_err(Into::into).boxed();
        Self::opening(name, async move {
            Ok(Opened {
                schema,
                batches,
                bad_rows: None,
            })
        })
    }

    /// Any iterator of batches, such as a reader that blocks: it has a thread for itself while it is asked for the next one.
    pub fn blocking<E: Into<Cause> + Send + 'static>(
        name: impl Into<String>,
        schema: SchemaRef,
        batches: impl Iterator<Item = Result<RecordBatch, E>> + Send + 'static,
    ) -> Self {
        let batches = stream::unfold(batches, |mut batches| async move {
            let next = tokio::task::spawn_blocking(move || {
                let next = batches.next();
                (next, batches)
            });
            match next.await {
                Ok((next, batches)) => Some((next?.map_err(Into::into), batches)),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is being shut down, and nobody asks again.
                Err(_) => std::future::pending().await,
            }
        });
        Self::stream::<Cause>(name, schema, batches)
    }

    /// Batches in memory, of these columns.
    pub fn memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let batches = batches.into_iter().map(Ok::<_, Cause>);
        Self::stream("memory", schema, stream::iter(batches))
    }

    /// The rows of a query. Its session is the caller's, as from `engine::session`; rows are in order if the query says one.
    pub fn query(query: DataFrame) -> Self {
        Self::opening("a query", async move { query_of(query, None).await })
    }

    /// What it is, for errors and metadata.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn open(self) -> Result<Opened, Cause> {
        self.open.await
    }
}

/// A query that is executed.
pub(super) async fn query_of(
    query: DataFrame,
    bad_rows: Option<Arc<BadRows>>,
) -> Result<Opened, Cause> {
    let rows = query.execute_stream().await?;
    Ok(Opened {
        schema: rows.schema(),
        batches: rows.map_err(Cause::from).boxed(),
        bad_rows,
    })
}
