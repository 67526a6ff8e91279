//! What changes the fingerprint of a definition and what does not.

use proptest::prelude::*;

use crate::{BUGS, read};

#[expect(clippy::unwrap_used, reason = "test helper")]
fn fingerprint(text: &str) -> String {
    read(text).unwrap().fingerprint
}

#[test]
fn comments_blanks_and_the_case_of_words_do_not_count() {
    let compact = "create view V as select 1 as A from (select 2) x;copy v to 'v/'";
    let spread = "-- a step
        CREATE VIEW v AS /* one */ SELECT 1 AS a
        FROM ( SELECT 2 ) x ;;
        COPY v TO 'v/' ; -- done";
    assert_eq!(fingerprint(compact), fingerprint(spread));
    assert_eq!(fingerprint(compact).len(), 64);
}

#[test]
fn everything_else_counts() {
    let base = fingerprint("CREATE VIEW v AS SELECT 'a''b' AS x; COPY v TO 'v/';");
    for other in [
        "CREATE VIEW v AS SELECT 'a''''b' AS x; COPY v TO 'v/';",
        "CREATE VIEW v AS SELECT 'A''b' AS x; COPY v TO 'v/';",
        "CREATE VIEW v AS SELECT 'a''b' AS \"X\"; COPY v TO 'v/';",
        "CREATE VIEW v AS SELECT 'a''b' AS x; COPY v TO 'w/';",
        "CREATE VIEW v AS SELECT 'a''b' AS x; COPY v TO 'v/'; ASSERT true;",
    ] {
        assert_ne!(base, fingerprint(other), "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any blanks and comments where the text has blanks leave the fingerprint alone.
    #[test]
    fn blanks_and_comments_anywhere_leave_it_alone(
        blanks in proptest::collection::vec(
            prop_oneof![
                Just(" "), Just("\n"), Just("\t\r\n"), Just(" -- words; more\n"), Just("/* 'a */ "),
            ],
            64,
        )
    ) {
        let mut blanks = blanks.into_iter().cycle();
        // Whole lines with strings keep their inner blanks; all others are taken apart.
        let mut text = String::new();
        for line in BUGS.lines().filter(|line| !line.starts_with("--")) {
            let code = line.split("--").next().unwrap_or(line);
            if code.contains('\'') {
                text.push_str(code);
            } else {
                for word in code.split(' ') {
                    text.push_str(word);
                    text.push_str(blanks.next().unwrap_or(" "));
                }
            }
            text.push('\n');
        }
        prop_assert_eq!(fingerprint(&text), fingerprint(BUGS));
    }
}
