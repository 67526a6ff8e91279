//! The storage a table stands on, as the commit protocol needs it: control objects, staged files that nobody sees,
//! and the one step that makes a staged file visible. Owns the contract; knows nothing of Parquet, modes or records.
//!
//! Every write of this crate goes through [`Store`], so an implementation that fails at the k-th call exercises every
//! fault of a run. Keys are relative, with `/` between segments:
//!
//! | area | local filesystem | what may see it |
//! |---|---|---|
//! | control | `<parent>/.<name>.spillway/<key>` | only this crate |
//! | staged | `<parent>/.<name>.spillway/staging/<key>` | only this crate, and checks before publishing |
//! | published | `<parent>/<name>/<key>` | every reader |
//!
//! On an object store the same three are keys of a bucket, and a staged file that nobody reads before it is published is
//! an unfinished upload to its published key instead.
//!
//! The staging area is never below the table: readers that list the table must not find unfinished files.

mod error;
mod local;
mod object;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::ObjectStore;
use url::Url;

pub use error::{StoreError, StoreResult};
pub use local::LocalStore;
pub use object::BucketStore;

/// A file that is going to be staged: what a storage must know before the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTarget {
    /// Key in the staging area; names the file in the run.
    pub staged: String,
    /// The key under which it will be published, if it is. A storage may begin an upload to that key, as long as
    /// readers see nothing of it.
    pub published: String,
    /// Whether the file is read before it is published: by checks, or by a merge. Otherwise it need not be readable.
    pub readable: bool,
    /// About how large it may get, in bytes; an upload is cut into parts accordingly.
    pub expected_bytes: u64,
}

/// A file that readers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Relative to the table, as in [`Store::published_url`].
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// A staged file as its writer knows it: what is checked before a commit is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Key in the staging area.
    pub staged: String,
    /// What [`StagedUpload::finish`] gave: the storage's own note of how to complete the file. Any process can.
    pub upload: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

/// The most bytes of a control object that are read: of a record, which may hold all files of the table, some millions
/// of them; of others, which hold a few lines. A larger one is not ours.
pub(crate) fn max_bytes(key: &str) -> u64 {
    if key.starts_with("commits/") {
        1 << 30
    } else {
        1 << 20
    }
}

fn too_many_bytes(path: String, bytes: u64, limit: u64) -> StoreError {
    StoreError::Damaged {
        path,
        reason: format!(
            "it has {bytes} bytes, and a control file has {limit} at most; restore it from a backup"
        ),
    }
}

/// The storage of one table. All calls may be repeated after a failure; a call that failed may nevertheless have taken
/// effect. Dropping a future may leave the call to finish by itself.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The table's location as users write it; for messages.
    fn location(&self) -> &str;

    /// A folder of the staging area that a listing reader can open; ends with `/`.
    fn staged_url(&self, folder: &str) -> StoreResult<Url>;

    /// A published file as a reader can open it.
    fn published_url(&self, key: &str) -> StoreResult<Url>;

    /// The object store that [`Store::staged_url`] and [`Store::published_url`] are in, and the URL under which a session
    /// must know it; `None` where every session can open them anyway.
    fn object_store(&self) -> Option<(Url, Arc<dyn ObjectStore>)> {
        None
    }

    /// Whether [`Store::complete`] may replace a published file in one step, so that readers see the old or the new one.
    /// `readable` is that of the staged file. Known after [`Store::prepare`].
    fn replaces_in_place(&self, readable: bool) -> bool {
        let _ = readable;
        false
    }

    /// How many partitions may be put in place at a time. Above one, completions and removals are durable when they
    /// return, and [`Store::settle`] does nothing.
    fn parallel_partitions(&self) -> usize {
        1
    }

    /// Makes the control area ready and checks that publishing into the table can work.
    async fn prepare(&self) -> StoreResult<()>;

    /// Tries to take the table's lock; `None` while another live process, or another run of this one, has it. It is
    /// given back by [`Lock::release`], on a best effort when the guard is dropped, and when the process dies: at once
    /// where the system sees to it, after a while where it is a lease.
    async fn lock(&self) -> StoreResult<Option<Box<dyn Lock>>>;

    /// The content of a control object, `None` if there is none. One that is too large to be ours is refused unread.
    async fn read(&self, key: &str) -> StoreResult<Option<Bytes>>;

    /// Writes or replaces a control object, atomically and durably.
    async fn put(&self, key: &str, content: Bytes) -> StoreResult<()>;

    /// Writes a control object unless there is one; atomic, durable. `false` if there was one. After an error the
    /// caller must read the object back: it may be there. [`StoreError::NotDurable`] if it is, and might not survive.
    async fn put_if_absent(&self, key: &str, content: Bytes) -> StoreResult<bool>;

    /// Makes the control objects of a folder durable: a process may have died between writing one and that. Nothing to do
    /// where whatever can be read is durable.
    async fn make_durable(&self, folder: &str) -> StoreResult<()> {
        let _ = folder;
        Ok(())
    }

    /// Names directly in a control folder, in no order; empty if the folder does not exist.
    async fn list(&self, folder: &str) -> StoreResult<Vec<String>>;

    /// Deletes a control object; one that is not there is no error.
    async fn delete(&self, key: &str) -> StoreResult<()>;

    /// Begins a staged file. It must not exist yet: two writers of one key are a defect and the second one fails, at
    /// the latest when it finishes.
    async fn stage(&self, target: &StageTarget) -> StoreResult<Box<dyn StagedUpload>>;

    /// Makes staged files durable and checks size and digest of each.
    async fn seal(&self, files: &[Expected]) -> StoreResult<()>;

    /// Top-level names in the staging area, one for each run that staged anything.
    async fn list_staged(&self) -> StoreResult<Vec<String>>;

    /// Says that other processes stage files under a top-level name too, so that [`Store::abort`] looks for theirs.
    fn others_stage(&self, name: &str) {
        let _ = name;
    }

    /// Drops what this process staged in a folder of the staging area: it was told to stop, and whoever told it may be
    /// done with dropping.
    async fn give_up(&self, folder: &str) -> StoreResult<()>;

    /// Drops everything staged under a top-level name; nothing there is no error.
    async fn abort(&self, name: &str) -> StoreResult<()>;

    /// Drops leftovers of control writes that were cut off. Only while the lock is held.
    async fn sweep(&self) -> StoreResult<()>;

    /// Makes a staged file visible under `published`, atomically, replacing a file of that key. If the staged file is
    /// gone and the published one has the expected size and digest, it was done before and that is success.
    async fn complete(&self, file: &Expected, published: &str) -> StoreResult<()>;

    /// Deletes a published file; one that is not there is no error.
    async fn remove(&self, published: &str) -> StoreResult<()>;

    /// Makes completions and removals in these folders of the table durable (`""` is the table itself).
    async fn settle(&self, folders: &[String]) -> StoreResult<()>;

    /// Every file under the table, in no order, those of other programs among them. Names that begin with `.` or `_` are
    /// hidden from readers and left out, folders with all that is in them, unless they name a partition (`_x=1`).
    async fn list_published(&self) -> StoreResult<Vec<PublishedFile>>;

    /// SHA-256 of a published file's bytes, in hexadecimal; `None` if there is no such file.
    async fn published_digest(&self, published: &str) -> StoreResult<Option<String>>;

    /// Any file under the table, as a key; `None` if there is none. Hidden files do not count.
    async fn any_published(&self) -> StoreResult<Option<String>>;
}

/// A staged file being written. Dropping it unfinished leaves at most an incomplete staged file, which
/// [`Store::abort`] drops.
#[async_trait]
pub trait StagedUpload: fmt::Debug + Send {
    /// Appends bytes.
    async fn write(&mut self, content: Bytes) -> StoreResult<()>;

    /// Appends the last bytes and closes the file. It is not durable before [`Store::seal`]. Gives what
    /// [`Store::complete`] needs beside the keys, as text for the commit record; empty where it needs nothing.
    async fn finish(&mut self, rest: Bytes) -> StoreResult<String>;
}

/// The lock of a table; given back on drop, where that can be done at once.
#[async_trait]
pub trait Lock: fmt::Debug + Send + Sync {
    /// Whether a process that had the lock before cannot act any more, because only its death gives the lock away. A
    /// lease can be taken from a process that was merely paused: whoever takes it must fence that process off.
    fn is_exclusive(&self) -> bool {
        true
    }

    /// Gives the lock back, so that another run need not wait. May be repeated.
    async fn release(&self) -> StoreResult<()> {
        Ok(())
    }

    /// Whether the lock is still the one that other processes would have to take: it is not if someone deleted the
    /// control folder underneath.
    async fn is_held(&self) -> StoreResult<bool>;
}
