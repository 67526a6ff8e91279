//! Assembling the run document in one snapshot.

use super::SqliteRunStore;
use crate::store::document::{QUARANTINE_LISTED, RunDocument, SCHEMA_VERSION, SourceLedger};
use crate::store::error::StoreError;
use crate::store::identity::RunId;

impl SqliteRunStore {
    /// A read transaction keeps the state of its first read, so that the parts agree with each other
    /// while the run goes on writing.
    pub(super) async fn assemble(&self, run: RunId) -> Result<RunDocument, StoreError> {
        const OPERATION: &str = "read everything about a run";
        let mut snapshot = self
            .connections
            .readers
            .begin()
            .await
            .map_err(self.fault(OPERATION))?;
        let mut ledger = Vec::new();
        for totals in self.totals(&mut snapshot, run).await? {
            let entries = self.all_chunks(&mut snapshot, run, &totals.source).await?;
            ledger.push(SourceLedger { totals, entries });
        }
        let document = RunDocument {
            schema_version: SCHEMA_VERSION,
            run: self.load(&mut snapshot, run).await?,
            stages: self.stages(&mut snapshot, run).await?,
            ledger,
            memory: self.snapshots(&mut snapshot, run).await?,
            quarantine: self
                .quarantine_page(&mut snapshot, run, 0, QUARANTINE_LISTED)
                .await?,
            outputs: self.outputs(&mut snapshot, run).await?,
            warnings: self.warnings(&mut snapshot, run).await?,
        };
        snapshot.rollback().await.map_err(self.fault(OPERATION))?;
        Ok(document)
    }
}
