//! A Launchpad look-alike in the test's own process, and the commands that read it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use launchpad_fake::{LaunchpadFake, Options, SAMPLE_END, SAMPLE_START, Stats};
use serde_json::Value;
use testkit::{Folder, Workspace};
use tokio::runtime::Runtime;

/// A running look-alike.
#[derive(Debug)]
pub(super) struct Launchpad {
    runtime: Runtime,
    client: reqwest::Client,
    fake: Option<LaunchpadFake>,
    address: SocketAddr,
}

impl Launchpad {
    /// Serves what `options` say on a free port.
    pub(super) fn start(options: Options) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let fake = runtime.block_on(LaunchpadFake::start(
            options,
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ))?;
        Ok(Self {
            address: fake.address(),
            fake: Some(fake),
            client: reqwest::Client::new(),
            runtime,
        })
    }

    /// Serves so many bugs without faults.
    pub(super) fn with_bugs(bugs: u32) -> anyhow::Result<Self> {
        Self::start(Options {
            bugs,
            ..Options::default()
        })
    }

    /// Goes on at the same address with other options, as a server does that was repaired.
    pub(super) fn restart(&mut self, options: Options) -> anyhow::Result<()> {
        if let Some(fake) = self.fake.take() {
            self.runtime.block_on(fake.shutdown());
        }
        self.fake = Some(
            self.runtime
                .block_on(LaunchpadFake::start(options, self.address))?,
        );
        Ok(())
    }

    /// Stops; nothing listens at the address from then on.
    pub(super) fn stop(&mut self) {
        if let Some(fake) = self.fake.take() {
            self.runtime.block_on(fake.shutdown());
        }
    }

    /// What `LP_WEB_ROOT` has to be.
    pub(super) fn root(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What was counted since the start or the last restart.
    pub(super) fn stats(&self) -> Stats {
        self.fake
            .as_ref()
            .map(LaunchpadFake::stats)
            .unwrap_or_default()
    }

    /// Requests since the start or the last restart.
    pub(super) fn requests(&self) -> u64 {
        self.stats().requests
    }

    /// A fresh folder for the binary, in whose environment this is the Launchpad to read.
    pub(super) fn workspace(&self) -> anyhow::Result<Workspace> {
        Ok(workspace()?.with("LP_WEB_ROOT", self.root()))
    }

    /// A workspace in which a month was published, and the files of its table.
    pub(super) fn published_month(&self) -> anyhow::Result<(Workspace, Folder)> {
        let workspace = self.workspace()?;
        workspace
            .run(run_between("2025-01-01", "2025-02-01", &[]))?
            .expect(0, &[]);
        let table = Folder::of(&workspace.path().join("events"))?;
        Ok((workspace, table))
    }

    /// The entry at `address`, a link or a path below the root; `None` when there is none to see.
    pub(super) fn entry(&self, address: &str) -> anyhow::Result<Option<Value>> {
        let address = if address.starts_with("http") {
            address.to_owned()
        } else {
            format!("{}{address}", self.root())
        };
        let text = self.runtime.block_on(async {
            let response = self.client.get(&address).send().await?;
            match response.status().as_u16() {
                200 => response.text().await.map(Some),
                _ => Ok(None),
            }
        });
        text?
            .map(|text| serde_json::from_str(&text).with_context(|| format!("{address}: {text}")))
            .transpose()
    }

    /// All entries of the collection at `address`, page by page as the server links them.
    pub(super) fn collection(&self, address: &str) -> anyhow::Result<Vec<Value>> {
        let mut entries = Vec::new();
        let mut next = Some(format!("{address}?ws.size=300"));
        while let Some(address) = next {
            let page = self
                .entry(&address)?
                .with_context(|| format!("{address} cannot be read"))?;
            entries.extend(page["entries"].as_array().cloned().unwrap_or_default());
            next = page["next_collection_link"].as_str().map(str::to_owned);
        }
        Ok(entries)
    }
}

/// Checks that the table of events is what it was before, to the time of the last change.
#[track_caller]
pub(super) fn assert_untouched(workspace: &Workspace, before: &Folder) -> anyhow::Result<()> {
    let changes = before.changes(&Folder::of(&workspace.path().join("events"))?);
    assert!(changes.is_empty(), "{changes:?}");
    Ok(())
}

/// A fresh folder for the binary.
pub(super) fn workspace() -> anyhow::Result<Workspace> {
    Workspace::new(env!("CARGO_BIN_EXE_pipelines"))
}

/// The command that reads the sample's member between two days, with further arguments.
pub(super) fn run_between<'a>(from: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    // The last value of a parameter is the one that counts, so that a test may name another member.
    let mut command = vec![
        "run",
        "launchpad_bugs",
        "--set",
        "member=ada-example",
        "--from",
        from,
        "--to",
        to,
    ];
    command.extend(more);
    command
}

/// The command that reads the sample's member and year, with further arguments.
pub(super) fn run_year<'a>(more: &[&'a str]) -> Vec<&'a str> {
    run_between(SAMPLE_START, SAMPLE_END, more)
}
