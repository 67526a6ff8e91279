//! `TABLE`: tables of ours as sources, read as their commit logs say: columns, types, partitions and files.
//!
//! Owns how a state of a table becomes one of files, and what is declared is compared with the log. Which commit can be read is
//! `tables`' to say, how its files are decoded `files`'.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use files::listing::{File, Place};
use files::{FilesTable, ParquetTable, ReadError, json, sql_type};
use language::nearest;
use tables::{Commit, DataFile, Format, StorageOptions, Table, TableSchema, layout};
use url::Position;

use crate::extract::Extract;
use crate::option::{self, OptionProblem, OptionSpec, OptionValue, Parser};
use crate::source::{Declared, InPlace, OpenError, Read, SourceFactory, Survey};

const KIND: &str = "TABLE";
const VERSION: &str = "version";

/// Tables that runs published.
#[derive(Debug, Clone, Copy)]
pub struct Tables;

impl SourceFactory for Tables {
    fn kind(&self) -> &str {
        KIND
    }

    fn summary(&self) -> &str {
        "a table that runs published: columns, types, partitions and files as its commit log has them"
    }

    fn options(&self) -> Vec<OptionSpec> {
        vec![OptionSpec {
            name: VERSION.to_owned(),
            parser: Parser::Count(u64::MAX),
            required: false,
            secret: false,
            default: Some("the newest".to_owned()),
            doc: "the number of the commit that is read, as `pipelines tables log` lists them; it can be read until a file of it is replaced or removed".to_owned(),
        }]
    }

    fn is_partitioned(&self) -> bool {
        true
    }

    fn read(&self, declared: &Declared) -> Read {
        Read::InPlace(Arc::new(Published {
            declared: declared.clone(),
        }))
    }

    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        option::check(&self.options(), &declared.options)
    }

    fn open(&self, _declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        Err(OpenError::InPlace {
            kind: KIND.to_owned(),
        })
    }
}

/// The table at one location.
#[derive(Debug)]
struct Published {
    declared: Declared,
}

/// A state of it.
struct State {
    commit: Commit,
    /// Its files, in the order of the log.
    files: Vec<File>,
}

impl Published {
    fn location(&self) -> &str {
        &self.declared.location
    }

    fn version(&self) -> Option<u64> {
        match self.declared.options.get(VERSION) {
            Some(Some(OptionValue::Plain(text))) => text.trim().parse().ok(),
            _ => None,
        }
    }

    async fn commit(&self, session: &SessionState) -> Result<(Table, Commit), DataFusionError> {
        let storage = session.config().get_extension::<StorageOptions>();
        let storage = storage.as_deref().cloned().unwrap_or_default();
        let table = Table::open(self.location(), &storage)?;
        let commit = table.readable(self.version()).await;
        let commit = commit.map_err(|error| match error {
            tables::Error::NoTable { .. } => {
                let problem = "there is no table: no commit log is beside it";
                DataFusionError::from(ReadError::of_file(self.location(), problem).with_help(
                    "a table is named by the folder or URL that a run published to; for other files write their format behind STORED AS",
                ))
            }
            error => error.into(),
        })?;
        Ok((table, commit))
    }

    async fn state(&self, session: &SessionState) -> Result<State, DataFusionError> {
        let (table, commit) = self.commit(session).await?;
        let files = commit.files.iter().map(|file| found(&table, &commit, file));
        let files = files.collect::<Result<_, DataFusionError>>()?;
        Ok(State { commit, files })
    }

    /// The columns that are read: those of the log, or those of them that are declared.
    fn columns(&self, schema: &TableSchema) -> Result<Vec<FieldRef>, ReadError> {
        let of_table = schema.columns().fields();
        let wrong = |problem: String| ReadError::of_file(self.location(), problem);
        if !self.declared.partitioned_by.is_empty()
            && self.declared.partitioned_by != schema.partition_by()
        {
            let problem = format!(
                "the table is partitioned by ({}), not by ({})",
                schema.partition_by().join(", "),
                self.declared.partitioned_by.join(", ")
            );
            return Err(wrong(problem).with_help("leave PARTITIONED BY out: the log knows it"));
        }
        let Some(declared) = &self.declared.columns else {
            return Ok(of_table.to_vec());
        };
        let plain = TableSchema::normalize(declared, &[]).0;
        let columns = declared.fields().iter().zip(plain.columns().fields());
        columns
            .map(|(declared, plain)| {
                let name = declared.name();
                let Some((_, field)) = of_table.find(name) else {
                    let names = || of_table.iter().map(|field| field.name().as_str());
                    let there_are: Vec<String> = names().map(|name| format!("`{name}`")).collect();
                    let problem = format!(
                        "the table has no column `{name}`; there are {}",
                        there_are.join(", ")
                    );
                    return Err(match nearest(name, names()) {
                        Some(near) => wrong(problem).with_help(format!("did you mean `{near}`?")),
                        None => wrong(problem),
                    });
                };
                let of_column = |problem: String| {
                    let mut error = wrong(problem);
                    error.column = Some(name.clone());
                    error
                };
                if plain.data_type() != field.data_type() {
                    let (is, said) = (sql_type(field.data_type()), sql_type(plain.data_type()));
                    let problem = format!("it is {is} in the table and declared as {said}");
                    let help = format!(
                        "declare it as {is}, or leave the columns out, and convert it in the query"
                    );
                    return Err(of_column(problem).with_help(help));
                }
                if !declared.is_nullable() {
                    let problem = "it is declared NOT NULL, and columns of a table may be NULL";
                    return Err(of_column(problem.to_owned())
                        .with_help("leave NOT NULL out, and ASSERT that no row is"));
                }
                Ok(Arc::clone(field))
            })
            .collect()
    }
}

/// A file of the log as one that is read.
fn found(table: &Table, commit: &Commit, file: &DataFile) -> Result<File, DataFusionError> {
    let url = table.url_of(file)?;
    let place = match url.scheme() {
        "file" => Place::Local(
            url.to_file_path()
                .map_err(|()| DataFusionError::Plan(format!("{url} is no path of this machine")))?,
        ),
        _ => Place::Stored {
            store: url[..Position::BeforePath].to_owned(),
            // The one place where the engine turns URLs into keys of its stores, escapes included.
            key: ListingTableUrl::try_new(url, None)?.prefix().to_string(),
        },
    };
    let values = layout::split(file.partition());
    Ok(File {
        name: format!("{}/{}", table.location(), file.path),
        place,
        size: file.bytes,
        // A file of a name may be replaced by a later commit, and by nothing else.
        modified: commit
            .committed_at
            .timestamp_nanos_opt()
            .unwrap_or_default(),
        partition: values.into_iter().map(|(_, value)| value).collect(),
        version: None,
        slice: None,
    })
}

/// How records of a format are read that is not the engine's.
pub(crate) fn reader(format: Format) -> Option<files::Format> {
    match format {
        Format::Parquet => None,
        Format::Csv => Some(files::Format::Csv(files::Csv::default())),
        Format::Json => Some(files::Format::Json(files::Json {
            layout: Some(json::Layout::Lines),
            path: None,
        })),
        Format::Arrow => Some(files::Format::Arrow),
        Format::Avro => Some(files::Format::Avro),
    }
}

/// The rows of a state: columns of files, then those of folders.
fn rows(
    location: &str,
    state: State,
    session: &SessionState,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let State { commit, files } = state;
    let (columns, partition_by) = (commit.schema.columns(), commit.schema.partition_by());
    let Some(format) = reader(commit.format()) else {
        let rows = commit.files.iter().map(|file| file.rows);
        let options = session.default_table_options().parquet;
        let files = files.into_iter().zip(rows).collect();
        let table = ParquetTable::known(partition_by, columns, files, options)?;
        return Ok(Arc::new(table));
    };
    records(location, &commit.schema, format, files)
}

/// The rows of files of a table that are read record by record.
pub(crate) fn records(
    location: &str,
    schema: &TableSchema,
    format: files::Format,
    files: Vec<File>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let declared = files::Declared {
        location: location.to_owned(),
        columns: None,
        partition_by: schema.partition_by().to_vec(),
        format,
        bytes: files::Bytes::default(),
        sample_bytes: files::SAMPLE_BYTES,
        quarantine: None,
        origin: files::Origin::default(),
    };
    let table = FilesTable::known(declared, schema.columns(), files)?;
    Ok(Arc::new(table))
}

/// The same rows with these columns, in this order.
fn with_columns(
    rows: Arc<dyn TableProvider>,
    columns: &[FieldRef],
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    if rows.schema().fields().as_ref() == columns {
        return Ok(rows);
    }
    let source = provider_as_source(rows);
    let named = |field: &FieldRef| Expr::Column(Column::new(Some(KIND), field.name()));
    let plan = LogicalPlanBuilder::scan(KIND, source, None)?
        .project(columns.iter().map(named).collect::<Vec<_>>())?
        .build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

#[async_trait]
impl InPlace for Published {
    async fn table(
        &self,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let state = self.state(session).await?;
        let columns = self.columns(&state.commit.schema)?;
        with_columns(rows(self.location(), state, session)?, &columns)
    }

    async fn survey(&self, session: &SessionState) -> Result<Survey, DataFusionError> {
        let (_, commit) = self.commit(session).await?;
        let partition_by = match commit.schema.partition_by() {
            [] => String::new(),
            columns => format!(", partitioned by {}", columns.join(", ")),
        };
        Ok(Survey {
            files: commit.totals.files,
            bytes: commit.totals.bytes,
            rows: Some(commit.totals.rows),
            may_be_empty: true,
            left_out: Vec::new(),
            detected: Some(format!(
                "version {} of {}: {} {}{partition_by}",
                commit.number,
                commit.committed_at.format("%Y-%m-%d %H:%M:%S UTC"),
                commit.totals.files,
                match commit.totals.files {
                    1 => format!("file of {}", commit.format().name()),
                    _ => format!("files of {}", commit.format().name()),
                },
            )),
        })
    }
}
