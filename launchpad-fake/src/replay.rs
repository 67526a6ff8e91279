//! Recorded responses: read from a folder, found by their links or an index, served as if from here.
//!
//! Recordings are served as they are: a recorded search is the answer to that search whatever its
//! other parameters. Links into the recorded service are rewritten, pages are cut anew.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::entries::Entry;
use crate::error::Error;
use crate::json;
use crate::links::Version;
use crate::refusal::Refusal;
use crate::request::{Request, segments};

/// The file that says which file, or what, is the answer to which path.
const INDEX: &str = "index.json";

/// The recorded responses of a folder.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    /// Entries by path.
    entries: HashMap<String, Recorded<Map<String, Value>>>,
    /// Answers named by the index, by path and operation.
    named: HashMap<(String, Option<String>), Named>,
}

/// A recording and the service it was recorded from: `https://host/version`.
#[derive(Debug, Clone)]
struct Recorded<T> {
    root: Option<String>,
    content: T,
}

#[derive(Debug)]
enum Named {
    Entry(Recorded<Map<String, Value>>),
    Collection {
        entry_type: Option<String>,
        entries: Recorded<Vec<Value>>,
    },
}

impl Recordings {
    /// Reads the `*.json` files of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let mut reading = Reading {
            files: read_files(folder)?,
            ..Reading::default()
        };
        let index_path = folder.join(INDEX);
        if let Some(index) = reading.files.remove(&index_path) {
            reading.index(folder, &index_path, index)?;
        }
        reading.remaining()?;
        Ok(reading.recordings)
    }

    /// The recorded answer to a request.
    pub(crate) fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        let operation = request.parameters.operation()?;
        let path = request.path.join("/");
        let key = (path, operation.map(str::to_owned));
        let entry = match self.named.get(&key) {
            Some(Named::Entry(entry)) => entry,
            Some(Named::Collection {
                entry_type,
                entries,
            }) => {
                let entry_type = match operation {
                    Some(_) => None,
                    None => Some(entry_type.as_deref().unwrap_or("entry")),
                };
                return Answer::page(request, entry_type, entries.content.len(), |range| {
                    let page = entries.content.get(range).unwrap_or_default();
                    page.iter()
                        .map(|entry| rewritten(entry, entries.root.as_deref(), request))
                        .collect()
                });
            }
            None => match self.entries.get(&key.0).filter(|_| operation.is_none()) {
                Some(entry) => entry,
                None => return Err(Refusal::not_found("Recordings", request.raw_path.clone())),
            },
        };
        let etag = entry
            .content
            .get("http_etag")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let body = Value::Object(entry.content.clone());
        Ok(Answer::Entry(Entry {
            json: rewritten(&body, entry.root.as_deref(), request),
            etag: etag.to_owned(),
        }))
    }
}

/// The JSON text of a recording, its links into the recorded service made links of the request.
fn rewritten(value: &Value, root: Option<&str>, request: &Request) -> String {
    let mut value = value.clone();
    if let Some(root) = root {
        rewrite(&mut value, root, request.links.root());
    }
    let mut text = String::new();
    json::write(&value, &mut text);
    text
}

fn rewrite(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => {
            // Only a whole value is a link; an address within prose stays as it was written.
            if let Some(rest) = text.strip_prefix(from).filter(|rest| rest.starts_with('/')) {
                *text = format!("{to}{rest}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, from, to)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| rewrite(member, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A folder that is being read.
#[derive(Default)]
struct Reading {
    /// Files that have not been taken yet.
    files: BTreeMap<PathBuf, Value>,
    /// Which file an entry came from, by path.
    origins: HashMap<String, PathBuf>,
    /// The version that the index says was recorded.
    version: Option<Version>,
    recordings: Recordings,
}

impl Reading {
    fn index(&mut self, folder: &Path, index_path: &Path, index: Value) -> Result<(), Error> {
        let refuse = |problem: String| Error::Recording {
            path: index_path.to_owned(),
            problem,
        };
        let Value::Object(index) = index else {
            return Err(refuse(
                "an index has to be an object of paths and what answers them".to_owned(),
            ));
        };
        // A file may be the answer to several paths: all are named before any is taken.
        let files = self.files.clone();
        if let Some(version) = index.get("version") {
            let version = version.as_str().and_then(Version::parse);
            self.version = Some(
                version.ok_or_else(|| refuse("version has to be beta, 1.0 or devel".to_owned()))?,
            );
        }
        for (address, answer) in index
            .into_iter()
            .filter(|(address, _)| address != "version")
        {
            let key = key(&address);
            let (origin, body) = match answer {
                Value::Object(_) => (index_path.to_owned(), answer),
                Value::String(name) => self.file(folder, &name, &files)?,
                Value::Array(names) => {
                    let mut entries = Vec::new();
                    for name in names {
                        let name = name.as_str().ok_or_else(|| {
                            refuse(format!("{address}: a list has to be one of file names"))
                        })?;
                        let (origin, page) = self.file(folder, name, &files)?;
                        match page.get("entries").and_then(Value::as_array) {
                            Some(page) => entries.extend(page.iter().cloned()),
                            None => {
                                return Err(Error::Recording {
                                    path: origin,
                                    problem: "a page has to have entries".to_owned(),
                                });
                            }
                        }
                    }
                    (
                        index_path.to_owned(),
                        serde_json::json!({ "entries": entries }),
                    )
                }
                _ => {
                    return Err(refuse(format!(
                        "{address}: the answer has to be a file name, a list of them, or an object"
                    )));
                }
            };
            let Value::Object(body) = body else {
                return Err(Error::Recording {
                    path: origin,
                    problem: "it has to be an object".to_owned(),
                });
            };
            let named = self.named(&origin, body)?;
            self.recordings.named.insert(key, named);
        }
        Ok(())
    }

    /// A file that the index names. It is not looked for by its link any more, unless it is an entry.
    fn file(
        &mut self,
        folder: &Path,
        name: &str,
        files: &BTreeMap<PathBuf, Value>,
    ) -> Result<(PathBuf, Value), Error> {
        let path = folder.join(name);
        let Some(body) = files.get(&path) else {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the index names it");
            return Err(Error::Read { path, source });
        };
        if body.get("self_link").is_none() {
            self.files.remove(&path);
        }
        Ok((path, body.clone()))
    }

    fn named(&mut self, origin: &Path, mut body: Map<String, Value>) -> Result<Named, Error> {
        if !body.contains_key("entries") {
            let root = self.root(origin, &body)?;
            return Ok(Named::Entry(Recorded {
                root,
                content: body,
            }));
        }
        let Some(Value::Array(entries)) = body.remove("entries") else {
            return Err(Error::Recording {
                path: origin.to_owned(),
                problem: "entries has to be a list".to_owned(),
            });
        };
        let mut root = None;
        for entry in &entries {
            let Value::Object(entry) = entry else {
                return Err(Error::Recording {
                    path: origin.to_owned(),
                    problem: "entries has to be a list of objects".to_owned(),
                });
            };
            root = self.root(origin, entry)?.or(root);
            self.embedded(origin, entry)?;
        }
        let first_type = entries
            .first()
            .and_then(|entry| type_name(entry.get("resource_type_link")));
        let own_type = type_name(body.get("resource_type_link"))
            .and_then(|name| name.strip_suffix("-page-resource").map(str::to_owned));
        let entry_type = own_type.or(first_type);
        Ok(Named::Collection {
            entry_type,
            entries: Recorded {
                root,
                content: entries,
            },
        })
    }

    /// Files that the index did not name.
    fn remaining(&mut self) -> Result<(), Error> {
        let files = std::mem::take(&mut self.files);
        let mut collections = Vec::new();
        for (path, body) in files {
            match body {
                Value::Object(body) if body.contains_key("self_link") => self.entry(&path, body)?,
                Value::Object(body) if body.contains_key("entries") => {
                    collections.push((path, body))
                }
                _ => {
                    return Err(Error::Recording {
                        path,
                        problem: "it has neither a self_link nor entries; name it in index.json or take it out"
                            .to_owned(),
                    });
                }
            }
        }
        for (path, body) in collections {
            tracing::warn!(
                file = %path.display(),
                "a recorded collection is not named in index.json: its entries are served, it is not"
            );
            self.named(&path, body)?;
        }
        Ok(())
    }

    fn entry(&mut self, origin: &Path, body: Map<String, Value>) -> Result<(), Error> {
        let root = self.root(origin, &body)?;
        let self_link = body
            .get("self_link")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = path_of(self_link)
            .map(|(_, path)| path)
            .ok_or_else(|| Error::Recording {
                path: origin.to_owned(),
                problem: format!("its self_link {self_link} is not of a Launchpad service"),
            })?;
        if let Some(first) = self.origins.insert(path.clone(), origin.to_owned()) {
            return Err(Error::Duplicate {
                first,
                second: origin.to_owned(),
                self_link: self_link.to_owned(),
            });
        }
        self.recordings.entries.insert(
            path,
            Recorded {
                root,
                content: body,
            },
        );
        Ok(())
    }

    /// An entry within a collection is served by its own link too, unless a file has it or the link
    /// is not its own, as is so for activity.
    fn embedded(&mut self, origin: &Path, entry: &Map<String, Value>) -> Result<(), Error> {
        let shared = type_name(entry.get("resource_type_link")).as_deref() == Some("bug_activity");
        let path = entry
            .get("self_link")
            .and_then(Value::as_str)
            .and_then(path_of);
        if let (Some((_, path)), false) = (path, shared) {
            let root = self.root(origin, entry)?;
            self.recordings
                .entries
                .entry(path)
                .or_insert_with(|| Recorded {
                    root,
                    content: entry.clone(),
                });
        }
        Ok(())
    }

    /// The service that an entry was recorded from, by its own link.
    fn root(&self, origin: &Path, entry: &Map<String, Value>) -> Result<Option<String>, Error> {
        let Some(link) = entry.get("self_link") else {
            return Ok(None);
        };
        let found = link.as_str().and_then(path_of);
        match (found, self.version) {
            (Some((root, _)), None) => Ok(Some(root)),
            (Some((root, _)), Some(version)) if root.ends_with(&format!("/{}", version.name())) => {
                Ok(Some(root))
            }
            (Some((root, _)), Some(version)) => Err(Error::Recording {
                path: origin.to_owned(),
                problem: format!(
                    "it was recorded from {root}, but the index says version {}",
                    version.name()
                ),
            }),
            (None, _) => Err(Error::Recording {
                path: origin.to_owned(),
                problem: format!("its self_link {link} is not of a Launchpad service"),
            }),
        }
    }
}

/// The path and the operation that a line of the index names.
fn key(address: &str) -> (String, Option<String>) {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let operation = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "ws.op")
        .map(|(_, name)| name.into_owned());
    (segments(path).join("/"), operation)
}

/// The root and the path of an absolute link.
fn path_of(link: &str) -> Option<(String, String)> {
    let (scheme, rest) = link.split_once("://")?;
    let mut parts = rest.splitn(3, '/');
    let (host, version, path) = (parts.next()?, parts.next()?, parts.next()?);
    Version::parse(version)?;
    Some((
        format!("{scheme}://{host}/{version}"),
        segments(path).join("/"),
    ))
}

/// The name of the type that a link is to the description of.
fn type_name(link: Option<&Value>) -> Option<String> {
    link?
        .as_str()?
        .split_once('#')
        .map(|(_, name)| name.to_owned())
}

fn read_files(folder: &Path) -> Result<BTreeMap<PathBuf, Value>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let mut files = BTreeMap::new();
    for item in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = item.map_err(unreadable(folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let bytes = std::fs::read(&path).map_err(unreadable(&path))?;
            let body = serde_json::from_slice(&bytes).map_err(|source| Error::Malformed {
                path: path.clone(),
                source,
            })?;
            files.insert(path, body);
        }
    }
    Ok(files)
}
