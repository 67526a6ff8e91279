//! How many files are what, in words; and the words of those that must not be read again.

use serde::Serialize;

use crate::quantity::count;

/// How many files are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    /// Not read before.
    pub(super) new: u64,
    /// Other ones than were read.
    pub(super) changed: u64,
    /// Those that were read.
    pub(super) read_before: u64,
    /// Read before, and not there any more.
    pub(super) gone: u64,
}

impl Found {
    /// In words.
    pub(super) fn told(self, reads_all: bool) -> String {
        let mut parts = Vec::new();
        for (files, word) in [(self.new, "new"), (self.changed, "changed")] {
            if files > 0 {
                parts.push(format!("{files} {word}"));
            }
        }
        let due = match parts.is_empty() {
            true => String::from("nothing new"),
            false => format!(
                "{} {}",
                parts.join(" and "),
                if self.new + self.changed == 1 {
                    "file"
                } else {
                    "files"
                }
            ),
        };
        let before = match (self.read_before, reads_all) {
            (0, _) => String::new(),
            (files, true) => format!("; {} read again", count(files, "file")),
            (files, false) => format!("; {} read before", count(files, "file")),
        };
        let gone = match self.gone {
            0 => String::new(),
            files => format!("; {} gone", count(files, "file")),
        };
        format!("{due}{before}{gone}")
    }
}

/// Files whose rows an `append` would add once more.
#[derive(Debug, Default)]
pub(super) struct Again {
    files: u64,
    /// The first of them, and the output that has it.
    first: Option<(String, String)>,
}

impl Again {
    /// One more.
    pub(super) fn note(&mut self, output: &str, file: &str) {
        self.files += 1;
        self.first
            .get_or_insert_with(|| (output.to_owned(), file.to_owned()));
    }

    /// They are not as they were.
    pub(super) fn as_changed(&self) -> Option<String> {
        let (output, file) = self.first.as_ref()?;
        Some(format!(
            "{} changed since `{output}` has the rows, {file} among them, and mode 'append' would add them again; publish with 'merge', \
             which replaces rows of the same key, or once with 'replace', which makes the table anew from all files, or put new rows into \
             new files",
            count(self.files, "file")
        ))
    }

    /// Another output has not read them.
    pub(super) fn as_uneven(&self) -> Option<String> {
        let (output, file) = self.first.as_ref()?;
        Some(format!(
            "{} in `{output}`, {file} among them, and the other outputs have not read them, so that mode 'append' would add their rows again; give each \
             output a pipeline of its own, or publish with 'merge'",
            count(self.files, "file")
        ))
    }
}
