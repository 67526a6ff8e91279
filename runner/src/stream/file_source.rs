//! Files, and tables of ours, as a source. Owns how they are opened without a pipeline: by the kinds of sources that pipelines
//! have, with their options, in a session of the stream's own.

use connectors::option::OptionValue;
use connectors::source::{Declared, Read};
use connectors::{Files, Registry};
use datafusion::arrow::datatypes::SchemaRef;
use engine::{Budget, SessionOptions, session};
use files::FilesTable;
use tables::StorageOptions;

use super::error::Cause;
use super::source::{Opened, Source, query_of};

/// What decoders may take for granted, unless something else is said.
const MEMORY: usize = 1 << 30;
/// Rows that are read at once.
const BATCH_ROWS: usize = 8192;

/// Files of any format that pipelines read: `PARQUET`, `CSV`, `JSON`, `TEXT`, `BINARY`, `AVRO`, `ARROW`, with their options
/// (docs/sources.md). A location is a file, a folder, a pattern, or a list of those in JSON, here or in an object store.
#[derive(Debug, Clone)]
pub struct FileSource {
    kind: Option<String>,
    declared: Declared,
    readers: usize,
    memory: usize,
    storage: StorageOptions,
}

impl FileSource {
    /// Files of the kind that their location's suffix says: `orders.csv`, `in/*.jsonl.gz`.
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            kind: None,
            declared: Declared {
                location: location.into(),
                ..Declared::default()
            },
            readers: 1,
            memory: MEMORY,
            storage: StorageOptions::default(),
        }
    }

    /// The table of ours at that location: the files that its newest commit names, with its columns in their order.
    pub fn table(location: impl Into<String>) -> Self {
        Self::new(location).kind("TABLE")
    }

    /// Of this kind, whatever they are called.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// With an option of the kind, as in `OPTIONS ('delimiter' ';')`.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: &str) -> Self {
        let value = Some(OptionValue::from(value));
        self.declared.options.insert(name.into(), value);
        self
    }

    /// With these columns, those of partitions among them. Default: as the files say, or as their values look.
    #[must_use]
    pub fn columns(mut self, columns: SchemaRef) -> Self {
        self.declared.columns = Some(columns);
        self
    }

    /// In folders named after the values of these columns, as `year=2026`.
    #[must_use]
    pub fn partitioned_by<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.declared.partitioned_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Decoded by so many threads at the same time, and then in no order. Default: by one, in the order of each file.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// Decoded under a ceiling of so many bytes, as of a whole process (`--memory`): a record that needs more is an error.
    /// Default: 1 GiB.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Reached so, if they are in an object store. Default: without credentials.
    #[must_use]
    pub fn storage(mut self, storage: StorageOptions) -> Self {
        self.storage = storage;
        self
    }

    async fn open(self) -> Result<Opened, Cause> {
        if self.readers == 0 {
            return Err("no reader would read it; `FileSource::readers` is at least 1".into());
        }
        let mut options = SessionOptions::new(
            Budget::new(self.memory, self.readers, BATCH_ROWS),
            std::env::temp_dir(),
        );
        options.storage = self.storage.clone();
        let ctx = session(&options)?;
        let said = || Files::kind_of(&self.declared.location);
        let Some(kind) = self.kind.as_deref().or_else(said) else {
            return Err("its name says no kind of files; say it with `FileSource::kind`".into());
        };
        let registry = Registry::builtin();
        let factory = registry.find(kind)?;
        let problems = factory.check(&self.declared);
        if !problems.is_empty() {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(problems.join("; ").into());
        }
        let Read::InPlace(files) = factory.read(&self.declared) else {
            return Err(
                format!("{kind} is no kind of files, and only a pipeline extracts it").into(),
            );
        };
        let state = ctx.state();
        let survey = files.survey(&state).await?;
        if survey.files == 0 && !survey.may_be_empty {
            return Err("there is no file that is read".into());
        }
        for (name, why) in survey
            .left_out
            .iter()
            .filter(|(_, why)| why.may_hold_rows())
        {
            tracing::warn!(file = name, "is not read: {}", why.words());
        }
        let table = files.table(&state).await?;
        let bad_rows = table.downcast_ref::<FilesTable>();
        let bad_rows = bad_rows.and_then(FilesTable::bad_rows).cloned();
        query_of(ctx.read_table(table)?, bad_rows).await
    }
}

impl From<FileSource> for Source {
    fn from(files: FileSource) -> Self {
        let name = files.declared.location.clone();
        Self::opening(name, files.open())
    }
}
