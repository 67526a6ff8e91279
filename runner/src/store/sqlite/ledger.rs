//! The landing ledger: appending, paging, sums.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::rows::{ChunkRow, TotalsRow};
use super::{SqliteRunStore, instant, integer};
use crate::store::error::StoreError;
use crate::store::identity::{RunAttempt, RunId};
use crate::store::records::{Chunk, LedgerTotals};

impl SqliteRunStore {
    pub(super) async fn append(
        &self,
        attempt: RunAttempt,
        chunks: &[Chunk],
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "append to the landing ledger";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        let mut next_of: HashMap<&str, u64> = HashMap::new();
        for chunk in chunks {
            let next = match next_of.get(chunk.source.as_str()) {
                Some(next) => *next,
                None => {
                    self.next_sequence(&mut transaction, attempt.run, &chunk.source)
                        .await?
                }
            };
            if chunk.sequence > next {
                return Err(StoreError::LedgerGap {
                    run: attempt.run,
                    source_table: chunk.source.clone(),
                    expected: next,
                    found: chunk.sequence,
                });
            }
            if chunk.sequence < next {
                self.require_same(&mut transaction, attempt.run, chunk)
                    .await?;
                next_of.insert(&chunk.source, next);
            } else {
                self.insert_chunk(&mut transaction, attempt.run, chunk)
                    .await?;
                next_of.insert(&chunk.source, next + 1);
            }
        }
        self.commit(transaction, OPERATION).await
    }

    async fn next_sequence(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
        source: &str,
    ) -> Result<u64, StoreError> {
        sqlx::query_scalar(
            "SELECT coalesce(max(sequence) + 1, 0) FROM chunks WHERE run = ?1 AND source = ?2",
        )
        .bind(run.to_string())
        .bind(source)
        .fetch_one(connection)
        .await
        .map_err(self.fault("find the end of the landing ledger"))
    }

    /// An entry appended again must be the one that is there. Only the time may differ: a process that
    /// lost the answer notes a later one.
    async fn require_same(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
        chunk: &Chunk,
    ) -> Result<(), StoreError> {
        let stored: ChunkRow = sqlx::query_as(
            "SELECT source, sequence, path, rows, units, bytes, digest, cursor, landed_at \
             FROM chunks WHERE run = ?1 AND source = ?2 AND sequence = ?3",
        )
        .bind(run.to_string())
        .bind(&chunk.source)
        .bind(integer(chunk.sequence))
        .fetch_one(connection)
        .await
        .map_err(self.fault("compare with the landing ledger"))?;
        let stored = Chunk {
            landed_at: chunk.landed_at,
            ..Chunk::from(stored)
        };
        if stored == *chunk {
            Ok(())
        } else {
            Err(StoreError::LedgerConflict {
                run,
                source_table: chunk.source.clone(),
                sequence: chunk.sequence,
            })
        }
    }

    async fn insert_chunk(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
        chunk: &Chunk,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO chunks (run, source, sequence, path, rows, units, bytes, digest, cursor, landed_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(run.to_string())
        .bind(&chunk.source)
        .bind(integer(chunk.sequence))
        .bind(&chunk.path)
        .bind(integer(chunk.rows))
        .bind(integer(chunk.units))
        .bind(integer(chunk.bytes))
        .bind(&chunk.digest)
        .bind(chunk.cursor.as_deref())
        .bind(instant(chunk.landed_at))
        .execute(connection)
        .await
        .map_err(self.fault("append to the landing ledger"))?;
        Ok(())
    }

    pub(super) async fn ledger_page(
        &self,
        run: RunId,
        source: &str,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Chunk>, StoreError> {
        let rows: Vec<ChunkRow> = sqlx::query_as(
            "SELECT source, sequence, path, rows, units, bytes, digest, cursor, landed_at \
             FROM chunks WHERE run = ?1 AND source = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
        )
        .bind(run.to_string())
        .bind(source)
        .bind(after.map_or(-1, integer))
        .bind(limit)
        .fetch_all(&self.connections.readers)
        .await
        .map_err(self.fault("read the landing ledger"))?;
        Ok(rows.into_iter().map(Chunk::from).collect())
    }

    pub(super) async fn all_chunks(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
        source: &str,
    ) -> Result<Vec<Chunk>, StoreError> {
        let rows: Vec<ChunkRow> = sqlx::query_as(
            "SELECT source, sequence, path, rows, units, bytes, digest, cursor, landed_at \
             FROM chunks WHERE run = ?1 AND source = ?2 ORDER BY sequence",
        )
        .bind(run.to_string())
        .bind(source)
        .fetch_all(connection)
        .await
        .map_err(self.fault("read the landing ledger"))?;
        Ok(rows.into_iter().map(Chunk::from).collect())
    }

    pub(super) async fn totals(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Vec<LedgerTotals>, StoreError> {
        let rows: Vec<TotalsRow> = sqlx::query_as(
            "SELECT source, count(*) AS chunks, sum(rows) AS rows, sum(units) AS units, sum(bytes) AS bytes \
             FROM chunks WHERE run = ?1 GROUP BY source ORDER BY source",
        )
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .map_err(self.fault("sum up the landing ledger"))?;
        Ok(rows.into_iter().map(LedgerTotals::from).collect())
    }
}
