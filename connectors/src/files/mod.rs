//! Files of several formats under a path or URL, read in place.
//!
//! Owns how a declaration becomes a table of files, and which options there are. Finding and reading them is
//! `files`', except that DataFusion reads Parquet, and checks its options.

mod options;
mod quarantine;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::common::config::{ConfigFileType, TableOptions};
use datafusion::execution::SessionState;
use files::listing::{Listing, Wanted, list};
use files::{DeclaredParquet, FilesTable, Format, ParquetTable, Stores};
use url::Url;

use self::options::{FILE_COLUMN, Said, plain, said};
use crate::extract::Extract;
use crate::option::{OptionProblem, OptionSpec, Parser};
use crate::source::{ByFile, Chosen, Declared, InPlace, OpenError, Read, SourceFactory, Survey};

/// Files of one format.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    kind: &'static str,
    summary: &'static str,
}

impl Files {
    /// The formats that there are.
    pub fn all() -> [Self; 7] {
        [
            ("PARQUET", "Parquet files"),
            ("CSV", "files of delimiter-separated values"),
            (
                "JSON",
                "files of JSON objects: on lines, one after the other, or in one array",
            ),
            ("TEXT", "text files, a row per line"),
            ("BINARY", "files as values, a row per file or per chunk"),
            ("AVRO", "Avro object container files"),
            ("ARROW", "Arrow IPC files"),
        ]
        .map(|(kind, summary)| Self { kind, summary })
    }

    /// The kind whose files are called so, in any case, with or without the suffix of a compression; `None` if the name says
    /// none.
    ///
    /// ```
    /// assert_eq!(connectors::Files::kind_of("in/Orders.TSV.gz"), Some("CSV"));
    /// assert_eq!(connectors::Files::kind_of("in/orders.d/README"), None);
    /// ```
    pub fn kind_of(name: &str) -> Option<&'static str> {
        let name = name.rsplit('/').next()?.to_ascii_lowercase();
        let (rest, last) = name.rsplit_once('.')?;
        let suffix = match files::Compression::SUFFIXES.contains(&last) {
            true => rest.rsplit_once('.')?.1,
            false => last,
        };
        let mut kinds = Self::all().into_iter().map(|files| files.kind);
        kinds.find(|kind| suffixes(kind).contains(&suffix))
    }
}

impl SourceFactory for Files {
    fn kind(&self) -> &str {
        self.kind
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn options(&self) -> Vec<OptionSpec> {
        match self.kind {
            "PARQUET" => [vec![options::incremental()], of_the_engine()].concat(),
            kind => options::of(kind),
        }
    }

    fn is_partitioned(&self) -> bool {
        true
    }

    fn read(&self, declared: &Declared) -> Read {
        Read::InPlace(Arc::new(Folder {
            format: self.kind,
            declared: declared.clone(),
        }))
    }

    /// The engine checks its own when the table is made.
    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        match self.kind {
            "PARQUET" => options::check_incremental(declared),
            kind => options::check(&options::of(kind), declared, |plain| {
                said(kind, plain).map(drop)
            }),
        }
    }

    fn open(&self, _declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        Err(OpenError::InPlace {
            kind: self.kind.to_owned(),
        })
    }
}

/// DataFusion's own options, without those of its writer, and what is ours.
fn of_the_engine() -> Vec<OptionSpec> {
    let mut options = TableOptions::new();
    options.set_config_format(ConfigFileType::PARQUET);
    let entries = options.entries().into_iter();
    let of_the_engine = entries
        .filter(|entry| !entry.description.starts_with("(writing)"))
        .map(|entry| OptionSpec {
            name: entry.key,
            parser: Parser::Text,
            required: false,
            secret: false,
            default: entry.value,
            doc: entry.description.to_owned(),
        });
    of_the_engine.chain([options::file_column()]).collect()
}

/// The files under one location.
#[derive(Debug)]
struct Folder {
    format: &'static str,
    declared: Declared,
}

/// Suffixes of the files of a format.
fn suffixes(format: &str) -> &'static [&'static str] {
    match format {
        "CSV" => Format::Csv(files::Csv::default()).suffixes(),
        "JSON" => Format::Json(files::Json::default()).suffixes(),
        "PARQUET" => &["parquet", "parq", "pq"],
        "TEXT" => Format::Text.suffixes(),
        "AVRO" => Format::Avro.suffixes(),
        "BINARY" => Format::Binary(files::Binary::default()).suffixes(),
        _ => Format::Arrow.suffixes(),
    }
}

/// The columns with texts one behind the other, as tables have them and types that are found are: made of views, they would
/// be copied once more before they are written.
fn with_plain_texts(columns: &Schema) -> SchemaRef {
    let fields = columns
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8View => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
            _ => Arc::clone(field),
        });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

impl Folder {
    async fn list(&self, session: &SessionState) -> Result<Listing, DataFusionError> {
        let store = |url: &Url| session.runtime_env().object_store_registry.get_store(url);
        let wanted = Wanted {
            location: &self.declared.location,
            suffixes: suffixes(self.format),
            partition_by: &self.declared.partitioned_by,
        };
        Ok(list(wanted, &store).await?)
    }

    /// A table of a format that is read record by record.
    async fn of_records(
        &self,
        session: &SessionState,
        said: Said,
        chosen: Chosen,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let (files, is_read) = chosen.look();
        let registry = &session.runtime_env().object_store_registry;
        let stores = Stores::of(&files, registry.as_ref())?;
        let declared = files::Declared {
            location: self.declared.location.clone(),
            columns: self.declared.columns.as_deref().map(with_plain_texts),
            partition_by: self.declared.partitioned_by.clone(),
            format: said.format,
            bytes: files::Bytes {
                longest_record: files::longest_record(session.runtime_env().memory_pool.as_ref()),
                ..said.bytes
            },
            sample_bytes: said.sample_bytes,
            quarantine: said.quarantine,
            origin: said.origin,
        };
        let table = FilesTable::open(declared, files, stores).await?;
        Ok(Arc::new(match is_read {
            true => table,
            false => table.emptied(),
        }))
    }

    /// A table of Parquet files.
    async fn parquet(
        &self,
        session: &SessionState,
        chosen: Chosen,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let mut options = session.default_table_options();
        options.set_config_format(ConfigFileType::PARQUET);
        let mut plain = plain(&self.declared);
        let file_column = plain.remove(FILE_COLUMN);
        for (name, value) in options::of_engine(plain) {
            options.set(&format!("format.{name}"), &value)?;
        }
        let declared = DeclaredParquet {
            location: self.declared.location.clone(),
            columns: self.declared.columns.clone(),
            partition_by: self.declared.partitioned_by.clone(),
            options: options.parquet,
            file_column,
        };
        let (files, is_read) = chosen.look();
        let table = ParquetTable::open(declared, files, session).await?;
        Ok(Arc::new(match is_read {
            true => table,
            false => table.emptied(),
        }))
    }
}

#[async_trait]
impl ByFile for Folder {
    async fn list(&self, session: &SessionState) -> Result<Listing, DataFusionError> {
        self.list(session).await
    }

    async fn table_of(
        &self,
        session: &SessionState,
        chosen: Chosen,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let refused = |problem: OptionProblem| DataFusionError::Plan(problem.to_string());
        match self.format {
            "PARQUET" => self.parquet(session, chosen).await,
            kind => {
                let said = said(kind, &plain(&self.declared)).map_err(refused)?;
                self.of_records(session, said, chosen).await
            }
        }
    }
}

#[async_trait]
impl InPlace for Folder {
    async fn table(
        &self,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let listing = self.list(session).await?;
        self.table_of(session, Chosen::Files(listing.files)).await
    }

    fn by_file(&self) -> Option<&dyn ByFile> {
        options::is_incremental(&self.declared).then_some(self)
    }

    fn counts_rows(&self) -> bool {
        self.format == "PARQUET"
    }

    async fn survey(&self, session: &SessionState) -> Result<Survey, DataFusionError> {
        let listing = self.list(session).await?;
        let said = match self.format {
            "PARQUET" => None,
            kind => said(kind, &plain(&self.declared)).ok(),
        };
        let detected = match &said {
            Some(Said {
                format: Format::Csv(csv),
                bytes,
                ..
            }) => {
                let registry = &session.runtime_env().object_store_registry;
                let stores = Stores::of(&listing.files, registry.as_ref())?;
                files::detected(csv, bytes, &listing.files, &stores).await?
            }
            _ => None,
        };
        Ok(Survey {
            detected,
            files: listing.files.len() as u64,
            bytes: listing.files.iter().map(|file| file.size).sum(),
            rows: None,
            may_be_empty: false,
            left_out: listing
                .left_out
                .into_iter()
                .map(|file| (file.name, file.why))
                .collect(),
        })
    }
}
