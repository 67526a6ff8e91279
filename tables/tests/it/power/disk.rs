//! A disk whose power fails: what steps made durable, what they did not, and the folders that may be found afterwards.
//!
//! The rules are those of POSIX, taken strictly. A file's bytes are durable when the file was synced since; a name is when
//! its folder was. What is not durable may be there, or not, or in part, and in any order. One thing is granted, as every
//! filesystem with a journal does: a rename is one step, after those that made its folders. The old name does not go before
//! the new one can be found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::record::Step;
use crate::support::TestResult;

/// Bytes that a disk writes at once.
const SECTOR: usize = 512;

type Id = usize;

/// What becomes of that which is not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it is lost.
    All,
    /// Names are kept and bytes are lost: files are empty, or as they were when they were synced.
    Bytes,
    /// As [`Loss::Bytes`], with zeros in place of the bytes.
    Zeros,
    /// Names are kept up to some step, in their order, as a journal does; bytes in part.
    Later,
    /// Each name and each sector is kept or lost by itself.
    Some,
}

pub(crate) const LOSSES: [Loss; 5] = [Loss::All, Loss::Bytes, Loss::Zeros, Loss::Later, Loss::Some];

#[derive(Debug, Clone)]
enum Node {
    File(Content),
    Folder(Names),
}

#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Names {
    durable: BTreeMap<String, Id>,
    now: BTreeMap<String, Id>,
    pending: Vec<Change>,
}

/// A name that came or went and is not durable.
#[derive(Debug, Clone)]
struct Change {
    step: usize,
    name: String,
    /// `None` if it went.
    node: Option<Id>,
    /// The folder in which a rename put the file whose name went here.
    moved_to: Option<(Id, String)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
    by_inode: HashMap<u64, Id>,
    steps: usize,
}

const ROOT: Id = 0;

impl Disk {
    /// The disk as it is found below `root`, all of it durable.
    pub(crate) fn of(root: &Path) -> TestResult<Self> {
        let mut disk = Self {
            nodes: Vec::new(),
            by_inode: HashMap::new(),
            steps: 0,
        };
        disk.load(root)?;
        Ok(disk)
    }

    fn load(&mut self, path: &Path) -> TestResult<Id> {
        let metadata = fs::symlink_metadata(path)?;
        if let Some(known) = self.by_inode.get(&metadata.ino()) {
            return Ok(*known);
        }
        let id = self.nodes.len();
        self.nodes.push(Node::Folder(Names::default()));
        self.by_inode.insert(metadata.ino(), id);
        if metadata.is_dir() {
            let mut names = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                names.insert(name, self.load(&entry.path())?);
            }
            self.nodes[id] = Node::Folder(Names {
                durable: names.clone(),
                now: names,
                pending: Vec::new(),
            });
        } else {
            let bytes = fs::read(path)?;
            self.nodes[id] = Node::File(Content {
                durable: bytes.clone(),
                now: bytes,
            });
        }
        Ok(id)
    }

    /// Takes the next step.
    pub(crate) fn apply(&mut self, step: &Step) -> TestResult {
        self.steps += 1;
        match step {
            Step::Create { inode, path } => {
                let id = self.add(*inode, Node::File(Content::default()));
                self.change(path, Some(id), None)
            }
            Step::MakeFolder { inode, path } => {
                let id = self.add(*inode, Node::Folder(Names::default()));
                self.change(path, Some(id), None)
            }
            Step::Write {
                inode,
                offset,
                bytes,
            } => {
                let offset = usize::try_from(*offset)?;
                let content = self.content(*inode)?;
                if content.now.len() < offset + bytes.len() {
                    content.now.resize(offset + bytes.len(), 0);
                }
                content.now[offset..offset + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            Step::Truncate { inode, length } => {
                let length = usize::try_from(*length)?;
                self.content(*inode)?.now.resize(length, 0);
                Ok(())
            }
            Step::Sync { inode } => self.sync(*inode),
            Step::Rename { from, to } => {
                let id = self.find(from)?;
                self.change(to, Some(id), None)?;
                let (folder, name) = self.place(to)?;
                self.change(from, None, Some((folder, name)))
            }
            Step::Link { from, to } => {
                let id = self.find(from)?;
                self.change(to, Some(id), None)
            }
            Step::Unlink { path } | Step::RemoveFolder { path } => self.change(path, None, None),
        }
    }

    fn add(&mut self, inode: u64, node: Node) -> Id {
        self.nodes.push(node);
        // A number that was given before is of a file that is gone for good.
        self.by_inode.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn content(&mut self, inode: u64) -> TestResult<&mut Content> {
        let id = *self.by_inode.get(&inode).ok_or("an unknown file")?;
        match &mut self.nodes[id] {
            Node::File(content) => Ok(content),
            Node::Folder(_) => Err("a folder is written to".into()),
        }
    }

    fn names(&mut self, id: Id) -> TestResult<&mut Names> {
        match &mut self.nodes[id] {
            Node::Folder(names) => Ok(names),
            Node::File(_) => Err("a file is a folder".into()),
        }
    }

    /// The folder and the name of a path, as folders are now.
    fn place(&self, path: &str) -> TestResult<(Id, String)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(folder)?, name.to_owned()))
    }

    fn find(&self, path: &str) -> TestResult<Id> {
        let mut id = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            id = match &self.nodes[id] {
                Node::Folder(names) => *names.now.get(name).ok_or(format!("no {path}"))?,
                Node::File(_) => return Err(format!("{path} goes through a file").into()),
            };
        }
        Ok(id)
    }

    fn change(
        &mut self,
        path: &str,
        node: Option<Id>,
        moved_to: Option<(Id, String)>,
    ) -> TestResult {
        let (folder, name) = self.place(path)?;
        let step = self.steps;
        let names = self.names(folder)?;
        match node {
            Some(node) => drop(names.now.insert(name.clone(), node)),
            None => drop(names.now.remove(&name)),
        }
        names.pending.push(Change {
            step,
            name,
            node,
            moved_to,
        });
        Ok(())
    }

    fn sync(&mut self, inode: u64) -> TestResult {
        let id = *self.by_inode.get(&inode).ok_or("an unknown file")?;
        let changes = match &mut self.nodes[id] {
            Node::File(content) => {
                content.durable.clone_from(&content.now);
                return Ok(());
            }
            Node::Folder(names) => {
                names.durable.clone_from(&names.now);
                std::mem::take(&mut names.pending)
            }
        };
        // A rename is one step: where the old name went for good, the new one came for good.
        for (folder, name) in changes.into_iter().filter_map(|change| change.moved_to) {
            let names = self.names(folder)?;
            if let Some(node) = names.now.get(&name).copied() {
                names.durable.insert(name.clone(), node);
            }
            names.pending.retain(|change| change.name != name);
        }
        Ok(())
    }

    /// Writes the disk as it is without a failure into `place`.
    pub(crate) fn keep_all(&self, place: &Path) -> TestResult {
        let mut disk = self.clone();
        for node in &mut disk.nodes {
            match node {
                Node::File(content) => content.durable.clone_from(&content.now),
                Node::Folder(names) => {
                    names.durable.clone_from(&names.now);
                    names.pending.clear();
                }
            }
        }
        disk.fail(Loss::All, &mut ChaCha8Rng::seed_from_u64(0), place)
    }

    /// Writes what may be found after a failure into `place`, an empty folder.
    pub(crate) fn fail(&self, loss: Loss, random: &mut ChaCha8Rng, place: &Path) -> TestResult {
        let folders = self.surviving_names(loss, random);
        let mut written: HashMap<Id, std::path::PathBuf> = HashMap::new();
        let mut open = vec![(ROOT, place.to_owned())];
        let mut seen = BTreeSet::new();
        while let Some((id, path)) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            for (name, id) in &folders[&id] {
                let path = path.join(name);
                match &self.nodes[*id] {
                    Node::Folder(_) => {
                        fs::create_dir(&path)?;
                        open.push((*id, path));
                    }
                    Node::File(content) => match written.get(id) {
                        Some(first) => fs::hard_link(first, &path)?,
                        None => {
                            fs::write(&path, content.surviving(loss, random))?;
                            written.insert(*id, path);
                        }
                    },
                }
            }
        }
        Ok(())
    }

    fn surviving_names(
        &self,
        loss: Loss,
        random: &mut ChaCha8Rng,
    ) -> HashMap<Id, BTreeMap<String, Id>> {
        let until = random.random_range(0..=self.steps);
        let mut kept: HashMap<Id, BTreeMap<String, Id>> = HashMap::new();
        let mut gone = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Node::Folder(names) = node else {
                continue;
            };
            let survivors = kept.entry(id).or_default();
            survivors.extend(names.durable.clone());
            for change in &names.pending {
                let survives = match loss {
                    Loss::All => false,
                    Loss::Bytes | Loss::Zeros => true,
                    Loss::Later => change.step <= until,
                    Loss::Some => random.random(),
                };
                match (survives, change.node) {
                    (false, _) => {}
                    (true, Some(node)) => drop(survivors.insert(change.name.clone(), node)),
                    (true, None) => gone.push((id, change)),
                }
            }
        }
        let reachable = reachable(&kept);
        for (id, change) in gone {
            let node = kept[&id].get(&change.name).copied();
            let arrived = (change.moved_to.as_ref()).is_none_or(|(folder, name)| {
                reachable.contains(folder) && kept[folder].get(name).copied() == node
            });
            // Another file may have got the name since.
            let is_that = node.is_some() && self.went(id, &change.name, change.step) == node;
            if arrived
                && is_that
                && let Some(names) = kept.get_mut(&id)
            {
                names.remove(&change.name);
            }
        }
        kept
    }

    /// The node whose name went from a folder in a step: what the name was of before.
    fn went(&self, folder: Id, name: &str, step: usize) -> Option<Id> {
        let Node::Folder(names) = &self.nodes[folder] else {
            return None;
        };
        let before = names.pending.iter().rev();
        let came = before
            .filter(|change| change.name == name && change.step < step)
            .find_map(|change| change.node);
        came.or_else(|| names.durable.get(name).copied())
    }
}

/// The folders that have a way from the root.
fn reachable(kept: &HashMap<Id, BTreeMap<String, Id>>) -> BTreeSet<Id> {
    let mut found = BTreeSet::new();
    let mut open = vec![ROOT];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let names = kept.get(&id).into_iter().flat_map(BTreeMap::values);
            open.extend(names.filter(|id| kept.contains_key(id)));
        }
    }
    found
}

impl Content {
    fn surviving(&self, loss: Loss, random: &mut ChaCha8Rng) -> Vec<u8> {
        if self.now == self.durable {
            return self.now.clone();
        }
        match loss {
            Loss::All | Loss::Bytes => self.durable.clone(),
            Loss::Zeros => {
                let mut bytes = self.durable.clone();
                bytes.resize(self.now.len(), 0);
                bytes
            }
            Loss::Later | Loss::Some => {
                let mut bytes = self.durable.clone();
                let least = bytes.len().min(self.now.len());
                bytes.resize(random.random_range(least..=self.now.len()), 0);
                let sectors = bytes.chunks_mut(SECTOR).zip(self.now.chunks(SECTOR));
                for (kept, now) in sectors {
                    if random.random() {
                        let length = kept.len().min(now.len());
                        kept[..length].copy_from_slice(&now[..length]);
                    }
                }
                bytes
            }
        }
    }
}
