//! What nests deeper than a stack: every kind is an error of the run, none ends the process.

use std::fmt::Write;

use rstest::rstest;

use super::cluster::on_cluster;
use super::launchpad::workspace;

const DEEP: usize = 2_000_000;

fn json(open: &str, close: &str) -> String {
    format!(
        "{{\"id\":1,\"note\":{}0{}}}\n",
        open.repeat(DEEP),
        close.repeat(DEEP)
    )
}

const NOTES: &str = "CREATE EXTERNAL TABLE notes (id BIGINT, note TEXT) STORED AS JSON LOCATION 'notes.json';\n\
                     COPY notes TO 'out/';";

#[rstest]
#[case::of_lists(json("[", "]"))]
#[case::of_objects(json("{\"a\":", "}"))]
fn deep_json_in_a_text_column_is_an_error(#[case] text: String) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("notes.json", &text)?;
    workspace.write("notes.sql", NOTES)?;
    workspace.run(["run", "./notes.sql"])?.expect(
        1,
        &["notes.json, line 1: values nest more than 128 levels deep"],
    );
    assert!(!workspace.path().join("out").join("data").exists());
    // Without a declared schema it is the schema that cannot be found.
    let inferred = NOTES.replace(" (id BIGINT, note TEXT)", "");
    workspace.write("notes.sql", &inferred)?;
    let outcome = workspace.run(["run", "./notes.sql"])?;
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    Ok(())
}

#[test]
fn deep_json_in_a_text_column_ends_no_executor() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(1)? else {
        return Ok(());
    };
    // Behind more than is looked at before the query is sent.
    let shallow = "{\"id\":0,\"note\":\"flat\"}\n".repeat(400_000);
    workspace.write("notes.json", &format!("{shallow}{}", json("[", "]")))?;
    let folder = workspace.path().display();
    let text = NOTES
        .replace("'notes.json'", &format!("'{folder}/notes.json'"))
        .replace("'out/'", &format!("'{folder}/out/'"));
    workspace.write("notes.sql", &text)?;
    let outcome = workspace.run(["run", "./notes.sql", "--mode", "cluster"])?;
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.all(), cluster.said());
    outcome.expect(1, &["line 400001: values nest more than 128 levels deep"]);
    // The executor is there for the next one.
    workspace.write(
        "one.sql",
        &format!("COPY (SELECT 1 AS one) TO '{folder}/one/';"),
    )?;
    workspace
        .run(["run", "./one.sql", "--mode", "cluster"])?
        .expect(0, &[]);
    Ok(())
}

#[test]
fn functions_take_json_of_any_depth() -> anyhow::Result<()> {
    let workspace = workspace()?;
    let note = format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP));
    workspace.write(
        "notes.csv",
        &format!("note\n\"{}\"\n", note.replace('"', "\"\"")),
    )?;
    workspace.write(
        "notes.sql",
        "CREATE EXTERNAL TABLE notes (note TEXT) STORED AS CSV LOCATION 'notes.csv' OPTIONS ('format.has_header' true);\n\
         CREATE VIEW taken AS SELECT length(json_pick(note, 'b')) AS picked, json_get_int(note, 'a') AS a, (note -> 'b') IS NULL AS no_b,\n\
         json_length(note) AS n, json_get_array(note, 'b') IS NULL AS no_list, json_as_text(note, 'b', 0, 0) IS NULL AS no_text,\n\
         json_contains(note, 'b') AS has_b, json_object_keys(note) IS NULL AS no_keys, json_get_json(note, 'b') IS NULL AS no_json,\n\
         json_get_str(note, 'b', 0) IS NULL AS no_str, json_get(note, 'b', 0, 0) IS NULL AS no_inner FROM notes;\n\
         ASSERT (SELECT a FROM taken) = 1;\n\
         COPY taken TO 'out/';",
    )?;
    workspace.run(["run", "./notes.sql"])?.expect(0, &["1 row"]);
    Ok(())
}

/// Steps, each of which reads the one before.
fn steps(count: usize, query: impl Fn(usize) -> String) -> String {
    let mut text = String::from("CREATE VIEW s0 AS SELECT 1 AS x;\n");
    for step in 1..=count {
        let _ = writeln!(text, "CREATE VIEW s{step} AS {};", query(step - 1));
    }
    text + &format!("COPY s{count} TO 'out/';")
}

fn repeated(count: usize, before: &str, piece: &str, after: &str) -> String {
    format!(
        "COPY (SELECT {before}{}{after} AS x) TO 'out/';",
        piece.repeat(count)
    )
}

#[rstest]
#[case::brackets(repeated(30_000, "", "(", "1"))]
#[case::closed_brackets(format!("COPY (SELECT {}1{} AS x) TO 'out/';", "(".repeat(30_000), ")".repeat(30_000)))]
#[case::operators(repeated(30_000, "1", " + 1", ""))]
#[case::words(repeated(30_000, "'a'", " LIKE 'a'", ""))]
#[case::conjunctions(repeated(30_000, "true", " AND true", ""))]
#[case::calls(repeated(30_000, "1", " + coalesce(1, 1)", ""))]
#[case::lists(repeated(30_000, "1", " IN (1, 2)", ""))]
#[case::branches(repeated(30_000, "1", " + CASE WHEN true THEN 1 ELSE 2 END", ""))]
#[case::nested_branches(repeated(30_000, "", "CASE WHEN true THEN ", "1"))]
#[case::casts(repeated(30_000, "1", "::INT", ""))]
#[case::negations(repeated(30_000, "", "NOT ", "true"))]
#[case::indexes(repeated(30_000, "make_array(1)", "[1]", ""))]
#[case::unions(repeated(30_000, "1 AS x", " UNION SELECT 1", ""))]
#[case::lists_of_lists(repeated(30_000, "CAST(NULL AS INT", "[]", ")"))]
#[case::structs(repeated(30_000, "CAST(NULL AS ", "STRUCT<a INT, b ", "INT"))]
#[case::maps(repeated(30_000, "CAST(NULL AS ", "MAP(INT, ", "INT"))]
#[case::arrow_types(format!("COPY (SELECT arrow_cast(NULL, '{}Int8{}') AS x) TO 'out/';", "List(".repeat(30_000), ")".repeat(30_000)))]
#[case::joined_tables(format!("CREATE VIEW a AS SELECT 1 AS x;\nCOPY (SELECT 1 AS y FROM a{}) TO 'out/';", ", a".repeat(5_000)))]
#[case::joins(format!("CREATE VIEW a AS SELECT 1 AS x;\nCOPY (SELECT 1 AS y FROM a{}) TO 'out/';", " CROSS JOIN a".repeat(5_000)))]
#[case::common_tables(format!(
    "COPY (WITH t0 AS (SELECT 1 AS x){} SELECT * FROM t2999) TO 'out/';",
    (1..3_000).map(|table| format!(", t{table} AS (SELECT x FROM t{})", table - 1)).collect::<String>()
))]
#[case::steps(steps(2_000, |before| format!("SELECT x FROM s{before}")))]
#[case::expressions_over_steps(steps(3, |before| format!("SELECT x{} AS x FROM s{before}", " + 1".repeat(900))))]
fn a_definition_that_nests_too_deep_is_refused(#[case] text: String) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("deep.sql", &text)?;
    let outcome = workspace.run(["run", "./deep.sql"])?;
    assert_eq!(
        outcome.code,
        Some(3),
        "{}",
        outcome.stderr.get(..2_000).unwrap_or(&outcome.stderr)
    );
    assert!(outcome.stderr.contains("deep.sql"));
    Ok(())
}

// Far from where the stack ends, and short enough for a build that is not optimised.
#[rstest]
#[case::operators(repeated(300, "1", " + 1", ""))]
#[case::conjunctions(repeated(300, "true", " AND true", ""))]
#[case::unions(format!("COPY (SELECT 1 AS x{}) TO 'out/';", " UNION ALL SELECT 1".repeat(100)))]
#[case::steps(steps(60, |before| format!("SELECT x + 1 AS x FROM s{before}")))]
#[case::branches(format!("COPY (SELECT {}1{} AS x) TO 'out/';", "CASE WHEN true THEN ".repeat(20), " END".repeat(20)))]
fn a_definition_that_nests_less_runs(#[case] text: String) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("deep.sql", &text)?;
    let outcome = workspace.run(["run", "./deep.sql"])?;
    assert_eq!(
        outcome.code,
        Some(0),
        "{}",
        outcome.stderr.get(..2_000).unwrap_or(&outcome.stderr)
    );
    Ok(())
}

#[rstest]
#[case::tables(format!("a{} = 1\n", ".a".repeat(30_000)))]
#[case::lists(format!("a = {}{}\n", "[".repeat(30_000), "]".repeat(30_000)))]
#[case::inline_tables(format!("a = {}1{}\n", "{b = ".repeat(30_000), "}".repeat(30_000)))]
fn a_spec_that_nests_too_deep_is_refused(#[case] spec: String) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write("spec.toml", &spec)?;
    workspace.write(
        "deep.sql",
        "CREATE EXTERNAL TABLE t STORED AS REST LOCATION 'x' OPTIONS ('spec' 'spec.toml');\nCOPY t TO 'out/';",
    )?;
    let outcome = workspace.run(["run", "./deep.sql"])?;
    assert_eq!(
        outcome.code,
        Some(3),
        "{}",
        outcome.stderr.get(..2_000).unwrap_or(&outcome.stderr)
    );
    Ok(())
}

#[rstest]
#[case::groups("(".repeat(30_000) + "a" + &")".repeat(30_000))]
#[case::repetitions("a".to_owned() + &"{2}".repeat(1_000))]
fn a_pattern_that_nests_too_deep_is_an_error(#[case] pattern: String) -> anyhow::Result<()> {
    let workspace = workspace()?;
    workspace.write(
        "deep.sql",
        &format!("COPY (SELECT regexp_like('a', '{pattern}') AS x) TO 'out/';"),
    )?;
    let outcome = workspace.run(["run", "./deep.sql"])?;
    assert!(
        matches!(outcome.code, Some(1 | 3 | 8)),
        "{}",
        outcome.stderr.get(..2_000).unwrap_or(&outcome.stderr)
    );
    Ok(())
}
