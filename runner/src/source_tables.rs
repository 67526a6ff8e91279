//! The tables that queries see of sources: those that are read in place, and those of what was extracted.
//!
//! Owns where extracted records are read, which files of sources that are read file by file, and that a source has something to read and not more columns than can be planned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::Registry;
use connectors::source::{InPlace, Read, Survey};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::SessionContext;

use super::error::RunError;
use super::increment::Increments;
use super::landing;
use super::quantity::count;
use super::sources::{absolute, read};
use language::Source;

/// Names of files that a warning shows.
const MOST_SHOWN: usize = 5;

/// Where extracted records are read, and which files of sources that are read file by file.
#[derive(Debug)]
pub struct ExtractedTables {
    registry: Arc<Registry>,
    work_dir: PathBuf,
    moved: BTreeMap<String, url::Url>,
    increments: Option<Arc<Increments>>,
}

impl ExtractedTables {
    /// Where those of the registry's kinds land, in a run's work folder.
    pub fn in_folder(registry: &Arc<Registry>, work_dir: &Path) -> Self {
        Self {
            registry: Arc::clone(registry),
            work_dir: work_dir.to_path_buf(),
            moved: BTreeMap::new(),
            increments: None,
        }
    }

    /// Those, and these files.
    #[must_use]
    pub fn with_increments(self, increments: Option<Arc<Increments>>) -> Self {
        Self { increments, ..self }
    }

    /// Those of one source are in another folder now, whose URL ends with `/`.
    pub fn moved(&mut self, table: &str, url: url::Url) {
        self.moved.insert(String::from(table), url);
    }

    /// A table of a source that is read in place.
    async fn in_place(
        &self,
        table: &str,
        source: Arc<dyn InPlace>,
        ctx: &SessionContext,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let increments = self.increments.as_ref();
        let chosen = increments.and_then(|increments| increments.chosen(table));
        match (source.by_file(), chosen) {
            (Some(source), Some(chosen)) => source.table_of(&ctx.state(), chosen.clone()).await,
            _ => source.table(&ctx.state()).await,
        }
    }

    /// A table of what landed, or will: its columns are known before the first record arrived.
    fn table(
        &self,
        table: &str,
        columns: SchemaRef,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let options =
            ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
        let config = ListingTableConfig::new(self.url(table)?)
            .with_listing_options(options)
            .with_schema(columns);
        Ok(Arc::new(ListingTable::try_new(config)?))
    }

    fn url(&self, table: &str) -> Result<ListingTableUrl, DataFusionError> {
        match self.moved.get(table) {
            Some(url) => ListingTableUrl::parse(url),
            None => {
                let folder = landing::folder(&self.work_dir, table);
                // The trailing slash says that this is a folder, which need not exist yet.
                ListingTableUrl::parse(format!("{}/", absolute(&folder).display()))
            }
        }
    }
}

/// Registers every source as a table of `ctx`: extracted ones as what landed, or will, the others in place.
///
/// # Errors
/// [`RunError::Engine`] when a source that is read in place cannot be opened, [`RunError::Open`] when it has more columns
/// than can be planned.
pub async fn register(
    ctx: &SessionContext,
    sources: &[Source],
    extracted: &ExtractedTables,
) -> Result<(), RunError> {
    for source in sources {
        let table = match read(&extracted.registry, source)? {
            Read::InPlace(files) => extracted.in_place(&source.name, files, ctx).await,
            Read::Extracted(columns) => extracted.table(&source.name, columns),
        };
        table
            .and_then(|table| ctx.register_table(TableReference::bare(source.name.as_str()), table))
            .map_err(|error| {
                let doing = format!(
                    "opening the source `{}` at `{}`",
                    source.name, source.location
                );
                RunError::engine(doing, error)
            })?;
        require_plannable(ctx, &source.name).await?;
    }
    Ok(())
}

/// Planning looks at every column once for every column, several times: 100,000 of them take hours, 10,000 some seconds.
const MOST_COLUMNS: usize = 10_000;

/// Refuses a source whose columns nobody would see planned.
async fn require_plannable(ctx: &SessionContext, table: &str) -> Result<(), RunError> {
    let provider = ctx.table_provider(TableReference::bare(table)).await;
    let columns = provider.map_or(0, |provider| provider.schema().fields().len());
    if columns <= MOST_COLUMNS {
        return Ok(());
    }
    Err(RunError::Open {
        table: table.to_owned(),
        problem: format!(
            "it has {columns} columns, and {MOST_COLUMNS} can be planned; declare those that are wanted behind the table's \
             name. In JSON, keys that are values make as many columns as there are: read such an object as text"
        ),
    })
}

/// What is under the locations of sources that are read in place, by table.
pub type Surveys = BTreeMap<String, Survey>;

/// Looks at the location of every source that is read in place, unless that is known.
///
/// # Errors
/// [`RunError::NoFiles`] with the table whose location cannot be looked at.
pub async fn surveys(
    ctx: &SessionContext,
    sources: &[Source],
    registry: &Registry,
    increments: Option<&Increments>,
) -> Result<Surveys, RunError> {
    let mut surveys = Surveys::new();
    for source in sources {
        let chosen = increments.and_then(|increments| increments.survey(&source.name));
        if let Some(survey) = chosen {
            surveys.insert(source.name.clone(), survey.clone());
        } else if let Read::InPlace(files) = read(registry, source)? {
            let survey = files.survey(&ctx.state()).await;
            let survey = survey.map_err(|error| no_files(source, Some(Box::new(error))))?;
            surveys.insert(source.name.clone(), survey);
        }
    }
    Ok(surveys)
}

fn no_files(source: &Source, cause: Option<Box<DataFusionError>>) -> RunError {
    RunError::NoFiles {
        table: source.name.clone(),
        location: source.location.clone(),
        source: cause,
    }
}

/// Makes sure that every source that is read in place has something to read: an empty listing would read as an empty table,
/// and publishing that could replace a full one. Gives a line for each that has files which are not read and may hold rows.
///
/// # Errors
/// [`RunError::NoFiles`] with the table and its location.
pub fn require_files(sources: &[Source], surveys: &Surveys) -> Result<Vec<String>, RunError> {
    let mut told = Vec::new();
    for source in sources {
        match surveys.get(&source.name) {
            Some(survey) if survey.files == 0 && !survey.may_be_empty => {
                return Err(no_files(source, None));
            }
            Some(survey) => told.extend(left_out(source, survey)),
            None => {}
        }
    }
    Ok(told)
}

/// Files that a source does not read, if they may hold rows.
fn left_out(source: &Source, survey: &Survey) -> Option<String> {
    let left_out = survey
        .left_out
        .iter()
        .filter(|(_, why)| why.may_hold_rows());
    let names: Vec<&str> = left_out.map(|(name, _)| name.as_str()).collect();
    let shown = names
        .iter()
        .take(MOST_SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match names.len().saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "{} under {} not read, because of the suffix: {shown}{more}; to read them too, name them in the location with a pattern",
            count(names.len() as u64, "file"),
            source.location,
        )
    })
}

/// What the sources that are read in place are, for the message of a query that fails over one of them.
pub fn places(sources: &[Source], registry: &Registry) -> String {
    let places: Vec<String> = sources
        .iter()
        .filter(|source| matches!(read(registry, source), Ok(Read::InPlace(_))))
        .map(|source| format!("`{}` from {}", source.name, source.location))
        .collect();
    places.join(", ")
}
