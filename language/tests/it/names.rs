//! What is said about names: of views, sources and parameters, and where they are used.

use insta::assert_snapshot;

use crate::{OUTPUT, mistakes_before_output, read};

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
