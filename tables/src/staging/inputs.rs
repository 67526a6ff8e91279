//! Files of this machine that other processes read while they write a table: put into the run's staging area, which all
//! writers reach, and dropped with it. Owns the copy; what is in the files is not looked at.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use tokio::io::AsyncReadExt;
use url::Url;

use super::Staging;
use crate::error::Result;
use crate::store::{StageTarget, StoreError};

/// So much of a file is in memory at a time.
const PIECE_BYTES: u64 = 8 << 20;

/// Files in the staging area that others may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedInputs {
    /// Their folder; ends with `/`.
    pub url: Url,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Staging {
    /// Copies files into `folder` of the run's staging area, under their own names; `ctx` can open the folder afterwards.
    /// To be called once for a folder. They are dropped when the run publishes or is abandoned, or by the next run.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if a file cannot be read or written. What was copied stays until the run ends.
    pub async fn stage_inputs(
        &self,
        folder: &str,
        files: &[PathBuf],
        ctx: &SessionContext,
    ) -> Result<StagedInputs> {
        let folder = format!("{}/{folder}", self.token);
        let mut bytes = 0;
        for file in files {
            bytes += self.copy(&folder, file).await?;
        }
        self.open_to(ctx);
        Ok(StagedInputs {
            url: self.store.staged_url(&folder)?,
            files: files.len() as u64,
            bytes,
        })
    }

    async fn copy(&self, folder: &str, file: &Path) -> Result<u64> {
        let unreadable = |error| StoreError::from_io("read the landed file", file.display(), error);
        let mut source = tokio::fs::File::open(file).await.map_err(unreadable)?;
        let expected_bytes = source.metadata().await.map_err(unreadable)?.len();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let staged = format!("{folder}/{name}");
        let mut copy = self
            .store
            .stage(&StageTarget {
                published: staged.clone(),
                staged,
                readable: true,
                expected_bytes,
            })
            .await?;
        let mut bytes = 0;
        loop {
            let mut piece = Vec::new();
            let read = (&mut source)
                .take(PIECE_BYTES)
                .read_to_end(&mut piece)
                .await
                .map_err(unreadable)?;
            bytes += read as u64;
            if read as u64 == PIECE_BYTES {
                copy.write(Bytes::from(piece)).await?;
            } else {
                copy.finish(Bytes::from(piece)).await?;
                return Ok(bytes);
            }
        }
    }
}
