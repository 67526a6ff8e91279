//! The flags of settings, as the command line has them. Owns their words and help; what they mean is
//! [`runner::settings`]'.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use language::{OptionInfo, PIPELINE_OPTIONS};

use runner::settings::{ClusterOverrides, Overrides, SettingError, layer};

/// Which cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ClusterFlags {
    /// Address of the cluster's scheduler, such as `http://host:50050`; for `run` also `embedded`, which starts a cluster on
    /// this machine for this run [env: PIPELINES_SCHEDULER]
    #[arg(long, value_name = "ADDRESS", help_heading = "Cluster")]
    cluster: Option<String>,
    /// Folder with ca.crt, tls.crt and tls.key, by which this process and the cluster know each other
    /// [env: PIPELINES_CLUSTER_TLS]
    #[arg(long, value_name = "FOLDER", help_heading = "Cluster")]
    cluster_tls: Option<PathBuf>,
}

/// How a run uses a cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ClusterRunFlags {
    /// Which cluster.
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Memory of an executor by which joins are planned, if not what the executors say [env: PIPELINES_EXECUTOR_MEMORY]
    #[arg(long, value_name = "AMOUNT", help_heading = "Cluster")]
    executor_memory: Option<String>,
    /// How long a job on the cluster may take before it is cancelled and tried again: `12h` [env: PIPELINES_JOB_TIMEOUT]
    #[arg(long, value_name = "DURATION", help_heading = "Cluster")]
    job_timeout: Option<String>,
}

impl ClusterFlags {
    /// What the flags say.
    pub(super) fn overrides(&self) -> ClusterOverrides {
        ClusterOverrides {
            scheduler: self.cluster.clone(),
            cluster_tls: self.cluster_tls.clone(),
            ..ClusterOverrides::default()
        }
    }
}

/// The settings that the command line may give: a flag for each option of a pipeline, and how the cluster is used.
#[derive(Debug, Clone, Default)]
pub(super) struct RunFlags {
    given: BTreeMap<&'static str, String>,
    cluster: ClusterRunFlags,
}

/// The options that are flags.
fn flags() -> impl Iterator<Item = (&'static OptionInfo, (&'static str, &'static str))> {
    let options = PIPELINE_OPTIONS.iter();
    options.filter_map(|option| Some((option, option.flag?)))
}

/// As help begins: with a capital.
fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(characters).collect()
}

impl Args for RunFlags {
    fn augment_args(command: Command) -> Command {
        let command = flags().fold(command, |command, (option, (flag, value))| {
            let is_of_cluster = matches!(option.name, "mode" | "threshold_rows");
            let heading = match is_of_cluster {
                true => "Cluster",
                false => "Memory and streaming",
            };
            command.arg(
                Arg::new(option.name)
                    .long(flag)
                    .value_name(value)
                    .help(capitalized(option.doc))
                    .help_heading(heading),
            )
        });
        ClusterRunFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RunFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags().filter_map(|(option, _)| {
            Some((option.name, matches.get_one::<String>(option.name)?.clone()))
        });
        Ok(Self {
            given: given.collect(),
            cluster: ClusterRunFlags::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl RunFlags {
    /// What the flags say.
    ///
    /// # Errors
    /// Names the flag whose value cannot be read.
    pub(super) fn overrides(&self) -> Result<Overrides, SettingError> {
        let given = self.given.iter();
        let given = given.map(|(name, text)| (*name, text.as_str()));
        Ok(Overrides {
            options: layer(given, |name| format!("--{}", name.replace('_', "-")))?,
            cluster: ClusterOverrides {
                executor_memory: self.cluster.executor_memory.clone(),
                job_timeout: self.cluster.job_timeout.clone(),
                ..self.cluster.cluster.overrides()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_in_the_table_of_settings() {
        let page = std::fs::read_to_string("../docs/settings.md").unwrap();
        for (option, (flag, _)) in flags() {
            let row = format!(
                "| `--{}` | `PIPELINES_{}` | `{}` | {} | {} |",
                flag,
                option.name.to_ascii_uppercase(),
                option.name,
                option.default,
                option.doc
            );
            assert!(page.contains(&row), "missing: {row}");
        }
    }
}
