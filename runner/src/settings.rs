//! Settings of a run and where each value came from.
//!
//! Owns the environment (read once, in `settings::environment`), the presets and the one precedence: flag, then environment, then the
//! pipeline's own `SET pipeline.…`, then the preset, then the default. Components get plain values from here and never
//! look at the environment themselves.

mod cluster;
mod environment;

use std::num::NonZeroU64;

use engine::Budget;
use serde::Serialize;

use language::{MemoryLimit, Mode, OptionError, PipelineOptions, Preset};

pub use cluster::{ClusterOverrides, ClusterPlace, ClusterSettings};
pub use environment::Environment;

/// Where a value came from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// `SET pipeline.…` in the definition.
    Definition,
    /// The chosen preset.
    Preset,
    /// The product's default.
    Default,
}

/// A value and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setting<T> {
    /// What is used.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    fn map<U>(&self, made: impl FnOnce(&T) -> U) -> Setting<U> {
        Setting {
            value: made(&self.value),
            origin: self.origin,
        }
    }
}

/// The knobs of a preset.
fn knobs(preset: Preset) -> PipelineOptions {
    let (extract, transform, load, chunks, threshold) = match preset {
        Preset::LowMemory => (50, 1_024, 16_384, 1, 60),
        Preset::Default => (200, 2_048, 65_536, 3, 75),
        Preset::HighPerformance => (500, 8_192, 262_144, 5, 85),
    };
    PipelineOptions {
        extract_chunk_size: NonZeroU64::new(extract),
        transform_batch_size: NonZeroU64::new(transform),
        load_batch_size: NonZeroU64::new(load),
        max_concurrent_chunks: NonZeroU64::new(chunks),
        memory_threshold: Some(MemoryLimit::Percent(threshold)),
        ..PipelineOptions::default()
    }
}

/// What whoever asks for a run says of its settings: the strongest layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Options that a definition may give too.
    pub options: PipelineOptions,
    /// How the cluster is used.
    pub cluster: ClusterOverrides,
}

/// Options from texts; `spelled` is how the person wrote the name of one.
///
/// # Errors
/// Names the first one that cannot be read, as it was spelt.
pub fn layer<'a>(
    given: impl IntoIterator<Item = (&'static str, &'a str)>,
    spelled: impl Fn(&str) -> String,
) -> Result<PipelineOptions, SettingError> {
    let mut options = PipelineOptions::default();
    for (name, text) in given {
        options
            .set(name, text)
            .map_err(|source| SettingError::Value {
                name: spelled(name),
                source,
            })?;
    }
    Ok(options)
}

/// Settings of a run, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSettings {
    /// Ceiling on resident memory, bytes.
    pub memory: Setting<u64>,
    /// The preset.
    pub preset: Setting<Preset>,
    /// Items of one landed chunk.
    pub extract_chunk_size: Setting<usize>,
    /// Rows of one batch of the query.
    pub transform_batch_size: Setting<usize>,
    /// Rows of one row group of a written file.
    pub load_batch_size: Setting<usize>,
    /// Chunks that are encoded and written at once.
    pub max_concurrent_chunks: Setting<usize>,
    /// Resident memory above which extraction waits, bytes.
    pub memory_threshold: Setting<u64>,
    /// Where the query runs.
    pub mode: Setting<Mode>,
    /// Rows above which [`Mode::Auto`] goes to the cluster.
    pub threshold_rows: Setting<u64>,
    /// How the cluster is used.
    #[serde(flatten)]
    pub cluster: ClusterSettings,
}

/// Rows above which a run goes to the cluster when nothing is said (docs/cluster.md has the measurement).
const THRESHOLD_ROWS: u64 = 1_000_000;

/// The share of the available memory that is the ceiling when nothing is said.
const DEFAULT_MEMORY: MemoryLimit = MemoryLimit::Percent(50);

/// Below this the program itself, about 90 MiB of it touched code, does not fit.
const SMALLEST_MEMORY: u64 = 192 << 20;

impl RunSettings {
    /// The division of the run's memory ceiling.
    pub fn budget(&self) -> Budget {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ceiling = usize::try_from(self.memory.value).unwrap_or(usize::MAX);
        Budget::new(ceiling, cores, self.transform_batch_size.value)
    }

    /// Resolves the settings; `available` is the memory that the process may use, bytes.
    ///
    /// # Errors
    /// Names the setting, where it was given, and what it should look like.
    pub fn resolve(
        overrides: &Overrides,
        environment: &Environment,
        definition: &PipelineOptions,
        available: u64,
    ) -> Result<Self, SettingError> {
        let cluster = ClusterSettings::resolve(&overrides.cluster, environment)?;
        let variables = environment.options()?;
        let asked = [
            (&overrides.options, Origin::Flag),
            (&variables, Origin::Environment),
            (definition, Origin::Definition),
        ];
        let preset = first(&asked, |options| options.preset).unwrap_or(Setting {
            value: Preset::Default,
            origin: Origin::Default,
        });
        let knobs = knobs(preset.value);
        let origin = if preset.origin == Origin::Default {
            Origin::Default
        } else {
            Origin::Preset
        };
        let defaults = PipelineOptions {
            memory: Some(DEFAULT_MEMORY),
            ..PipelineOptions::default()
        };
        let layers = [
            asked[0],
            asked[1],
            asked[2],
            (&knobs, origin),
            (&defaults, Origin::Default),
        ];

        let amount = |get: fn(&PipelineOptions) -> Option<MemoryLimit>, whole: u64| {
            let limit = first(&layers, get).expect("BUG: every amount has a default");
            Setting {
                value: limit.value.of(whole),
                origin: limit.origin,
            }
        };
        let number = |get: fn(&PipelineOptions) -> Option<NonZeroU64>| {
            let number = first(&layers, get).expect("BUG: every knob is in every preset");
            Setting {
                value: usize::try_from(number.value.get()).unwrap_or(usize::MAX),
                origin: number.origin,
            }
        };
        let mode = first(&asked, |options| options.mode).unwrap_or(Setting {
            value: Mode::Auto,
            origin: Origin::Default,
        });
        if mode.value == Mode::Cluster && cluster.place.scheduler.is_none() {
            return Err(SettingError::NoScheduler);
        }
        let threshold_rows = first(&asked, |options| options.threshold_rows.map(u64::from));
        let memory = amount(|options| options.memory, available);
        if memory.value < SMALLEST_MEMORY {
            return Err(SettingError::MemoryTooSmall {
                bytes: memory.value,
                smallest: SMALLEST_MEMORY,
            });
        }
        Ok(Self {
            memory,
            preset,
            extract_chunk_size: number(|options| options.extract_chunk_size),
            transform_batch_size: number(|options| options.transform_batch_size),
            load_batch_size: number(|options| options.load_batch_size),
            max_concurrent_chunks: number(|options| options.max_concurrent_chunks),
            memory_threshold: amount(|options| options.memory_threshold, memory.value),
            mode,
            threshold_rows: threshold_rows.unwrap_or(Setting {
                value: THRESHOLD_ROWS,
                origin: Origin::Default,
            }),
            cluster,
        })
    }
}

/// The value of the strongest layer that has one.
fn first<T>(
    layers: &[(&PipelineOptions, Origin)],
    get: impl Fn(&PipelineOptions) -> Option<T>,
) -> Option<Setting<T>> {
    layers.iter().find_map(|(options, origin)| {
        Some(Setting {
            value: get(options)?,
            origin: *origin,
        })
    })
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A variable with the product's prefix that means nothing.
    #[error("the environment variable {name} means nothing{}", suggestion.as_ref().map(|s| format!("; did you mean {s}?")).unwrap_or_default())]
    UnknownVariable {
        /// As it is spelt.
        name: String,
        /// The nearest one that exists.
        suggestion: Option<String>,
    },
    /// A variable of the product, or one that is needed, whose value is no text.
    #[error("the environment variable {name} has a value that is not Unicode")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// A value that cannot be read.
    #[error("{name} is wrong")]
    Value {
        /// As the person spelt it: flag or variable.
        name: String,
        /// What is wrong with the value.
        #[source]
        source: OptionError,
    },
    /// The cluster is asked for, and nobody said where it is.
    #[error(
        "mode `cluster` needs the address of a scheduler: give --cluster http://host:50050 (or --cluster embedded), or set PIPELINES_SCHEDULER"
    )]
    NoScheduler,
    /// A command is about a cluster, and nobody said which.
    #[error(
        "give the address of a scheduler with --cluster http://host:50050, or set PIPELINES_SCHEDULER"
    )]
    NoAddress,
    /// A ceiling in which the program itself does not fit.
    #[error("a memory ceiling of {} is too small; the least is {}", bytesize::ByteSize(*bytes).display().iec(), bytesize::ByteSize(*smallest).display().iec())]
    MemoryTooSmall {
        /// The ceiling, bytes.
        bytes: u64,
        /// The least that works, bytes.
        smallest: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(k, v)| (String::from(*k), String::from(*v)))
            .collect()
    }

    fn given(options: PipelineOptions) -> Overrides {
        Overrides {
            options,
            ..Overrides::default()
        }
    }

    fn resolve(
        overrides: &Overrides,
        variables: &[(&str, &str)],
        options: &PipelineOptions,
    ) -> Result<RunSettings, SettingError> {
        RunSettings::resolve(overrides, &environment(variables), options, 8 * GIB)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_definition_beats_the_preset() {
        let mut flags = Overrides::default();
        let mut options = PipelineOptions {
            load_batch_size: NonZeroU64::new(7),
            ..PipelineOptions::default()
        };
        let settings = resolve(&flags, &[("PIPELINES_PRESET", "low-memory")], &options).unwrap();
        assert_eq!(
            settings.load_batch_size,
            Setting {
                value: 7,
                origin: Origin::Definition
            }
        );
        assert_eq!(
            settings.extract_chunk_size,
            Setting {
                value: 50,
                origin: Origin::Preset
            }
        );

        let variables = [("PIPELINES_LOAD_BATCH_SIZE", "8")];
        assert_eq!(
            resolve(&flags, &variables, &options)
                .unwrap()
                .load_batch_size,
            Setting {
                value: 8,
                origin: Origin::Environment
            }
        );
        flags.options.load_batch_size = NonZeroU64::new(9);
        assert_eq!(
            resolve(&flags, &variables, &options)
                .unwrap()
                .load_batch_size,
            Setting {
                value: 9,
                origin: Origin::Flag
            }
        );
        options.load_batch_size = None;
        assert_eq!(
            resolve(&Overrides::default(), &[], &options)
                .unwrap()
                .load_batch_size
                .origin,
            Origin::Default
        );
    }

    #[test]
    fn shares_refer_to_the_available_memory_and_to_the_ceiling() {
        let flags = given(PipelineOptions {
            memory: Some(MemoryLimit::Percent(25)),
            memory_threshold: Some(MemoryLimit::Percent(50)),
            ..PipelineOptions::default()
        });
        let settings = resolve(&flags, &[], &PipelineOptions::default()).unwrap();
        assert_eq!(settings.memory.value, 2 * GIB);
        assert_eq!(settings.memory_threshold.value, GIB);
    }

    #[test]
    fn a_wrong_value_is_named_as_the_person_spelt_it() {
        let error = layer([("memory", "lots")], |name| format!("--{name}")).unwrap_err();
        assert_eq!(error.to_string(), "--memory is wrong");
        let error = resolve(
            &Overrides::default(),
            &[("PIPELINES_LOAD_BATCH_SIZE", "0")],
            &PipelineOptions::default(),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "PIPELINES_LOAD_BATCH_SIZE is wrong"
        );
    }

    #[test]
    fn the_cluster_cannot_be_asked_for_without_a_scheduler() {
        let mut flags = given(PipelineOptions {
            mode: Some(Mode::Cluster),
            ..PipelineOptions::default()
        });
        let options = PipelineOptions::default();
        assert_eq!(
            resolve(&flags, &[], &options),
            Err(SettingError::NoScheduler)
        );
        let variables = [("PIPELINES_SCHEDULER", "there:50050")];
        let settings = resolve(&flags, &variables, &options).unwrap();
        assert_eq!(
            settings.cluster.place.scheduler.unwrap().value,
            "there:50050"
        );
        flags.cluster.scheduler = Some("here:50050".into());
        let settings = resolve(&flags, &variables, &options).unwrap();
        assert_eq!(
            settings.cluster.place.scheduler.unwrap().value,
            "here:50050"
        );
    }

    #[test]
    fn a_ceiling_below_the_program_itself_is_refused() {
        let flags = given(PipelineOptions {
            memory: Some(MemoryLimit::Bytes(1 << 20)),
            ..PipelineOptions::default()
        });
        assert!(matches!(
            resolve(&flags, &[], &PipelineOptions::default()),
            Err(SettingError::MemoryTooSmall { .. })
        ));
    }
}
