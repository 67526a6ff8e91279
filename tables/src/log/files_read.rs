//! Which files the sources of pipelines were read from so far. Owns how lists come together from commit to commit, and their
//! spelling in records, which is short: there may be hundreds of thousands of files.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes of a list before it is compressed: some millions of files. A longer one is not ours.
const MOST_BYTES: u64 = 1 << 28;
const LEVEL: i32 = 9;
/// Behind every file. No name of a file has it.
const END: char = '\0';
const BETWEEN: char = '\t';

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRead {
    /// Bytes.
    pub size: u64,
    /// What tells its content from another one of that size: a time or an ETag.
    pub tag: String,
    /// What was asked for by the run that read it.
    pub request: String,
}

/// The files of one source that were read, by path or URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileList(BTreeMap<String, FileRead>);

impl FileList {
    /// What a file was when it was last read; `None` if it was not.
    pub fn get(&self, path: &str) -> Option<&FileRead> {
        self.0.get(path)
    }

    /// All of them, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FileRead)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, FileRead)> for FileList {
    fn from_iter<T: IntoIterator<Item = (String, FileRead)>>(files: T) -> Self {
        Self(files.into_iter().collect())
    }
}

/// The list as lines, compressed and as text: a file takes about twenty bytes.
impl Serialize for FileList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = String::new();
        for (path, file) in &self.0 {
            let FileRead { size, tag, request } = file;
            if path.contains(END)
                || [tag, request]
                    .iter()
                    .any(|text| text.contains([END, BETWEEN]))
            {
                return Err(S::Error::custom(format!(
                    "the file {path:?} has a name that no file has"
                )));
            }
            lines.push_str(&format!(
                "{size}{BETWEEN}{tag}{BETWEEN}{request}{BETWEEN}{path}{END}"
            ));
        }
        let compressed = zstd::bulk::compress(lines.as_bytes(), LEVEL).map_err(S::Error::custom)?;
        serializer.serialize_str(&STANDARD_NO_PAD.encode(compressed))
    }
}

impl<'de> Deserialize<'de> for FileList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).map_err(D::Error::custom)
    }
}

fn read(text: &str) -> Result<FileList, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("a list of files is damaged: {what}");
    let compressed = STANDARD_NO_PAD
        .decode(text)
        .map_err(|error| wrong(&error))?;
    let decoder = zstd::Decoder::new(compressed.as_slice()).map_err(|error| wrong(&error))?;
    let mut lines = String::new();
    let read = decoder
        .take(MOST_BYTES + 1)
        .read_to_string(&mut lines)
        .map_err(|error| wrong(&error))?;
    if read as u64 > MOST_BYTES {
        return Err(wrong(&format!("it has more than {MOST_BYTES} bytes")));
    }
    let files = lines.split_terminator(END).map(|line| {
        let parts: Vec<&str> = line.splitn(4, BETWEEN).collect();
        match (parts.as_slice(), parts[0].parse()) {
            ([_, tag, request, path], Ok(size)) => {
                let (tag, request) = ((*tag).to_owned(), (*request).to_owned());
                Ok(((*path).to_owned(), FileRead { size, tag, request }))
            }
            _ => Err(wrong(&"a file has no size and no name")),
        }
    });
    files.collect()
}

/// What was read by pipelines of their sources, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilesRead(BTreeMap<String, BTreeMap<String, Arc<FileList>>>);

impl FilesRead {
    /// What a source of a pipeline was read from.
    pub fn of(&self, pipeline: &str, source: &str) -> Option<&FileList> {
        self.0.get(pipeline)?.get(source).map(AsRef::as_ref)
    }

    /// Notes files that a source of a pipeline was read from; what was known of them before is forgotten.
    pub fn add(&mut self, pipeline: &str, source: &str, files: FileList) {
        let sources = self.0.entry(pipeline.to_owned()).or_default();
        let list = sources.entry(source.to_owned()).or_default();
        if list.is_empty() {
            *list = Arc::new(files);
        } else {
            Arc::make_mut(list).0.extend(files.0);
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all that `other` notes is known.
    pub(crate) fn has(&self, other: &Self) -> bool {
        other.lists().all(|(pipeline, source, files)| {
            let known = self.of(pipeline, source);
            files
                .iter()
                .all(|(path, file)| known.and_then(|known| known.get(path)) == Some(file))
        })
    }

    /// Notes what a later commit does.
    pub(crate) fn follow(&mut self, later: &Self) {
        for (pipeline, source, files) in later.lists() {
            self.add(pipeline, source, files.clone());
        }
    }

    fn lists(&self) -> impl Iterator<Item = (&str, &str, &FileList)> {
        self.0.iter().flat_map(|(pipeline, sources)| {
            sources
                .iter()
                .map(|(source, files)| (pipeline.as_str(), source.as_str(), files.as_ref()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[(&str, u64, &str)]) -> FileList {
        let files = files.iter();
        files
            .map(|&(path, size, tag)| {
                let (tag, request) = (tag.to_owned(), "0123".to_owned());
                (path.to_owned(), FileRead { size, tag, request })
            })
            .collect()
    }

    #[test]
    fn a_list_is_the_same_after_a_round_through_the_log() {
        for files in [
            list(&[]),
            list(&[
                ("/in/a b\t.csv", 7, "1790000000123456789"),
                ("/in/ü\n.csv", 0, ""),
            ]),
        ] {
            let text = serde_json::to_string(&files).unwrap();
            assert_eq!(serde_json::from_str::<FileList>(&text).unwrap(), files);
        }
        let odd = list(&[("a\0b", 1, "x")]);
        assert!(serde_json::to_string(&odd).is_err());
    }

    #[test]
    fn what_is_no_list_is_told() {
        let text = |lines: &str| {
            STANDARD_NO_PAD.encode(zstd::bulk::compress(lines.as_bytes(), 1).unwrap())
        };
        for wrong in [
            "?".to_owned(),
            STANDARD_NO_PAD.encode("no zstd"),
            text("x\ty\tz\0"),
            text("1\ty\tz\0"),
        ] {
            let json = serde_json::to_string(&wrong).unwrap();
            let error = serde_json::from_str::<FileList>(&json).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{error}");
        }
        let bomb = zstd::bulk::compress(&vec![0; (MOST_BYTES + 1) as usize], 1).unwrap();
        let error = read(&STANDARD_NO_PAD.encode(bomb)).unwrap_err();
        assert!(error.contains("more than"), "{error}");
    }

    #[test]
    fn lists_follow_one_another() {
        let mut known = FilesRead::default();
        known.add("p", "s", list(&[("a", 1, "x"), ("b", 1, "x")]));
        let mut later = FilesRead::default();
        later.add("p", "s", list(&[("b", 2, "y"), ("c", 1, "x")]));
        assert!(known.has(&known.clone()) && !known.has(&later));
        known.follow(&later);
        assert!(known.has(&later));
        let expected = list(&[("a", 1, "x"), ("b", 2, "y"), ("c", 1, "x")]);
        assert_eq!(known.of("p", "s"), Some(&expected));
        assert_eq!(known.of("p", "t"), None);
    }

    #[test]
    fn a_hundred_thousand_files_take_two_megabytes() {
        // As they come: times with nine random digits, sizes with some.
        let files: FileList = (0..100_000_u64)
            .map(|number| {
                let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let path = format!(
                    "/data/landing/orders/day=2026-{:02}-{:02}/part-{number:06}.csv.gz",
                    number % 12 + 1,
                    number % 28 + 1
                );
                let tag = format!("17900{:05}{:09}", number / 3, random % 1_000_000_000);
                (
                    path,
                    FileRead {
                        size: 40_000 + random % 9_000,
                        tag,
                        request: "0123456789abcdef".to_owned(),
                    },
                )
            })
            .collect();
        let text = serde_json::to_string(&files).unwrap();
        assert!(text.len() < 2_000_000, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<FileList>(&text).unwrap(), files);
    }
}
