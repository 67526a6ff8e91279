//! How mistakes are shown: their places, as JSON, and when there are too many or the text is too deep.

use insta::assert_snapshot;

use crate::{mistakes_before_output, mistakes_of, read};

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
