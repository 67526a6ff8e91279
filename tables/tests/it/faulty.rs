//! A storage that fails, for the fault tests: any store, with a fault at its k-th call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ObjectStore;
use tables::Table;
use tables::store::{
    Expected, LocalStore, Lock, PublishedFile, StageTarget, StagedUpload, Store, StoreError,
    StoreResult,
};
use tokio::sync::watch;
use url::Url;

use crate::support::TestResult;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call does nothing and fails; later ones work.
    Fails,
    /// The call takes effect and fails: the answer was lost.
    AnswerLost,
    /// The call does nothing, and neither does any later one: the process was killed.
    Killed,
    /// The call works, but a control object that it creates may not be durable, and it says so.
    Unsynced,
    /// The process is killed (SIGKILL) instead of the call. For processes of their own (`child`).
    Sigkill,
}

#[derive(Debug)]
pub(crate) struct Faults {
    calls: AtomicUsize,
    at: usize,
    fault: Fault,
}

impl Faults {
    pub(crate) fn fired(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.at
    }

    /// How many calls there were so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn injected(what: &'static str) -> StoreError {
        StoreError::from_io(what, "(injected)", std::io::Error::other("injected fault"))
    }

    async fn call<T: Send>(
        &self,
        what: &'static str,
        work: impl Future<Output = StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fault {
            Fault::Fails if number == self.at => Err(Self::injected(what)),
            Fault::AnswerLost if number == self.at => match work.await {
                Ok(_) => Err(Self::injected(what)),
                Err(error) => Err(error),
            },
            Fault::Killed if number >= self.at => Err(Self::injected(what)),
            Fault::Sigkill if number == self.at => {
                let pid = std::process::id().to_string();
                let kill = std::process::Command::new("kill")
                    .args(["-KILL", &pid])
                    .status();
                match kill {
                    // The signal is on its way.
                    Ok(_) => std::future::pending().await,
                    Err(error) => Err(StoreError::from_io(what, "(kill)", error)),
                }
            }
            _ => work.await,
        }
    }
}

/// A call at which a run waits, as a paused process does, until it is let go on.
#[derive(Debug)]
pub(crate) struct Hold {
    what: &'static str,
    key: &'static str,
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Hold {
    /// Waits until the run waits.
    pub(crate) async fn reached(&self) {
        // The sender is this very value: it is not gone.
        let _ = self.reached.subscribe().wait_for(|reached| *reached).await;
    }

    /// Lets the run go on.
    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }

    async fn call(&self, what: &str, key: &str) {
        if self.what == what && key.contains(self.key) {
            self.reached.send_replace(true);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
    }
}

/// A store with a fault at the k-th call, counted over all methods, or with a call that waits.
#[derive(Debug)]
struct FaultStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
    hold: Option<Arc<Hold>>,
}

impl FaultStore {
    async fn wait(&self, what: &str, key: &str) {
        if let Some(hold) = &self.hold {
            hold.call(what, key).await;
        }
    }
}

/// The local filesystem with a fault at call `at`.
pub(crate) fn faulty(folder: &Path, at: usize, fault: Fault) -> TestResult<(Table, Arc<Faults>)> {
    Ok(faulty_store(Arc::new(LocalStore::new(folder)?), at, fault))
}

/// A table on any store with a fault at call `at`.
pub(crate) fn faulty_store(inner: Arc<dyn Store>, at: usize, fault: Fault) -> (Table, Arc<Faults>) {
    let faults = Arc::new(Faults {
        calls: AtomicUsize::new(0),
        at,
        fault,
    });
    let store = FaultStore {
        inner,
        faults: Arc::clone(&faults),
        hold: None,
    };
    (Table::with_store(Arc::new(store)), faults)
}

/// A table on any store whose calls of the method `what` wait when their key contains `key`.
pub(crate) fn held_store(
    inner: Arc<dyn Store>,
    what: &'static str,
    key: &'static str,
) -> (Table, Arc<Hold>) {
    let hold = Arc::new(Hold {
        what,
        key,
        reached: watch::channel(false).0,
        open: watch::channel(false).0,
    });
    let store = FaultStore {
        inner,
        faults: Arc::new(Faults {
            calls: AtomicUsize::new(0),
            at: usize::MAX,
            fault: Fault::Fails,
        }),
        hold: Some(Arc::clone(&hold)),
    };
    (Table::with_store(Arc::new(store)), hold)
}

#[async_trait]
impl Store for FaultStore {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn staged_url(&self, folder: &str) -> StoreResult<Url> {
        self.inner.staged_url(folder)
    }

    fn published_url(&self, key: &str) -> StoreResult<Url> {
        self.inner.published_url(key)
    }

    fn object_store(&self) -> Option<(Url, Arc<dyn ObjectStore>)> {
        self.inner.object_store()
    }

    fn replaces_in_place(&self, readable: bool) -> bool {
        self.inner.replaces_in_place(readable)
    }

    fn parallel_partitions(&self) -> usize {
        self.inner.parallel_partitions()
    }

    async fn give_up(&self, folder: &str) -> StoreResult<()> {
        self.faults
            .call("give up", self.inner.give_up(folder))
            .await
    }

    fn others_stage(&self, name: &str) {
        self.inner.others_stage(name);
    }

    async fn prepare(&self) -> StoreResult<()> {
        self.faults.call("prepare", self.inner.prepare()).await
    }

    async fn lock(&self) -> StoreResult<Option<Box<dyn Lock>>> {
        let lock = self.faults.call("lock", self.inner.lock()).await?;
        let faults = Arc::clone(&self.faults);
        Ok(lock.map(|inner| Box::new(FaultLock { inner, faults }) as Box<dyn Lock>))
    }

    async fn read(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.faults.call("read", self.inner.read(key)).await
    }

    async fn put(&self, key: &str, content: Bytes) -> StoreResult<()> {
        self.faults.call("put", self.inner.put(key, content)).await
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> StoreResult<bool> {
        self.wait("put_if_absent", key).await;
        let number = self.faults.calls() + 1;
        let put = self
            .faults
            .call("put_if_absent", self.inner.put_if_absent(key, content))
            .await?;
        if self.faults.fault == Fault::Unsynced && number == self.faults.at && put {
            return Err(StoreError::NotDurable {
                path: key.to_owned(),
                source: Box::new(Faults::injected("sync folder")),
            });
        }
        Ok(put)
    }

    async fn make_durable(&self, folder: &str) -> StoreResult<()> {
        self.faults
            .call("make_durable", self.inner.make_durable(folder))
            .await
    }

    async fn list(&self, folder: &str) -> StoreResult<Vec<String>> {
        self.faults.call("list", self.inner.list(folder)).await
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        self.faults.call("delete", self.inner.delete(key)).await
    }

    async fn stage(&self, target: &StageTarget) -> StoreResult<Box<dyn StagedUpload>> {
        let inner = self.faults.call("stage", self.inner.stage(target)).await?;
        Ok(Box::new(FaultUpload {
            inner,
            faults: Arc::clone(&self.faults),
        }))
    }

    async fn seal(&self, files: &[Expected]) -> StoreResult<()> {
        self.faults.call("seal", self.inner.seal(files)).await
    }

    async fn list_staged(&self) -> StoreResult<Vec<String>> {
        self.faults
            .call("list_staged", self.inner.list_staged())
            .await
    }

    async fn abort(&self, name: &str) -> StoreResult<()> {
        self.faults.call("abort", self.inner.abort(name)).await
    }

    async fn sweep(&self) -> StoreResult<()> {
        self.faults.call("sweep", self.inner.sweep()).await
    }

    async fn complete(&self, file: &Expected, published: &str) -> StoreResult<()> {
        self.wait("complete", published).await;
        self.faults
            .call("complete", self.inner.complete(file, published))
            .await
    }

    async fn remove(&self, published: &str) -> StoreResult<()> {
        self.faults
            .call("remove", self.inner.remove(published))
            .await
    }

    async fn settle(&self, folders: &[String]) -> StoreResult<()> {
        self.faults.call("settle", self.inner.settle(folders)).await
    }

    async fn list_published(&self) -> StoreResult<Vec<PublishedFile>> {
        self.faults
            .call("list_published", self.inner.list_published())
            .await
    }

    async fn published_digest(&self, published: &str) -> StoreResult<Option<String>> {
        self.faults
            .call("published_digest", self.inner.published_digest(published))
            .await
    }

    async fn any_published(&self) -> StoreResult<Option<String>> {
        self.faults
            .call("any_published", self.inner.any_published())
            .await
    }
}

#[derive(Debug)]
struct FaultLock {
    inner: Box<dyn Lock>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Lock for FaultLock {
    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    async fn release(&self) -> StoreResult<()> {
        self.faults.call("release", self.inner.release()).await
    }

    async fn is_held(&self) -> StoreResult<bool> {
        self.faults.call("is_held", self.inner.is_held()).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn StagedUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl StagedUpload for FaultUpload {
    async fn write(&mut self, content: Bytes) -> StoreResult<()> {
        self.faults.call("write", self.inner.write(content)).await
    }

    async fn finish(&mut self, rest: Bytes) -> StoreResult<String> {
        self.faults.call("finish", self.inner.finish(rest)).await
    }
}
