//! Reading collections: page after page, retried, narrowed where a page is too heavy.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::client::{Answer, Client};
use super::pagination::{Moved, Pager, Turn};
use super::template::FieldPath;
use crate::failure::{FailureKind, RequestFailure};

/// Times that a collection which must be read in one piece is begun again because it moved.
const MAX_RESTARTS: u32 = 5;

/// Reads the next page. Where the server is overloaded by it, smaller ones are asked for at the
/// same place before the attempts are used up.
pub(crate) async fn next_page(
    client: &Client,
    pager: &mut Pager,
    records: &FieldPath,
) -> Result<(Turn, Answer), RequestFailure> {
    let mut attempts = client.attempts();
    loop {
        let address = pager.address();
        let shape =
            |detail: String| RequestFailure::new(address.as_str(), FailureKind::Shape, detail);
        match client.attempt(&address).await {
            Ok(mut answer) => {
                let Some(Value::Array(rows)) = records.take(&mut answer.body) else {
                    return Err(shape(format!("there is no list at `{records}`")));
                };
                client.metrics().pages().increment();
                let turn = pager
                    .accept(&answer, rows)
                    .map_err(|stuck| shape(stuck.to_string()))?;
                if turn.moved != Moved::No {
                    client.metrics().list_moves().increment();
                    tracing::debug!(url = %address, moved = ?turn.moved, "list moved while it was read");
                }
                return Ok((turn, answer));
            }
            Err(failure) => {
                let narrowed = failure.is_overload() && pager.narrow();
                if narrowed {
                    client.metrics().narrowings().increment();
                }
                client.pause(attempts.after(failure, narrowed)?).await;
            }
        }
    }
}

/// Reads a whole collection that belongs to one unit. One that moves is read anew, so that the
/// rows are those of one moment and in their order. `read` counts the bytes of all collections of the unit, which is
/// held in memory until it is whole.
pub(crate) async fn whole_collection(
    client: &Client,
    mut pager: Pager,
    records: &FieldPath,
    read: &AtomicU64,
) -> Result<Vec<Value>, RequestFailure> {
    let mut here = 0;
    let mut rows = Vec::new();
    let mut restarts = 0;
    loop {
        let (turn, answer) = next_page(client, &mut pager, records).await?;
        here += answer.bytes;
        let most = client.max_unit_bytes();
        if read.fetch_add(answer.bytes, Ordering::Relaxed) + answer.bytes > most {
            return Err(RequestFailure::new(
                answer.url,
                FailureKind::TooMuch,
                format!("more than {most} bytes"),
            ));
        }
        if turn.moved == Moved::No {
            rows.extend(turn.rows);
            if turn.done {
                return Ok(rows);
            }
            continue;
        }
        restarts += 1;
        if restarts > MAX_RESTARTS {
            return Err(RequestFailure::new(
                answer.url,
                FailureKind::Moved,
                String::new(),
            ));
        }
        rows.clear();
        read.fetch_sub(std::mem::take(&mut here), Ordering::Relaxed);
        pager.restart();
    }
}
