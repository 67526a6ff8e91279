//! Object stores of other makers, as they come: a cross-check of the tests whose own server is our reading of S3.
//!
//! Owns finding, starting and stopping them. Each listens on a free port of the loopback interface, has one bucket and
//! a folder of its own, and ends when it is dropped or the test is gone. `scripts/test` installs them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{Child, wait_for};
use crate::python::{Python, missing};

const BUCKET: &str = "lake";
const ACCOUNT: &str = "spillway";
/// 32 bytes in base64, as the keys of Azure are.
const ACCOUNT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ACCESS_KEY: &str = "AKIDTEST";
const SECRET_KEY: &str = "a-secret-of-tests";
const REGION: &str = "eu-west-1";

type Variables = Vec<(String, String)>;

/// A running object store.
#[derive(Debug)]
pub struct Service {
    endpoint: String,
    environment: Variables,
    _process: Child,
    /// Removed after the process has ended: fields are dropped in this order.
    _folder: TempDir,
}

impl Service {
    /// S3 as moto (PyPI) does it. It looks at no signature, answers a repeated completion as AWS does, and an upload it
    /// does not know with status 500. `None`, after saying so, when `scripts/test` has not installed it.
    ///
    /// # Errors
    /// When it is missing and the tests are told to require it, and when it does not start.
    pub fn moto() -> anyhow::Result<Option<Self>> {
        let Some(python) = Python::find()? else {
            return Ok(None);
        };
        let folder = TempDir::new()?;
        let mut command = Command::new(python.interpreter());
        command
            .arg("-c")
            .arg(include_str!("services/moto.py"))
            .args([ACCESS_KEY, SECRET_KEY, REGION, BUCKET])
            .current_dir(folder.path());
        let variables = |endpoint: &str| aws_variables(endpoint, ACCESS_KEY, SECRET_KEY);
        Self::start(command, folder, variables).map(Some)
    }

    /// Azure's blobs as Azurite (npm) does them, with the address of an emulator but an account of its own. `None`,
    /// after saying so, when `scripts/test` has not installed it.
    ///
    /// # Errors
    /// When it is missing and the tests are told to require it, and when it does not start.
    pub fn azurite() -> anyhow::Result<Option<Self>> {
        let Some(installed) = std::env::var_os("SPILLWAY_TEST_AZURITE") else {
            return missing("SPILLWAY_TEST_AZURITE").map(|()| None);
        };
        let folder = TempDir::new()?;
        let mut command = Command::new("node");
        command
            .arg("-e")
            .arg(include_str!("services/azurite.js"))
            .arg(Path::new(&installed))
            .arg(folder.path())
            .args([ACCOUNT, ACCOUNT_KEY, BUCKET]);
        let variables = |endpoint: &str| {
            [
                ("AZURE_STORAGE_ENDPOINT", endpoint.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
                ("AZURE_ALLOW_HTTP", String::from("true")),
            ]
            .map(owned)
            .into()
        };
        Self::start(command, folder, variables).map(Some)
    }

    /// S3 as Garage does it: it ignores conditional writes, and a key has one pending upload. `None`, after saying so,
    /// without `scripts/test-garage`; no test may require it, because its build is long.
    ///
    /// # Errors
    /// When it does not start.
    pub fn garage() -> anyhow::Result<Option<Self>> {
        let Some(binary) = std::env::var_os("SPILLWAY_TEST_GARAGE") else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("SKIPPED: SPILLWAY_TEST_GARAGE is not set; run scripts/test-garage");
            }
            return Ok(None);
        };
        let folder = TempDir::new()?;
        // It takes no port 0. Another process may take one of these before it does: then it does not start.
        let [s3, rpc, admin] = free_addresses()?;
        let configuration = format!(
            "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\ndb_engine = \"sqlite\"\n\
             replication_factor = 1\nrpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{1}\"\n[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{s3}\"\n\
             root_domain = \".s3.localhost\"\n[admin]\napi_bind_addr = \"{admin}\"\n",
            folder.path().display(),
            "5e".repeat(32),
        );
        let file = folder.path().join("garage.toml");
        std::fs::write(&file, configuration)?;
        let (key, secret) = (format!("GK{}", "a1".repeat(12)), "b2".repeat(32));
        let mut command = Command::new(binary);
        command
            .arg("-c")
            .arg(&file)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", &key)
            .env("GARAGE_DEFAULT_SECRET_KEY", &secret)
            .env("GARAGE_DEFAULT_BUCKET", BUCKET);
        let mut process = Child::start(command)?;
        wait_for("Garage to listen", || {
            let ended = !process.runs().unwrap_or(false);
            (ended || TcpStream::connect(s3).is_ok()).then_some(())
        })?;
        if !process.runs()? {
            bail!("Garage does not start: {}", process.said());
        }
        let endpoint = format!("http://{s3}");
        Ok(Some(Self {
            environment: aws_variables(&endpoint, &key, &secret),
            endpoint,
            _process: process,
            _folder: folder,
        }))
    }

    fn start(
        mut command: Command,
        folder: TempDir,
        variables: impl Fn(&str) -> Variables,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped());
        let mut process = Child::start(command)?;
        let endpoint = process
            .first_line()
            .context("an object store for the tests does not start")?;
        Ok(Self {
            environment: variables(&endpoint),
            endpoint,
            _process: process,
            _folder: folder,
        })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The one bucket, or container.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The environment variables by which a client finds it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }
}

fn owned((name, value): (&str, String)) -> (String, String) {
    (name.to_owned(), value)
}

fn aws_variables(endpoint: &str, key: &str, secret: &str) -> Variables {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ALLOW_HTTP", String::from("true")),
    ]
    .map(owned)
    .into()
}

fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All at once, so that they differ.
    let listeners = [listen()?, listen()?, listen()?];
    let [first, second, third] = listeners.each_ref().map(TcpListener::local_addr);
    Ok([first?, second?, third?])
}
