//! What is said about statements that are none.

use insta::assert_snapshot;

use crate::{mistakes_before_output, mistakes_of};

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
COPY events TO 'events/' STORED AS XLSX OPTIONS (publsh 'merge', key 'id');"
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

    bugs.sql:8:36: an output cannot be stored as `XLSX`
      |
    8 | COPY events TO 'events/' STORED AS XLSX OPTIONS (publsh 'merge', key 'id');
      |                                    ^^^^
      = help: outputs are stored as PARQUET, CSV, JSON, ARROW, AVRO

    bugs.sql:8:50: unknown option `publsh` of an output
      |
    8 | COPY events TO 'events/' STORED AS XLSX OPTIONS (publsh 'merge', key 'id');
      |                                                  ^^^^^^
      = did you mean `publish`?
      = help: options of an output: publish, key, order, key_scope, contract, sort, split_rows, single_file, compression, row_group_rows, row_group_size, target_file_size, dictionary, statistics, bloom_filter
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
