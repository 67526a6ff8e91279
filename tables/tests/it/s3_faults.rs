//! Every request of a run on S3, gone wrong in seven ways, in every publish mode: afterwards another table recovers and
//! runs again, the table is the one of a run without faults, and no upload is left. Processes that are really killed
//! are in `s3_kills`.
//!
//! What object stores do that a commit protocol must expect, and the test of each:
//!
//! | | trap | test |
//! |---|---|---|
//! | 1 | a completion whose reply is lost is not found when it is repeated | `object_store::a_completion_whose_answer_was_lost_is_believed_after_looking`; here with uploads forgotten |
//! | 2 | a begin that is answered twice leaves an upload that nobody knows | `object_store::an_upload_that_was_begun_twice_leaves_nothing`; here [`How::Repeated`] |
//! | 3 | a create whose reply is lost reports its own object as somebody else's | here [`How::Repeated`], at the decision |
//! | 4 | an abort whose reply is lost is not found when it is repeated | `an_abort_whose_reply_was_lost_is_no_failure` |
//! | 5 | Azure does not abort: a late completion succeeds | `azure::an_upload_that_azure_was_told_to_abort…`, `azure::a_run_on_azure_whose_uploads_were_not_aborted…`, `azure::a_late_completion_on_azure…` |
//! | 6 | uploads to one key disturb each other on some servers | `each_lost_answer_where_a_key_has_one_upload…`, `each_repeat_where…` |
//! | 7 | a part that is sent again replaces the part before | here [`How::Repeated`], at each part |
//! | 8 | a completion replaces: it cannot be told not to | `s3_processes::a_late_completion_of_a_replaced_run_changes_nothing` |
//! | 9 | a large completion takes longer than a client waits | `object_store_retries::a_completion_that_outlasts_the_patience_of_the_client…` |
//! | 10 | no upload without parts, no part but the last below 5 MiB | `object_store::a_large_file_goes_in_equal_parts_and_comes_back_whole` |
//! | 11 | conditional writes may be ignored without an error | `object_store::a_storage_that_ignores_conditional_puts_is_refused…`, `servers::the_client_of_google_refuses…` |
//! | 12 | the id of a part is opaque text, XML even | `object_store::parts_whose_ids_are_xml_are_completed…` |
//! | 13 | unfinished uploads are listed by none of `object_store`'s calls | `object_store::uploads_of_others_stay_and_those_of_dead_attempts_go` |

use std::collections::BTreeMap;

use bytes::Bytes;
use tables::{Error, PublishMode, StorageOptions, Table};
use testkit::s3::{Behaviour, Fault, Operation, Refusal, Snapshot};

use crate::lake::{FIRST, Lake, SECOND, run};
use crate::once::{Once, run_once};
use crate::support::{TestResult, by_city, covered, events, interval};

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
    /// What it reads is on its way when the connection is cut; the client asks again.
    ReadCut,
    /// The same in the middle of what it reads.
    ReadHalved,
    /// The same as the first, and the client asks only once.
    ReadLost,
}

impl How {
    fn fault(self, at: usize) -> Fault {
        match self {
            // An error that clients do not repeat: it stands for the last of their repeats.
            Self::Fails => Fault::refuse(Refusal::InvalidRequest).at(at).times(1),
            Self::AnswerLost => Fault::lose(Refusal::InvalidRequest).at(at).times(1),
            Self::Repeated => Fault::lose(Refusal::InternalError).at(at).times(1),
            Self::Killed => Fault::refuse(Refusal::InvalidRequest).from(at),
            Self::ReadCut | Self::ReadLost => Fault::lose(Refusal::Cut).at(at).times(1),
            Self::ReadHalved => Fault::halve().at(at).times(1),
        }
    }

    /// Whether a request can go wrong in this way.
    fn happens_to(self, operation: Operation) -> bool {
        match self {
            Self::Fails | Self::Killed => true,
            // Of a request that changes nothing a repeat is nothing, and a lost answer is one of the reads.
            Self::AnswerLost | Self::Repeated => !reads(operation),
            Self::ReadCut | Self::ReadLost => reads(operation),
            Self::ReadHalved => reads(operation) && operation != Operation::HeadObject,
        }
    }

    /// Variables of the storage for a client that meets it.
    fn variables(self) -> Vec<(String, String)> {
        let variable = |name: &str| vec![(name.to_owned(), String::from("0"))];
        match self {
            // Connections would die with the runtime that made them, and the client is shared.
            Self::Killed => variable("AWS_POOL_MAX_IDLE_PER_HOST"),
            Self::ReadLost => variable("PIPELINES_STORAGE_MAX_RETRIES"),
            _ => Vec::new(),
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

    async fn second_run(&self, table: &Table) -> TestResult<Once> {
        let (options, rows) = (by_city(self.mode), events(&SECOND)?);
        run_once(table, "run-2", options, rows, self.readable, interval(2)).await
    }

    /// The table as the run reaches it that meets a fault.
    fn table(&self, how: How) -> TestResult<Table> {
        let variables = self.lake.server.environment().into_iter();
        let options = StorageOptions::from_variables(variables.chain(how.variables()));
        Ok(Table::open(&self.lake.location(), &options)?)
    }

    /// The second run in a process that ends with it: tasks that it left do not go on afterwards.
    fn second_run_then_nothing(&self, table: &Table) -> TestResult<TestResult<Once>> {
        std::thread::scope(|scope| {
            let process = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                Ok(runtime.block_on(self.second_run(table)))
            });
            process.join().map_err(|_| "the run panicked")?
        })
    }

    /// T-1 and T-2 right after a fault: whole files, and none changed unless the run had decided.
    async fn check_outcome(&self, outcome: &TestResult<Once>, context: &str) -> TestResult {
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
            Some(error) if error.leaves_commit()
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
        self.second_run(&table)
            .await
            .map_err(|error| format!("{context}: the rerun failed: {error}"))?;
        assert_eq!(self.lake.rows()?, expected, "T-2: {context}");
        at_rest("after the rerun").await?;
        let cursors = table.current().await?.map(|commit| commit.cursors);
        assert_eq!(cursors, Some(interval(2).cursors), "T-3: {context}");
        let others = self.lake.server.objects("raw/events2/");
        assert_eq!(others.len(), 1, "T-5: {context}");
        Ok(())
    }
}

/// Whether a request of this kind changes nothing.
fn reads(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetObject
            | Operation::HeadObject
            | Operation::ListObjects
            | Operation::ListMultipartUploads
            | Operation::ListParts
    )
}

/// Every request of a run goes wrong in one way, one after the other.
async fn every_request(
    behaviour: Behaviour,
    mode: PublishMode,
    readable: bool,
    how: How,
) -> TestResult {
    let begun = Begun::new(behaviour, mode, readable).await?;
    begun.back();
    begun.second_run(&begun.lake.table()?).await?;
    let expected = begun.lake.rows()?;
    let requests = begun.lake.server.requests();

    let (mut points, mut came_through, mut last) = (0, 0, 0);
    for at in 0.. {
        let planned = requests.get(at).map(|request| request.operation);
        if planned.is_some_and(|operation| !how.happens_to(operation)) {
            last = at;
            continue;
        }
        begun.back();
        let fault = begun.lake.server.inject(how.fault(at));
        let table = begun.table(how)?;
        let outcome = match how {
            How::Killed => begun.second_run_then_nothing(&table)?,
            _ => begun.second_run(&table).await,
        };
        let fired = fault.fired();
        let met = begun.lake.server.requests().get(at).cloned();
        begun.lake.server.clear_faults();
        if fired == 0 {
            outcome?;
            break;
        }
        (points, last) = (points + 1, at);
        came_through += usize::from(outcome.is_ok());
        let operation = met.as_ref().map(|request| request.operation);
        let met = met.map(|request| format!("{:?} {}", request.operation, request.key));
        let context = format!("{mode}, {how:?}, request {at}: {met:?}");
        if how == How::ReadCut && operation != Some(Operation::ListMultipartUploads) {
            outcome
                .as_ref()
                .map_err(|error| format!("{context}: it was not read again: {error}"))?;
        }
        begun.check_outcome(&outcome, &context).await?;
        begun
            .check_recovery(&expected, &context)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
    }
    let possible = requests.iter();
    let possible = possible.filter(|request| how.happens_to(request.operation));
    // A client that had to repeat something looks for uploads that it may have begun twice: such runs make more requests.
    covered(&format!(
        "{mode} on S3, {how:?}: {points} fault points; a run without faults makes {} such requests, {} in all; \
         {came_through} runs came through",
        possible.count(),
        requests.len(),
    ));
    assert!(
        last + 5 > requests.len(),
        "the last fault was at {last} of {} requests",
        requests.len()
    );
    assert!(points >= 8, "only {points} faults fired");
    Ok(())
}

/// The tests of one mode: one for each way to go wrong, so that a test runner has them side by side.
macro_rules! every_request_of {
    ($($run:ident: $mode:expr, readable: $readable:expr;)*) => {$(
        mod $run {
            use super::*;

            async fn every(how: How) -> TestResult {
                every_request(Behaviour::default(), $mode, $readable, how).await
            }

            #[tokio::test]
            async fn each_request_that_fails_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every(How::Fails).await
            }

            #[tokio::test]
            async fn each_answer_that_is_lost_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every(How::AnswerLost).await
            }

            #[tokio::test]
            async fn each_request_that_is_repeated_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every(How::Repeated).await
            }

            #[tokio::test]
            async fn each_request_that_is_the_end_leaves_the_table_of_a_run_without_faults() -> TestResult {
                every(How::Killed).await
            }

            #[tokio::test]
            async fn each_read_that_is_cut_off_is_made_again() -> TestResult {
                every(How::ReadCut).await
            }

            #[tokio::test]
            async fn each_read_that_is_cut_in_the_middle_is_made_again_or_ends_the_run() -> TestResult {
                every(How::ReadHalved).await
            }

            #[tokio::test]
            async fn each_read_that_is_not_made_again_is_recovered_from() -> TestResult {
                every(How::ReadLost).await
            }
        }
    )*};
}

every_request_of! {
    append: PublishMode::Append, readable: false;
    overwrite: PublishMode::Overwrite, readable: false;
    replace: PublishMode::Replace, readable: true;
    merge: PublishMode::Merge, readable: false;
}

/// A server where a key has one upload, and uploads that were finished are forgotten.
const ONE_UPLOAD: Behaviour = Behaviour {
    conditions_are_ignored: false,
    ..Behaviour::GARAGE
};

// The other faults are the same wherever they happen.
#[tokio::test]
async fn each_lost_answer_where_a_key_has_one_upload_and_uploads_are_forgotten_is_recovered_from()
-> TestResult {
    every_request(ONE_UPLOAD, PublishMode::Overwrite, false, How::AnswerLost).await
}

#[tokio::test]
async fn each_repeat_where_a_key_has_one_upload_and_uploads_are_forgotten_is_recovered_from()
-> TestResult {
    every_request(ONE_UPLOAD, PublishMode::Overwrite, false, How::Repeated).await
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
