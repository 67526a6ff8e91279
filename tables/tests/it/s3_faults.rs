//! Every request of a run on S3, gone wrong in four ways, in every publish mode: afterwards another table recovers and
//! runs again, the table is the one of a run without faults, and no upload is left. Processes that are really killed
//! are in `s3_processes`.
//!
//! What object stores do that a commit protocol must expect, and the test of each:
//!
//! | | trap | test |
//! |---|---|---|
//! | 1 | a completion whose reply is lost is not found when it is repeated | `object_store::a_completion_whose_answer_was_lost_is_believed_after_looking`; here with uploads forgotten |
//! | 2 | a begin that is answered twice leaves an upload that nobody knows | `object_store::an_upload_that_was_begun_twice_leaves_nothing`; here [`How::Repeated`] |
//! | 3 | a create whose reply is lost reports its own object as somebody else's | here [`How::Repeated`], at the decision |
//! | 4 | an abort whose reply is lost is not found when it is repeated | `an_abort_whose_reply_was_lost_is_no_failure` |
//! | 5 | Azure does not abort: a late completion succeeds | not on S3: fenced before completing, `object_store_leases` |
//! | 6 | uploads to one key disturb each other on some servers | `every_fault_where_a_key_has_one_upload…` |
//! | 7 | a part that is sent again replaces the part before | here [`How::Repeated`], at each part |
//! | 8 | a completion replaces: it cannot be told not to | `a_late_completion_of_a_replaced_run_changes_nothing` |
//! | 9 | a large completion takes longer than a client waits | `object_store::a_completion_whose_answer_was_lost…`: the same to a client |
//! | 10 | no upload without parts, no part but the last below 5 MiB | `object_store::a_large_file_goes_in_equal_parts_and_comes_back_whole` |
//! | 11 | conditional writes may be ignored without an error | `object_store::a_storage_that_ignores_conditional_puts_is_refused…` |
//! | 12 | the id of a part is opaque text, XML even | `testkit`: `s3_uploads::checksums_and_unsigned_bodies_are_accepted` |
//! | 13 | unfinished uploads are listed by none of `object_store`'s calls | `object_store::uploads_of_others_stay_and_those_of_dead_attempts_go` |

use std::collections::BTreeMap;

use bytes::Bytes;
use tables::{Commit, Error, PublishMode, StorageOptions, Table};
use testkit::s3::{Behaviour, Fault, Operation, Refusal, Snapshot};

use crate::lake::{FIRST, Lake, SECOND, run};
use crate::support::{TestResult, covered, interval};

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It does nothing and fails.
    Fails,
    /// It takes effect, and the run learns of a failure.
    AnswerLost,
    /// It takes effect, the client learns of a failure and sends it again by itself.
    Repeated,
    /// It does nothing, and neither does any later one: the process was killed.
    Killed,
}

const ALL: [How; 4] = [How::Fails, How::AnswerLost, How::Repeated, How::Killed];

impl How {
    fn fault(self, at: usize) -> Fault {
        match self {
            // An error that clients do not repeat: it stands for the last of their repeats.
            Self::Fails => Fault::refuse(Refusal::InvalidRequest).at(at).times(1),
            Self::AnswerLost => Fault::lose(Refusal::InvalidRequest).at(at).times(1),
            Self::Repeated => Fault::lose(Refusal::InternalError).at(at).times(1),
            Self::Killed => Fault::refuse(Refusal::InvalidRequest).from(at),
        }
    }
}

/// A lake after its first run, which every fault begins with.
struct Begun {
    lake: Lake,
    first: Snapshot,
    files: BTreeMap<String, Bytes>,
    mode: PublishMode,
    readable: bool,
}

impl Begun {
    async fn new(behaviour: Behaviour, mode: PublishMode, readable: bool) -> TestResult<Self> {
        let lake = Lake::start(behaviour)?;
        let (overwrite, table) = (PublishMode::Overwrite, lake.table()?);
        run(&table, "run-1", overwrite, &FIRST, readable, interval(1)).await?;
        // Somebody else's, which looks like ours (T-5).
        let other = "raw/events2/city=Ghent/part-00000-0123456789ab.parquet";
        lake.server.put_object(other, "other")?;
        Ok(Self {
            first: lake.server.snapshot(),
            files: lake.files(),
            lake,
            mode,
            readable,
        })
    }

    fn back(&self) {
        self.lake.server.restore(&self.first);
        self.lake.server.reset();
    }

    async fn second_run(&self, table: &Table) -> TestResult<Commit> {
        run(
            table,
            "run-2",
            self.mode,
            &SECOND,
            self.readable,
            interval(2),
        )
        .await
    }

    /// The second run in a process that ends with it: tasks that it left do not go on afterwards.
    fn second_run_then_nothing(&self, at: usize) -> TestResult<TestResult<Commit>> {
        // A client of its own: connections die with the runtime that made them.
        let own = [("AWS_PROFILE".to_owned(), format!("process-{at}"))];
        let options =
            StorageOptions::from_variables(self.lake.server.environment().into_iter().chain(own));
        let table = Table::open(&self.lake.location(), &options)?;
        std::thread::scope(|scope| {
            let process = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                Ok(runtime.block_on(self.second_run(&table)))
            });
            process.join().map_err(|_| "the run panicked")?
        })
    }

    /// T-1 and T-2 right after a fault: whole files, and none changed unless the run had decided.
    async fn check_outcome(&self, outcome: &TestResult<Commit>, context: &str) -> TestResult {
        self.lake
            .rows()
            .map_err(|error| format!("T-1: {context}: a file is torn: {error}"))?;
        let Err(error) = outcome else {
            return Ok(());
        };
        let newest = self.lake.table()?.current().await?;
        let decided = newest.is_some_and(|commit| commit.run_id == "run-2");
        let told = matches!(
            error.downcast_ref::<Error>(),
            Some(Error::RollForward { .. } | Error::Undecided { .. })
        );
        assert!(
            !decided || told,
            "{context}: a committed run must not say it failed: {error}"
        );
        if !decided {
            assert_eq!(
                self.lake.files(),
                self.files,
                "{context}: nothing is published"
            );
        }
        Ok(())
    }

    /// T-6: another table recovers, twice, and runs again.
    async fn check_recovery(&self, expected: &[String], context: &str) -> TestResult {
        let at_rest = async |when: &str| {
            self.lake
                .assert_at_rest()
                .await
                .map_err(|error| format!("{context}: {when}: {error}"))
        };
        let table = self.lake.table()?;
        table.recover().await?;
        assert!(table.recover().await?.is_clean(), "T-6: {context}");
        at_rest("after the recovery").await?;
        match self.second_run(&table).await {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.downcast_ref::<Error>(),
                    Some(Error::IntervalCommitted { .. })
                ) => {}
            Err(error) => return Err(format!("{context}: the rerun failed: {error}").into()),
        }
        assert_eq!(self.lake.rows()?, expected, "T-2: {context}");
        at_rest("after the rerun").await?;
        let cursors = table.current().await?.map(|commit| commit.cursors);
        assert_eq!(cursors, Some(interval(2).cursors), "T-3: {context}");
        let others = self.lake.server.objects("raw/events2/");
        assert_eq!(others.len(), 1, "T-5: {context}");
        Ok(())
    }
}

/// Whether a request of this kind can change anything.
fn has_effect(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::GetObject
            | Operation::HeadObject
            | Operation::ListObjects
            | Operation::ListMultipartUploads
            | Operation::ListParts
    )
}

async fn every_fault_of(
    behaviour: Behaviour,
    mode: PublishMode,
    readable: bool,
    hows: &[How],
) -> TestResult {
    let begun = Begun::new(behaviour, mode, readable).await?;
    begun.back();
    begun.second_run(&begun.lake.table()?).await?;
    let expected = begun.lake.rows()?;
    let requests = begun.lake.server.requests();

    let mut points = Vec::new();
    for &how in hows {
        let mut fired_last = 0;
        for at in 0.. {
            // Of a request that changes nothing a lost answer is a failure, and a repeat is nothing.
            if matches!(how, How::AnswerLost | How::Repeated)
                && requests
                    .get(at)
                    .is_some_and(|request| !has_effect(request.operation))
            {
                continue;
            }
            begun.back();
            let fault = begun.lake.server.inject(how.fault(at));
            let outcome = match how {
                How::Killed => begun.second_run_then_nothing(at)?,
                _ => begun.second_run(&begun.lake.table()?).await,
            };
            let fired = fault.fired();
            let met = begun.lake.server.requests().get(at).cloned();
            begun.lake.server.clear_faults();
            if fired == 0 {
                outcome?;
                break;
            }
            fired_last = at;
            let met = met.map(|request| format!("{:?} {}", request.operation, request.key));
            let context = format!("{mode}, {how:?}, request {at}: {met:?}");
            begun.check_outcome(&outcome, &context).await?;
            begun
                .check_recovery(&expected, &context)
                .await
                .map_err(|error| format!("{context}: {error}"))?;
            points.push(how);
        }
        assert!(
            fired_last + 5 > requests.len(),
            "{how:?}: the last fault was at {fired_last} of {} requests",
            requests.len()
        );
    }
    let count = |how| points.iter().filter(|met| **met == how).count();
    covered(&format!(
        "{mode} on S3: {} fault points at {} requests: {} fail, {} answers lost, {} repeated, {} kills",
        points.len(),
        requests.len(),
        count(How::Fails),
        count(How::AnswerLost),
        count(How::Repeated),
        count(How::Killed),
    ));
    assert!(points.len() > hows.len() * 15, "the faults did not fire");
    Ok(())
}

#[tokio::test]
async fn every_fault_of_an_append_on_s3_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Behaviour::default(), PublishMode::Append, false, &ALL).await
}

#[tokio::test]
async fn every_fault_of_an_overwrite_on_s3_leaves_the_table_of_a_run_without_faults() -> TestResult
{
    every_fault_of(Behaviour::default(), PublishMode::Overwrite, false, &ALL).await
}

#[tokio::test]
async fn every_fault_of_a_replace_on_s3_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Behaviour::default(), PublishMode::Replace, true, &ALL).await
}

#[tokio::test]
async fn every_fault_of_a_merge_on_s3_leaves_the_table_of_a_run_without_faults() -> TestResult {
    every_fault_of(Behaviour::default(), PublishMode::Merge, false, &ALL).await
}

#[tokio::test]
async fn every_fault_where_a_key_has_one_upload_and_uploads_are_forgotten_is_recovered_from()
-> TestResult {
    let behaviour = Behaviour {
        conditions_are_ignored: false,
        ..Behaviour::GARAGE
    };
    // The others are the same wherever they happen.
    let lost = [How::AnswerLost, How::Repeated];
    every_fault_of(behaviour, PublishMode::Overwrite, false, &lost).await
}

#[tokio::test]
async fn an_abort_whose_reply_was_lost_is_no_failure() -> TestResult {
    let begun = Begun::new(Behaviour::default(), PublishMode::Overwrite, false).await?;
    // The upload is there, and cannot be finished.
    let part = Fault::refuse(Refusal::InvalidRequest)
        .on(Operation::UploadPart)
        .key("Turku")
        .times(1);
    begun.lake.server.inject(part);
    let abort = begun.lake.server.inject(
        Fault::lose(Refusal::InternalError)
            .on(Operation::AbortMultipartUpload)
            .times(1),
    );
    begun
        .second_run(&begun.lake.table()?)
        .await
        .err()
        .ok_or("a part was refused")?;
    // The recovery aborts, is told of an error, and then that there is no such upload.
    begun.lake.table()?.recover().await?;
    assert_eq!(abort.fired(), 1, "an upload was aborted");
    begun.lake.assert_at_rest().await
}
