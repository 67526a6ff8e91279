//! Secrets stand in no definition and in no message.

use insta::assert_snapshot;
use language::{OptionValue, SecretReference};

use crate::{bound, mistakes_of, read, value_mistakes};

const OUTPUT: &str = "\nCOPY t TO 't/';";

fn source_with(options: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE t STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS ({options});{OUTPUT}"
    )
}

#[test]
fn a_literal_secret_is_refused_and_not_shown() {
    assert_snapshot!(mistakes_of(&source_with("member 'ada-example', 'token' 'hunter2', colour 'red'")), @r"
    bugs.sql:1:100: option `token` is a secret and must not stand here
      |
    1 | CREATE EXTERNAL TABLE t STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (member 'ada-example', 'token' '*******', colour 'red');
      |                                                                                                    ^^^^^^^^^
      = help: refer to it: 'env:NAME' for a variable, 'file:/path' for a file
    ");
}

#[test]
fn however_it_is_written_a_secret_is_never_shown() {
    for options in [
        "token 'hunter2'",
        "'token' = 'hunter2'",
        "token_secret hunter2",
        "password \"hunter2\"",
        "password $$hunter2$$",
        "'api_key' 'hun' || 'ter2hunter2'",
        "api_key E'hunter2', colour",
        "'tokne' 'hunter2' 'x'",
        "token => 'hunter2'",
        "token: 'hunter2'",
        "token 'hunter2' member 'ada-example'",
        "token ('hunter2')",
        "token 'hunter2",
        "token 'it''s\nhunter2'",
        "auth.token 'hunter2', token 'hunter2'",
        "secret 0hunter2",
    ] {
        let text = mistakes_of(&source_with(options));
        assert!(!text.is_empty(), "{options} is accepted");
        assert!(!text.contains("hunter2"), "{options} is shown:\n{text}");
    }
}

#[test]
fn other_statements_do_not_show_secrets_either() {
    for text in [
        "DECLARE password TEXT DEFAULT 'hunter2'; SELECT $password;",
        "DECLARE token TEXT DEFAULT 'hunter2",
        "DECLARE token INT DEFAULT 'hunter2';",
        "SET pipeline.token = 'hunter2';",
        "SET datafusion.password = 'hunter2';",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'https://ada:hunter2@host.example/a.csv';",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'https://ada:hunter2@host.example/a.csv' OPTION (a 1);",
    ] {
        let shown = mistakes_of(text);
        assert!(!shown.is_empty());
        assert!(!shown.contains("hunter2"), "shown:\n{shown}");
    }
}

#[test]
fn a_password_in_a_location_is_refused() {
    assert_snapshot!(mistakes_of(&format!(
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'https://ada:hunter2@host.example/a.csv';{OUTPUT}"
    )), @r"
    bugs.sql:1:48: the location carries a password, a signature or a token
      |
    1 | CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '**************************************';
      |                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: leave it out of the URL: credentials of object stores come from variables (AZURE_STORAGE_SAS_TOKEN, AWS_ACCESS_KEY_ID), of web servers from PIPELINES_STORAGE_HTTP_HEADERS, those of APIs are options that refer to a secret
    ");
}

#[test]
fn references_to_secrets_are_kept() {
    let text = format!(
        "DECLARE where_it_is TEXT DEFAULT 'file:/run/secrets/lp';{}",
        source_with("token 'env:LP_TOKEN', 'token_secret' $where_it_is")
    );
    let bound = bound(&text, &[]).unwrap();
    let options = &bound.sources[0].options;
    assert_eq!(
        options["token"],
        OptionValue::SecretReference(SecretReference::Environment("LP_TOKEN".to_owned()))
    );
    assert_eq!(
        options["token_secret"],
        OptionValue::SecretReference(SecretReference::File("/run/secrets/lp".into()))
    );
    assert!(read(&text).unwrap().warnings.is_empty());
}

#[test]
fn a_secret_given_as_a_parameter_is_refused_and_not_shown() {
    let text = format!("DECLARE token TEXT;{}", source_with("token $token"));
    assert_snapshot!(value_mistakes(&text, &[("token", "hunter2")]), @r"
    bugs.sql:1:95: option `token` is a secret: the parameter must refer to it, not be it
      |
    1 | DECLARE token TEXT;CREATE EXTERNAL TABLE t STORED AS LAUNCHPAD LOCATION 'bugs' OPTIONS (token $token);
      |                                                                                               ^^^^^^
      = help: give 'env:NAME' for a variable or 'file:/path' for a file
    ");
}

#[test]
fn a_wrong_value_of_a_secret_parameter_is_not_shown() {
    let text = format!("DECLARE token INT;{}", source_with("colour $token"));
    let shown = value_mistakes(&text, &[("token", "hunter2")]);
    assert!(shown.contains("cannot be the given value"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_parameter_that_is_null_leaves_its_option_out() {
    let text = format!(
        "DECLARE token TEXT DEFAULT NULL;{}",
        source_with("token $token")
    );
    assert!(bound(&text, &[]).unwrap().sources[0].options.is_empty());
}
