//! The Python environment with the peers and the generator of TPC-H data: `SPILLWAY_BENCH_PYTHON` names its interpreter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::measure::{self, Measured};

/// What has to be installed for the measurements.
const PACKAGES: &str = "duckdb==2.0.0 polars==2.1.0 pyarrow==26.0.1 tpchgen-cli";

/// One work that was done.
#[derive(Debug)]
pub(crate) struct Run {
    /// From its beginning to its end.
    pub(crate) wall: Duration,
    /// Of the processors.
    pub(crate) cpu: Duration,
    /// Resident memory of the process at its most, bytes.
    pub(crate) peak: u64,
}

impl Run {
    /// A whole process.
    pub(crate) fn whole(process: &Measured) -> Self {
        Self {
            wall: process.wall,
            cpu: process.cpu,
            peak: process.peak,
        }
    }
}

/// The run with the time in the middle.
pub(crate) fn median(runs: &mut Vec<Run>) -> anyhow::Result<Run> {
    runs.sort_unstable_by_key(|run| run.wall);
    let middle = runs.len() / 2;
    ensure!(middle < runs.len(), "nothing was measured");
    Ok(runs.swap_remove(middle))
}

/// A Python with the peers.
#[derive(Debug)]
pub(crate) struct Peers {
    python: PathBuf,
}

impl Peers {
    /// The interpreter of the environment.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let python = std::env::var_os("SPILLWAY_BENCH_PYTHON").with_context(|| {
            format!("SPILLWAY_BENCH_PYTHON is not set: name a Python with {PACKAGES}")
        })?;
        Ok(Self {
            python: PathBuf::from(python),
        })
    }

    /// Runs a script, which must succeed; `folder` takes what it prints.
    pub(crate) fn run(
        &self,
        script: &str,
        arguments: &[&str],
        folder: &Path,
    ) -> anyhow::Result<Measured> {
        let mut all = vec!["-c", script];
        all.extend(arguments);
        measure::run(&self.python, &all, folder, &[])?.succeeded()
    }

    /// Runs a script that tells its own time in a line of JSON: the start of Python and the import are not held against a peer.
    pub(crate) fn time(
        &self,
        script: &str,
        arguments: &[&str],
        folder: &Path,
    ) -> anyhow::Result<Run> {
        let run = self.run(script, arguments, folder)?;
        let said: Value = serde_json::from_str(run.stdout.trim()).context("the peer's line")?;
        let seconds = |name: &str| {
            said[name]
                .as_f64()
                .map(Duration::from_secs_f64)
                .with_context(|| format!("the peer did not say its {name}"))
        };
        Ok(Run {
            wall: seconds("seconds")?,
            cpu: seconds("cpu")?,
            peak: run.peak,
        })
    }

    /// The folder with `lineitem` and `orders` at that scale below `root`; made unless it is there.
    pub(crate) fn tpch(&self, root: &Path, scale: u32) -> anyhow::Result<PathBuf> {
        let folder = root.join(format!("sf{scale}"));
        if folder.join("complete").exists() {
            return Ok(folder);
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let (scale, out) = (scale.to_string(), folder.display().to_string());
        let generator = self.python.with_file_name("tpchgen-cli");
        let arguments = [
            "parquet",
            "-s",
            &scale,
            "-o",
            &out,
            "-T",
            "lineitem,orders",
            "--overwrite",
        ];
        measure::run(&generator, &arguments, &folder, &[])?.succeeded()?;
        for table in ["lineitem", "orders"] {
            let file = folder.join(format!("{table}.parquet"));
            ensure!(file.exists(), "{} was not made", file.display());
        }
        std::fs::write(folder.join("complete"), "")?;
        Ok(folder)
    }
}
