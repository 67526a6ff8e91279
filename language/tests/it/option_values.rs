//! What is said about options: of the pipeline, of sources, of outputs.

use insta::assert_snapshot;

use crate::mistakes_before_output;

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
      = help: outputs are stored as PARQUET, CSV, JSON, ARROW, AVRO

    bugs.sql:4:35: column `n` is twice in PARTITIONED BY
      |
    4 | COPY w TO 'c/' PARTITIONED BY (n, N);
      |                                   ^

    bugs.sql:5:33: option `publish` cannot be `murge`: expected append, overwrite, replace or merge
      |
    5 | COPY w TO 'd/' OPTIONS (publish 'murge', compression 'zsdt', row_group_rows 'all', target_file_size 0);
      |                                 ^^^^^^^
      = did you mean `merge`?

    bugs.sql:5:54: option `compression` cannot be `zsdt`: expected zstd, snappy, gzip, deflate, lz4 or none, with a level in parentheses where the codec has levels
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
      = help: options of an output: publish, key, order, key_scope, contract, sort, split_rows, single_file, compression, row_group_rows, row_group_size, target_file_size, dictionary, statistics, bloom_filter

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
fn options_that_a_format_does_not_have_are_told_with_the_way_out() {
    let text = "CREATE VIEW w AS SELECT 1 AS id;
COPY w TO 'a/' STORED AS CSV OPTIONS (publish 'merge', key 'id', compression snappy);
COPY w TO 'b/' STORED AS json OPTIONS (single_file maybe, dictionary true);
COPY w TO 'c/' STORED AS CSV OPTIONS (single_file true, sort 'id', split_rows 5);
COPY w TO 'd/' STORED AS JSON OPTIONS (publish append, compression 'gzip(9)', single_file true);";
    assert_snapshot!(mistakes_before_output(text), @r"
    bugs.sql:2:47: publish 'merge' reads published rows, and CSV files are only written
      |
    2 | COPY w TO 'a/' STORED AS CSV OPTIONS (publish 'merge', key 'id', compression snappy);
      |                                               ^^^^^^^
      = help: publish 'overwrite' replaces whole partitions; or store the output as PARQUET

    bugs.sql:2:78: option `compression` does not fit CSV
      |
    2 | COPY w TO 'a/' STORED AS CSV OPTIONS (publish 'merge', key 'id', compression snappy);
      |                                                                              ^^^^^^
      = help: CSV files are compressed with gzip or zstd, or not at all (none)

    bugs.sql:3:52: option `single_file` cannot be `maybe`: expected true or false
      |
    3 | COPY w TO 'b/' STORED AS json OPTIONS (single_file maybe, dictionary true);
      |                                                    ^^^^^

    bugs.sql:3:59: option `dictionary` has a meaning for PARQUET only
      |
    3 | COPY w TO 'b/' STORED AS json OPTIONS (single_file maybe, dictionary true);
      |                                                           ^^^^^^^^^^
      = help: leave it out, or store the output as PARQUET instead of JSON

    bugs.sql:4:68: option `split_rows` does nothing here
      |
    4 | COPY w TO 'c/' STORED AS CSV OPTIONS (single_file true, sort 'id', split_rows 5);
      |                                                                    ^^^^^^^^^^
      = help: `single_file` keeps together what it splits; leave one of the two out
    ");
}
