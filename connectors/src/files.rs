//! Files of four formats under a path or URL, read in place.
//!
//! Owns how a declaration becomes a table of files. Reading them is DataFusion's, which also checks their options.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::config::{ConfigFileType, TableOptions};
use datafusion::common::{DFSchema, DataFusionError, TableReference, exec_datafusion_err};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::SessionState;
use datafusion::logical_expr::CreateExternalTable;
use futures::TryStreamExt;

use crate::extract::Extract;
use crate::option::{OptionProblem, OptionSpec, OptionValue, Parser};
use crate::source::{Declared, InPlace, OpenError, Read, SourceFactory};

/// Files of one format.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    kind: &'static str,
    summary: &'static str,
}

impl Files {
    /// The formats that there are.
    pub fn all() -> [Self; 4] {
        [
            ("PARQUET", "Parquet files"),
            ("CSV", "files of delimiter-separated values"),
            ("JSON", "files with a JSON object per line"),
            ("ARROW", "Arrow IPC files"),
        ]
        .map(|(kind, summary)| Self { kind, summary })
    }
}

impl SourceFactory for Files {
    fn kind(&self) -> &str {
        self.kind
    }

    fn summary(&self) -> &str {
        self.summary
    }

    /// DataFusion's own, without those of its writer.
    fn options(&self) -> Vec<OptionSpec> {
        let mut options = TableOptions::new();
        options.set_config_format(match self.kind {
            "PARQUET" => ConfigFileType::PARQUET,
            "CSV" => ConfigFileType::CSV,
            "JSON" => ConfigFileType::JSON,
            _ => return Vec::new(),
        });
        let entries = options.entries().into_iter();
        entries
            .filter(|entry| !entry.description.starts_with("(writing)"))
            .map(|entry| OptionSpec {
                name: entry.key,
                parser: Parser::Text,
                required: false,
                secret: false,
                default: entry.value,
                doc: entry.description.to_owned(),
            })
            .collect()
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

    /// DataFusion checks options when the table is made.
    fn check(&self, _declared: &Declared) -> Vec<OptionProblem> {
        Vec::new()
    }

    fn open(&self, _declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        Err(OpenError::InPlace {
            kind: self.kind.to_owned(),
        })
    }
}

/// The files under one location.
#[derive(Debug)]
struct Folder {
    format: &'static str,
    declared: Declared,
}

#[async_trait]
impl InPlace for Folder {
    async fn table(
        &self,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let schema = match &self.declared.columns {
            Some(schema) => DFSchema::try_from(schema.as_ref().clone())?,
            None => DFSchema::empty(),
        };
        let mut create = CreateExternalTable::builder(
            TableReference::bare("files"),
            self.declared.location.as_str(),
            self.format,
            Arc::new(schema),
        )
        .build();
        for (name, value) in &self.declared.options {
            if let Some(OptionValue::Plain(value)) = value {
                let name = format!("format.{}", name.trim_start_matches("format."));
                create.options.insert(name, value.clone());
            }
        }
        create
            .table_partition_cols
            .clone_from(&self.declared.partitioned_by);
        let format = session
            .table_factories()
            .get(self.format)
            .ok_or_else(|| exec_datafusion_err!("Unable to find factory for {}", self.format))?;
        format.create(session, &create).await
    }

    async fn is_there(&self, session: &SessionState) -> Result<bool, DataFusionError> {
        let url = ListingTableUrl::parse(&self.declared.location)?;
        let store = session.runtime_env().object_store(&url)?;
        let mut files = url.list_all_files(session, store.as_ref(), "").await?;
        Ok(files.try_next().await?.is_some())
    }

    async fn bytes(&self, session: &SessionState) -> Result<u64, DataFusionError> {
        let url = ListingTableUrl::parse(&self.declared.location)?;
        let store = session.runtime_env().object_store(&url)?;
        let files = url.list_all_files(session, store.as_ref(), "").await?;
        files
            .try_fold(0, |sum, file| async move { Ok(sum + file.size) })
            .await
    }
}
