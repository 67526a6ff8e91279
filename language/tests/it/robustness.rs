//! Arbitrary text is answered, never crashed on.

use language::{Diagnostics, bind};
use proptest::prelude::*;

use crate::{BUGS, given, noon, read};

/// Every message can be shown and points into the text.
fn check(text: &str, mistakes: &Diagnostics) {
    assert!(!mistakes.is_empty());
    let lines = text.lines().count().max(1);
    for mistake in mistakes {
        assert!(!mistake.to_string().is_empty());
        if let Some(place) = &mistake.place {
            assert!(place.line >= 1 && place.line <= lines + 1, "{mistake}");
            assert!(place.caret_width >= 1, "{mistake}");
            assert!(
                place.column <= place.source_line.chars().count() + 1,
                "{mistake}"
            );
        }
    }
}

fn read_and_check(text: &str) {
    match read(text) {
        Err(mistakes) => check(text, &mistakes),
        Ok(definition) => {
            if let Err(mistakes) = bind(&definition, &given(&[]), noon()) {
                check(text, &mistakes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        read_and_check(&text);
    }

    #[test]
    fn any_mix_of_the_languages_words_is_answered(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "DECLARE", "SET", "CREATE", "EXTERNAL", "TABLE", "VIEW", "AS", "SELECT", "ASSERT",
                "COPY", "TO", "STORED", "LOCATION", "OPTIONS", "PARTITIONED", "BY", "DEFAULT", "FROM",
                "TEXT", "DATE", "a", "b", "token", "pipeline", ".", "mode", "=", "(", ")", ",", ";",
                "'x'", "'", "\"", "$a", "$", "$$", "1", "--", "\n", "/*", "é", "日", "\t",
            ]),
            0..40,
        )
    ) {
        read_and_check(&words.join(" "));
    }

    #[test]
    fn a_definition_with_a_piece_cut_out_is_answered(start in 0..BUGS.len(), length in 0..60_usize) {
        let text: String = BUGS
            .char_indices()
            .filter(|(index, _)| *index < start || *index >= start + length)
            .map(|(_, character)| character)
            .collect();
        read_and_check(&text);
    }
}
