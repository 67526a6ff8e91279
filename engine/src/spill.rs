//! Files that operators spill to. Owns where they are, who may read them, and that a file which waits to be read holds
//! nothing but disk space; what is spilled, and when, is the engine's.
//!
//! The engine's own temporary files keep a handle from their creation to their end. A repartitioning operator spills each
//! batch into a file of its own here (`configuration::choose_spilling` says why), and thousands of them may wait for one slow
//! stream: more than a process may have handles of.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use tokio_util::io::ReaderStream;

/// Bytes that are read at once.
const READ_BYTES: usize = 128 << 10;

/// Makes spill files in a folder that goes with the last of them.
pub(crate) struct SpillFolder {
    folder: Arc<TempDir>,
    /// The name of the next file.
    next: AtomicU64,
}

impl SpillFolder {
    /// A folder below `parent`, which is made when missing. Nobody but its owner may look into it.
    pub(crate) fn below(parent: &Path) -> Result<Self> {
        std::fs::create_dir_all(parent)?;
        let folder = tempfile::Builder::new()
            .prefix("spill-")
            .tempdir_in(parent)
            .map_err(|error| said("make a folder for spill files in", parent, &error))?;
        Ok(Self {
            folder: Arc::new(folder),
            next: AtomicU64::new(0),
        })
    }
}

impl TempFileFactory for SpillFolder {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(number.to_string());
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| said("make the spill file", &path, &error))?;
        Ok(Arc::new(Spilled {
            path,
            bytes: Arc::default(),
            _folder: Arc::clone(&self.folder),
        }))
    }
}

/// A file of spilled rows. It is removed when nobody needs it any more.
struct Spilled {
    path: PathBuf,
    bytes: Arc<AtomicU64>,
    _folder: Arc<TempDir>,
}

impl SpillFile for Spilled {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes.load(Ordering::Relaxed))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let path = self.path.clone();
        let opened = async move {
            match tokio::fs::File::open(&path).await {
                Ok(file) => Ok(
                    ReaderStream::with_capacity(file, READ_BYTES).map_err(DataFusionError::from)
                ),
                Err(error) => Err(said("open the spill file", &path, &error)),
            }
        };
        Ok(stream::once(opened).try_flatten().boxed())
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let file = OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(|error| said("open the spill file", &self.path, &error))?;
        Ok(Box::new(Writer {
            file,
            path: self.path.clone(),
            bytes: Arc::clone(&self.bytes),
        }))
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // What remains goes with the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Writer {
    file: File,
    path: PathBuf,
    bytes: Arc<AtomicU64>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).map_err(|error| {
            let message = format!("write to the spill file {}: {error}", self.path.display());
            io::Error::new(error.kind(), message)
        })?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpillWriter for Writer {
    /// Nothing is kept back, and nothing has to outlive the process.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

fn said(doing: &str, path: &Path, error: &io::Error) -> DataFusionError {
    let message = format!("could not {doing} {}: {error}", path.display());
    io::Error::new(error.kind(), message).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::disk_manager::DiskManagerBuilder;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_plan::repartition::RepartitionExec;
    use datafusion::physical_plan::{ExecutionPlan, Partitioning};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::configuration::choose_spilling;

    const STREAMS: usize = 2;
    const BATCHES: i64 = 400;
    const ROWS: i64 = 64;

    /// Batches of `STREAMS` inputs, dealt to as many outputs.
    fn dealt() -> anyhow::Result<Arc<dyn ExecutionPlan>> {
        let batches = |stream: usize| {
            (0..BATCHES).map(move |batch| {
                let first = (batch * STREAMS as i64 + stream as i64) * ROWS;
                let ids: ArrayRef = Arc::new((first..first + ROWS).collect::<Int64Array>());
                RecordBatch::try_from_iter([("id", ids)])
            })
        };
        let inputs = (0..STREAMS)
            .map(|stream| batches(stream).collect())
            .collect::<Result<Vec<Vec<RecordBatch>>, _>>()?;
        let schema = inputs[0][0].schema();
        let key = col("id", &schema)?;
        let input = MemorySourceConfig::try_new_exec(&inputs, schema, None)?;
        let partitioning = Partitioning::Hash(vec![key], STREAMS);
        Ok(Arc::new(RepartitionExec::try_new(input, partitioning)?))
    }

    /// A runtime without memory: every batch that waits is spilled.
    fn without_memory(files: SpillFolder) -> anyhow::Result<Arc<RuntimeEnv>> {
        let disk = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(files));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(0)))
            .with_disk_manager_builder(disk);
        Ok(runtime.build_arc()?)
    }

    fn session(runtime: Arc<RuntimeEnv>) -> SessionContext {
        let mut config = SessionConfig::new().with_batch_size(ROWS as usize);
        choose_spilling(&mut config, 1 << 20);
        SessionContext::new_with_config_rt(config, runtime)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn streams_that_spill_to_one_another_never_wait_for_ever() -> anyhow::Result<()> {
        let folder = TempDir::new()?;
        let ctx = session(without_memory(SpillFolder::below(folder.path())?)?);
        for repetition in 0..10 {
            let plan = dealt()?;
            let streams = (0..STREAMS).map(|stream| {
                let (plan, context) = (Arc::clone(&plan), ctx.task_ctx());
                tokio::spawn(async move {
                    let mut rows = plan.execute(stream, context)?;
                    let mut count = 0;
                    while let Some(batch) = rows.try_next().await? {
                        count += batch.num_rows();
                    }
                    Ok::<usize, DataFusionError>(count)
                })
            });
            let ended = tokio::time::timeout(
                Duration::from_secs(60),
                futures::future::try_join_all(streams),
            );
            let Ok(counts) = ended.await else {
                anyhow::bail!("repetition {repetition}: the streams wait for one another");
            };
            let rows = counts?.into_iter().sum::<Result<usize>>()?;
            assert_eq!(rows as i64, STREAMS as i64 * BATCHES * ROWS);
        }
        Ok(())
    }

    #[tokio::test]
    async fn files_that_wait_hold_no_handles_and_go_when_they_are_read() -> anyhow::Result<()> {
        let handles = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        let folder = TempDir::new()?;
        let ctx = session(without_memory(SpillFolder::below(folder.path())?)?);
        let plan = dealt()?;
        let before = handles()?;
        // Only one output is read: what belongs to the other waits, as it does when keys are skewed.
        let mut one = plan.execute(0, ctx.task_ctx())?;
        let mut other = plan.execute(1, ctx.task_ctx())?;
        while one.try_next().await?.is_some() {}
        let spill = std::fs::read_dir(folder.path())?
            .next()
            .ok_or_else(|| anyhow::anyhow!("no folder"))??;
        let waiting = std::fs::read_dir(spill.path())?.count();
        assert!(waiting >= BATCHES as usize / 2, "{waiting} files wait");
        let held = handles()? - before;
        assert!(held < 50, "{waiting} files hold {held} handles");
        let mut rows = 0;
        while let Some(batch) = other.try_next().await? {
            rows += batch.num_rows();
        }
        assert!(rows > 0);
        drop((one, other, plan));
        assert_eq!(
            std::fs::read_dir(spill.path())?.count(),
            0,
            "every file was removed"
        );
        drop(ctx);
        assert_eq!(
            std::fs::read_dir(folder.path())?.count(),
            0,
            "the folder too"
        );
        Ok(())
    }
}
