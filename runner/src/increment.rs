//! Sources that are read file by file: which files a run reads, because they are new or changed since the pipeline last
//! committed, and what its own commit says of them.
//!
//! Owns what is read of all sources together, and what is noted of it. The lists are kept by the logs of the outputs, so that
//! a list and the rows it stands for are one decision; a run that ends before that reads the same files again.
//!
//! ```text
//! files that there are ─┐
//!                       ├─► new, changed, read before, gone ─► what is read ─► … ─► commit: rows and list
//! lists of the outputs ─┘                                 └─► nothing: the run ends
//! ```

mod compare;
mod found;
mod outputs;

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::Registry;
use connectors::sink::Transaction;
use connectors::source::{Chosen, InPlace, Read, Survey};
use engine::SessionOptions;
use language::{Bound, Source};
use serde_json::{Value, json};
use tables::{FileList, FilesRead, StorageOptions, Table};

use self::compare::{Compared, now, path_of, request_of};
use self::found::Found;
use self::outputs::Outputs;
use super::error::RunError;
use super::output::{table_failed, table_location};
use super::quantity::count;
use super::sources::read;
use crate::store::Counts;

/// What a run reads of its sources that are read file by file.
#[derive(Debug, Clone)]
pub struct Increments {
    sources: BTreeMap<String, Increment>,
    /// What the log of each output said, by location.
    looked_at: BTreeMap<String, FilesRead>,
    /// What the run's commits say.
    files_read: FilesRead,
    /// Whether an earlier attempt of the run committed something.
    is_ours: bool,
    warnings: Vec<String>,
}

/// What is read of one source.
#[derive(Debug, Clone)]
struct Increment {
    chosen: Chosen,
    survey: Survey,
    found: Found,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Look {
    /// The pipeline.
    pub bound: Bound,
    /// The kinds of sources.
    pub registry: Arc<Registry>,
    /// With what files are listed.
    pub session: SessionOptions,
    /// The run, if an earlier attempt of it may have committed.
    pub run: Option<String>,
}

/// Whether the pipeline has a source that is read file by file. Its runs are no intervals then: what they cover is files.
pub fn is_incremental(registry: &Registry, bound: &Bound) -> bool {
    let mut sources = bound.sources.iter();
    sources.any(|source| matches!(read(registry, source), Ok(Read::InPlace(source)) if source.by_file().is_some()))
}

/// Compares the files that there are with the lists of the outputs; `None` without a source that is read file by file.
///
/// # Errors
/// [`RunError::NoFiles`] when a location cannot be looked at or has never had a file, [`RunError::Table`] when a log cannot be
/// read, [`RunError::Increment`] when what would have to be read must not.
pub async fn choose(look: Look) -> Result<Option<Increments>, RunError> {
    let mut sources: Vec<(&Source, Arc<dyn InPlace>)> = Vec::new();
    for source in &look.bound.sources {
        if let Read::InPlace(in_place) = read(&look.registry, source)?
            && in_place.by_file().is_some()
        {
            sources.push((source, in_place));
        }
    }
    if sources.is_empty() {
        return Ok(None);
    }
    let ctx = engine::session(&look.session).map_err(|error| RunError::Engine {
        doing: String::from("building the session"),
        source: Box::new(error),
    })?;
    let (bound, storage) = (&look.bound, &look.session.storage);
    let outputs = Outputs::of(bound, storage, look.run.as_deref()).await?;
    let mut compared = Vec::new();
    for (source, in_place) in &sources {
        if let Some(by_file) = in_place.by_file() {
            let session = ctx.state();
            let of_source = Compared::of(&outputs, bound, source, by_file, &session).await?;
            compared.push((*source, of_source));
        }
    }
    Ok(Some(Increments::of(outputs, bound, compared)))
}

impl Increments {
    /// What is read of the sources together.
    fn of(outputs: Outputs, bound: &Bound, compared: Vec<(&Source, Compared)>) -> Self {
        let is_due = compared.iter().any(|(_, compared)| {
            let Found {
                new, changed, gone, ..
            } = compared.found;
            new + changed > 0 || outputs.forgets && gone > 0
        });
        let reads_all = is_due && outputs.reads_all;
        let request = request_of(bound);
        let mut files_read = FilesRead::default();
        let (mut sources, mut warnings) = (BTreeMap::new(), Vec::new());
        for (source, compared) in compared {
            let Compared {
                listing,
                due,
                found,
                otherwise,
            } = compared;
            if otherwise > 0 && !reads_all {
                warnings.push(format!(
                    "not read again, though the parameters were others: {} of `{}`; a file is read once",
                    count(otherwise, "file"),
                    source.name
                ));
            }
            let is_read = reads_all || due.contains(&true);
            let chosen = match is_read {
                true => {
                    let files = listing.files.into_iter().zip(due);
                    let files = files.filter(|(_, is_due)| reads_all || *is_due);
                    Chosen::Files(files.map(|(file, _)| file).collect())
                }
                false => Chosen::None(listing.files),
            };
            let files = match &chosen {
                Chosen::Files(files) => files.as_slice(),
                Chosen::None(_) => &[],
            };
            let list: FileList = files
                .iter()
                .map(|file| (path_of(file), now(file, &request)))
                .collect();
            if !list.is_empty() {
                files_read.add(&bound.name, &source.name, list);
            }
            let increment = Increment {
                survey: Survey {
                    files: files.len() as u64,
                    bytes: files.iter().map(|file| file.size).sum(),
                    may_be_empty: true,
                    left_out: listing
                        .left_out
                        .into_iter()
                        .map(|file| (file.name, file.why))
                        .collect(),
                    detected: Some(found.told(reads_all)),
                    ..Survey::default()
                },
                chosen,
                found,
            };
            sources.insert(source.name.clone(), increment);
        }
        Self {
            sources,
            looked_at: outputs.looked_at,
            files_read,
            is_ours: outputs.is_ours,
            warnings,
        }
    }

    /// Whether there is nothing to read.
    pub fn is_nothing(&self) -> bool {
        self.files_read.is_empty()
    }

    /// Whether an earlier attempt of the run committed something.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// What commits say of the files that the run reads.
    pub fn files_read(&self) -> &FilesRead {
        &self.files_read
    }

    /// What must not be missed and stops nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The files that are read of a source, if it is read file by file.
    pub fn chosen(&self, source: &str) -> Option<&Chosen> {
        Some(&self.sources.get(source)?.chosen)
    }

    /// What there is to read of a source, if it is read file by file.
    pub fn survey(&self, source: &str) -> Option<&Survey> {
        Some(&self.sources.get(source)?.survey)
    }

    /// Counts files into what is recorded of the run.
    pub fn count(&self, counts: &mut Counts) {
        for increment in self.sources.values() {
            let found = increment.found;
            for (word, files) in [
                ("files_new", found.new),
                ("files_changed", found.changed),
                ("files_read_before", found.read_before),
                ("files_gone", found.gone),
            ] {
                *counts.other.entry(String::from(word)).or_default() += files;
            }
        }
    }

    /// The same by source, for the plan stage's detail.
    pub fn detail(&self) -> Value {
        let found: BTreeMap<&String, Found> = self
            .sources
            .iter()
            .map(|(source, increment)| (source, increment.found))
            .collect();
        json!(found)
    }

    /// Makes sure that nobody published to an output between the look at its log and now, when nobody else can.
    ///
    /// # Errors
    /// [`RunError::Overtaken`].
    pub fn require_unchanged(
        &self,
        location: &str,
        transaction: &dyn Transaction,
    ) -> Result<(), RunError> {
        match self.looked_at.get(location) == Some(&transaction.files_read()) {
            true => Ok(()),
            false => Err(RunError::Overtaken {
                location: location.to_owned(),
            }),
        }
    }
}

/// Finishes what earlier runs decided about the outputs, for a run that has nothing to publish to them.
///
/// # Errors
/// [`RunError::Table`] when an output cannot be looked at or brought to rest.
pub async fn bring_to_rest(bound: &Bound, storage: &StorageOptions) -> Result<(), RunError> {
    for output in &bound.outputs {
        let location = table_location(output);
        let failed = |error| table_failed(&location, error);
        let table = Table::open(&location, storage).map_err(failed)?;
        if table
            .leftovers()
            .await
            .map_err(failed)?
            .unfinished
            .is_none()
        {
            continue;
        }
        match table.recover().await {
            // It finishes its own work.
            Err(tables::Error::LeaseHeld { .. }) => {}
            recovered => drop(recovered.map_err(failed)?),
        }
    }
    Ok(())
}
