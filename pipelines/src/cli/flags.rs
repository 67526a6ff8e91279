//! The flags of settings, as the command line has them. Owns their words and help; what they mean is
//! [`runner::settings`]'.

use std::path::PathBuf;

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

/// The settings that the command line may give; the same names as variables and `SET pipeline.…`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Memory and streaming")]
pub(super) struct RunFlags {
    /// Ceiling on resident memory: `512MiB`, or a share of what the process may use: `50%`
    #[arg(long, value_name = "AMOUNT")]
    memory: Option<String>,
    /// Preset of the streaming knobs: low-memory, default or high-performance
    #[arg(long, value_name = "PRESET")]
    preset: Option<String>,
    /// Items (bugs, …) of one landed chunk
    #[arg(long, value_name = "ITEMS")]
    extract_chunk_size: Option<String>,
    /// Rows of one batch of the query
    #[arg(long, value_name = "ROWS")]
    transform_batch_size: Option<String>,
    /// Rows of one row group of a written file
    #[arg(long, value_name = "ROWS")]
    load_batch_size: Option<String>,
    /// Chunks that are encoded and written at once
    #[arg(long, value_name = "CHUNKS")]
    max_concurrent_chunks: Option<String>,
    /// Resident memory above which extraction waits: `300MiB`, or a share of the ceiling: `75%`
    #[arg(long, value_name = "AMOUNT")]
    memory_threshold: Option<String>,
    /// Where the query runs: local, cluster, or auto, which chooses by the number of rows
    #[arg(long, value_name = "MODE", help_heading = "Cluster")]
    mode: Option<String>,
    /// Rows above which `auto` goes to the cluster
    #[arg(long, value_name = "ROWS", help_heading = "Cluster")]
    threshold_rows: Option<String>,
    /// How the cluster is used.
    #[command(flatten)]
    cluster: ClusterRunFlags,
}

impl RunFlags {
    /// What the flags say.
    ///
    /// # Errors
    /// Names the flag whose value cannot be read.
    pub(super) fn overrides(&self) -> Result<Overrides, SettingError> {
        let given = [
            ("memory", &self.memory),
            ("preset", &self.preset),
            ("extract_chunk_size", &self.extract_chunk_size),
            ("transform_batch_size", &self.transform_batch_size),
            ("load_batch_size", &self.load_batch_size),
            ("max_concurrent_chunks", &self.max_concurrent_chunks),
            ("memory_threshold", &self.memory_threshold),
            ("mode", &self.mode),
            ("threshold_rows", &self.threshold_rows),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_deref()?)));
        let options = layer(given, |name| format!("--{}", name.replace('_', "-")))?;
        Ok(Overrides {
            options,
            cluster: ClusterOverrides {
                executor_memory: self.cluster.executor_memory.clone(),
                job_timeout: self.cluster.job_timeout.clone(),
                ..self.cluster.cluster.overrides()
            },
        })
    }
}
