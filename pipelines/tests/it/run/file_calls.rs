//! Every call by which a command changes a file, on the table's side and on the run store's: the process is killed there,
//! or the call fails as on a broken or a full disk. Then the same command is given again, and comes to its end: exit code 0,
//! a record with the rows that were published, and the table of a command without faults.
//!
//! The normal tests take a sample; `scripts/fault-matrix` runs all of it and prints the counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{CallFault, FileCalls, Folder, Outcome, Workspace};

use super::published::rows;

const FIRST: [&str; 2] = ["2025-01-01", "2025-01-03"];
const SECOND: [&str; 2] = ["2025-01-02", "2025-01-04"];
/// The second interval meets the first on one day, so every mode has something to replace or to add.
const DAYS: &str = "day,id\n2025-01-01,1\n2025-01-01,2\n2025-01-02,3\n2025-01-02,4\n2025-01-03,5\n";
/// Points of a sample, for each kind of command and each fault.
const SAMPLE: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publish(&'static str),
    TwoOutputs,
    Compact,
    Expire,
}

/// What is told of the run that meets the fault, when it is told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The same command.
    Same,
    /// With `--restart`.
    Restart,
    /// After the folder of the run store was lost.
    Lost,
}

impl Kind {
    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::TwoOutputs => &["table", "other"],
            _ => &["table"],
        }
    }

    fn cares(self) -> bool {
        matches!(self, Self::Compact | Self::Expire)
    }

    /// The number of the commit that the command makes.
    fn commit(self) -> u64 {
        if self.cares() { 3 } else { 2 }
    }

    fn definition(self) -> String {
        let mode = match self {
            Self::Publish(mode) => mode,
            _ => "append",
        };
        let key = if mode == "merge" { ", key 'id'" } else { "" };
        let copies: String = self
            .tables()
            .iter()
            .map(|table| {
                format!(
                    "COPY (SELECT * FROM chosen) TO '{table}/' PARTITIONED BY (day) \
                     OPTIONS (publish '{mode}', sort 'id'{key});\n"
                )
            })
            .collect();
        format!(
            "DECLARE data_date_start DATE;\nDECLARE data_date_end DATE;\n\
             CREATE EXTERNAL TABLE days (day DATE, id BIGINT) STORED AS CSV LOCATION 'days.csv' \
             OPTIONS ('format.has_header' true);\n\
             CREATE VIEW chosen AS SELECT * FROM days WHERE day >= $data_date_start AND day < $data_date_end;\n\
             {copies}"
        )
    }

    fn command(self, again: Again) -> Vec<&'static str> {
        let mut words = match self {
            Self::Publish(_) | Self::TwoOutputs => run(SECOND).to_vec(),
            Self::Compact => vec!["tables", "compact", "table/", "--memory", "256MiB"],
            Self::Expire => {
                let words = ["tables", "expire", "table/", "--keep", "1d"];
                [&words[..], &["--as-of", "2025-01-03"]].concat()
            }
        };
        if again == Again::Restart && !self.cares() {
            words.push("--restart");
        }
        words.extend(["--output", "json"]);
        words
    }
}

fn run(interval: [&'static str; 2]) -> [&'static str; 6] {
    [
        "run",
        "./days.sql",
        "--from",
        interval[0],
        "--to",
        interval[1],
    ]
}

/// What there is before the command, and after it without a fault.
struct Matrix {
    kind: Kind,
    workspace: Workspace,
    prepared: TempDir,
    calls: FileCalls,
    before: Vec<Vec<String>>,
    after: Vec<Vec<String>>,
    /// `read` and `written`.
    counts: (Value, Value),
    total: u64,
}

/// How the commands ended that met a fault, by exit code; `None` for a kill.
type Ends = BTreeMap<Option<i32>, u64>;

impl Matrix {
    fn prepare(kind: Kind) -> anyhow::Result<Self> {
        let workspace = Workspace::in_memory(env!("CARGO_BIN_EXE_pipelines"))?;
        workspace.write("days.csv", DAYS)?;
        workspace.write("days.sql", &kind.definition())?;
        workspace.run(run(FIRST))?.expect(0, &[]);
        if kind.cares() {
            workspace.run(run(SECOND))?.expect(0, &[]);
        }
        let mut matrix = Self {
            kind,
            prepared: tempfile::tempdir_in(workspace.path().parent().context("a folder")?)?,
            workspace,
            calls: FileCalls::build()?,
            before: Vec::new(),
            after: Vec::new(),
            counts: (Value::Null, Value::Null),
            total: 0,
        };
        copy_below(matrix.workspace.path(), matrix.prepared.path())?;
        matrix.before = matrix.rows()?;
        let outcome = matrix.run(None)?;
        outcome.expect(0, &[]);
        matrix.total = matrix.calls.seen()?.0;
        matrix.after = matrix.rows()?;
        matrix.assert_at_rest("without a fault")?;
        let document = document(&outcome)?;
        let counts = &document["run"]["counts"];
        matrix.counts = (counts["read"].clone(), counts["written"].clone());
        Ok(matrix)
    }

    /// The command, with a fault at a call.
    fn run(&self, fault: Option<(CallFault, u64)>) -> anyhow::Result<Outcome> {
        let variables = self.calls.watch(&[self.workspace.path()], fault)?;
        self.workspace
            .run_with(&variables, self.kind.command(Again::Same))
    }

    fn back(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(self.workspace.path())? {
            let path = entry?.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path)?;
            } else {
                std::fs::remove_file(path)?;
            }
        }
        copy_below(self.prepared.path(), self.workspace.path())
    }

    /// The rows of each table; fails on a file that is not whole.
    fn rows(&self) -> anyhow::Result<Vec<Vec<String>>> {
        let of = |table: &&str| -> anyhow::Result<Vec<String>> {
            let rows = rows(&self.workspace.path().join(table))?;
            let mut rows: Vec<String> = rows
                .into_iter()
                .map(|row| Value::from(row).to_string())
                .collect();
            rows.sort_unstable();
            Ok(rows)
        };
        self.kind.tables().iter().map(of).collect()
    }

    fn control(&self, table: &str) -> PathBuf {
        self.workspace.path().join(format!(".{table}.spillway"))
    }

    /// Which tables have the commit of the command.
    fn decided(&self) -> Vec<bool> {
        let record = format!("commits/{:08}.json", self.kind.commit());
        let tables = self.kind.tables().iter();
        tables
            .map(|table| self.control(table).join(&record).exists())
            .collect()
    }

    /// One fault, and the command once more. `false` if the run had fewer calls this time.
    fn trial(
        &self,
        at: u64,
        fault: CallFault,
        again: Again,
        ends: &mut Ends,
    ) -> anyhow::Result<bool> {
        self.back()?;
        let outcome = self.run(Some((fault, at)))?;
        let Some(hit) = self.calls.seen()?.1 else {
            outcome.expect(0, &[]);
            return Ok(false);
        };
        *ends.entry(outcome.code).or_default() += 1;
        let context = format!(
            "{:?}, {fault:?} at call {at} ({hit}), then {again:?}",
            self.kind
        );
        self.check_first(&outcome, fault)
            .with_context(|| format!("{context}: {}", outcome.all()))?;
        if again == Again::Lost {
            match std::fs::remove_dir_all(self.workspace.path().join(".pipelines")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        let decided = self.decided();
        let second = self.workspace.run(self.kind.command(again))?;
        self.check_second(&second, &decided).with_context(|| {
            format!(
                "{context}: first {}\n\nthen {}",
                outcome.all(),
                second.all()
            )
        })?;
        Ok(true)
    }

    /// What the command said that met the fault, beside what it left.
    fn check_first(&self, outcome: &Outcome, fault: CallFault) -> anyhow::Result<()> {
        let decided = self.decided();
        let rows = self.rows().context("T-1: a visible file is torn")?;
        for (table, (rows, before)) in rows.iter().zip(&self.before).enumerate() {
            ensure!(
                decided[table] || rows == before,
                "nothing was decided, and it changed"
            );
        }
        let all = decided.iter().all(|decided| *decided);
        let any = decided.iter().any(|decided| *decided);
        match outcome.code {
            None => ensure!(fault == CallFault::Kill, "a signal that was not sent"),
            Some(0) => ensure!(all, "it says that it is done, and it is not decided"),
            Some(9) => {
                let unknown = outcome.stderr.contains("it is not known whether commit");
                ensure!(any || unknown, "it says that it committed, and it did not");
                ensure!(
                    unknown || outcome.stderr.contains("committed, but"),
                    "in other words"
                );
            }
            Some(1 | 3 | 6 | 8) => {
                ensure!(!any, "it says that nothing was published, and it was");
                ensure!(
                    !outcome.stderr.trim().is_empty(),
                    "it does not say what went wrong"
                );
            }
            Some(code) => bail!("exit code {code} is not documented for a broken disk"),
        }
        Ok(())
    }

    /// The exit code, the record and the table of the command that was given again.
    fn check_second(&self, outcome: &Outcome, decided: &[bool]) -> anyhow::Result<()> {
        ensure!(outcome.code == Some(0), "the exit code");
        let document = document(outcome)?;
        let number = self.kind.commit();
        if self.kind.cares() {
            let made = if decided[0] {
                Value::Null
            } else {
                number.into()
            };
            ensure!(document["commit"] == made, "the work is done once");
        } else {
            let run = &document["run"];
            ensure!(
                run["state"] == "succeeded" && run["exit_code"] == 0,
                "the record's end"
            );
            ensure!(run["error"].is_null(), "the record has an error");
            let counts = (
                run["counts"]["read"].clone(),
                run["counts"]["written"].clone(),
            );
            ensure!(counts == self.counts, "the record's rows: {counts:?}");
            let outputs = document["outputs"].as_array().context("no outputs")?;
            ensure!(
                outputs.len() == self.kind.tables().len(),
                "the record's outputs"
            );
            for output in outputs {
                ensure!(output["commit"] == number, "the record's commit: {output}");
                ensure!(
                    output["rows"] == self.after[0].len(),
                    "the table's rows: {output}"
                );
            }
        }
        ensure!(self.rows()? == self.after, "T-2: the rows of the table");
        self.assert_at_rest("afterwards")
    }

    /// The log has the expected commits, all of them carried out, and nothing is left of any attempt.
    fn assert_at_rest(&self, when: &str) -> anyhow::Result<()> {
        for table in self.kind.tables() {
            let control = Folder::of(&self.control(table))?;
            // Care that finds nothing to do takes no lease, so it sweeps nothing.
            let names = control.files().map(|(name, _)| name);
            let names: Vec<&str> = names
                .filter(|name| !(self.kind.cares() && name.starts_with("tmp/")))
                .collect();
            let expected: Vec<String> = (1..=self.kind.commit())
                .flat_map(|number| ["done", "json"].map(|end| format!("commits/{number:08}.{end}")))
                .chain(["lease.json", "lock"].map(String::from))
                .collect();
            ensure!(
                names == expected,
                "{when}: the control folder holds {names:?}"
            );
        }
        Ok(())
    }
}

fn document(outcome: &Outcome) -> anyhow::Result<Value> {
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.all())
}

fn copy_below(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&copy)?;
            copy_below(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

fn seed() -> u64 {
    let given = std::env::var_os("SPILLWAY_FAULT_SEED");
    given
        .and_then(|seed| seed.into_string().ok()?.parse().ok())
        .unwrap_or(11)
}

/// Hits `points` calls of the command, drawn by the seed, or every one.
#[expect(clippy::print_stdout, reason = "the counts are what the script shows")]
fn matrix(kind: Kind, faults: &[CallFault], points: Option<usize>) -> anyhow::Result<()> {
    let matrix = Matrix::prepare(kind)?;
    ensure!(matrix.total > 30, "only {} calls", matrix.total);
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    for fault in faults {
        let mut order: Vec<u64> = (1..=matrix.total).collect();
        if let Some(points) = points {
            order.shuffle(&mut random);
            order.truncate(points);
        }
        let (mut ends, mut hit) = (Ends::new(), 0);
        for (nth, at) in order.into_iter().enumerate() {
            let again = match nth % 3 {
                1 => Again::Restart,
                2 if !kind.cares() => Again::Lost,
                _ => Again::Same,
            };
            hit += u64::from(matrix.trial(at, *fault, again, &mut ends)?);
        }
        let ends: Vec<String> = ends
            .into_iter()
            .map(|(code, times)| match code {
                Some(code) => format!("exit {code}: {times}"),
                None => format!("killed: {times}"),
            })
            .collect();
        println!(
            "{kind:?}, {fault:?}: {hit} of {} calls hit ({}); every command given again ended with exit 0, its record and its table",
            matrix.total,
            ends.join(", ")
        );
        // The number of calls differs a little: threads share them out otherwise in every run.
        ensure!(
            points.is_some() || hit > matrix.total / 2,
            "only {hit} calls were hit"
        );
    }
    Ok(())
}

/// One test of a sample for each kind, and one of every call for each kind and fault.
macro_rules! matrices {
    ($($name:ident: $kind:expr;)*) => {
        mod a_command_that_meets_a_fault_is_given_again_and_done {
            use super::*;

            $(#[test]
            fn $name() -> anyhow::Result<()> {
                matrix($kind, &CallFault::ALL, Some(SAMPLE))
            })*
        }

        mod every {
            use super::*;

            $(mod $name {
                use super::*;

                #[test]
                #[ignore = "scripts/fault-matrix runs it"]
                fn killed() -> anyhow::Result<()> {
                    matrix($kind, &[CallFault::Kill], None)
                }

                #[test]
                #[ignore = "scripts/fault-matrix runs it"]
                fn broken_disk() -> anyhow::Result<()> {
                    matrix($kind, &[CallFault::Eio], None)
                }

                #[test]
                #[ignore = "scripts/fault-matrix runs it"]
                fn full_disk() -> anyhow::Result<()> {
                    matrix($kind, &[CallFault::Enospc], None)
                }
            })*
        }
    };
}

matrices! {
    append: Kind::Publish("append");
    overwrite: Kind::Publish("overwrite");
    replace: Kind::Publish("replace");
    merge: Kind::Publish("merge");
    two_outputs: Kind::TwoOutputs;
    compact: Kind::Compact;
    expire: Kind::Expire;
}
