//! What staged files are called, and whether somebody reads them before they are published. Owns which file takes the
//! name of a published one, to replace it in one step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::WriteSpec;
use crate::log::Commit;
use crate::store::Store;

impl WriteSpec {
    /// Whether the staged files are read before they are published. Default: yes.
    pub(crate) fn readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    /// Lets the first file of a partition take the name of the only one published there, so that it replaces that file
    /// in one step, where the storage can.
    pub(crate) fn replacing(mut self, base: Option<&Commit>) -> Self {
        let readable = self.readable;
        let in_place = |store: &Arc<dyn Store>| store.replaces_in_place(readable);
        if !self.store.open().is_ok_and(in_place) {
            return self;
        }
        let mut files: HashMap<&str, Option<&str>> = HashMap::new();
        for file in base.iter().flat_map(|base| &base.files) {
            // A name says how its file is compressed.
            let name = file.path.rsplit('/').next();
            let name = name.filter(|name| {
                (name.split_once('.')).is_some_and(|(_, suffix)| suffix == self.suffix)
            });
            // A second file makes the partition none of those.
            files
                .entry(file.partition())
                .and_modify(|known| *known = None)
                .or_insert(name);
        }
        self.replaced_names = files
            .into_iter()
            .filter_map(|(partition, name)| Some((partition.to_owned(), name?.to_owned())))
            .collect();
        self
    }

    /// The name of a partition's file: the range that it is of, where the partition is split, and which it is there.
    /// Names compare as the files' rows do. `suffix` is the writer's own, where several processes may write one partition.
    pub(super) fn file_name(
        &self,
        partition: &str,
        (range, ordinal): (u32, u32),
        suffix: &str,
    ) -> String {
        let number = match (self.split, ordinal) {
            (false, _) => format!("{ordinal:05}"),
            (true, 0) => format!("{range:05}"),
            (true, _) => format!("{range:05}{ordinal:05}"),
        };
        match self.replaced_names.get(partition) {
            Some(name) if (range, ordinal) == (0, 0) => name.clone(),
            _ => {
                format!("part-{number}-{}{suffix}.{}", self.token, self.suffix)
            }
        }
    }
}

/// Names the files of each partition, over all streams of one operator.
///
/// With an order, a partition's files are the work of one stream, and their names are a function of the run, its attempt
/// and the rows. Without one, several processes may write files of one partition, so each adds something of its own.
#[derive(Debug, Default)]
pub(super) struct Ordinals {
    next: Mutex<HashMap<(String, u32), u32>>,
    suffix: String,
}

impl Ordinals {
    pub(super) fn new(spec: &WriteSpec) -> Self {
        let suffix = if spec.is_sorted() {
            // Where an unfinished file belongs to the key under which it will be published, attempts must not share it.
            spec.attempt
                .map_or_else(String::new, |attempt| format!("-{attempt:08x}"))
        } else {
            // The last 32 bits are random in every version of UUID that is made here.
            format!("-{:08x}", uuid::Uuid::now_v7().as_u128() & 0xFFFF_FFFF)
        };
        Self {
            next: Mutex::default(),
            suffix,
        }
    }

    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The next in a range of a partition.
    pub(super) fn next(&self, partition: &str, range: u32) -> u32 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry((partition.to_owned(), range)).or_default();
        *next += 1;
        *next - 1
    }
}
