//! The files under a location. Owns which of them are read and which are left out, and why; one rule for all formats.
//!
//! A location is the path or URL of a file or of a folder, or several of them as a list in JSON, or a pattern with `*`, `?`, `[…]` and `{…,…}` in any part (`**`
//! for any folders). What is there literally is meant literally. Under a folder, at any depth, those files are read whose
//! suffix is one of the format's, in any case, with or without one of a compression. Files and folders that are hidden (`.`
//! or `_` in front; a partition folder is not) and files without bytes are left out, and so are files with other suffixes,
//! which may hold rows and are told. Names that a pattern matches are read whatever their suffix. A format without suffixes reads
//! every file that is not hidden, even one without bytes.

use std::collections::HashSet;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures::{StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use tables::layout;
use url::Url;

use super::bytes::Compression;
use super::error::ReadError;
use super::web;

/// Locations of a list that are looked at together.
const CONCURRENT: usize = 16;
/// The characters of a pattern.
const PATTERN: [char; 4] = ['*', '?', '[', '{'];

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// On this machine.
    Local(PathBuf),
    /// In an object store.
    Stored {
        /// The store: what precedes the path of its URLs.
        store: String,
        /// The key.
        key: String,
    },
}

/// A file that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// As the person knows it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Bytes.
    pub size: u64,
    /// When it was changed, nanoseconds since 1970.
    pub modified: i64,
    /// The values of the partition columns, in their order; `None` is NULL.
    pub partition: Vec<Option<String>>,
    /// What tells it from others that were at its place, if whoever has it says so.
    pub version: Option<String>,
    /// The part of it that is meant; `None` for all of it.
    pub slice: Option<Slice>,
}

/// A part of a file: the records that begin in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Where it begins, in bytes of the file.
    pub from: u64,
    /// Where the next one begins.
    pub until: u64,
    /// Whether the lines of its records are wanted.
    pub lines: bool,
}

impl File {
    /// Its bytes, if whoever has it says how many there are.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.place.seen() {
            Some(seen) => seen.length,
            None => Some(self.size),
        }
    }

    /// Whether a part of it can be read without what is before that.
    pub(crate) fn has_ranges(&self) -> bool {
        self.place.seen().is_none_or(|seen| seen.ranges)
    }
}

/// A file that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// As the person knows it.
    pub name: String,
    /// Why not.
    pub why: Why,
}

/// Why a file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It, or a folder that it is in, is hidden.
    Hidden,
    /// It has no bytes.
    Empty,
    /// Its suffix is of no file of the format.
    Suffix,
}

impl Why {
    /// Whether the file might have rows that somebody expects.
    pub fn may_hold_rows(self) -> bool {
        self == Self::Suffix
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Empty => "empty",
            Self::Suffix => "another suffix",
        }
    }
}

/// What is under a location.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Files that are read, in the order of their names.
    pub files: Vec<File>,
    /// Files that are not.
    pub left_out: Vec<LeftOut>,
}

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The location, as a definition has it.
    pub location: &'a str,
    /// Suffixes of the format's files, in lower case; none if any file is one.
    pub suffixes: &'a [&'a str],
    /// The partition columns.
    pub partition_by: &'a [String],
}

/// Finds the store of a URL.
pub type Stores<'a> =
    &'a (dyn Fn(&Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> + Send + Sync);

/// One found name, before it is decided what becomes of it.
struct Found {
    /// Below the folder that was listed, with `/` between.
    below: String,
    name: String,
    place: Place,
    size: u64,
    /// Whether it is known to have no bytes.
    is_empty: bool,
    modified: i64,
    version: Option<String>,
}

/// Where the names of a location begin to vary.
struct Base {
    found: Vec<Found>,
    /// Names that a pattern wants.
    pattern: Option<GlobMatcher>,
    /// Whether the location is one file.
    is_file: bool,
}

/// Lists a location, or each of several. A file that is under more than one of them is read once.
///
/// # Errors
/// When one cannot be looked at, or a file is not in the folders of its partition, or nothing is to be read under one of several.
pub async fn list(wanted: Wanted<'_>, stores: Stores<'_>) -> Result<Listing, ReadError> {
    let Some(locations) = several(wanted.location)? else {
        return list_one(wanted, stores).await;
    };
    let (mut all, mut known) = (Listing::default(), HashSet::new());
    let looking: Vec<_> = locations
        .iter()
        .map(|location| list_one(Wanted { location, ..wanted }, stores))
        .collect();
    let mut looked = futures::stream::iter(looking).buffered(CONCURRENT);
    for location in &locations {
        let Some(listing) = looked.try_next().await? else {
            break;
        };
        if listing.files.is_empty() {
            return Err(of(location, "has no file that is read")
                .with_help("leave it out of the list of locations, or name it as it is there"));
        }
        let new = listing.files.into_iter();
        all.files
            .extend(new.filter(|file| known.insert(file.place.itself())));
        all.left_out.extend(listing.left_out);
    }
    // Under one location and not under another, it is read; left out twice, it is so once.
    let mut told: HashSet<String> = all.files.iter().map(|file| file.name.clone()).collect();
    all.left_out.retain(|file| told.insert(file.name.clone()));
    Ok(all)
}

/// The locations in a list of them; `None` if the text is one location.
fn several(text: &str) -> Result<Option<Vec<String>>, ReadError> {
    if !text.trim_start().starts_with("[\"") {
        return Ok(None);
    }
    let locations = serde_json::from_str(text);
    let locations = locations.map_err(|error| {
        of(text, format!("is no list of locations: {error}")).with_help(
            "write it as `[\"a.csv\", \"b/*.csv\"]`; a file of such a name is a list of one",
        )
    })?;
    Ok(Some(locations))
}

impl Place {
    /// What names it in its store, whatever version of it is meant; `None` for one on this machine.
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Stored { store, key } => Some(web::shown(&format!("{store}/"), key)),
            Self::Local(_) => None,
        }
    }

    /// What a web server says of the file, if it is on one.
    pub(crate) fn seen(&self) -> Option<web::Seen> {
        match self {
            Self::Stored { store, key } => web::seen(store, key),
            Self::Local(_) => None,
        }
    }

    /// The same for all names of a file.
    fn itself(&self) -> Self {
        match self {
            Self::Local(path) => {
                Self::Local(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()))
            }
            stored @ Self::Stored { .. } => stored.clone(),
        }
    }
}

async fn list_one(wanted: Wanted<'_>, stores: Stores<'_>) -> Result<Listing, ReadError> {
    let base = match Url::parse(wanted.location) {
        Ok(url) if web::is_web(url.as_str()) => on_the_web(wanted.location, &url, stores).await?,
        Ok(url) if wanted.location.contains("://") && url.scheme() != "file" => {
            stored(wanted.location, &url, stores).await?
        }
        Ok(url) if url.scheme() == "file" => {
            let path = url.to_file_path();
            local(
                wanted.location,
                &path.map_err(|()| of(wanted.location, "is no path of this machine"))?,
            )?
        }
        _ => local(wanted.location, LocalPath::new(wanted.location))?,
    };
    sort_out(base, wanted)
}

fn of(location: &str, problem: impl Into<String>) -> ReadError {
    ReadError::of_file(location, problem)
}

fn matcher(location: &str, pattern: &str) -> Result<GlobMatcher, ReadError> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            of(
                location,
                format!("the pattern cannot be understood: {}", error.kind()),
            )
        })?;
    Ok(glob.compile_matcher())
}

/// The folders of a pattern that are no pattern, and the rest of it.
fn split_pattern(path: &str) -> (&str, &str) {
    let first = path.find(PATTERN).unwrap_or(path.len());
    let folder = path[..first].rfind('/').map_or(0, |slash| slash + 1);
    path.split_at(folder)
}

fn local(location: &str, path: &LocalPath) -> Result<Base, ReadError> {
    let unreadable = |error: std::io::Error| of(location, format!("cannot be looked at: {error}"));
    let text = path.to_str().ok_or_else(|| of(location, "is no text"))?;
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            return Ok(Base {
                found: vec![Found {
                    below: path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    name: text.to_owned(),
                    place: Place::Local(absolute(path)),
                    size: metadata.len(),
                    is_empty: metadata.len() == 0,
                    modified: changed(&metadata),
                    version: None,
                }],
                pattern: None,
                is_file: true,
            });
        }
        Ok(_) => {
            let mut found = Vec::new();
            walk(path, "", &mut found).map_err(unreadable)?;
            return Ok(Base {
                found,
                pattern: None,
                is_file: false,
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(error)),
    }
    let (folder, pattern) = split_pattern(text);
    let mut found = Vec::new();
    if !pattern.is_empty() && text.contains(PATTERN) {
        let folder = LocalPath::new(if folder.is_empty() { "." } else { folder });
        match walk(folder, "", &mut found) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unreadable(error));
            }
            _ => {}
        }
        if folder == LocalPath::new(".") {
            for found in &mut found {
                found.name = found.below.clone();
            }
        }
    }
    Ok(Base {
        found,
        pattern: Some(matcher(location, pattern)?),
        is_file: false,
    })
}

/// When a file was changed, nanoseconds since 1970.
fn changed(metadata: &std::fs::Metadata) -> i64 {
    let changed = metadata.modified().ok();
    let since = changed.and_then(|changed| changed.duration_since(std::time::UNIX_EPOCH).ok());
    since
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}

fn absolute(path: &LocalPath) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn walk(folder: &LocalPath, below: &str, found: &mut Vec<Found>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let below = match below.is_empty() {
            true => name,
            false => format!("{below}/{name}"),
        };
        // Of a link, what it leads to; one that leads nowhere is no file.
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            walk(&path, &below, found)?;
        } else if metadata.is_file() {
            found.push(Found {
                below,
                name: path.to_string_lossy().into_owned(),
                place: Place::Local(absolute(&path)),
                size: metadata.len(),
                is_empty: metadata.len() == 0,
                modified: changed(&metadata),
                version: None,
            });
        }
    }
    Ok(())
}

async fn stored(location: &str, url: &Url, stores: Stores<'_>) -> Result<Base, ReadError> {
    let unreadable =
        |error: &dyn std::fmt::Display| of(location, format!("cannot be looked at: {error}"));
    let store = stores(url).map_err(|error| unreadable(&error))?;
    let root = url[..url::Position::BeforePath].to_owned();
    // As written: `?` and `#` of a pattern are no parts of a URL here.
    let written = location
        .get(root.len()..)
        .unwrap_or_default()
        .trim_start_matches('/');
    let decoded = percent_encoding::percent_decode_str(written)
        .decode_utf8_lossy()
        .into_owned();
    let place = |key: &Path| Place::Stored {
        store: root.clone(),
        key: key.to_string(),
    };
    for key in [written, decoded.as_str()] {
        if key.is_empty() || key.ends_with('/') {
            continue;
        }
        let Ok(key) = Path::parse(key) else { continue };
        if let Ok(meta) = store.head(&key).await {
            return Ok(Base {
                found: vec![Found {
                    below: key.filename().unwrap_or_default().to_owned(),
                    name: location.to_owned(),
                    place: place(&key),
                    size: meta.size,
                    is_empty: meta.size == 0,
                    modified: meta.last_modified.timestamp_nanos_opt().unwrap_or_default(),
                    version: meta.e_tag,
                }],
                pattern: None,
                is_file: true,
            });
        }
    }
    let is_pattern = decoded.contains(PATTERN);
    let (folder, pattern) = match is_pattern {
        true => split_pattern(&decoded),
        false => (decoded.as_str(), ""),
    };
    let prefix = folder.trim_end_matches('/');
    let prefix = match prefix.is_empty() {
        true => None,
        false => Some(Path::parse(prefix).map_err(|error| unreadable(&error))?),
    };
    let listed: Vec<_> = store
        .list(prefix.as_ref())
        .try_collect()
        .await
        .map_err(|error| unreadable(&error))?;
    let skipped = prefix
        .as_ref()
        .map_or(0, |prefix| prefix.as_ref().len() + 1);
    let found = listed.into_iter().map(|meta| Found {
        below: meta
            .location
            .as_ref()
            .get(skipped..)
            .unwrap_or_default()
            .to_owned(),
        name: format!("{root}/{}", meta.location),
        place: place(&meta.location),
        size: meta.size,
        is_empty: meta.size == 0,
        modified: meta.last_modified.timestamp_nanos_opt().unwrap_or_default(),
        version: meta.e_tag,
    });
    Ok(Base {
        found: found.collect(),
        pattern: match is_pattern {
            true => Some(matcher(location, pattern)?),
            false => None,
        },
        is_file: false,
    })
}

async fn on_the_web(location: &str, url: &Url, stores: Stores<'_>) -> Result<Base, ReadError> {
    let store = stores(url).map_err(|error| of(location, error.to_string()))?;
    let found = web::find(location, url, &store).await?;
    let path = url.path();
    Ok(Base {
        found: vec![Found {
            below: file_name(path).to_owned(),
            name: location.to_owned(),
            place: Place::Stored {
                store: url[..url::Position::BeforePath].to_owned(),
                key: found.key,
            },
            size: found.size,
            is_empty: !found.may_have_bytes,
            modified: found.modified,
            // Its key has it.
            version: None,
        }],
        pattern: None,
        is_file: true,
    })
}

fn sort_out(base: Base, wanted: Wanted<'_>) -> Result<Listing, ReadError> {
    let mut listing = Listing::default();
    let mut found = base.found;
    found.sort_by(|one, other| one.below.cmp(&other.below));
    let is_any = wanted.suffixes.is_empty();
    let is_meant = |found: &Found| match &base.pattern {
        Some(pattern) => pattern.is_match(&found.below),
        None => is_any || has_suffix(&found.below, wanted.suffixes),
    };
    // Files without any suffix are read where there are no others.
    let bare = base.pattern.is_none() && !base.is_file && {
        let mut visible = found
            .iter()
            .filter(|found| !is_hidden(&found.below))
            .peekable();
        visible.peek().is_some() && visible.all(|found| !file_name(&found.below).contains('.'))
    };
    for file in found {
        let is_meant = base.is_file || bare || is_meant(&file);
        if base.pattern.is_some() && !is_meant {
            continue;
        }
        let why = match () {
            () if !base.is_file && is_hidden(&file.below) => Some(Why::Hidden),
            () if !is_meant => Some(Why::Suffix),
            () if file.is_empty && !is_any => Some(Why::Empty),
            () => None,
        };
        if let Some(why) = why {
            listing.left_out.push(LeftOut {
                name: file.name,
                why,
            });
            continue;
        }
        let path = match &file.place {
            Place::Local(path) => path.to_string_lossy(),
            Place::Stored { store, key } => web::path(store, key),
        };
        let partition = partition(&path, wanted.partition_by);
        let partition = partition.map_err(|column| {
            of(
                &file.name,
                format!("is in no folder `{column}=…`, and `{column}` is a partition column"),
            )
        })?;
        listing.files.push(File {
            name: file.name,
            place: file.place,
            size: file.size,
            modified: file.modified,
            partition,
            version: file.version,
            slice: None,
        });
    }
    Ok(listing)
}

fn file_name(below: &str) -> &str {
    below.rsplit('/').next().unwrap_or(below)
}

/// Partition folders are not hidden, whatever their column is called.
fn is_hidden(below: &str) -> bool {
    let mut segments = below.split('/').peekable();
    std::iter::from_fn(|| {
        segments
            .next()
            .map(|segment| (segment, segments.peek().is_some()))
    })
    .any(|(segment, is_folder)| {
        segment.starts_with('.')
            || segment.starts_with('_') && !(is_folder && segment.contains('='))
    })
}

/// Whether a file's name ends as the format's do, before the suffix of a compression or without one.
fn has_suffix(below: &str, suffixes: &[&str]) -> bool {
    let name = file_name(below).to_ascii_lowercase();
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or_default();
    let format = match Compression::SUFFIXES.contains(&last) {
        true => parts.next().unwrap_or_default(),
        false => last,
    };
    // What stands before the first point is the name.
    parts.next().is_some() && suffixes.contains(&format)
}

/// The values of the partition columns in a path; the column that has none as an error.
fn partition<'a>(path: &str, columns: &'a [String]) -> Result<Vec<Option<String>>, &'a str> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    columns
        .iter()
        .map(|column| {
            let found = folders.rsplit('/').find_map(|folder| {
                let (name, value) = layout::split(folder).into_iter().next()?;
                (name == *column && folder.contains('=')).then_some(value)
            });
            found.ok_or(column.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(
        location: &str,
        suffixes: &[&str],
        partition_by: &[&str],
    ) -> Result<Listing, ReadError> {
        let partition_by: Vec<String> = partition_by.iter().map(|&name| name.to_owned()).collect();
        let wanted = Wanted {
            location,
            suffixes,
            partition_by: &partition_by,
        };
        sort_out(local(location, LocalPath::new(location))?, wanted)
    }

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content = if name.contains("empty") { "" } else { "a\n1\n" };
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    fn names(folder: &tempfile::TempDir, listing: &Listing) -> (Vec<String>, Vec<(String, Why)>) {
        let root = format!("{}/", folder.path().display());
        let below = |name: &str| name.strip_prefix(&root).unwrap_or(name).to_owned();
        (
            listing.files.iter().map(|file| below(&file.name)).collect(),
            listing
                .left_out
                .iter()
                .map(|file| (below(&file.name), file.why))
                .collect(),
        )
    }

    #[test]
    fn every_file_is_read_or_told() {
        let files = [
            "a.csv",
            "B.CSV",
            "c.csv.gz",
            "sub/d.csv",
            "._a.csv",
            ".hid/e.csv",
            "_SUCCESS",
            "empty.csv",
            "notes.txt",
            "f.csv.bak",
        ];
        let folder = folder(&files);
        let listing = listed(folder.path().to_str().unwrap(), &["csv"], &[]).unwrap();
        let (read, left_out) = names(&folder, &listing);
        assert_eq!(read, ["B.CSV", "a.csv", "c.csv.gz", "sub/d.csv"]);
        let left_out: Vec<(&str, Why)> = left_out
            .iter()
            .map(|(name, why)| (name.as_str(), *why))
            .collect();
        assert_eq!(
            left_out,
            [
                ("._a.csv", Why::Hidden),
                (".hid/e.csv", Why::Hidden),
                ("_SUCCESS", Why::Hidden),
                ("empty.csv", Why::Empty),
                ("f.csv.bak", Why::Suffix),
                ("notes.txt", Why::Suffix),
            ]
        );
    }

    #[test]
    fn names_are_meant_literally_where_they_are_there() {
        let folder = folder(&[
            "a[1].csv",
            "a1.csv",
            "50%.csv",
            "what?.csv",
            "in/x/1.csv",
            "in/y/2.CSV",
            "in/y/3.txt",
        ]);
        let at = |name: &str| {
            let location = folder.path().join(name);
            names(
                &folder,
                &listed(location.to_str().unwrap(), &["csv"], &[]).unwrap(),
            )
            .0
        };
        assert_eq!(at("a[1].csv"), ["a[1].csv"]);
        assert_eq!(at("a[12].csv"), ["a1.csv"]);
        assert_eq!(at("50%.csv"), ["50%.csv"]);
        assert_eq!(at("what?.csv"), ["what?.csv"]);
        assert_eq!(at("in/*/?.*"), ["in/x/1.csv", "in/y/2.CSV", "in/y/3.txt"]);
        assert_eq!(at("**/*.csv").len(), 5);
        assert_eq!(at("nothing*"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn several_locations_are_a_list() {
        let folder = folder(&[
            "a.csv",
            "b, c.csv",
            "in/x.csv",
            "in/y.txt",
            "[\"q\"]",
            "empty/.hidden",
        ]);
        let at = async |locations: &[&str]| {
            let root = folder.path().to_str().unwrap();
            let locations: Vec<String> = locations
                .iter()
                .map(|name| format!("{root}/{name}"))
                .collect();
            let wanted = Wanted {
                location: &serde_json::to_string(&locations).unwrap(),
                suffixes: &["csv"],
                partition_by: &[],
            };
            let stores = |url: &Url| {
                Err(datafusion::error::DataFusionError::Internal(
                    url.to_string(),
                ))
            };
            list(wanted, &stores).await
        };
        let read = async |locations: &[&str]| names(&folder, &at(locations).await.unwrap()).0;
        assert_eq!(
            read(&["in/*.csv", "b, c.csv"]).await,
            ["in/x.csv", "b, c.csv"]
        );
        assert_eq!(read(&["[\"q\"]"]).await, ["[\"q\"]"]);
        // Once, whatever leads to it.
        assert_eq!(
            read(&["a.csv", "in/../a.csv", "?.csv", "in"]).await,
            ["a.csv", "in/x.csv"]
        );
        let (read, left_out) = names(&folder, &at(&["in", "in/y.txt"]).await.unwrap());
        assert_eq!((read.len(), left_out.len()), (2, 0));
        let error = at(&["a.csv", "empty"]).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("empty: has no file that is read"),
            "{error}"
        );
        let error = several("[\"a.csv\", b.csv]").unwrap_err();
        assert!(
            error.to_string().contains("is no list of locations"),
            "{error}"
        );
        assert_eq!(several("[\"a\"]*").map_err(drop), Err(()));
        assert_eq!(several("[ab].csv").unwrap(), None);
    }

    #[test]
    fn partitions_are_in_folders() {
        let folder = folder(&[
            "day=2026-01-01/kind=a%2Fb/f.csv",
            "day=__HIVE_DEFAULT_PARTITION__/kind=c/f.csv",
        ]);
        let location = folder.path().to_str().unwrap();
        let listing = listed(location, &["csv"], &["kind", "day"]).unwrap();
        let values: Vec<_> = listing
            .files
            .iter()
            .map(|file| file.partition.clone())
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            values,
            [vec![some("a/b"), some("2026-01-01")], vec![some("c"), None]]
        );
        let error = listed(location, &["csv"], &["year"]).unwrap_err();
        assert!(
            error.to_string().contains("is in no folder `year=…`"),
            "{error}"
        );
    }
}
