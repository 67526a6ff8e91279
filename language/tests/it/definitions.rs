//! What is read from a text without mistakes.

use insta::assert_snapshot;

use crate::{BUGS, read};

#[test]
fn a_complete_definition_has_none() {
    let definition = read(BUGS).unwrap();
    assert_eq!(definition.warnings, []);
    assert_eq!(
        definition.options.description.as_deref(),
        Some("Launchpad bug activity of one member")
    );
    let names: Vec<&str> = definition
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    assert_eq!(names, ["member", "data_date_start", "data_date_end"]);
    assert!(
        definition
            .parameters
            .iter()
            .all(|parameter| parameter.required)
    );
    assert_eq!(
        definition.parameters[2].description.as_deref(),
        Some("exclusive")
    );
    assert_eq!(definition.parameters[1].description, None);
}

#[test]
fn comments_describe_the_declaration_they_stand_at() {
    let definition = read(
        "-- About the file.

-- Which member
-- to look at
DECLARE member TEXT; -- of Launchpad; by name
DECLARE other TEXT DEFAULT $member;
/* no description */ DECLARE last TEXT DEFAULT $other;
COPY (SELECT $last AS a) TO 'a/';",
    )
    .unwrap();
    let described: Vec<Option<&str>> = definition
        .parameters
        .iter()
        .map(|parameter| parameter.description.as_deref())
        .collect();
    assert_eq!(described, [Some("of Launchpad; by name"), None, None]);
    let above = read(
        "-- Which member\n-- to look at\nDECLARE member TEXT;\nCOPY (SELECT $member AS a) TO 'a/';",
    )
    .unwrap();
    assert_eq!(
        above.parameters[0].description.as_deref(),
        Some("Which member to look at")
    );
}

#[test]
fn declared_columns_become_a_schema() {
    let bound = crate::bound(
        "CREATE EXTERNAL TABLE t (id BIGINT NOT NULL, \"Day\" DATE, amount DECIMAL(10, 2), at TIMESTAMP)
         STORED AS CSV LOCATION 't/' PARTITIONED BY (year);
         COPY t TO 'copy/';",
        &[],
    )
    .unwrap();
    let source = &bound.sources[0];
    let columns = source.columns.as_ref().unwrap();
    let shown: Vec<String> = columns
        .fields()
        .iter()
        .map(|field| {
            format!(
                "{} {} {}",
                field.name(),
                field.data_type(),
                field.is_nullable()
            )
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @r"
    id Int64 false
    Day Date32 true
    amount Decimal128(10, 2) true
    at Timestamp(ns) true
    ");
    assert_eq!(source.partitioned_by[0].value, "year");
}
