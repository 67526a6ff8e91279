//! The pipeline language, from its text to plans.

mod binding;
mod definitions;
mod fingerprints;
mod guide;
mod mistakes;
mod names;
mod option_values;
mod planning;
mod rendering;
mod robustness;
mod searching;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, TimeZone, Utc};
use language::{
    Bound, Definition, Diagnostics, Origin, Provided, SourceKind, ValueOrigin, bind, parse,
};

/// A definition in the manner of the built-in one.
const BUGS: &str = r"-- Bug work of one Launchpad member, as standardized events.
SET pipeline.description = 'Launchpad bug activity of one member';

DECLARE member          TEXT;
DECLARE data_date_start DATE;
DECLARE data_date_end   DATE;          -- exclusive

CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs'
OPTIONS ('member' $member, 'since' $data_date_start, 'before' $data_date_end);

CREATE VIEW events AS
SELECT 'b-' || id AS event_id, kind AS event_type, at AS event_time_utc, who AS employee_id,
       date_part('year', at) :: INT AS year, date_part('month', at) :: INT AS month
FROM crawl WHERE at >= $data_date_start AND at < $data_date_end;

ASSERT (SELECT count(*) FROM events WHERE employee_id IS NULL) = 0 AS 'every event has an actor';

COPY events TO 'events/' STORED AS PARQUET PARTITIONED BY (event_type, year, month)
OPTIONS (publish 'merge', key 'event_id', sort 'event_time_utc, event_id', compression 'zstd');
";

fn read(text: &str) -> Result<Definition, Diagnostics> {
    let origin = Origin::File(PathBuf::from("bugs.sql"));
    parse(origin, "bugs", text, &kinds())
}

/// The kinds of sources of the definitions here.
fn kinds() -> Vec<SourceKind> {
    let kind = |is_partitioned| {
        move |name: &str| SourceKind {
            name: name.to_owned(),
            is_partitioned,
        }
    };
    let files = ["PARQUET", "CSV", "JSON", "ARROW"].into_iter();
    let others = ["LAUNCHPAD", "REST"].into_iter();
    files
        .map(kind(true))
        .chain(others.map(kind(false)))
        .collect()
}

/// The rendered mistakes of a text; empty if there are none.
fn mistakes_of(text: &str) -> String {
    read(text)
        .err()
        .map_or_else(String::new, |mistakes| mistakes.to_string())
}

/// An output, for texts whose mistakes are elsewhere.
const OUTPUT: &str = "\nCREATE VIEW v AS SELECT 1 AS a;\nCOPY v TO 'v/' STORED AS PARQUET;";

/// The mistakes of statements in front of an otherwise complete definition.
fn mistakes_before_output(text: &str) -> String {
    mistakes_of(&format!("{text}{OUTPUT}"))
}

fn noon() -> DateTime<Utc> {
    Utc.timestamp_opt(1_709_208_000, 0)
        .single()
        .unwrap_or_default()
}

fn given(values: &[(&str, &str)]) -> BTreeMap<String, Provided> {
    values
        .iter()
        .map(|(name, text)| {
            let provided = Provided {
                text: (*text).to_owned(),
                origin: ValueOrigin::Flag("--set".to_owned()),
            };
            ((*name).to_owned(), provided)
        })
        .collect()
}

/// Reads and binds in one step, on 2024-02-29 at noon.
fn bound(text: &str, values: &[(&str, &str)]) -> Result<Bound, Diagnostics> {
    bind(&read(text)?, &given(values), noon())
}

/// The rendered mistakes of values; empty if there are none.
fn value_mistakes(text: &str, values: &[(&str, &str)]) -> String {
    bound(text, values)
        .err()
        .map_or_else(String::new, |mistakes| mistakes.to_string())
}
