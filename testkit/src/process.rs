//! A running binary: its lines as they come, signals, and its end. Killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long [`wait_for`] and [`Child::wait`] wait at most: far above what anything here takes, so that a slow machine
/// fails no test and a hang fails its own.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running process: a binary of the product, or the test itself once more.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    stdout: Stream,
    stderr: Stream,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Checks how it ended and that it said all of `words`, on either stream.
    ///
    /// # Panics
    /// When it did not, with everything that it said.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.all());
        for words in words {
            let said = self.stdout.contains(words) || self.stderr.contains(words);
            assert!(said, "it does not say `{words}`: {}", self.all());
        }
    }

    /// Both streams, for the message of a failed assertion.
    pub fn all(&self) -> String {
        format!(
            "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts a command, with its output read as it comes.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the binary")?;
        let stdout = Stream::of(child.stdout.take().context("no standard output")?);
        let stderr = Stream::of(child.stderr.take().context("no standard error")?);
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line of its standard output.
    ///
    /// # Errors
    /// When it ends or the deadline passes before.
    pub fn first_line(&mut self) -> anyhow::Result<String> {
        let line = wait_for("the first line of output", || {
            if let Some((line, _)) = self.stdout.seen().split_once('\n') {
                return Some(Some(String::from(line)));
            }
            // It may have ended between the two looks; what it said is complete only now.
            let ended = !matches!(self.child.try_wait(), Ok(None));
            ended.then(|| {
                self.stdout
                    .all()
                    .split_once('\n')
                    .map(|(line, _)| line.to_owned())
            })
        });
        line.and_then(|line| line.context("it ended without a line of output"))
            .with_context(|| format!("it said: {}", self.stderr.seen()))
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        self.stderr.seen()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Errors
    /// When `kill` cannot be run or refuses.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status()?;
        if !status.success() {
            bail!("kill -{name} {} failed", self.id());
        }
        Ok(())
    }

    /// Whether the process has a handler for SIGTERM by now (`SigCgt` of `/proc/<pid>/status`): before that, the signal ends
    /// it at once.
    pub fn handles_sigterm(&self) -> bool {
        const SIGTERM: u32 = 15;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let caught = status
            .unwrap_or_default()
            .lines()
            .find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
        caught.is_some_and(|signals| (signals >> (SIGTERM - 1)) & 1 == 1)
    }

    /// Ends it at once (SIGKILL) and waits for that.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> anyhow::Result<Outcome> {
        self.child.kill()?;
        self.finish()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the deadline passes before.
    pub fn wait(mut self) -> anyhow::Result<Outcome> {
        wait_for("the end of the process", || {
            self.child.try_wait().ok().flatten()
        })?;
        self.finish()
    }

    fn finish(&mut self) -> anyhow::Result<Outcome> {
        let status = self.child.wait()?;
        Ok(Outcome {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already ended, or ended now: either is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Stream {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn seen(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        self.seen()
    }
}

/// Looks again and again until `look` finds something.
///
/// # Errors
/// When it has not after two minutes.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() > DEADLINE {
            bail!("waited {DEADLINE:?} for {what}");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
