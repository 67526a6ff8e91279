//! Why a task failed, on the way from the executor to the run. Ballista's messages have one text for it, made of the debug form
//! of every error around the one that says something. Owns what is put there instead, and that an error of a file arrives as
//! what it is.

use std::error::Error;

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;
use files::ReadError;
use tables::causes;

use super::error::ClusterError;
use crate::chain;

/// Stands before a [`ReadError`] written as JSON.
const READ: &str = "a file cannot be read: ";

/// What an executor tells of the error of a task; `None` if it is one of Ballista's own, which the scheduler and the run know
/// by Ballista's words.
pub fn failure_of(error: &BallistaError) -> Option<String> {
    let cause = unwrapped(error);
    if cause.downcast_ref::<BallistaError>().is_some() {
        return None;
    }
    let read = causes(cause).find_map(|cause| cause.downcast_ref::<ReadError>());
    match read.map(serde_json::to_string) {
        Some(Ok(read)) => Some(format!("{READ}{read}")),
        Some(Err(_)) | None => Some(chain(cause)),
    }
}

/// The first error that is more than the wrapping of another.
fn unwrapped<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    loop {
        let wrapped: Option<&(dyn Error + 'static)> = match (
            error.downcast_ref::<BallistaError>(),
            error.downcast_ref::<DataFusionError>(),
        ) {
            (Some(BallistaError::DataFusionError(inner)), _) => Some(inner.as_ref()),
            (_, Some(DataFusionError::External(inner))) => Some(inner.as_ref()),
            (_, Some(DataFusionError::Shared(inner))) => Some(inner.as_ref()),
            _ => None,
        };
        match wrapped {
            Some(inner) => error = inner,
            None => return error,
        }
    }
}

/// The error of a job of which the scheduler says this.
pub(super) fn job_failed(job: &str, said: &str) -> ClusterError {
    let read = said.split_once(READ).and_then(|(_, read)| {
        // The scheduler may have more to say behind it.
        let mut read = serde_json::Deserializer::from_str(read).into_iter::<ReadError>();
        read.next()?.ok()
    });
    match read {
        Some(read) => ClusterError::Read(Box::new(read)),
        None => ClusterError::JobFailed {
            job: job.to_owned(),
            reason: reason_in(said).to_owned(),
        },
    }
}

/// Without what the scheduler puts before the words of a task.
fn reason_in(said: &str) -> &str {
    let said = said.trim();
    let Some(of_stage) = said.strip_prefix("Job failed due to stage ") else {
        return said;
    };
    match of_stage.split_once(" failed: ") {
        Some((stage, reason)) if stage.bytes().all(|byte| byte.is_ascii_digit()) => reason,
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn wrapped(error: impl Error + Send + Sync + 'static) -> BallistaError {
        let inner = DataFusionError::External(Box::new(error));
        let of_task = BallistaError::DataFusionError(Box::new(inner));
        let shared = DataFusionError::Shared(Arc::new(of_task.into_datafusion()));
        BallistaError::DataFusionError(Box::new(shared))
    }

    #[test]
    fn an_error_of_a_file_arrives_as_it_was() {
        let mut read = ReadError::of_file("in/a.csv", "it is no \"CSV\": {");
        read.line = Some(7);
        read.column = Some(String::from("day"));
        let told = failure_of(&wrapped(read.clone())).unwrap();
        for said in [
            told.clone(),
            format!("Job failed due to stage 2 failed: {told}\n\nand more"),
        ] {
            match job_failed("j", &said) {
                ClusterError::Read(arrived) => assert_eq!(*arrived, read),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn other_errors_arrive_as_their_words() {
        let error = DataFusionError::Execution(String::from("a divisor is zero"));
        let told = failure_of(&BallistaError::DataFusionError(Box::new(error))).unwrap();
        let failed = job_failed("j", &format!("Job failed due to stage 11 failed: {told}\n"));
        assert_eq!(
            failed.to_string(),
            "job j failed: Execution error: a divisor is zero"
        );
    }

    #[test]
    fn ballistas_own_errors_keep_its_words() {
        assert_eq!(failure_of(&BallistaError::Cancelled), None);
        let inner = BallistaError::GrpcConnectionError(String::from("gone")).into_datafusion();
        assert_eq!(
            failure_of(&BallistaError::DataFusionError(Box::new(inner))),
            None
        );
    }
}
