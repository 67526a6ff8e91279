//! Definitions are found by name and by path.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use language::Origin;
use language::search::{Builtin, FindError, SearchPath, find, list};

static BUILTINS: &[Builtin] = &[
    Builtin {
        name: "launchpad_bugs",
        text: "SET pipeline.description = 'built in'; COPY (SELECT 1 AS a) TO 'a/';",
    },
    Builtin {
        name: "broken",
        text: "COPY nothing TO 'a/';",
    },
];

fn search(directories: &[&Path]) -> SearchPath {
    SearchPath {
        directories: directories.iter().map(|path| path.to_path_buf()).collect(),
        builtins: BUILTINS,
        kinds: crate::kinds(),
    }
}

#[test]
fn nearer_places_hide_farther_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    fs::create_dir_all(&second).unwrap();
    fs::write(second.join("launchpad_bugs.sql"), "-- second").unwrap();
    let search = search(&[&first, &second]);
    let found = find("launchpad_bugs", &search).unwrap();
    assert_eq!(found.text, "-- second");
    assert_eq!(
        found.origin,
        Origin::File(second.join("launchpad_bugs.sql"))
    );
    fs::create_dir_all(&first).unwrap();
    fs::write(first.join("launchpad_bugs.sql"), "-- first").unwrap();
    assert_eq!(find("launchpad_bugs", &search).unwrap().text, "-- first");
    assert_eq!(find("broken", &search).unwrap().origin, Origin::Builtin);
}

#[test]
fn a_path_is_read_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.sql");
    fs::write(&path, "-- mine").unwrap();
    let found = find(path.to_str().unwrap(), &search(&[])).unwrap();
    assert_eq!(
        (found.name.as_str(), found.text.as_str()),
        ("mine", "-- mine")
    );
    for missing in ["missing.sql", "./launchpad_bugs"] {
        let error = find(missing, &search(&[])).unwrap_err();
        assert!(matches!(error, FindError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_no_text_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.sql");
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let error = find(path.to_str().unwrap(), &search(&[])).unwrap_err();
    assert!(matches!(error, FindError::Unreadable { .. }), "{error}");
    let listed = list(&search(&[folder.path()]));
    let picture = listed
        .iter()
        .find(|listed| listed.name == "picture")
        .unwrap();
    assert!(picture.unreadable.is_some());
}

#[test]
fn an_unknown_name_tells_where_it_was_looked_for() {
    let error = find(
        "launchpad_bug",
        &search(&[Path::new("defs"), Path::new("./pipelines.d")]),
    )
    .unwrap_err();
    assert_snapshot!(error.to_string(), @r"no pipeline is named `launchpad_bug` (did you mean `launchpad_bugs`?): looked in defs, ./pipelines.d, the built-in definitions");
}

#[test]
fn the_list_has_every_name_once_with_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("mine.sql"),
        "SET pipeline.description = 'my own'; COPY (SELECT 1 AS a) TO 'a/';",
    )
    .unwrap();
    fs::write(folder.path().join("notes.txt"), "no definition").unwrap();
    let listed = list(&search(&[folder.path()]));
    let shown: Vec<(&str, Option<&str>, bool)> = listed
        .iter()
        .map(|listed| {
            (
                listed.name.as_str(),
                listed.description.as_deref(),
                listed.errors.is_some(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("broken", None, true),
            ("launchpad_bugs", Some("built in"), false),
            ("mine", Some("my own"), false),
        ]
    );
}
