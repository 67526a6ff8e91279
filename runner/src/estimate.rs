//! How much the sources will give, before the query runs. Owns where such a number comes from and how good it is; what is
//! decided by it is `decide`'s.

use connectors::Registry;
use connectors::source::Read;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::prelude::SessionContext;
use serde::Serialize;

use super::error::RunError;
use super::source_tables::Surveys;
use super::sources;
use language::Source;

/// Bytes of a row of text, where nothing but the size of the files is known.
const BYTES_A_ROW: u64 = 100;

/// What a source is expected to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The source's table.
    pub table: String,
    /// Rows; `None` if nothing can tell.
    pub rows: Option<u64>,
    /// Bytes of the files.
    pub bytes: Option<u64>,
    /// Whether `rows` is a count.
    pub exact: bool,
    /// What the numbers come from.
    pub from: String,
}

/// What a source gives that is read in place, or has landed, as `ctx` has it. `surveys` say what is under locations.
///
/// # Errors
/// [`RunError::Engine`] when its files cannot be looked at.
pub async fn of_table(
    ctx: &SessionContext,
    source: &Source,
    registry: &Registry,
    surveys: &Surveys,
) -> Result<Estimate, RunError> {
    let survey = surveys.get(&source.name);
    if let Some(rows) = survey.and_then(|survey| survey.rows) {
        return Ok(Estimate {
            table: source.name.clone(),
            rows: Some(rows),
            bytes: survey.map(|survey| survey.bytes),
            exact: true,
            from: String::from("the table's commit log"),
        });
    }
    let bytes = survey.map_or(0, |survey| survey.bytes);
    looked_at(ctx, source, sources::read(registry, source)?, bytes)
        .await
        .map_err(|error| RunError::engine(format!("looking at `{}`", source.location), error))
}

async fn looked_at(
    ctx: &SessionContext,
    source: &Source,
    read: Read,
    size: u64,
) -> Result<Estimate, DataFusionError> {
    let frame = ctx.table(source.name.as_str()).await?;
    let physical = frame.create_physical_plan().await?;
    let statistics = StatisticsContext::new().compute(physical.as_ref(), &StatisticsArgs::new())?;
    let known = |value: Option<&usize>| value.map(|value| *value as u64);
    let rows = known(statistics.num_rows.get_value());
    let bytes = known(statistics.total_byte_size.get_value());
    let counts = matches!(&read, Read::InPlace(files) if files.counts_rows());
    let counted = |from: &str| Estimate {
        table: source.name.clone(),
        rows,
        bytes,
        exact: counts || statistics.num_rows.is_exact().unwrap_or(false),
        from: String::from(from),
    };
    Ok(match read {
        Read::Extracted(_) => counted("what was extracted"),
        Read::InPlace(_) if rows.is_some() => counted("the files' own statistics"),
        Read::InPlace(_) => Estimate {
            table: source.name.clone(),
            rows: Some(size / BYTES_A_ROW),
            bytes: Some(size),
            exact: false,
            from: format!("the size of the files, at {BYTES_A_ROW} bytes a row"),
        },
    })
}
