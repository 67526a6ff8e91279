//! The outputs of a pipeline whose sources are read file by file: what their logs say was read, and which modes go together.

use std::collections::BTreeMap;

use language::{Bound, Source};
use tables::{FileList, FilesRead, PublishMode, StorageOptions, Table};

use crate::error::RunError;
use crate::output::{name, table_failed, table_location};

/// An output, as far as it says what was read.
pub(super) struct Output {
    pub(super) name: String,
    pub(super) mode: PublishMode,
    files_read: FilesRead,
}

impl Output {
    /// What a source was read from.
    pub(super) fn list(&self, pipeline: &str, source: &Source) -> Option<&FileList> {
        self.files_read.of(pipeline, &source.name)
    }
}

/// The outputs of a run.
pub(super) struct Outputs {
    /// Those that it has to publish.
    pub(super) open: Vec<Output>,
    /// What the log of each says, by location.
    pub(super) looked_at: BTreeMap<String, FilesRead>,
    /// Whether an earlier attempt of the run committed to one.
    pub(super) is_ours: bool,
    /// All files are read as soon as one has to be.
    pub(super) reads_all: bool,
    /// A file that goes changes what is published.
    pub(super) forgets: bool,
}

impl Outputs {
    /// What their logs say; `run` is the run, if an earlier attempt of it may have committed.
    ///
    /// # Errors
    /// When a log cannot be read, or their modes do not go together.
    pub(super) async fn of(
        bound: &Bound,
        storage: &StorageOptions,
        run: Option<&str>,
    ) -> Result<Self, RunError> {
        let (mut open, mut done, mut looked_at) = (Vec::new(), Vec::new(), BTreeMap::new());
        for output in &bound.outputs {
            let location = table_location(output);
            let failed = |error| table_failed(&location, error);
            let table = Table::open(&location, storage).map_err(failed)?;
            let commit = table.current().await.map_err(failed)?;
            let is_ours =
                (commit.as_ref()).is_some_and(|commit| Some(commit.run_id.as_str()) == run);
            let files_read = commit.map(|commit| commit.files_read).unwrap_or_default();
            looked_at.insert(location, files_read.clone());
            let output = Output {
                name: name(output),
                mode: output.options.publish,
                files_read,
            };
            match is_ours {
                true => done.push(output),
                false => open.push(output),
            }
        }
        let is_ours = !done.is_empty();
        if open.is_empty() {
            open = done;
        }
        let with = |modes: &[PublishMode]| open.iter().find(|output| modes.contains(&output.mode));
        let append = with(&[PublishMode::Append]);
        let whole = with(&[PublishMode::Overwrite, PublishMode::Replace]);
        if let (Some(append), Some(whole)) = (append, whole) {
            return Err(RunError::Increment {
                table: sources_of(bound),
                problem: format!(
                    "`{}` is published with mode '{}', which takes all files, and `{}` with 'append', which takes the new ones; give \
                     each a pipeline of its own",
                    whole.name, whole.mode, append.name
                ),
            });
        }
        Ok(Self {
            reads_all: whole.is_some(),
            forgets: with(&[PublishMode::Replace]).is_some(),
            open,
            looked_at,
            is_ours,
        })
    }
}

fn sources_of(bound: &Bound) -> String {
    let names: Vec<&str> = bound
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    names.join("`, `")
}
