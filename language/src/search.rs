//! Where definitions are looked for: a file, folders, and what is built in.
//!
//! Owns the order of places and the answer when nothing is found. Text is read here, not understood.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::regular::read_text;
use serde::Serialize;

use super::definition::{Origin, parse};
use super::diagnostic::Diagnostics;
use super::kind::SourceKind;
use super::suggest::nearest;

/// The ending of definition files.
const ENDING: &str = "sql";

/// A definition that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The pipeline's name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The places where a name is looked for, nearest first: folders in order, then what is built in.
#[derive(Debug, Clone)]
pub struct SearchPath {
    /// Folders with definition files: `--definitions` and then `./pipelines.d`. A folder that does
    /// not exist holds nothing.
    pub directories: Vec<PathBuf>,
    /// Built-in definitions.
    pub builtins: &'static [Builtin],
    /// The kinds of sources that definitions may use.
    pub kinds: Vec<SourceKind>,
}

/// The text of a definition that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The pipeline's name: a file's name without its ending.
    pub name: String,
    /// Where it was found.
    pub origin: Origin,
    /// Its text.
    pub text: String,
}

/// A definition could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No place has a definition of this name.
    #[error("no pipeline is named `{name}`{}: looked in {looked_in}", did_you_mean(suggestion.as_deref()))]
    NotFound {
        /// The name as given.
        name: String,
        /// A name that is near.
        suggestion: Option<String>,
        /// The places.
        looked_in: Places,
    },
    /// The file is there, or was named, but cannot be read as text.
    #[error("cannot read the definition {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// The places that were looked in, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(Vec<PathBuf>);

impl fmt::Display for Places {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for directory in &self.0 {
            write!(formatter, "{}, ", directory.display())?;
        }
        formatter.write_str("the built-in definitions")
    }
}

/// One line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The pipeline's name.
    pub name: String,
    /// `SET pipeline.description`.
    pub description: Option<String>,
    /// Where it is.
    pub origin: Origin,
    /// Why it cannot be used, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Diagnostics>,
    /// Why its file cannot be read, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// Finds a definition by what was written on the command line: a path if it ends with `.sql` or has
/// a separator in it, else a name.
///
/// # Errors
/// [`FindError`]: nothing of this name anywhere, or a file that cannot be read.
pub fn find(name_or_path: &str, search: &SearchPath) -> Result<Found, FindError> {
    let has_ending = Path::new(name_or_path)
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING));
    if has_ending || name_or_path.contains(std::path::is_separator) {
        return read(PathBuf::from(name_or_path));
    }
    for directory in &search.directories {
        let path = directory.join(format!("{name_or_path}.{ENDING}"));
        if path.is_file() {
            return read(path);
        }
    }
    if let Some(builtin) = search
        .builtins
        .iter()
        .find(|builtin| builtin.name == name_or_path)
    {
        return Ok(Found {
            name: builtin.name.to_owned(),
            origin: Origin::Builtin,
            text: builtin.text.to_owned(),
        });
    }
    let names: Vec<String> = all(search).into_iter().map(|(name, _)| name).collect();
    Err(FindError::NotFound {
        name: name_or_path.to_owned(),
        suggestion: nearest(name_or_path, names.iter().map(String::as_str)).map(str::to_owned),
        looked_in: Places(search.directories.clone()),
    })
}

/// Every definition that a name can reach, by name. One that cannot be used is listed with the reason.
pub fn list(search: &SearchPath) -> Vec<Listed> {
    let mut listed: Vec<Listed> = all(search)
        .into_iter()
        .map(|(name, place)| describe(name, place, &search.kinds))
        .collect();
    listed.sort_by(|left, right| left.name.cmp(&right.name));
    listed
}

fn describe(name: String, place: Place, kinds: &[SourceKind]) -> Listed {
    let (origin, text) = match place {
        Place::Builtin(text) => (Origin::Builtin, Ok(text.to_owned())),
        Place::File(path) => {
            let text = read_text(&path).map_err(|error| error.to_string());
            (Origin::File(path), text)
        }
    };
    let mut listed = Listed {
        name,
        description: None,
        origin,
        errors: None,
        unreadable: None,
    };
    match text {
        Ok(text) => match parse(listed.origin.clone(), &listed.name, &text, kinds) {
            Ok(definition) => listed.description = definition.options.description,
            Err(errors) => listed.errors = Some(errors),
        },
        Err(reason) => listed.unreadable = Some(reason),
    }
    listed
}

enum Place {
    Builtin(&'static str),
    File(PathBuf),
}

/// Every name with the nearest place that has it.
fn all(search: &SearchPath) -> Vec<(String, Place)> {
    let mut known: Vec<(String, Place)> = Vec::new();
    for directory in &search.directories {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let is_definition =
                path.is_file() && path.extension().is_some_and(|ending| ending == ENDING);
            if let Some(name) = name
                && is_definition
                && !known.iter().any(|(other, _)| other == name)
            {
                known.push((name.to_owned(), Place::File(path)));
            }
        }
    }
    for builtin in search.builtins {
        if !known.iter().any(|(other, _)| other == builtin.name) {
            known.push((builtin.name.to_owned(), Place::Builtin(builtin.text)));
        }
    }
    known
}

fn read(path: PathBuf) -> Result<Found, FindError> {
    let name = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    match read_text(&path) {
        Ok(text) => Ok(Found {
            name,
            origin: Origin::File(path),
            text,
        }),
        Err(source) => Err(FindError::Unreadable { path, source }),
    }
}
