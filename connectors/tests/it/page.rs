//! The page of the kinds of sources in docs/ is what the registry says.

use std::fmt::Write;

use connectors::Registry;
use connectors::option::OptionSpec;
use connectors::source::{Declared, Read, SourceFactory};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sources.md");

const HEAD: &str = "\
# Kinds of sources

What may stand after `STORED AS`, with its options, as the program has them; `SPILLWAY_WRITE_DOCS=1 scripts/test page`
writes this page anew. How a source is declared: [language.md](language.md); the options of APIs in more words:
[rest-sources.md](rest-sources.md). Which files are read, and what
becomes of their values: [files.md](files.md); the options of Parquet are DataFusion's.
";

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn row(option: &OptionSpec) -> String {
    let values = match option.secret {
        true => "reference to a secret".to_owned(),
        false => option.parser.to_string(),
    };
    let default = match &option.default {
        _ if option.required => "required".to_owned(),
        Some(default) if !default.is_empty() => format!("`{default}`"),
        _ => "–".to_owned(),
    };
    let cells = [
        format!("`{}`", option.name),
        values,
        default,
        option.doc.clone(),
    ];
    format!("| {} |\n", cells.map(|text| cell(&text)).join(" | "))
}

fn section(factory: &dyn SourceFactory) -> Result<String, std::fmt::Error> {
    let mut text = format!("\n## `{}`\n\n", factory.kind());
    let how = match factory.read(&Declared::default()) {
        Read::InPlace(_) => "Read in place, also by executors.",
        Read::Extracted(_) => "Extracted before a query runs.",
    };
    writeln!(text, "{}. {how}", capital(factory.summary()))?;
    for (name, summary) in factory.locations() {
        writeln!(text, "\n- location `{name}`: {summary}")?;
    }
    let options = factory.options();
    if options.is_empty() {
        writeln!(text, "\nIt has no options.")?;
    } else {
        text.push_str("\n| option | values | default | meaning |\n|---|---|---|---|\n");
        text.extend(options.iter().map(row));
    }
    Ok(text)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.as_str().chars()).collect()
}

#[test]
fn the_page_of_sources_is_what_the_registry_says() {
    let registry = Registry::builtin();
    let sections = registry
        .factories()
        .map(|factory| section(factory).unwrap());
    let page = HEAD.to_owned() + &sections.collect::<String>();
    if std::env::var_os("SPILLWAY_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/sources.md is not what the program says: SPILLWAY_WRITE_DOCS=1 scripts/test page writes it anew"
    );
}
