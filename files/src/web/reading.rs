//! The bytes of a file on a web server, one after the other. Owns that a connection that breaks is taken up at the byte where
//! it broke, in the same version or not at all, and that what was not asked for is passed over without being kept.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use datafusion::object_store::Result;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use reqwest::Response;

use super::fault::Failure;
use super::key::Seen;
use super::patience::Patience;
use super::server::Server;

/// See the module.
pub(super) struct Reading {
    server: Arc<Server>,
    target: String,
    seen: Seen,
    /// The next byte.
    at: u64,
    /// Where it ends, if that is known.
    until: Option<u64>,
    /// An answer, and how many of its bytes are to be passed over.
    answer: Option<(Response, u64)>,
    begun: bool,
    ended: bool,
    patience: Patience,
}

impl Reading {
    /// Begins to read at a byte.
    ///
    /// # Errors
    /// When the server does not give it, or not the version that was seen.
    pub(super) async fn begin(
        server: Arc<Server>,
        target: String,
        seen: Seen,
        from: u64,
        until: Option<u64>,
    ) -> Result<Self> {
        let patience = Patience::new(&server.retry);
        let mut reading = Self {
            ended: until.is_some_and(|until| from >= until),
            server,
            target,
            seen,
            at: from,
            until,
            answer: None,
            begun: false,
            patience,
        };
        while !reading.ended && reading.answer.is_none() {
            reading.open().await?;
        }
        Ok(reading)
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold(self, Self::next).boxed()
    }

    /// Asks for the bytes from here on, once; waits if another attempt is worth it.
    async fn open(&mut self) -> Result<()> {
        let open = self
            .server
            .open(&self.target, &self.seen, self.at, self.until);
        match open.await {
            Ok(answer) => self.answer = Some(answer),
            Err(failure) => self.wait(failure).await?,
        }
        Ok(())
    }

    async fn wait(&mut self, failure: Failure) -> Result<()> {
        let waited = self.server.wait(&mut self.patience, &self.target, failure);
        waited.await
    }

    /// An answer broke off: what is behind may be of another file, if nothing tells.
    async fn broken(&mut self, failure: Failure) -> Result<()> {
        let failure = match failure {
            Failure::Passing { what, .. } if self.begun && self.seen.version.is_none() => {
                Failure::Lasting(format!(
                    "{what} behind {} bytes, and the server has neither an ETag nor a time of change by which the rest could be known to be of the same file",
                    self.at
                ))
            }
            failure => failure,
        };
        self.wait(failure).await
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.ended || self.until.is_some_and(|until| self.at >= until) {
                return Ok(None);
            }
            let Some((answer, before)) = &mut self.answer else {
                self.open().await?;
                continue;
            };
            match answer.chunk().await {
                Ok(Some(mut bytes)) => {
                    let passed = usize::try_from(*before)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    bytes.advance(passed);
                    *before -= passed as u64;
                    if let Some(until) = self.until {
                        let left = usize::try_from(until - self.at).unwrap_or(usize::MAX);
                        bytes.truncate(left);
                    }
                    if bytes.is_empty() {
                        continue;
                    }
                    self.at += bytes.len() as u64;
                    self.begun = true;
                    self.patience.received(bytes.len());
                    return Ok(Some((bytes, self)));
                }
                Ok(None) if self.until.is_none() => self.ended = true,
                Ok(None) => {
                    self.answer = None;
                    self.broken(Failure::passing("the answer ends")).await?;
                }
                Err(error) => {
                    self.answer = None;
                    self.broken(Failure::of_transport(&error)).await?;
                }
            }
        }
    }
}
