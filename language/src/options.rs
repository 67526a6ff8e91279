//! The options of a pipeline: their names, types, defaults, and their reading from text.
//!
//! The same reader serves `SET pipeline.…`, flags and the environment. Which of them wins is
//! decided where they meet, so everything here is an [`Option`]: `None` is "not said".

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use bytesize::ByteSize;
use datafusion::config::ConfigOptions;
use serde::Serialize;

use super::suggest::nearest;

/// Where a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Local below the threshold, on the cluster above it.
    Auto,
    /// In this process.
    Local,
    /// On a Ballista cluster.
    Cluster,
}

/// A named set of values for the streaming options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Small chunks, one at a time.
    LowMemory,
    /// The defaults.
    Default,
    /// Large chunks, several at a time.
    HighPerformance,
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLimit {
    /// Bytes, at least one.
    Bytes(u64),
    /// Percent of what it limits: of the machine's (or container's) memory for `memory`, of
    /// `memory` for `memory_threshold`. From 1 to 100.
    Percent(u8),
}

impl MemoryLimit {
    /// The limit in bytes, `whole` being 100 %.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let share = u128::from(whole) * u128::from(percent) / 100;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a size such as '512MiB' or a share such as '60%'";
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(EXPECTED),
            };
        }
        match text.parse::<ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(Self::Bytes(size.as_u64())),
            _ => Err(EXPECTED),
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => ByteSize(*bytes).fmt(formatter),
            Self::Percent(percent) => write!(formatter, "{percent}%"),
        }
    }
}

/// One row of the table of options.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// The name, without `pipeline.`. As a variable it has capitals.
    pub name: &'static str,
    /// The flag, without `--`, and what its value is called; `None` if only a definition has the option.
    pub flag: Option<(&'static str, &'static str)>,
    /// What its values are.
    pub kind: &'static str,
    /// What holds if nobody says anything.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Reads its value.
    read: fn(&mut PipelineOptions, Said<'_>) -> Result<(), OptionError>,
}

/// The text that is given for an option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    /// The option.
    pub(super) name: &'static str,
    /// The text.
    pub(super) text: &'a str,
}

const MEMORY: &str = "size or percent";
const COUNT: &str = "positive number";

/// Every option of a pipeline. Flags, variables and `SET pipeline.…` are made from it, and so are the pages of `docs/`.
pub const PIPELINE_OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "description",
        flag: None,
        kind: "text",
        default: "none",
        doc: "what `list` shows",
        read: |options, said| {
            options.description = Some(said.text.to_owned());
            Ok(())
        },
    },
    OptionInfo {
        name: "memory",
        flag: Some(("memory", "AMOUNT")),
        kind: MEMORY,
        default: "`50%` of what the process may use",
        doc: "ceiling on resident memory: `512MiB`, or a share of what the process may use: `50%`; 192 MiB at least",
        read: |options, said| said.memory().map(|memory| options.memory = Some(memory)),
    },
    OptionInfo {
        name: "preset",
        flag: Some(("preset", "PRESET")),
        kind: "low-memory, default, high-performance",
        default: "default",
        doc: "preset of the five options below",
        read: |options, said| {
            let presets = [
                ("low-memory", Preset::LowMemory),
                ("default", Preset::Default),
                ("high-performance", Preset::HighPerformance),
            ];
            let preset = said.choice("low-memory, default or high-performance", &presets)?;
            options.preset = Some(preset);
            Ok(())
        },
    },
    OptionInfo {
        name: "extract_chunk_size",
        flag: Some(("extract-chunk-size", "ITEMS")),
        kind: COUNT,
        default: "by preset",
        doc: "items (bugs, …) of one landed chunk",
        read: |options, said| {
            said.count()
                .map(|count| options.extract_chunk_size = Some(count))
        },
    },
    OptionInfo {
        name: "transform_batch_size",
        flag: Some(("transform-batch-size", "ROWS")),
        kind: COUNT,
        default: "by preset",
        doc: "rows of one batch of the query",
        read: |options, said| {
            said.count()
                .map(|count| options.transform_batch_size = Some(count))
        },
    },
    OptionInfo {
        name: "load_batch_size",
        flag: Some(("load-batch-size", "ROWS")),
        kind: COUNT,
        default: "by preset",
        doc: "rows of one row group of a written file",
        read: |options, said| {
            said.count()
                .map(|count| options.load_batch_size = Some(count))
        },
    },
    OptionInfo {
        name: "max_concurrent_chunks",
        flag: Some(("max-concurrent-chunks", "CHUNKS")),
        kind: COUNT,
        default: "by preset",
        doc: "chunks that are encoded and written at once",
        read: |options, said| {
            said.count()
                .map(|count| options.max_concurrent_chunks = Some(count))
        },
    },
    OptionInfo {
        name: "memory_threshold",
        flag: Some(("memory-threshold", "AMOUNT")),
        kind: MEMORY,
        default: "by preset",
        doc: "resident memory above which extraction waits: `300MiB`, or a share of the ceiling: `75%`",
        read: |options, said| {
            said.memory()
                .map(|memory| options.memory_threshold = Some(memory))
        },
    },
    OptionInfo {
        name: "mode",
        flag: Some(("mode", "MODE")),
        kind: "auto, local, cluster",
        default: "auto",
        doc: "where the query runs: local, cluster, or auto, which chooses by the number of rows",
        read: |options, said| {
            let modes = [
                ("auto", Mode::Auto),
                ("local", Mode::Local),
                ("cluster", Mode::Cluster),
            ];
            options.mode = Some(said.choice("auto, local or cluster", &modes)?);
            Ok(())
        },
    },
    OptionInfo {
        name: "threshold_rows",
        flag: Some(("threshold-rows", "ROWS")),
        kind: COUNT,
        default: "1,000,000",
        doc: "rows above which `auto` goes to the cluster",
        read: |options, said| {
            said.count()
                .map(|count| options.threshold_rows = Some(count))
        },
    },
];

/// What a definition, a flag or the environment says about a pipeline's options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PipelineOptions {
    /// What `list` shows.
    pub description: Option<String>,
    /// Where the pipeline runs.
    pub mode: Option<Mode>,
    /// Estimated rows above which [`Mode::Auto`] goes to the cluster.
    pub threshold_rows: Option<NonZeroU64>,
    /// Ceiling of the process's resident memory.
    pub memory: Option<MemoryLimit>,
    /// Values for the five options below where they are not given.
    pub preset: Option<Preset>,
    /// Records fetched and landed together.
    pub extract_chunk_size: Option<NonZeroU64>,
    /// Rows per batch in the engine.
    pub transform_batch_size: Option<NonZeroU64>,
    /// Rows handed to an output together.
    pub load_batch_size: Option<NonZeroU64>,
    /// Chunks in flight at once.
    pub max_concurrent_chunks: Option<NonZeroU64>,
    /// Memory in use above which extraction pauses.
    pub memory_threshold: Option<MemoryLimit>,
}

/// An option could not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown option `{name}`")]
    Unknown {
        /// The name as given.
        name: String,
        /// A name that is near.
        suggestion: Option<&'static str>,
    },
    /// The value is not one of the option's type.
    #[error("option `{name}` cannot be `{value}`: expected {expected}")]
    Invalid {
        /// The option.
        name: &'static str,
        /// The value as given.
        value: String,
        /// What is expected.
        expected: &'static str,
        /// A value that is near.
        suggestion: Option<&'static str>,
    },
}

impl PipelineOptions {
    /// Sets one option, named without `pipeline.`, from text.
    ///
    /// # Errors
    /// [`OptionError`] if there is no such option or it cannot have this value; nothing changes then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let Some(option) = PIPELINE_OPTIONS.iter().find(|option| option.name == name) else {
            return Err(OptionError::Unknown {
                name: name.to_owned(),
                suggestion: nearest(name, PIPELINE_OPTIONS.iter().map(|option| option.name)),
            });
        };
        let said = Said {
            name: option.name,
            text: value,
        };
        (option.read)(self, said)
    }
}

impl Said<'_> {
    /// It is no value of the option.
    pub(super) fn refused(
        &self,
        expected: &'static str,
        suggestion: Option<&'static str>,
    ) -> OptionError {
        OptionError::Invalid {
            name: self.name,
            value: self.text.to_owned(),
            expected,
            suggestion,
        }
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &self,
        expected: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<T, OptionError> {
        let mut words = choices.iter();
        words
            .find(|(word, _)| word.eq_ignore_ascii_case(self.text))
            .map(|(_, chosen)| *chosen)
            .ok_or_else(|| {
                let near = nearest(self.text, choices.iter().map(|(word, _)| *word));
                self.refused(expected, near)
            })
    }

    /// A positive whole number; underscores may group its digits.
    pub(super) fn count(&self) -> Result<NonZeroU64, OptionError> {
        let digits = self.text.replace('_', "");
        digits
            .parse()
            .map_err(|_| self.refused("a positive whole number", None))
    }

    fn memory(&self) -> Result<MemoryLimit, OptionError> {
        self.text
            .parse()
            .map_err(|expected| self.refused(expected, None))
    }
}

/// Why DataFusion does not take a setting: what is wrong, a name that is near, what to do.
pub(super) struct RefusedSetting {
    pub(super) message: String,
    /// Whether the value is wrong rather than the key.
    pub(super) by_value: bool,
    pub(super) suggestion: Option<String>,
    pub(super) help: Option<&'static str>,
}

/// Checks a `datafusion.…` key and its value against DataFusion's own options.
pub(super) fn check_engine_setting(key: &str, value: Option<&str>) -> Result<(), RefusedSetting> {
    if key.starts_with("datafusion.runtime.") {
        return Err(RefusedSetting {
            message: format!("`{key}` belongs to the process, not to a pipeline"),
            by_value: false,
            suggestion: None,
            help: Some("memory is limited by SET pipeline.memory"),
        });
    }
    let mut options = ConfigOptions::new();
    let entries = options.entries();
    if !entries.iter().any(|entry| entry.key == key) {
        let near = nearest(key, entries.iter().map(|entry| entry.key.as_str()));
        return Err(RefusedSetting {
            message: format!("unknown option `{key}`"),
            by_value: false,
            suggestion: near.map(str::to_owned),
            help: None,
        });
    }
    let Some(value) = value else { return Ok(()) };
    options.set(key, value).map_err(|error| RefusedSetting {
        message: format!(
            "option `{key}` cannot be `{value}`: {}",
            super::constants::plain_message(&error)
        ),
        by_value: true,
        suggestion: None,
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_option_can_be_set() {
        for option in PIPELINE_OPTIONS {
            let value = match option.kind {
                "text" => "some words",
                COUNT => "5",
                MEMORY => "60%",
                words => words.split(", ").last().unwrap(),
            };
            let mut options = PipelineOptions::default();
            options.set(option.name, value).unwrap();
            assert_ne!(options, PipelineOptions::default(), "{}", option.name);
        }
    }

    #[test]
    fn sizes_and_shares_of_memory_are_read() {
        assert_eq!("512MiB".parse(), Ok(MemoryLimit::Bytes(512 << 20)));
        assert_eq!("1 GB".parse(), Ok(MemoryLimit::Bytes(1_000_000_000)));
        assert_eq!("60%".parse(), Ok(MemoryLimit::Percent(60)));
        for text in ["", "0", "0%", "101%", "much", "-5MiB"] {
            assert!(text.parse::<MemoryLimit>().is_err(), "{text}");
        }
    }
}
