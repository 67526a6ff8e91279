//! Readers of others that give up. Owns that a panic in one is an error of the file it was reading, and is not shown as a panic:
//! what a file holds is no defect of this program.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// A reader gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GaveUp;

/// Shows the panics of this process as before, but for those of readers, which become errors. For a program to call as it
/// begins.
pub fn hide_panics_of_readers() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !GUARDED.get() {
            shown(panic);
        }
    }));
}

/// Calls a reader.
pub(crate) fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, GaveUp> {
    let before = GUARDED.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    read.map_err(|_| GaveUp)
}

/// Waits for a reader.
pub(crate) async fn guarded_async<F: Future>(read: F) -> Result<F::Output, GaveUp> {
    Guarded(pin!(read)).await
}

struct Guarded<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for Guarded<'_, F> {
    type Output = Result<F::Output, GaveUp>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match guarded(|| self.0.as_mut().poll(context)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(gave_up) => Poll::Ready(Err(gave_up)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        assert_eq!(guarded(|| 1), Ok(1));
        let gives_up = || assert!(std::hint::black_box(false));
        assert_eq!(guarded(gives_up), Err(GaveUp));
        assert!(!GUARDED.get());
        assert_eq!(guarded_async(async { GUARDED.get() }).await, Ok(true));
        let later = async {
            tokio::task::yield_now().await;
            gives_up();
        };
        assert_eq!(guarded_async(later).await, Err(GaveUp));
    }
}
