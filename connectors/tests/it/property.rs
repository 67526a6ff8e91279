//! For any sizes, faults and number of requests at a time: what is in is what comes out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use crate::server::{Reply, Server};
use crate::support::{bugs, read};
use crate::tracker::{Bug, Tracker};

/// One bug: tasks, activities, messages.
type Shape = (usize, usize, usize);

fn tracker(shapes: &[Shape]) -> Tracker {
    const WHEN: [&str; 3] = [
        "2024-01-10T08:00:00+00:00",
        "2024-01-10T08:00:00.000001+00:00",
        "2024-06-01T00:00:00+00:00",
    ];
    const WHAT: [&str; 2] = ["bug tags", "summary"];
    let bug = |(tasks, activity, messages): Shape| Bug {
        tasks,
        // Cycles of different lengths: some entries repeat exactly, beside one another or not.
        activity: (0..activity)
            .map(|index| (WHEN[index % 3], "ada-example", WHAT[index / 2 % 2]))
            .collect(),
        messages: (0..messages)
            .map(|index| (WHEN[index % 3], "ada-example", "text"))
            .collect(),
        ..Bug::of_ada()
    };
    Tracker::new((1..).zip(shapes.iter().copied().map(bug)))
}

fn expected(shapes: &[Shape]) -> Vec<(u64, usize)> {
    let listed = (1..).zip(shapes).filter(|(_, shape)| shape.0 > 0);
    listed
        .map(|(number, (_, activity, messages))| (number, 1 + activity + messages))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn multiset_in_is_multiset_out(
        shapes in prop::collection::vec((0_usize..5, 0_usize..25, 0_usize..25), 0..14),
        page_size in 1_usize..20,
        concurrency in 1_usize..9,
        faults in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            let (tracker, turn) = (tracker(&shapes), Mutex::new(0));
            // Every eighth fault code is one; no address meets six in a row.
            let server = Server::start(Duration::ZERO, move |request| {
                let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                *turn += 1;
                match (faults[*turn % faults.len()] % 24, *turn % 5) {
                    (0, 1..) => Reply::status(503, "RequestExpired"),
                    (1, 1..) => Reply::HangUp,
                    (2, 1..) => Reply::Truncated,
                    _ => tracker.answer(request),
                }
            })
            .await
            .unwrap();
            let options = [("page_size", page_size.to_string()), ("concurrency", concurrency.to_string()), ("max_attempts", "30".to_owned())];
            let options: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
            read(&bugs(&server.root, &options).unwrap()).await
        });
        prop_assert!(outcome.error.is_none(), "{:?}", outcome.error);
        prop_assert!(outcome.quarantined.is_empty(), "{:?}", outcome.quarantined);
        let keys = outcome.keys();
        let mut unique = keys.clone();
        unique.dedup();
        prop_assert_eq!(&unique, &keys, "a key twice");
        let mut counts = std::collections::BTreeMap::<u64, usize>::new();
        for record in &outcome.records {
            *counts.entry(record.unit.parse().unwrap()).or_default() += 1;
        }
        prop_assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected(&shapes));
        prop_assert!(outcome.adds_up(), "{:?}", outcome.metrics);
    }
}
