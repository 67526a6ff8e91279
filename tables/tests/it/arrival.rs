//! How rows arrive does not matter: any order, slicing, number of streams and threads, size of batches and sufficient memory
//! give the same rows; with an order, the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tables::{SortKey, TableOptions};
use tempfile::TempDir;

use crate::support::{
    TestResult, assert_at_rest, digests, info, ints, rows_below, stage, table_at, texts,
};

/// What is written. Sort values repeat, so that the order alone does not decide between rows.
#[derive(Debug, Clone)]
struct Rows {
    count: u32,
    /// Partitions of the table; one of them is NULL.
    partitions: u32,
    text_bytes: u32,
}

impl Rows {
    fn part(&self, id: u32) -> Option<i64> {
        let part = id.wrapping_mul(2_654_435_761) % self.partitions;
        (part > 0).then(|| i64::from(part) - 3)
    }

    fn text(&self, id: u32) -> Option<String> {
        (!id.is_multiple_of(7)).then(|| {
            let mut text = String::new();
            while text.len() < (id % self.text_bytes) as usize {
                let _ = write!(
                    text,
                    "{:x}",
                    id.wrapping_mul(40_503).rotate_left(text.len() as u32)
                );
            }
            text
        })
    }

    fn batch(&self) -> TestResult<RecordBatch> {
        let ids = || 0..self.count;
        Ok(RecordBatch::try_from_iter([
            (
                "at",
                ints(ids().map(|id| (!id.is_multiple_of(11)).then_some(i64::from(id / 20)))),
            ),
            ("part", ints(ids().map(|id| self.part(id)))),
            ("text", texts(ids().map(|id| self.text(id)))),
            (
                "flag",
                Arc::new(ids().map(|id| Some(id % 2 == 0)).collect::<BooleanArray>()),
            ),
        ])?)
    }

    /// What a reader must see, worked out without the writer: partition and values, sorted.
    fn expected(&self) -> Vec<String> {
        let shown = |value: Option<String>| value.unwrap_or_default();
        let mut rows: Vec<String> = (0..self.count)
            .map(|id| {
                let part = self.part(id).map_or_else(
                    || tables::layout::NULL_PARTITION.to_owned(),
                    |part| part.to_string(),
                );
                let at = (!id.is_multiple_of(11)).then(|| (id / 20).to_string());
                format!(
                    "part={part}: {}|{}|{}",
                    shown(at),
                    shown(self.text(id)),
                    id % 2 == 0
                )
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}

/// The rows that a reader sees, and the digests of the files of each partition.
type Seen = (Vec<String>, BTreeMap<String, Vec<String>>);

/// How they come.
#[derive(Debug, Clone)]
struct Arrival {
    seed: u64,
    streams: usize,
    largest_slice: usize,
    threads: usize,
    batch_rows: usize,
    memory: Option<usize>,
}

impl Arrival {
    const PLAIN: Self = Self {
        seed: 0,
        streams: 1,
        largest_slice: usize::MAX,
        threads: 1,
        batch_rows: 8192,
        memory: None,
    };

    fn deal(&self, rows: &RecordBatch) -> TestResult<Vec<Vec<RecordBatch>>> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows())?).collect();
        order.shuffle(&mut random);
        let mut dealt = vec![vec![rows.slice(0, 0)]; self.streams];
        let mut at = 0;
        while at < order.len() {
            let left = order.len() - at;
            let length = random.random_range(1..=self.largest_slice.min(left));
            // Batches that own their rows, as operators give them: a slice would count as all that it is cut from.
            let chosen = UInt32Array::from(order[at..at + length].to_vec());
            dealt[random.random_range(0..self.streams)].push(take_record_batch(rows, &chosen)?);
            at += length;
        }
        Ok(dealt)
    }

    fn session(&self) -> TestResult<SessionContext> {
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(memory) = self.memory {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(memory)));
        }
        let mut config = SessionConfig::new()
            .with_target_partitions(self.streams)
            .with_batch_size(self.batch_rows);
        config.options_mut().execution.sort_spill_reservation_bytes = 128 << 10;
        Ok(SessionContext::new_with_config_rt(
            config,
            Arc::new(runtime.build()?),
        ))
    }

    /// Publishes the rows; gives what a reader sees and the digests of the files.
    fn publish(&self, rows: &Rows, options: &TableOptions) -> TestResult<Seen> {
        let work = async {
            let parent = TempDir::new()?;
            let folder = parent.path().join("t");
            let table = table_at(&folder)?;
            let ctx = self.session()?;
            let dealt = self.deal(&rows.batch()?)?;
            let (staging, change) = stage(&table, "run-1", options.clone(), &ctx, &dealt).await?;
            let commit = staging.publish(change, info(1)).await?;
            assert_at_rest(&folder).await?;
            TestResult::Ok((rows_below(&folder)?, digests(&commit)))
        };
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .enable_all()
            .build()?
            .block_on(work)
    }
}

fn rows() -> impl Strategy<Value = Rows> {
    (1_u32..12_000, 1_u32..40, 1_u32..200).prop_map(|(count, partitions, text_bytes)| Rows {
        count,
        partitions,
        text_bytes,
    })
}

fn arrival() -> impl Strategy<Value = Arrival> {
    (
        any::<u64>(),
        prop::sample::select(vec![1_usize, 2, 8]),
        prop::sample::select(vec![1_usize, 13, 1_000, 8_192, 100_000]),
        prop::sample::select(vec![1_usize, 2, 4]),
        prop::sample::select(vec![64_usize, 1_000, 8_192]),
        prop::sample::select(vec![
            None,
            Some(16_usize << 20),
            Some(32 << 20),
            Some(64 << 20),
        ]),
    )
        .prop_map(
            |(seed, streams, largest_slice, threads, batch_rows, memory)| Arrival {
                seed,
                streams,
                largest_slice,
                threads,
                batch_rows,
                memory,
            },
        )
}

fn options(sort: Vec<SortKey>) -> TableOptions {
    TableOptions {
        partition_by: vec!["part".to_owned()],
        sort,
        // Small, so that files and row groups end within the rows.
        row_group_rows: 1_000,
        target_file_bytes: 50_000,
        ..TableOptions::default()
    }
}

fn failed(error: &(dyn std::error::Error + Send + Sync)) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_the_same_however_they_arrive_and_bytes_too_when_there_is_an_order(
        rows in rows(),
        arrival in arrival(),
        descending in any::<bool>(),
        nulls_first in any::<bool>(),
    ) {
        let expected = rows.expected();
        let (found, _) = arrival.publish(&rows, &options(Vec::new())).map_err(|error| failed(error.as_ref()))?;
        prop_assert!(found == expected, "without an order: {} rows for {}", found.len(), expected.len());
        let sorted = options(vec![SortKey { column: "at".to_owned(), descending, nulls_first }]);
        let (found, bytes) = arrival.publish(&rows, &sorted).map_err(|error| failed(error.as_ref()))?;
        prop_assert!(found == expected, "with an order: {} rows for {}", found.len(), expected.len());
        let (_, plainly) = Arrival::PLAIN.publish(&rows, &sorted).map_err(|error| failed(error.as_ref()))?;
        prop_assert_eq!(bytes, plainly);
    }
}

/// The three numbers of streams and every budget, one by one, over rows that do not fit the smaller ones.
#[test]
fn one_two_and_eight_streams_in_any_sufficient_memory_give_the_same_bytes() -> TestResult {
    let rows = Rows {
        count: 80_000,
        partitions: 12,
        text_bytes: 400,
    };
    let sorted = TableOptions {
        row_group_rows: 1 << 20,
        target_file_bytes: 1 << 20,
        ..options(vec![SortKey::ascending("text")])
    };
    let (seen, expected) = Arrival::PLAIN.publish(&rows, &sorted)?;
    assert_eq!(seen, rows.expected());
    for (number, streams) in [1, 2, 8].into_iter().enumerate() {
        // Four of eight streams sort at a time; each needs its share for merging what it spilled.
        let least = if streams > 2 { 48 << 20 } else { 20 << 20 };
        for memory in [Some(least), Some(2 * least), None] {
            let arrival = Arrival {
                seed: number as u64 + 1,
                streams,
                largest_slice: 8_192,
                threads: 2,
                batch_rows: 2_048,
                memory,
            };
            let (_, found) = arrival.publish(&rows, &sorted)?;
            assert_eq!(found, expected, "{arrival:?}");
        }
    }
    Ok(())
}
