//! Sources: from a declared external table to something the session can read.
//!
//! Owns which sources are extracted and landed and which are read in place, the resolution of secret references, and
//! what the environment adds to a Launchpad source. How records are fetched is `connectors`'.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::extract::{Extract, Metrics};
use connectors::source::{self as connector, ClientSettings, Open, OptionValue as ConnectorOption};
use datafusion::common::TableReference;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::logical_expr::{CreateExternalTable, DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use secrecy::SecretString;

use super::error::RunError;
use super::landing;
use crate::settings::Environment;
use language::{
    Bound, Definition, Diagnostic, Diagnostics, OptionValue, SecretReference, Source, SourceKind,
};

/// A source whose records are extracted and landed before the query runs.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// The table's name.
    pub table: String,
    /// Where the records come from.
    pub extract: Arc<dyn Extract>,
    /// Counts while they come.
    pub metrics: Arc<Metrics>,
}

/// Where extracted records are read.
#[derive(Debug)]
pub struct Landed {
    work_dir: PathBuf,
    moved: BTreeMap<String, url::Url>,
}

impl Landed {
    /// Where they land, in a run's work folder.
    pub fn in_folder(work_dir: &Path) -> Self {
        Self {
            work_dir: work_dir.to_path_buf(),
            moved: BTreeMap::new(),
        }
    }

    /// Those of one source are in another folder now, whose URL ends with `/`.
    pub fn moved(&mut self, table: &str, url: url::Url) {
        self.moved.insert(String::from(table), url);
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

/// Opens the sources that have to be extracted. No network is used.
///
/// # Errors
/// [`RunError::Secret`] when a reference cannot be read, [`RunError::Open`] when the connector refuses.
pub fn open_extracted(
    sources: &[Source],
    environment: &Environment,
    sample: Option<&url::Url>,
) -> Result<Vec<Extracted>, RunError> {
    sources
        .iter()
        .filter_map(|source| Some((source, connector_kind(source.kind)?)))
        .map(|(source, kind)| {
            let mut options = resolve_secrets(source, environment)?;
            if source.kind == SourceKind::Launchpad {
                add_launchpad_environment(&mut options, environment, sample);
            }
            let open = Open {
                kind,
                location: &source.location,
                options,
                settings: ClientSettings::default(),
            };
            let extract = connector::open(open).map_err(|problem| RunError::Open {
                table: source.name.clone(),
                problem: super::error::chain(&problem),
            })?;
            Ok(Extracted {
                table: source.name.clone(),
                extract,
                metrics: Arc::default(),
            })
        })
        .collect()
}

/// Checks the options of sources that are extracted, as far as their values are known. No network is used.
///
/// # Errors
/// [`RunError::Definition`] with the place of every option that is wrong.
pub fn check(
    definition: &Definition,
    bound: &Bound,
    sample: bool,
    environment: &Environment,
) -> Result<(), RunError> {
    let text = bound.source_text();
    let mut mistakes = Vec::new();
    for source in &bound.sources {
        let Some(kind) = connector_kind(source.kind) else {
            continue;
        };
        let mut options: BTreeMap<String, Option<ConnectorOption>> = source
            .options
            .iter()
            .map(|(name, value)| {
                let known = match value {
                    OptionValue::Plain(value) => Some(ConnectorOption::Plain(value.clone())),
                    OptionValue::SecretReference(_) => None,
                };
                (name.clone(), known)
            })
            .collect();
        // What a parameter or a run fills in later is not missing now.
        for statement in definition
            .sources()
            .filter(|statement| statement.name.value == source.name)
        {
            for option in &statement.options {
                options.entry(option.key.value.clone()).or_insert(None);
            }
        }
        if source.kind == SourceKind::Launchpad
            && (sample || environment.get("LP_WEB_ROOT").is_some())
        {
            options.entry(String::from("service_root")).or_insert(None);
        }
        for problem in connector::check(kind, &source.location, &options) {
            let span = source
                .option_spans
                .get(&problem.option)
                .map_or(source.location_span, |spans| spans.key);
            let message = format!(
                "option `{}` of `{}`: {}",
                problem.option, source.name, problem.message
            );
            mistakes.push(
                Diagnostic::error(text, span, message)
                    .with_suggestion(problem.suggestion.as_deref()),
            );
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(RunError::Definition(Diagnostics::new(mistakes)))
    }
}

/// The connector's name of a kind that is extracted; `None` for one that is read in place.
pub fn connector_kind(kind: SourceKind) -> Option<&'static str> {
    match kind {
        SourceKind::Launchpad => Some("LAUNCHPAD"),
        SourceKind::Rest => Some("REST"),
        _ => None,
    }
}

/// Registers every source as a table of `ctx`: extracted ones as what landed, or will, the others in place.
///
/// # Errors
/// [`RunError::Engine`] when a file source cannot be opened, [`RunError::Open`] when it has more columns than can be planned.
pub async fn register(
    ctx: &SessionContext,
    sources: &[Source],
    landed: &Landed,
) -> Result<(), RunError> {
    for source in sources {
        let registered = if connector_kind(source.kind).is_some() {
            register_landed(ctx, &source.name, landed)
        } else {
            register_files(ctx, source).await
        };
        registered.map_err(|error| RunError::Engine {
            doing: format!(
                "opening the source `{}` at `{}`",
                source.name, source.location
            ),
            source: Box::new(error),
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

/// Landed records have one schema, so the table can be planned before the first of them arrived.
fn register_landed(
    ctx: &SessionContext,
    table: &str,
    landed: &Landed,
) -> Result<(), DataFusionError> {
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new(landed.url(table)?)
        .with_listing_options(options)
        .with_schema(connectors::record::schema());
    ctx.register_table(
        TableReference::bare(table),
        Arc::new(ListingTable::try_new(config)?),
    )?;
    Ok(())
}

async fn register_files(ctx: &SessionContext, source: &Source) -> Result<(), DataFusionError> {
    let file_type = match source.kind {
        SourceKind::Csv => "CSV",
        SourceKind::Json => "JSON",
        SourceKind::Arrow => "ARROW",
        _ => "PARQUET",
    };
    let schema = match &source.columns {
        Some(schema) => DFSchema::try_from(schema.as_ref().clone())?,
        None => DFSchema::empty(),
    };
    let mut create = CreateExternalTable::builder(
        TableReference::bare(source.name.as_str()),
        source.location.as_str(),
        file_type,
        Arc::new(schema),
    )
    .build();
    for (name, option) in &source.options {
        if let OptionValue::Plain(value) = option {
            create.options.insert(
                format!("format.{}", name.trim_start_matches("format.")),
                value.clone(),
            );
        }
    }
    create.table_partition_cols = source
        .partitioned_by
        .iter()
        .map(|column| column.value.clone())
        .collect();
    let plan = LogicalPlan::Ddl(DdlStatement::CreateExternalTable(Box::new(create)));
    ctx.execute_logical_plan(plan).await?;
    Ok(())
}

/// Makes sure that every source of files has at least one: an empty listing would read as an empty table, and publishing
/// that could replace a full one.
///
/// # Errors
/// [`RunError::NoFiles`] with the table and its location.
pub async fn require_files(ctx: &SessionContext, sources: &[Source]) -> Result<(), RunError> {
    for source in sources.iter().filter(|source| source.kind.is_files()) {
        let missing = |cause| RunError::NoFiles {
            table: source.name.clone(),
            location: source.location.clone(),
            source: cause,
        };
        let found = first_file(ctx, &source.location).await;
        match found {
            Ok(true) => {}
            Ok(false) => return Err(missing(None)),
            Err(error) => return Err(missing(Some(Box::new(error)))),
        }
    }
    Ok(())
}

async fn first_file(ctx: &SessionContext, location: &str) -> Result<bool, DataFusionError> {
    let url = ListingTableUrl::parse(location)?;
    let store = ctx.runtime_env().object_store(&url)?;
    let state = ctx.state();
    let mut files = url.list_all_files(&state, store.as_ref(), "").await?;
    Ok(files.try_next().await?.is_some())
}

/// What the sources that are read in place are, for the message of a query that fails over one of them.
pub fn places(sources: &[Source]) -> String {
    let places: Vec<String> = sources
        .iter()
        .filter(|source| source.kind.is_files())
        .map(|source| format!("`{}` from {}", source.name, source.location))
        .collect();
    places.join(", ")
}

/// `path` from the root of the file system, without looking at it.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn resolve_secrets(
    source: &Source,
    environment: &Environment,
) -> Result<BTreeMap<String, ConnectorOption>, RunError> {
    let mut options = BTreeMap::new();
    for (name, option) in &source.options {
        let value = match option {
            OptionValue::Plain(value) => ConnectorOption::Plain(value.clone()),
            OptionValue::SecretReference(reference) => {
                let secret =
                    read_secret(reference, environment).map_err(|problem| RunError::Secret {
                        table: source.name.clone(),
                        option: name.clone(),
                        problem,
                    })?;
                ConnectorOption::Secret(secret)
            }
        };
        options.insert(name.clone(), value);
    }
    Ok(options)
}

fn read_secret(
    reference: &SecretReference,
    environment: &Environment,
) -> Result<SecretString, String> {
    match reference {
        SecretReference::Environment(name) => environment
            .get(name)
            .map(SecretString::from)
            .ok_or_else(|| match environment.is_unreadable(name) {
                true => format!("the environment variable {name} has a value that is not Unicode"),
                false => format!("the environment variable {name} is not set"),
            }),
        SecretReference::File(path) => language::regular::read_text(path)
            .map(|text| SecretString::from(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| format!("cannot read {}: {error}", path.display())),
    }
}

/// What the environment says of Launchpad, where the definition does not; the sample's server where neither does.
fn add_launchpad_environment(
    options: &mut BTreeMap<String, ConnectorOption>,
    environment: &Environment,
    sample: Option<&url::Url>,
) {
    let plain = |name| {
        environment
            .get(name)
            .map(|value: &str| ConnectorOption::Plain(String::from(value)))
    };
    let secret = |name| {
        environment
            .get(name)
            .map(|value: &str| ConnectorOption::Secret(SecretString::from(value)))
    };
    let root = sample
        .map(|root| ConnectorOption::Plain(root.to_string()))
        .or_else(|| plain("LP_WEB_ROOT"));
    for (option, value) in [
        ("service_root", root),
        ("version", plain("LP_API_VERSION")),
        ("consumer", plain("LP_APP_ID")),
        ("token", secret("LP_ACCESS_TOKEN")),
        ("token_secret", secret("LP_ACCESS_TOKEN_SECRET")),
    ] {
        if let Some(value) = value {
            options.entry(String::from(option)).or_insert(value);
        }
    }
}
