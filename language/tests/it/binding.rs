//! Parameters get their values.

use datafusion::common::ScalarValue;
use insta::assert_snapshot;
use language::{MemoryLimit, Mode, OptionValue, ValueOrigin, bind};
use rstest::rstest;
use tables::PublishMode;

use crate::{BUGS, bound, given, noon, read, value_mistakes};

#[test]
fn values_reach_expressions_options_and_locations() {
    let bound = bound(
        "DECLARE member TEXT;
         DECLARE since DATE;
         DECLARE target TEXT DEFAULT 'events/';
         CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs/' || $member
         OPTIONS ('member' $member, since $since, 'before' $since + INTERVAL '1 month', size 300, exact true, word plain);
         CREATE VIEW v AS SELECT * FROM crawl WHERE at >= $since AND who = $member LIMIT 5;
         COPY v TO $target;",
        &[("member", "ada-example"), ("since", "2024-01-31")],
    )
    .unwrap();
    let source = &bound.sources[0];
    assert_eq!(source.location, "bugs/ada-example");
    let plain = |key: &str| match &source.options[key] {
        OptionValue::Plain(text) => text.as_str(),
        OptionValue::SecretReference(_) => "a reference",
    };
    assert_eq!(plain("member"), "ada-example");
    assert_eq!(plain("since"), "2024-01-31");
    assert_eq!(plain("before"), "2024-02-29");
    assert_eq!(plain("size"), "300");
    assert_eq!(plain("exact"), "true");
    assert_eq!(plain("word"), "plain");
    assert_snapshot!(bound.views[0].query.to_string(), @r"SELECT * FROM crawl WHERE at >= CAST('2024-01-31' AS DATE) AND who = 'ada-example' LIMIT 5");
    assert_eq!(bound.outputs[0].location, "events/");
    assert_eq!(bound.parameters["target"].origin, ValueOrigin::Default);
    assert_eq!(
        bound.parameters["member"].origin,
        ValueOrigin::Flag("--set".to_owned())
    );
    assert_eq!(
        bound.parameters["since"].value,
        ScalarValue::Date32(Some(19_753))
    );
}

#[rstest]
#[case("TEXT", "it's", "'it''s'")]
#[case("VARCHAR", "", "''")]
#[case("DATE", "2024-02-29", "CAST('2024-02-29' AS DATE)")]
#[case(
    "TIMESTAMP",
    "2024-02-29T12:00:00Z",
    "CAST('2024-02-29T12:00:00' AS TIMESTAMP)"
)]
#[case("SMALLINT", "-3", "CAST('-3' AS SMALLINT)")]
#[case("INT", "5", "CAST('5' AS INT)")]
#[case("BIGINT", "5", "5")]
#[case("BIGINT", "-5", "CAST('-5' AS BIGINT)")]
#[case("DOUBLE", "2.5", "CAST('2.5' AS DOUBLE)")]
#[case("REAL", "0.5", "CAST('0.5' AS REAL)")]
#[case("DECIMAL(10, 2)", "12.5", "CAST('12.50' AS DECIMAL(10,2))")]
#[case("BOOLEAN", "true", "true")]
fn a_value_becomes_a_literal_of_its_type(
    #[case] sql_type: &str,
    #[case] value: &str,
    #[case] literal: &str,
) {
    let text = format!("DECLARE p {sql_type}; CREATE VIEW v AS SELECT $p AS p; COPY v TO 'v/';");
    let bound = bound(&text, &[("p", value)]).unwrap();
    assert_eq!(
        bound.views[0].query.to_string(),
        format!("SELECT {literal} AS p")
    );
}

#[test]
fn a_value_cannot_become_part_of_a_query() {
    let attack = "x'; DROP TABLE events; --";
    let bound = bound(
        "DECLARE member TEXT;
         CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'a.csv' OPTIONS (member $member);
         CREATE VIEW v AS SELECT $member AS who FROM t WHERE who = $member;
         COPY v TO 'v/';",
        &[("member", attack)],
    )
    .unwrap();
    assert_snapshot!(bound.views[0].query.to_string(), @r"SELECT 'x''; DROP TABLE events; --' AS who FROM t WHERE who = 'x''; DROP TABLE events; --'");
    assert_eq!(
        bound.sources[0].options["member"],
        OptionValue::Plain(attack.to_owned())
    );
}

#[test]
fn defaults_are_computed_as_of_now_and_from_parameters_above() {
    let text = "DECLARE data_date_start DATE DEFAULT current_date - INTERVAL '7 days';
         DECLARE data_date_end DATE DEFAULT $data_date_start + INTERVAL '1 month';
         DECLARE at TIMESTAMP DEFAULT now();
         DECLARE share DOUBLE DEFAULT 1;
         DECLARE n INT DEFAULT 2 * 21;
         DECLARE word TEXT DEFAULT upper('a') || 'b';
         DECLARE nothing TEXT DEFAULT NULL;
         CREATE VIEW v AS SELECT $data_date_start AS a, $data_date_end AS b, $at AS c, $share AS d, $n AS e, $word AS f, $nothing AS g;
         COPY v TO 'v/';";
    let bound = bind(&read(text).unwrap(), &given(&[]), noon()).unwrap();
    assert_snapshot!(bound.views[0].query.to_string(), @r"SELECT CAST('2024-02-22' AS DATE) AS a, CAST('2024-03-22' AS DATE) AS b, CAST('2024-02-29T12:00:00' AS TIMESTAMP) AS c, CAST('1.0' AS DOUBLE) AS d, CAST('42' AS INT) AS e, 'Ab' AS f, CAST(NULL AS TEXT) AS g");
    let moved = bind(
        &read(text).unwrap(),
        &given(&[("DATA_DATE_START", "2023-12-31")]),
        noon(),
    )
    .unwrap();
    assert_eq!(
        moved.parameters["data_date_end"].value.to_string(),
        "2024-01-31"
    );
}

#[test]
fn wrong_values_are_told_together() {
    assert_snapshot!(value_mistakes(
        BUGS,
        &[("membr", "ada-example"), ("data_date_start", "yesterday"), ("data_date_end", "2024-02-30")]
    ), @r"
    bugs.sql:4:9: parameter `member` needs a value
      |
    4 | DECLARE member          TEXT;
      |         ^^^^^^
      = help: give it: --set member=value

    bugs.sql:5:9: parameter `data_date_start` is DATE and cannot be `yesterday` (--set): expected a date such as 2024-01-31
      |
    5 | DECLARE data_date_start DATE;
      |         ^^^^^^^^^^^^^^^

    bugs.sql:6:9: parameter `data_date_end` is DATE and cannot be `2024-02-30` (--set): expected a date such as 2024-01-31
      |
    6 | DECLARE data_date_end   DATE;          -- exclusive
      |         ^^^^^^^^^^^^^

    bugs.sql: unknown parameter `membr` (--set)
     = did you mean `member`?
     = help: parameters: member, data_date_start, data_date_end
    ");
}

#[test]
fn missing_window_ends_name_their_flags() {
    assert_snapshot!(value_mistakes(BUGS, &[("member", "ada-example")]), @r"
    bugs.sql:5:9: parameter `data_date_start` needs a value
      |
    5 | DECLARE data_date_start DATE;
      |         ^^^^^^^^^^^^^^^
      = help: give it: --from 2024-01-01

    bugs.sql:6:9: parameter `data_date_end` needs a value
      |
    6 | DECLARE data_date_end   DATE;          -- exclusive
      |         ^^^^^^^^^^^^^
      = help: give it: --to 2024-02-01
    ");
}

#[test]
fn a_window_goes_forward() {
    let window = |start, end| {
        value_mistakes(
            BUGS,
            &[
                ("member", "ada-example"),
                ("data_date_start", start),
                ("data_date_end", end),
            ],
        )
    };
    assert_snapshot!(window("2024-02-01", "2024-01-01"), @r"
    bugs.sql:6:9: the window is reversed: it goes from 2024-02-01 (--set) to 2024-01-01 (--set)
      |
    6 | DECLARE data_date_end   DATE;          -- exclusive
      |         ^^^^^^^^^^^^^
      = help: the end is not part of the window: one day is --from 2024-01-01 --to 2024-01-02
    ");
    assert!(window("2024-02-01", "2024-02-01").contains("the window is empty"));
    assert_eq!(window("2024-02-01", "2024-02-02"), "");
}

#[test]
fn options_that_come_from_parameters_are_checked_with_their_values() {
    let text = "DECLARE mode TEXT DEFAULT 'local';
         DECLARE publish TEXT DEFAULT 'overwrite';
         DECLARE codec TEXT DEFAULT NULL;
         DECLARE location TEXT DEFAULT 'v/';
         SET pipeline.mode = $mode;
         SET datafusion.execution.batch_size = 4096;
         SET pipeline.memory = '60%';
         CREATE VIEW v AS SELECT 1 AS id;
         COPY v TO $location OPTIONS (publish $publish, compression $codec);
         COPY v TO 'w' OPTIONS (sort 'id DESC, \"Big Name\" ASC NULLS FIRST');";
    let good = bound(text, &[]).unwrap();
    assert_eq!(good.options.mode, Some(Mode::Local));
    assert_eq!(good.options.memory, Some(MemoryLimit::Percent(60)));
    assert_eq!(read(text).unwrap().options.mode, None);
    assert_eq!(
        good.settings,
        [(
            "datafusion.execution.batch_size".to_owned(),
            "4096".to_owned()
        )]
    );
    assert_eq!(good.outputs[0].options.publish, PublishMode::Overwrite);
    assert_eq!(good.outputs[0].options.compression, None);
    let sort: Vec<(&str, bool, bool)> = good.outputs[1]
        .options
        .sort
        .iter()
        .map(|key| (key.column.value.as_str(), key.descending, key.nulls_first))
        .collect();
    assert_eq!(sort, [("id", true, true), ("Big Name", false, true)]);
    assert_snapshot!(value_mistakes(
        text,
        &[("mode", "lokal"), ("publish", "merge"), ("codec", "rar"), ("location", "w/")]
    ), @r#"
    bugs.sql:5:30: option `mode` cannot be `lokal`: expected auto, local or cluster
      |
    5 |          SET pipeline.mode = $mode;
      |                              ^^^^^
      = did you mean `local`?

    bugs.sql:9:47: publish 'merge' needs the option `key`
      |
    9 |          COPY v TO $location OPTIONS (publish $publish, compression $codec);
      |                                               ^^^^^^^^
      = help: name the columns that identify a row: OPTIONS (publish 'merge', key 'id')

    bugs.sql:9:69: option `compression` cannot be `rar`: expected zstd, snappy, gzip, deflate, lz4 or none, with a level in parentheses where the codec has levels
      |
    9 |          COPY v TO $location OPTIONS (publish $publish, compression $codec);
      |                                                                     ^^^^^^

    bugs.sql:10:20: another output already writes to `w`
       |
    10 |          COPY v TO 'w' OPTIONS (sort 'id DESC, "Big Name" ASC NULLS FIRST');
       |                    ^^^
    "#);
}

#[test]
fn values_of_parameters_leave_the_fingerprint_of_a_definition() {
    let with = |member: &str| {
        let values = [
            ("member", member),
            ("data_date_start", "2024-01-01"),
            ("data_date_end", "2024-01-02"),
        ];
        bound(BUGS, &values).unwrap()
    };
    let ada = with("ada-example");
    assert_eq!(ada.fingerprint, with("bob-example").fingerprint);
}
