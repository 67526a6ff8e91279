//! Mistakes of users: options, locations and specs, each told with what was probably meant.

use connectors::option::OptionValue;
use connectors::source::{Declared, OpenError, SourceFactory};
use connectors::{Launchpad, Registry, Rest};

use crate::support::{Outcome, bugs, declared};

fn problems(options: &[(&str, &str)]) -> Vec<String> {
    Launchpad::default()
        .check(&declared("bugs", options))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn kinds_describe_their_locations_and_options() {
    let registry = Registry::builtin();
    let names: Vec<&str> = registry.factories().map(SourceFactory::kind).collect();
    assert_eq!(
        names,
        [
            "PARQUET",
            "CSV",
            "JSON",
            "TEXT",
            "BINARY",
            "AVRO",
            "ARROW",
            "TABLE",
            "LAUNCHPAD",
            "REST"
        ]
    );
    let launchpad = registry.find("launchpad").unwrap();
    assert_eq!(launchpad.locations()[0].0, "bugs");
    let options = launchpad.options();
    let option = |name: &str| options.iter().find(|option| option.name == name).unwrap();
    assert!(option("member").required);
    assert!(option("token").secret && option("token_secret").secret && !option("consumer").secret);
    let defaults = [
        "actors",
        "service_root",
        "version",
        "consumer",
        "concurrency",
        "page_size",
        "max_attempts",
    ];
    let values: Vec<_> = defaults
        .iter()
        .map(|name| option(name).default.as_deref().unwrap())
        .collect();
    assert_eq!(
        values,
        ["member", "production", "devel", "spillway", "4", "75", "6"]
    );
    assert!(registry.find("REST").unwrap().options()[0].required);
    let unknown = registry.find("PARKET").unwrap_err().to_string();
    assert!(unknown.contains("did you mean `PARQUET`?"), "{unknown}");
    let in_place = registry
        .find("csv")
        .unwrap()
        .open(&declared("orders/", &[]));
    assert!(matches!(in_place, Err(OpenError::InPlace { .. })));
}

#[test]
fn every_mistake_in_the_options_is_told_at_once() {
    let told = problems(&[
        ("membr", "ada"),
        ("actors", "membre"),
        ("since", "2024-02-01"),
        ("before", "2024-01-01"),
        ("concurrency", "0"),
        ("page_size", "301"),
        ("service_root", "prodction"),
        ("requests_per_second", "-1"),
        ("token", "secret"),
    ]);
    let parts = [
        "`membr` is not an option of this source; did you mean `member`?",
        "`member` is missing",
        "`actors` `membre` is none of member, everyone; did you mean `member`?",
        "the window is reversed",
        "`concurrency` `0` is not a whole number above zero",
        "`page_size` 301 is more than the 300",
        "did you mean `production`?",
        "`requests_per_second` must be a number above zero",
        "`token` is a secret",
        "`token_secret` is missing",
    ];
    for part in parts {
        assert!(
            told.iter().any(|text| text.contains(part)),
            "no `{part}` in {told:#?}"
        );
    }
    assert_eq!(told.len(), parts.len(), "{told:#?}");
}

#[test]
fn options_that_are_right_or_not_known_yet_have_no_problems() {
    assert_eq!(
        problems(&[
            ("member", "ada"),
            ("since", "2024-01-01"),
            ("before", "2024-01-01T06:00:00Z")
        ]),
        [""; 0]
    );
    let unknown = |location: &str, names: &[&str]| Declared {
        location: location.to_owned(),
        options: names
            .iter()
            .map(|name| ((*name).to_owned(), None))
            .collect(),
        ..Declared::default()
    };
    let names = ["member", "since", "before", "token", "token_secret"];
    let launchpad = Launchpad::default();
    assert!(launchpad.check(&unknown("bugs", &names)).is_empty());
    assert!(Rest.check(&unknown("anything", &["spec"])).is_empty());
    let text = launchpad.check(&unknown("bug", &names))[0].to_string();
    assert!(text.contains("did you mean `bugs`?"), "{text}");
    let text = Rest.check(&unknown("x", &[]))[0].to_string();
    assert!(text.contains("`spec` is missing"), "{text}");
}

#[test]
fn times_and_addresses_that_are_none_are_refused() {
    for (name, value, part) in [
        ("since", "01.02.2024", "not a date"),
        ("before", "2024-01-01T00:00:00", "offset"),
        (
            "service_root",
            "https://ada:secret@example.org/",
            "credentials",
        ),
        ("service_root", "https://example.org/?x=1", "path"),
        ("service_root", "ftp://example.org/", "http"),
        ("version", "..", "version"),
        ("member", "", "is empty"),
    ] {
        let mut options = vec![(name, value)];
        if name != "member" {
            options.push(("member", "ada-example"));
        }
        let told = problems(&options);
        assert!(
            told.len() == 1 && told[0].contains(part),
            "{name}={value}: {told:?}"
        );
    }
}

#[test]
fn an_alias_or_an_address_is_where_the_api_is() -> Outcome {
    let described = |root: &str| bugs(root, &[]).map(|source| source.describe());
    assert!(
        described("qastaging")?.contains("https://api.qastaging.launchpad.net/devel/~ada-example?")
    );
    assert!(
        described("http://127.0.0.1:8085")?.contains("http://127.0.0.1:8085/devel/~ada-example?")
    );
    let window = [("since", "2024-01-01"), ("before", "2024-02-01")];
    let text = bugs("production", &window)?.describe();
    assert!(
        text.ends_with(", from 2024-01-01T00:00:00+00:00, before 2024-02-01T00:00:00+00:00"),
        "{text}"
    );
    assert!(matches!(
        bugs("nowhere", &[]),
        Err(OpenError::Options { .. })
    ));
    Ok(())
}

const SPEC: &str = r#"name = "tickets"
summary = "tickets"
base = { url = "https://tickets.example.org/" }
pagination = { style = "single" }

[locations.tickets]
summary = "tickets"
list = "ticket"
unit = "{id}"

[parameters.project]
required = true
summary = "the project"

[resources.ticket]
path = "projects/{project}/tickets"
records = "items"
children = ["comment"]

[resources.comment]
path = "{parent.comments_link}"
records = ""

[resources.comment.record]
key = "{parent.id}-{id}"
time = "at"
url = "{link}"
"#;

fn spec_problems(text: &str) -> Result<String, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tickets.toml");
    std::fs::write(&path, text)?;
    let options = [("spec", &*path.display().to_string()), ("project", "x")];
    Ok(Rest
        .check(&declared("tickets", &options))
        .iter()
        .map(ToString::to_string)
        .collect())
}

#[test]
fn mistakes_in_a_spec_are_told_by_line_key_and_what_was_meant() -> Outcome {
    assert_eq!(spec_problems(SPEC)?, "");
    let table = [
        (
            "records = \"items\"",
            "recrds = \"items\"",
            "tickets.toml:17:1: `recrds`: unknown field `recrds`, expected one of",
            "did you mean `records`?",
        ),
        (
            "list = \"ticket\"",
            "list = \"tiket\"",
            "tickets.toml:8:8: `list`: there is no resource `tiket`",
            "did you mean `ticket`?",
        ),
        (
            "{project}",
            "{projct}",
            "tickets.toml:16:8: `path`: there is no parameter `projct`",
            "did you mean `project`?",
        ),
        (
            "[\"comment\"]",
            "[\"coment\"]",
            "tickets.toml:18:13: `children`: there is no resource `coment`",
            "did you mean `comment`?",
        ),
        (
            "\"{id}\"",
            "\"{id\"",
            "tickets.toml:9:8: `unit`",
            "without its `}`",
        ),
        (
            "\"single\"",
            "\"singel\"",
            "tickets.toml:4:",
            "did you mean `single`?",
        ),
        (
            "style = \"single\"",
            "style = \"cursor\"",
            "tickets.toml:4:",
            "needs the key `cursor`",
        ),
        (
            "records = \"items\"\n",
            "",
            "`ticket` is no collection",
            "`records`",
        ),
        (
            "{parent.id}-{id}",
            "{item.id}-{id}",
            "tickets.toml:25:7: `key`",
            "`{item.id}` is not reachable here",
        ),
        (
            "https://tickets",
            "tickets",
            "tickets.toml:3:",
            "not the address of an API",
        ),
        (
            "[parameters.project]",
            "[parameters.since]",
            "tickets.toml:11:13: `parameters.since`",
            "an option of every API already",
        ),
        ("name = \"tickets\"", "name = ", "tickets.toml:1:", ""),
    ];
    for (right, wrong, place, hint) in table {
        let told = spec_problems(&SPEC.replacen(right, wrong, 1))?;
        assert!(
            told.contains(place) && told.contains(hint),
            "{wrong}: {told}"
        );
    }
    Ok(())
}

#[test]
fn the_example_of_the_documentation_has_no_mistakes() -> Outcome {
    let page = include_str!("../../../docs/rest-sources.md");
    let example = page
        .split_once("```toml\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    let (example, _) = example.ok_or("no example")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("desk.toml");
    std::fs::write(&path, example)?;
    let options = [("spec", &*path.display().to_string()), ("project", "x")];
    let mut declared = declared("tickets", &options);
    let token = Some(OptionValue::Secret("hush".into()));
    declared.options.insert("token".to_owned(), token);
    let told = Rest.check(&declared);
    assert!(told.is_empty(), "{told:#?}");
    Ok(())
}

#[test]
fn several_mistakes_in_a_spec_are_told_together() -> Outcome {
    let text = SPEC
        .replace("list = \"ticket\"", "list = \"tiket\"")
        .replace("\"comment\"", "\"coment\"");
    let told = spec_problems(&text)?;
    assert!(told.contains("tiket") && told.contains("coment"), "{told}");
    let text = Rest.check(&declared("x", &[("spec", "/nonexistent/x.toml")]))[0].to_string();
    assert!(
        text.contains("cannot be read: /nonexistent/x.toml"),
        "{text}"
    );
    Ok(())
}
