//! Settings of the cluster: facts of the place where a command runs, so a definition cannot give them. Owns what may be said of
//! them, and the variables that say the same.

use std::path::PathBuf;
use std::time::Duration;

use engine::cluster::{Cluster, ClusterError, EMBEDDED, Tls};
use serde::Serialize;

use super::{Environment, Origin, Setting, SettingError};
use language::{MemoryLimit, OptionError};

/// A job that takes longer is taken to hang when nothing is said.
const JOB_TIMEOUT: Duration = Duration::from_hours(12);

/// What is said of the cluster, as it was spelt; the strongest layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterOverrides {
    /// Address of its scheduler, or [`EMBEDDED`].
    pub scheduler: Option<String>,
    /// Folder of certificates.
    pub cluster_tls: Option<PathBuf>,
    /// Memory of an executor by which joins are planned, if not what the executors say.
    pub executor_memory: Option<String>,
    /// How long a job may take before it is cancelled and tried again.
    pub job_timeout: Option<String>,
}

/// How to get to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterPlace {
    /// Address of its scheduler, or [`EMBEDDED`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Setting<String>>,
    /// Folder of certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_tls: Option<Setting<PathBuf>>,
}

impl ClusterPlace {
    /// As flags say, else the environment.
    pub fn resolve(flags: &ClusterOverrides, environment: &Environment) -> Self {
        let scheduler = given(flags.scheduler.as_deref(), environment.own("SCHEDULER"));
        let tls = environment.own("CLUSTER_TLS").map(PathBuf::from);
        Self {
            scheduler: scheduler
                .map(|address| address.map(|text| String::from(*text)))
                .filter(|address| !address.value.is_empty()),
            cluster_tls: given(flags.cluster_tls.clone(), tls)
                .filter(|folder| !folder.value.as_os_str().is_empty()),
        }
    }

    /// Address of a scheduler that runs.
    pub fn running(&self) -> Option<&str> {
        let address = self.scheduler.as_ref()?.value.as_str();
        (address != EMBEDDED).then_some(address)
    }

    /// Connects to the scheduler at `address`.
    ///
    /// # Errors
    /// [`Cluster::connect`]'s, and those of [`Tls::open`].
    pub async fn connect(&self, address: &str) -> Result<Cluster, ClusterError> {
        Cluster::connect(address, self.tls()?.as_ref()).await
    }

    /// Finds what is wrong with `address` and the certificates without connecting.
    ///
    /// # Errors
    /// [`Cluster::check_address`]'s, and those of [`Tls::open`].
    pub fn check(&self, address: &str) -> Result<(), ClusterError> {
        Cluster::check_address(address, self.tls()?.as_ref())
    }

    fn tls(&self) -> Result<Option<Tls>, ClusterError> {
        let folder = self.cluster_tls.as_ref();
        Ok(folder.map(|folder| Tls::open(&folder.value)).transpose()?)
    }
}

/// How a run uses a cluster, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterSettings {
    /// Where it is.
    #[serde(flatten)]
    pub place: ClusterPlace,
    /// What each of its executors is taken to have, if not what they say, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_memory: Option<Setting<u64>>,
    /// How long a job may take.
    pub job_timeout: Setting<Duration>,
}

impl ClusterSettings {
    /// As flags say, else the environment.
    pub(super) fn resolve(
        flags: &ClusterOverrides,
        environment: &Environment,
    ) -> Result<Self, SettingError> {
        Ok(Self {
            place: ClusterPlace::resolve(flags, environment),
            executor_memory: executor_memory(flags, environment)?,
            job_timeout: job_timeout(flags, environment)?,
        })
    }
}

/// The stronger of two.
fn given<T>(flag: Option<T>, variable: Option<T>) -> Option<Setting<T>> {
    let setting = |value, origin| Setting { value, origin };
    flag.map(|value| setting(value, Origin::Flag))
        .or_else(|| variable.map(|value| setting(value, Origin::Environment)))
}

fn executor_memory(
    flags: &ClusterOverrides,
    environment: &Environment,
) -> Result<Option<Setting<u64>>, SettingError> {
    let flag = flags.executor_memory.as_deref();
    let Some(text) = given(flag, environment.own("EXECUTOR_MEMORY")) else {
        return Ok(None);
    };
    // A share would be one of another machine.
    match text.value.parse() {
        Ok(MemoryLimit::Bytes(value)) => Ok(Some(text.map(|_| value))),
        Ok(MemoryLimit::Percent(_)) | Err(_) => Err(wrong(
            "executor_memory",
            &text,
            "a size such as 4GiB, or a number of bytes",
        )),
    }
}

fn job_timeout(
    flags: &ClusterOverrides,
    environment: &Environment,
) -> Result<Setting<Duration>, SettingError> {
    let flag = flags.job_timeout.as_deref();
    let Some(text) = given(flag, environment.own("JOB_TIMEOUT")) else {
        return Ok(Setting {
            value: JOB_TIMEOUT,
            origin: Origin::Default,
        });
    };
    match humantime::parse_duration(text.value) {
        Ok(value) if !value.is_zero() => Ok(text.map(|_| value)),
        Ok(_) | Err(_) => Err(wrong("job_timeout", &text, "a duration such as 90m or 12h")),
    }
}

/// A value that cannot be read, under the name by which it was given.
fn wrong(name: &'static str, text: &Setting<&str>, expected: &'static str) -> SettingError {
    SettingError::Value {
        name: match text.origin {
            Origin::Environment => format!("PIPELINES_{}", name.to_uppercase()),
            _ => format!("--{}", name.replace('_', "-")),
        },
        source: OptionError::Invalid {
            name,
            value: String::from(text.value),
            expected,
            suggestion: None,
        },
    }
}
