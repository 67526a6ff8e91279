//! Control files as an attacker, a disk or a restored backup may leave them: changed at random, by their structure, and the
//! real operations on top. Whatever they answer, nothing panics or hangs, nothing outside the table changes, and the log
//! keeps its records.
//!
//! `scripts/fuzz` runs a target for as long as it is told: each is an ignored test of this module and reads
//! `SPILLWAY_FUZZ_SECONDS` and `SPILLWAY_FUZZ_SEED`. What one finds becomes an ordinary test (`control_files`).

mod bucket;
mod folder;
mod mutate;

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tables::{PublishMode, Table};

use crate::lake::SECOND;
use crate::support::{TestResult, by_city, chain, covered, info, run_with};

/// An operation that takes so long hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a target does with its seed until its time is over, or so many times.
struct Budget {
    until: Option<Instant>,
    rounds: u64,
    seed: u64,
}

impl Budget {
    /// As the script says.
    fn of_script() -> TestResult<Self> {
        let number = |name: &str| -> TestResult<Option<u64>> {
            match std::env::var_os(name) {
                Some(value) => Ok(Some(value.to_str().ok_or("not UTF-8")?.parse()?)),
                None => Ok(None),
            }
        };
        let seconds = number("SPILLWAY_FUZZ_SECONDS")?.unwrap_or(10);
        Ok(Self {
            until: Some(Instant::now() + Duration::from_secs(seconds)),
            rounds: u64::MAX,
            seed: number("SPILLWAY_FUZZ_SEED")?.unwrap_or(1),
        })
    }

    /// The same every time.
    fn of_rounds(rounds: u64) -> Self {
        Self {
            until: None,
            rounds,
            seed: 1,
        }
    }

    /// The next round's number and its randomness, which a finding is repeated with.
    fn rounds(&self) -> impl Iterator<Item = (u64, ChaCha8Rng)> {
        (0..self.rounds)
            .take_while(|_| self.until.is_none_or(|until| Instant::now() < until))
            .map(|round| {
                let seed = self.seed.wrapping_add(round);
                (seed, ChaCha8Rng::seed_from_u64(seed))
            })
    }
}

/// What the operations on a table answered.
#[derive(Debug, Default, Clone, Copy)]
struct Answers {
    done: u64,
    refused: u64,
}

impl Answers {
    fn say(self, target: &str, rounds: u64) {
        covered(&format!(
            "{target}: {rounds} rounds, {} operations came to their end and {} were refused",
            self.done, self.refused
        ));
    }
}

/// Every operation that reads control files, one after the other. None may panic or hang.
async fn operate(make: impl Fn() -> TestResult<Table>, answers: &mut Answers) -> TestResult {
    for operation in 0..6 {
        let table = make()?;
        let work = tokio::spawn(async move {
            match operation {
                0 => drop(table.history(10).await?),
                1 => drop(table.verify(false).await?),
                2 => drop(table.leftovers().await?),
                3 => drop(table.recover().await?),
                4 => drop(table.current().await?),
                _ => {
                    let mode = by_city(PublishMode::Replace);
                    drop(run_with(&table, "run-9", mode, &SECOND, info(9)).await?);
                }
            }
            TestResult::Ok(())
        });
        let answered = tokio::time::timeout(TIMEOUT, work).await;
        let answered = answered.map_err(|_| format!("operation {operation} hangs"))?;
        match answered.map_err(|error| format!("operation {operation}: {error}"))? {
            Ok(()) => answers.done += 1,
            // A panic of the blocking pool looks like the end of the process.
            Err(error) if chain(error.as_ref()).contains("shutting down") => {
                return Err(format!("operation {operation} panicked").into());
            }
            Err(_) => answers.refused += 1,
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "a fuzz target: scripts/fuzz runs it"]
async fn control_folder() -> TestResult {
    folder::fuzz(&Budget::of_script()?).await
}

#[tokio::test]
#[ignore = "a fuzz target: scripts/fuzz runs it"]
async fn control_objects() -> TestResult {
    bucket::fuzz(&Budget::of_script()?).await
}

#[tokio::test]
async fn changed_control_files_do_no_harm_outside_the_table() -> TestResult {
    folder::fuzz(&Budget::of_rounds(150)).await
}

#[tokio::test]
async fn changed_control_objects_do_no_harm_outside_the_table() -> TestResult {
    bucket::fuzz(&Budget::of_rounds(150)).await
}
