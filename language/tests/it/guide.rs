//! The guide says what the language does: its examples are read, its tables are complete.

use std::fs;
use std::path::Path;

use language::{OUTPUT_OPTIONS, PIPELINE_OPTIONS};

use crate::read;

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md");
    fs::read_to_string(path).unwrap_or_default()
}

/// The code blocks of a language in the guide.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in guide().lines() {
        match &mut open {
            Some(block) if line == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == format!("```{language}") => open = Some(String::new()),
            None => {}
        }
    }
    blocks
}

#[test]
fn every_example_is_a_definition() {
    let examples = blocks("sql");
    assert!(
        examples.len() >= 3,
        "the guide has {} examples",
        examples.len()
    );
    for example in examples {
        if let Err(mistakes) = read(&example) {
            panic!("{mistakes}\n\nin the example\n{example}");
        }
    }
}

#[test]
fn the_shown_mistakes_are_what_is_said() {
    let wrong = blocks("sql wrong");
    let said = blocks("text");
    assert_eq!(wrong.len(), said.len());
    assert!(!wrong.is_empty());
    for (text, said) in wrong.iter().zip(said) {
        let mistakes = read(text).unwrap_err().to_string();
        assert_eq!(mistakes.trim_end(), said.trim_end());
    }
}

#[test]
fn every_option_is_in_a_table() {
    let guide = guide();
    for option in PIPELINE_OPTIONS {
        let row = format!(
            "| `{}` | {} | {} | {} |",
            option.name, option.kind, option.default, option.doc
        );
        assert!(guide.contains(&row), "missing: {row}");
    }
    for option in OUTPUT_OPTIONS {
        let row = format!(
            "| `{}` | {} | {} | {} |",
            option.name, option.values, option.default, option.doc
        );
        assert!(guide.contains(&row), "missing: {row}");
    }
}
