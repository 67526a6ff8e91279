//! What is said about mistakes in a text.

use insta::assert_snapshot;

use crate::{BUGS, mistakes_of, read};

const OUTPUT: &str = "\nCREATE VIEW v AS SELECT 1 AS a;\nCOPY v TO 'v/' STORED AS PARQUET;";

/// The mistakes of statements in front of an otherwise complete definition.
fn mistakes_before_output(text: &str) -> String {
    mistakes_of(&format!("{text}{OUTPUT}"))
}

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

#[test]
fn mistakes_of_all_statements_are_told_together() {
    assert_snapshot!(mistakes_of(
        "SET pipeline.memmory = '512MiB';
DECLAR member TEXT;
DECLARE since DAT;
CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAT LOCATION 'bugs' OPTIONS ('member' $membr);
CREATE VIEW events AS SELECT * FROM crwal WHERE at > $since;
CREATE VIEW broken AS SELECT FROM WHERE;
ASSERT 1 = ;
COPY events TO 'events/' STORED AS CSV OPTIONS (publsh 'merge', key 'id');"
    ), @r"
    bugs.sql:1:5: unknown option `pipeline.memmory`
      |
    1 | SET pipeline.memmory = '512MiB';
      |     ^^^^^^^^^^^^^^^^
      = did you mean `pipeline.memory`?

    bugs.sql:2:1: unknown statement `DECLAR`
      |
    2 | DECLAR member TEXT;
      | ^^^^^^
      = did you mean `DECLARE`?
      = help: statements: DECLARE, SET, CREATE EXTERNAL TABLE, CREATE VIEW … AS, ASSERT, COPY … TO

    bugs.sql:3:15: a parameter cannot have the type `DAT`
      |
    3 | DECLARE since DAT;
      |               ^^^
      = did you mean `DATE`?
      = help: types of parameters: TEXT, DATE, TIMESTAMP, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL, BOOLEAN, INTERVAL

    bugs.sql:4:39: unknown source kind `LAUNCHPAT`
      |
    4 | CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAT LOCATION 'bugs' OPTIONS ('member' $membr);
      |                                       ^^^^^^^^^
      = did you mean `LAUNCHPAD`?
      = help: source kinds: PARQUET, CSV, JSON, ARROW, LAUNCHPAD, REST

    bugs.sql:4:83: unknown parameter `$membr`
      |
    4 | CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAT LOCATION 'bugs' OPTIONS ('member' $membr);
      |                                                                                   ^^^^^^
      = did you mean `$member`?

    bugs.sql:5:37: unknown table or view `crwal`
      |
    5 | CREATE VIEW events AS SELECT * FROM crwal WHERE at > $since;
      |                                     ^^^^^
      = did you mean `crawl`?

    bugs.sql:6:35: unknown table or view `where`
      |
    6 | CREATE VIEW broken AS SELECT FROM WHERE;
      |                                   ^^^^^
      = help: declare it above: CREATE EXTERNAL TABLE … or CREATE VIEW …

    bugs.sql:7:12: expected an expression, found the end of the statement
      |
    7 | ASSERT 1 = ;
      |            ^

    bugs.sql:8:36: an output cannot be stored as `CSV`
      |
    8 | COPY events TO 'events/' STORED AS CSV OPTIONS (publsh 'merge', key 'id');
      |                                    ^^^
      = help: outputs are stored as PARQUET

    bugs.sql:8:49: unknown option `publsh` of an output
      |
    8 | COPY events TO 'events/' STORED AS CSV OPTIONS (publsh 'merge', key 'id');
      |                                                 ^^^^^^
      = did you mean `publish`?
      = help: options of an output: publish, key, order, key_scope, contract, sort, split_rows, compression, row_group_rows, row_group_size, target_file_size, dictionary, statistics, bloom_filter
    ");
}

#[test]
fn unknown_statements_list_what_is_allowed() {
    assert_snapshot!(mistakes_before_output(
        "DROP TABLE x;
SELECT 1;
INSERT INTO t SELECT 1;
CREATE TABLE t (a INT);
CREATE OR REPLACE VIEW w AS SELECT 1;
CREATE EXTERNAL TABLE IF NOT EXISTS t STORED AS CSV LOCATION 'a.csv';
42;"
    ), @r"
    bugs.sql:1:1: unknown statement `DROP`
      |
    1 | DROP TABLE x;
      | ^^^^
      = help: statements: DECLARE, SET, CREATE EXTERNAL TABLE, CREATE VIEW … AS, ASSERT, COPY … TO

    bugs.sql:2:1: a query does not stand alone in a pipeline
      |
    2 | SELECT 1;
      | ^^^^^^
      = help: name it: CREATE VIEW name AS SELECT …, or write it: COPY (SELECT …) TO '…'

    bugs.sql:3:1: INSERT INTO arrives with database outputs and is not available in this version
      |
    3 | INSERT INTO t SELECT 1;
      | ^^^^^^^^^^^^^^^^^^^^^^

    bugs.sql:4:8: expected `EXTERNAL TABLE` or `VIEW`, found `TABLE`
      |
    4 | CREATE TABLE t (a INT);
      |        ^^^^^
      = help: a pipeline has sources (CREATE EXTERNAL TABLE) and steps (CREATE VIEW), no tables of its own

    bugs.sql:5:8: OR REPLACE has no meaning here: every name is declared once
      |
    5 | CREATE OR REPLACE VIEW w AS SELECT 1;
      |        ^^^^^^^^^^
      = help: leave it out

    bugs.sql:6:23: IF NOT EXISTS has no meaning here: a table lives as long as the run
      |
    6 | CREATE EXTERNAL TABLE IF NOT EXISTS t STORED AS CSV LOCATION 'a.csv';
      |                       ^^
      = help: leave it out

    bugs.sql:7:1: expected a statement, found `42`
      |
    7 | 42;
      | ^^
      = help: statements: DECLARE, SET, CREATE EXTERNAL TABLE, CREATE VIEW … AS, ASSERT, COPY … TO
    ");
}

#[test]
fn a_missing_semicolon_is_found() {
    assert_snapshot!(mistakes_before_output("DECLARE a TEXT\nDECLARE b TEXT;"), @r"
    bugs.sql:2:1: expected the end of the statement, found `DECLARE`
      |
    2 | DECLARE b TEXT;
      | ^^^^^^^
      = help: a `;` is missing before it
    ");
}

#[test]
fn unclosed_strings_and_comments_keep_the_mistakes_above_them() {
    assert_snapshot!(mistakes_of("SET pipeline.mod = auto;\nCOPY v TO 'v/;\n"), @r"
    bugs.sql:1:5: unknown option `pipeline.mod`
      |
    1 | SET pipeline.mod = auto;
      |     ^^^^^^^^^^^^
      = did you mean `pipeline.mode`?

    bugs.sql:2:11: a string is never closed
      |
    2 | COPY v TO 'v/;
      |           ^
      = help: a quote in a string is written twice: 'it''s'
    ");
    assert_snapshot!(mistakes_of("SET pipeline.mod = auto;\n/* never ends"), @r"
    bugs.sql:1:5: unknown option `pipeline.mod`
      |
    1 | SET pipeline.mod = auto;
      |     ^^^^^^^^^^^^
      = did you mean `pipeline.mode`?

    bugs.sql:2:14: a comment is never closed
      |
    2 | /* never ends
      |              ^
      = help: close it with */
    ");
    assert_snapshot!(mistakes_of("CREATE VIEW v AS SELECT $a$ || 'x';"), @r"
    bugs.sql:1:36: a string that begins with `$` is never closed
      |
    1 | CREATE VIEW v AS SELECT $a$ || 'x';
      |                                    ^
      = help: a parameter is `$name`, without a second `$` behind it
    ");
}

#[test]
fn an_empty_text_writes_nothing() {
    assert_snapshot!(mistakes_of(""), @r"
    bugs.sql: the pipeline writes nothing: it has no COPY
     = help: write a step: COPY step TO 'table/' STORED AS PARQUET
    ");
    assert_snapshot!(mistakes_of("-- only a comment\n;;\n"), @r"
    bugs.sql: the pipeline writes nothing: it has no COPY
     = help: write a step: COPY step TO 'table/' STORED AS PARQUET
    ");
}

#[test]
fn names_are_declared_once() {
    assert_snapshot!(mistakes_before_output(
        "DECLARE a TEXT; DECLARE A INT;
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'a.csv';
CREATE VIEW T AS SELECT $a AS a;
SET pipeline.mode = local; SET pipeline.mode = auto;
CREATE EXTERNAL TABLE u STORED AS CSV LOCATION 'a.csv' OPTIONS (has_header true, 'has_header' false);
CREATE EXTERNAL TABLE w STORED AS CSV STORED AS CSV LOCATION 'a.csv';
CREATE EXTERNAL TABLE x (a INT, b INT, A TEXT) STORED AS CSV LOCATION 'a.csv';"
    ), @r"
    bugs.sql:1:25: parameter `a` is declared twice
      |
    1 | DECLARE a TEXT; DECLARE A INT;
      |                         ^

    bugs.sql:3:13: table or view `t` is declared twice
      |
    3 | CREATE VIEW T AS SELECT $a AS a;
      |             ^

    bugs.sql:4:32: option `pipeline.mode` is set twice
      |
    4 | SET pipeline.mode = local; SET pipeline.mode = auto;
      |                                ^^^^^^^^^^^^^

    bugs.sql:5:82: option `has_header` is given twice
      |
    5 | CREATE EXTERNAL TABLE u STORED AS CSV LOCATION 'a.csv' OPTIONS (has_header true, 'has_header' false);
      |                                                                                  ^^^^^^^^^^^^

    bugs.sql:6:39: this clause is already there
      |
    6 | CREATE EXTERNAL TABLE w STORED AS CSV STORED AS CSV LOCATION 'a.csv';
      |                                       ^^^^^^^^^^^^^

    bugs.sql:7:40: column `a` is declared twice
      |
    7 | CREATE EXTERNAL TABLE x (a INT, b INT, A TEXT) STORED AS CSV LOCATION 'a.csv';
      |                                        ^
    ");
}

#[test]
fn names_are_declared_above_their_use() {
    assert_snapshot!(mistakes_before_output(
        "CREATE VIEW early AS SELECT $late AS a FROM later;
DECLARE late TEXT;
DECLARE itself INT DEFAULT $itself + 1;
CREATE VIEW later AS SELECT 1 AS a;
CREATE VIEW own AS SELECT * FROM own;"
    ), @r"
    bugs.sql:1:29: parameter `$late` is used before it is declared
      |
    1 | CREATE VIEW early AS SELECT $late AS a FROM later;
      |                             ^^^^^
      = help: move its DECLARE above this statement

    bugs.sql:1:45: `later` is used before it is declared
      |
    1 | CREATE VIEW early AS SELECT $late AS a FROM later;
      |                                             ^^^^^
      = help: a statement uses only what is declared above it

    bugs.sql:3:28: parameter `$itself` is used before it is declared
      |
    3 | DECLARE itself INT DEFAULT $itself + 1;
      |                            ^^^^^^^
      = help: move its DECLARE above this statement

    bugs.sql:5:34: `own` is used before it is declared
      |
    5 | CREATE VIEW own AS SELECT * FROM own;
      |                                  ^^^
      = help: a statement uses only what is declared above it
    ");
}

#[test]
fn undeclared_parameters_are_suggested_or_explained() {
    assert_snapshot!(mistakes_before_output(
        "DECLARE member TEXT;
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION $file OPTIONS ('member' $Membr);
CREATE VIEW w AS SELECT $member AS a, ? AS b, $1 AS c FROM t;"
    ), @r"
    bugs.sql:2:48: unknown parameter `$file`
      |
    2 | CREATE EXTERNAL TABLE t STORED AS CSV LOCATION $file OPTIONS ('member' $Membr);
      |                                                ^^^^^
      = help: declare it above: DECLARE file TEXT;

    bugs.sql:2:72: unknown parameter `$Membr`
      |
    2 | CREATE EXTERNAL TABLE t STORED AS CSV LOCATION $file OPTIONS ('member' $Membr);
      |                                                                        ^^^^^^
      = did you mean `$member`?

    bugs.sql:3:39: unknown parameter `?`
      |
    3 | CREATE VIEW w AS SELECT $member AS a, ? AS b, $1 AS c FROM t;
      |                                       ^
      = help: a parameter is a name behind a `$`: $name

    bugs.sql:3:47: unknown parameter `$1`
      |
    3 | CREATE VIEW w AS SELECT $member AS a, ? AS b, $1 AS c FROM t;
      |                                               ^^
      = help: a parameter is a name behind a `$`: $name
    ");
}

#[test]
fn common_table_expressions_and_table_functions_need_no_declaration() {
    assert_eq!(
        mistakes_before_output(
            "CREATE VIEW w AS WITH numbers AS (SELECT value FROM generate_series(1, 3))
             SELECT n.value FROM numbers AS n, LATERAL (SELECT 1) AS one;"
        ),
        ""
    );
}

#[test]
fn types_of_parameters_are_checked() {
    assert_snapshot!(mistakes_before_output(
        "DECLARE a TXT;
DECLARE b BYTEA;
DECLARE c;
DECLARE $d TEXT;
DECLARE e DATE DEFAULT 'soon';
DECLARE f INT DEFAULT 1.5;
DECLARE g DATE DEFAULT g_column;
DECLARE h DOUBLE DEFAULT random();
DECLARE public.i INT;"
    ), @r"
    bugs.sql:1:11: a parameter cannot have the type `TXT`
      |
    1 | DECLARE a TXT;
      |           ^^^
      = did you mean `TEXT`?
      = help: types of parameters: TEXT, DATE, TIMESTAMP, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL, BOOLEAN, INTERVAL

    bugs.sql:2:11: a parameter cannot have the type `BYTEA`
      |
    2 | DECLARE b BYTEA;
      |           ^^^^^
      = help: types of parameters: TEXT, DATE, TIMESTAMP, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL, BOOLEAN, INTERVAL

    bugs.sql:3:10: expected a type, found the end of the statement
      |
    3 | DECLARE c;
      |          ^

    bugs.sql:4:9: a parameter is declared without the `$`
      |
    4 | DECLARE $d TEXT;
      |         ^^
      = did you mean `d`?

    bugs.sql:5:24: the default of `e` is no DATE: expected a date such as 2024-01-31
      |
    5 | DECLARE e DATE DEFAULT 'soon';
      |                        ^^^^^^

    bugs.sql:6:23: the default of `f` is no INT: 1.5 does not fit
      |
    6 | DECLARE f INT DEFAULT 1.5;
      |                       ^^^

    bugs.sql:7:24: the default of `g` is no DATE: a constant cannot read a column
      |
    7 | DECLARE g DATE DEFAULT g_column;
      |                        ^^^^^^^^

    bugs.sql:8:26: the default of `h` is no DOUBLE: not a constant
      |
    8 | DECLARE h DOUBLE DEFAULT random();
      |                          ^^^^^^^^

    bugs.sql:9:9: names of a pipeline are not qualified
      |
    9 | DECLARE public.i INT;
      |         ^^^^^^^
      = help: declare the name without a schema before it
    ");
}

#[test]
fn values_of_options_are_checked() {
    assert_snapshot!(mistakes_before_output(
        r#"SET pipeline.mode = locl;
SET pipeline.threshold_rows = 'many';
SET pipeline.memory = 512MiB;
SET pipeline.memory_threshold = '120%';
SET pipeline.preset = "default";
SET pipeline.max_concurrent_chunks = 0;
SET pipline.mode = local;
SET memory = '1GiB';
SET datafusion.execution.batch_sise = 8192;
SET datafusion.execution.batch_size = 'large';
SET datafusion.runtime.memory_limit = '1G';
SET pipeline.load_batch_size 5;
SET pipeline.extract_chunk_size = ;"#
    ), @r#"
    bugs.sql:1:21: option `mode` cannot be `locl`: expected auto, local or cluster
      |
    1 | SET pipeline.mode = locl;
      |                     ^^^^
      = did you mean `local`?

    bugs.sql:2:31: option `threshold_rows` cannot be `many`: expected a positive whole number
      |
    2 | SET pipeline.threshold_rows = 'many';
      |                               ^^^^^^

    bugs.sql:3:23: a value with letters in it is written in quotes
      |
    3 | SET pipeline.memory = 512MiB;
      |                       ^^^^^^
      = did you mean `'512MiB'`?

    bugs.sql:4:33: option `memory_threshold` cannot be `120%`: expected a size such as '512MiB' or a share such as '60%'
      |
    4 | SET pipeline.memory_threshold = '120%';
      |                                 ^^^^^^

    bugs.sql:5:23: a string is written in single quotes
      |
    5 | SET pipeline.preset = "default";
      |                       ^^^^^^^^^
      = help: double quotes are for names

    bugs.sql:6:38: option `max_concurrent_chunks` cannot be `0`: expected a positive whole number
      |
    6 | SET pipeline.max_concurrent_chunks = 0;
      |                                      ^

    bugs.sql:7:5: unknown option `pipline.mode`
      |
    7 | SET pipline.mode = local;
      |     ^^^^^^^^^^^^
      = did you mean `pipeline.mode`?
      = help: options are named pipeline.… or datafusion.…

    bugs.sql:8:5: unknown option `memory`
      |
    8 | SET memory = '1GiB';
      |     ^^^^^^
      = did you mean `pipeline.memory`?
      = help: options are named pipeline.… or datafusion.…

    bugs.sql:9:5: unknown option `datafusion.execution.batch_sise`
      |
    9 | SET datafusion.execution.batch_sise = 8192;
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = did you mean `datafusion.execution.batch_size`?

    bugs.sql:10:39: option `datafusion.execution.batch_size` cannot be `large`: invalid digit found in string
       |
    10 | SET datafusion.execution.batch_size = 'large';
       |                                       ^^^^^^^

    bugs.sql:11:5: `datafusion.runtime.memory_limit` belongs to the process, not to a pipeline
       |
    11 | SET datafusion.runtime.memory_limit = '1G';
       |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: memory is limited by SET pipeline.memory

    bugs.sql:12:30: expected `=`, found `5`
       |
    12 | SET pipeline.load_batch_size 5;
       |                              ^

    bugs.sql:13:35: expected a value, found the end of the statement
       |
    13 | SET pipeline.extract_chunk_size = ;
       |                                   ^
    "#);
}

#[test]
fn sources_are_checked() {
    assert_snapshot!(mistakes_before_output(
        "CREATE EXTERNAL TABLE a STORED AS POSTGRES LOCATION 'postgres://db/app';
CREATE EXTERNAL TABLE b STORED AS PARKET LOCATION 'b/';
CREATE EXTERNAL TABLE c STORED AS CSV;
CREATE EXTERNAL TABLE d LOCATION 'd/';
CREATE EXTERNAL TABLE e STORED AS CSV LOCATION e;
CREATE EXTERNAL TABLE f STORED AS CSV LOCATON 'f/';
CREATE EXTERNAL TABLE g (a INTT, b INT PRIMARY KEY) STORED AS CSV LOCATION 'g/';
CREATE EXTERNAL TABLE h STORED AS REST LOCATION '' PARTITIONED BY (a);
CREATE EXTERNAL TABLE i STORED AS CSV LOCATION 'i/' OPTIONS ('a' 'b' 'c');
CREATE EXTERNAL TABLE j STORED AS CSV LOCATION 'j/' OPTIONS (a column_name + 1);"
    ), @r"
    bugs.sql:1:35: source kind `POSTGRES` is not available in this version
      |
    1 | CREATE EXTERNAL TABLE a STORED AS POSTGRES LOCATION 'postgres://db/app';
      |                                   ^^^^^^^^
      = help: source kinds: PARQUET, CSV, JSON, ARROW, LAUNCHPAD, REST

    bugs.sql:2:35: unknown source kind `PARKET`
      |
    2 | CREATE EXTERNAL TABLE b STORED AS PARKET LOCATION 'b/';
      |                                   ^^^^^^
      = did you mean `PARQUET`?
      = help: source kinds: PARQUET, CSV, JSON, ARROW, LAUNCHPAD, REST

    bugs.sql:3:38: expected `LOCATION`, found the end of the statement
      |
    3 | CREATE EXTERNAL TABLE c STORED AS CSV;
      |                                      ^

    bugs.sql:4:38: expected `STORED AS`, found the end of the statement
      |
    4 | CREATE EXTERNAL TABLE d LOCATION 'd/';
      |                                      ^

    bugs.sql:5:48: a location is written in single quotes
      |
    5 | CREATE EXTERNAL TABLE e STORED AS CSV LOCATION e;
      |                                                ^

    bugs.sql:6:39: expected `STORED AS`, `LOCATION`, `PARTITIONED BY` or `OPTIONS`, found `LOCATON`
      |
    6 | CREATE EXTERNAL TABLE f STORED AS CSV LOCATON 'f/';
      |                                       ^^^^^^^
      = did you mean `LOCATION`?

    bugs.sql:7:26: column `a` has no usable type: Unsupported SQL type INTT
      |
    7 | CREATE EXTERNAL TABLE g (a INTT, b INT PRIMARY KEY) STORED AS CSV LOCATION 'g/';
      |                          ^
      = did you mean `INT`?

    bugs.sql:7:34: column `b` of a source may be NULL or NOT NULL, not `PRIMARY KEY`
      |
    7 | CREATE EXTERNAL TABLE g (a INTT, b INT PRIMARY KEY) STORED AS CSV LOCATION 'g/';
      |                                  ^

    bugs.sql:8:49: the location is empty
      |
    8 | CREATE EXTERNAL TABLE h STORED AS REST LOCATION '' PARTITIONED BY (a);
      |                                                 ^^

    bugs.sql:8:68: a REST source is not partitioned: only files are
      |
    8 | CREATE EXTERNAL TABLE h STORED AS REST LOCATION '' PARTITIONED BY (a);
      |                                                                    ^

    bugs.sql:9:70: expected `,` or `)`, found `'c'`
      |
    9 | CREATE EXTERNAL TABLE i STORED AS CSV LOCATION 'i/' OPTIONS ('a' 'b' 'c');
      |                                                                      ^^^
      = help: options are pairs of a key and a value: OPTIONS (key 'value', other 5)

    bugs.sql:10:64: the value of option `a` is not a constant: a constant cannot read a column
       |
    10 | CREATE EXTERNAL TABLE j STORED AS CSV LOCATION 'j/' OPTIONS (a column_name + 1);
       |                                                                ^^^^^^^^^^^^^^^
    ");
}

#[test]
fn options_of_merging_and_contracts_are_checked() {
    assert_snapshot!(mistakes_before_output(
        "CREATE VIEW w AS SELECT 1 AS id, 2 AS n;
COPY w TO 'a/' OPTIONS (order 'n', key_scope 'table');
COPY w TO 'b/' OPTIONS (publish merge, key 'id', order 'n DESC NULLS FRIST', key_scope 'tabel');
COPY w TO 'c/' OPTIONS (publish 'mrge', key 'id', order 'n, n', contract 'discard_rows');
COPY w TO 'd/' OPTIONS (split_rows 5000000);
COPY w TO 'e/' OPTIONS (publish 'merge', key 'id', sort 'n', split_rows 0);"
    ), @r"
    bugs.sql:2:25: option `order` has a meaning for publish 'merge' only
      |
    2 | COPY w TO 'a/' OPTIONS (order 'n', key_scope 'table');
      |                         ^^^^^
      = help: for the order of rows in the files use `sort`

    bugs.sql:2:36: option `key_scope` has a meaning for publish 'merge' only
      |
    2 | COPY w TO 'a/' OPTIONS (order 'n', key_scope 'table');
      |                                    ^^^^^^^^^
      = help: say publish 'merge' with the option `key`, or leave it out

    bugs.sql:3:70: expected `LAST`, found `FRIST`
      |
    3 | COPY w TO 'b/' OPTIONS (publish merge, key 'id', order 'n DESC NULLS FRIST', key_scope 'tabel');
      |                                                                      ^^^^^

    bugs.sql:3:88: option `key_scope` cannot be `tabel`: expected partition or table
      |
    3 | COPY w TO 'b/' OPTIONS (publish merge, key 'id', order 'n DESC NULLS FRIST', key_scope 'tabel');
      |                                                                                        ^^^^^^^
      = did you mean `table`?

    bugs.sql:4:33: option `publish` cannot be `mrge`: expected append, overwrite, replace or merge
      |
    4 | COPY w TO 'c/' OPTIONS (publish 'mrge', key 'id', order 'n, n', contract 'discard_rows');
      |                                 ^^^^^^
      = did you mean `merge`?

    bugs.sql:4:61: column `n` is twice in option `order`
      |
    4 | COPY w TO 'c/' OPTIONS (publish 'mrge', key 'id', order 'n, n', contract 'discard_rows');
      |                                                             ^

    bugs.sql:4:74: option `contract` cannot be `discard_rows`: expected evolve, freeze or discard_row
      |
    4 | COPY w TO 'c/' OPTIONS (publish 'mrge', key 'id', order 'n, n', contract 'discard_rows');
      |                                                                          ^^^^^^^^^^^^^^
      = did you mean `discard_row`?

    bugs.sql:5:25: option `split_rows` does nothing here
      |
    5 | COPY w TO 'd/' OPTIONS (split_rows 5000000);
      |                         ^^^^^^^^^^
      = help: without `sort` all streams write a large partition already; leave `split_rows` out, or say `sort`

    bugs.sql:6:62: option `split_rows` does nothing here
      |
    6 | COPY w TO 'e/' OPTIONS (publish 'merge', key 'id', sort 'n', split_rows 0);
      |                                                              ^^^^^^^^^^
      = help: with publish 'merge' each partition is written in one stream; leave `split_rows` out

    bugs.sql:6:73: option `split_rows` cannot be `0`: expected a positive whole number
      |
    6 | COPY w TO 'e/' OPTIONS (publish 'merge', key 'id', sort 'n', split_rows 0);
      |                                                                         ^
    ");
}

#[test]
fn outputs_are_checked() {
    assert_snapshot!(mistakes_before_output(
        "COPY v TO 'a/';
COPY v TO 'b/' STORED AS PARQET;
CREATE VIEW w AS SELECT 1 AS id, 2 AS n;
COPY w TO 'c/' PARTITIONED BY (n, N);
COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
COPY w TO 'e/' OPTIONS (publish merge);
COPY w TO 'f/' OPTIONS (sort 'id, n DESCENDING', key 'id, id');
COPY w TO 'g/' OPTIONS (sort 'id DESC NULLS FIRST, ', partitions 5);
COPY w FROM 'h/';
COPY w TO 'i/' PARTITION BY (n);"
    ), @r"
    bugs.sql:1:6: `v` is used before it is declared
      |
    1 | COPY v TO 'a/';
      |      ^
      = help: a statement uses only what is declared above it

    bugs.sql:2:6: `v` is used before it is declared
      |
    2 | COPY v TO 'b/' STORED AS PARQET;
      |      ^
      = help: a statement uses only what is declared above it

    bugs.sql:2:26: an output cannot be stored as `PARQET`
      |
    2 | COPY v TO 'b/' STORED AS PARQET;
      |                          ^^^^^^
      = did you mean `PARQUET`?
      = help: outputs are stored as PARQUET

    bugs.sql:4:35: column `n` is twice in PARTITIONED BY
      |
    4 | COPY w TO 'c/' PARTITIONED BY (n, N);
      |                                   ^

    bugs.sql:5:33: option `publish` cannot be `murge`: expected append, overwrite, replace or merge
      |
    5 | COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
      |                                 ^^^^^^^
      = did you mean `merge`?

    bugs.sql:5:54: option `compression` cannot be `zsdt`: expected zstd, snappy, gzip, lz4 or none, with a level in parentheses where the codec has levels
      |
    5 | COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
      |                                                      ^^^^^^
      = did you mean `zstd`?

    bugs.sql:5:77: option `row_group_rows` cannot be `all`: expected a positive whole number
      |
    5 | COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
      |                                                                             ^^^^^

    bugs.sql:5:101: option `target_file_size` cannot be `0`: expected a size such as '128MiB'
      |
    5 | COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
      |                                                                                                     ^

    bugs.sql:6:33: publish 'merge' needs the option `key`
      |
    6 | COPY w TO 'e/' OPTIONS (publish merge);
      |                                 ^^^^^
      = help: name the columns that identify a row: OPTIONS (publish 'merge', key 'id')

    bugs.sql:7:37: expected `,`, `ASC`, `DESC`, `NULLS FIRST` or `NULLS LAST`, found `DESCENDING`
      |
    7 | COPY w TO 'f/' OPTIONS (sort 'id, n DESCENDING', key 'id, id');
      |                                     ^^^^^^^^^^

    bugs.sql:7:59: column `id` is twice in option `key`
      |
    7 | COPY w TO 'f/' OPTIONS (sort 'id, n DESCENDING', key 'id, id');
      |                                                           ^^

    bugs.sql:8:52: expected a column, found the end of the statement
      |
    8 | COPY w TO 'g/' OPTIONS (sort 'id DESC NULLS FIRST, ', partitions 5);
      |                                                    ^

    bugs.sql:8:55: unknown option `partitions` of an output
      |
    8 | COPY w TO 'g/' OPTIONS (sort 'id DESC NULLS FIRST, ', partitions 5);
      |                                                       ^^^^^^^^^^
      = help: options of an output: publish, key, order, key_scope, contract, sort, split_rows, compression, row_group_rows, row_group_size, target_file_size, dictionary, statistics, bloom_filter

    bugs.sql:9:8: expected `TO`, found `FROM`
      |
    9 | COPY w FROM 'h/';
      |        ^^^^

    bugs.sql:10:16: expected `STORED AS`, `PARTITIONED BY` or `OPTIONS`, found `PARTITION`
       |
    10 | COPY w TO 'i/' PARTITION BY (n);
       |                ^^^^^^^^^
       = did you mean `PARTITIONED BY`?
    ");
}

#[test]
fn the_caret_stands_under_the_mistake_behind_wide_and_combined_characters() {
    assert_snapshot!(mistakes_before_output(
        "CREATE VIEW w AS SELECT '日本語' AS \"größe\", \t'é' AS e, $Mitglied AS x;"
    ), @r#"
    bugs.sql:1:54: unknown parameter `$Mitglied`
      |
    1 | CREATE VIEW w AS SELECT '日本語' AS "größe", 	'é' AS e, $Mitglied AS x;
      |                                              	          ^^^^^^^^^
      = help: declare it above: DECLARE mitglied TEXT;
    "#);
}

#[test]
fn carriage_returns_do_not_move_the_caret() {
    assert_snapshot!(mistakes_of("SET pipeline.mode = auto;\r\nSET pipeline.mod = auto;\r\nCOPY x TO 'x/';\r\n"), @r"
    bugs.sql:2:5: unknown option `pipeline.mod`
      |
    2 | SET pipeline.mod = auto;
      |     ^^^^^^^^^^^^
      = did you mean `pipeline.mode`?

    bugs.sql:3:6: unknown table or view `x`
      |
    3 | COPY x TO 'x/';
      |      ^
      = help: declare it above: CREATE EXTERNAL TABLE … or CREATE VIEW …
    ");
}

#[test]
fn an_unused_parameter_is_a_warning() {
    let definition = read(&format!("DECLARE member TEXT;{OUTPUT}")).unwrap();
    let [warning] = definition.warnings.as_slice() else {
        panic!("one warning is expected: {:?}", definition.warnings)
    };
    assert_snapshot!(warning.to_string(), @r"
    bugs.sql:1:9: warning: parameter `member` is never used
      |
    1 | DECLARE member TEXT;
      |         ^^^^^^
    ");
}

#[test]
fn mistakes_are_json_too() {
    let mistakes = read("SET pipeline.mod = auto;").unwrap_err();
    assert_snapshot!(serde_json::to_string_pretty(&mistakes).unwrap(), @r#"
    [
      {
        "severity": "error",
        "message": "unknown option `pipeline.mod`",
        "file": "bugs.sql",
        "line": 1,
        "column": 5,
        "source_line": "SET pipeline.mod = auto;",
        "caret_width": 12,
        "suggestion": "pipeline.mode"
      },
      {
        "severity": "error",
        "message": "the pipeline writes nothing: it has no COPY",
        "file": "bugs.sql",
        "help": "write a step: COPY step TO 'table/' STORED AS PARQUET"
      }
    ]
    "#);
}

#[test]
fn what_would_be_too_deep_to_walk_is_refused() {
    let deep = format!(
        "CREATE VIEW w AS SELECT {}1{} AS a;",
        "(".repeat(200),
        ")".repeat(200)
    );
    assert!(
        mistakes_before_output(&deep).contains("nested too deeply"),
        "{}",
        mistakes_before_output(&deep)
    );
    let chain = |length: usize, operator: &str| {
        let chain = vec!["1"; length].join(operator);
        mistakes_before_output(&format!("CREATE VIEW w AS SELECT {chain} AS a;"))
    };
    assert_eq!(chain(900, " + "), "");
    for operator in [" + ", " OR ", "::INT::", " UNION SELECT "] {
        let told = chain(50_000, operator);
        assert!(told.contains("too many operators"), "{operator}");
    }
}

#[test]
fn thousands_of_mistakes_on_one_line_are_told_in_few_words() {
    let settings: Vec<String> = (0..3_000)
        .map(|number| format!("SET pipeline.nothing{number} = 1;"))
        .collect();
    let told = mistakes_before_output(&settings.join(" "));
    assert!(
        told.contains("unknown option `pipeline.nothing0`"),
        "{told}"
    );
    assert!(
        told.contains("2800 more mistakes"),
        "{}",
        &told[told.len() - 300..]
    );
    // Each with a part of the line, not with all of it.
    assert!(told.len() < 200 * 4_000, "{} bytes", told.len());
}
