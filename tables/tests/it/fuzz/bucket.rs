//! A table in a bucket, with a victim beside it. The bucket is in memory, which takes every key for what it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tables::storage;
use tables::{PublishMode, StorageOptions, Table};
use url::Url;

use super::mutate::{self, NAMES};
use super::{Answers, Budget, operate};
use crate::lake::{FIRST, SECOND};
use crate::support::{TestResult, by_city, events, info, run, session, stage};

type Objects = BTreeMap<String, Bytes>;

const CONTROL: &str = "lake/.t.spillway/";

pub(super) async fn fuzz(budget: &Budget) -> TestResult {
    let bucket = format!("memory://fuzz-{}", uuid());
    let location = format!("{bucket}/lake/t");
    let options = StorageOptions::from_variables([]);
    let store = storage::bucket(&Url::parse(&location)?, &options)?.object_store();
    let make = || Ok(Table::open(&location, &options)?);
    prepare(&make()?, store.as_ref()).await?;
    let prepared = all(store.as_ref()).await?;
    let mut answers = Answers::default();
    let mut count = 0;
    for (seed, mut random) in budget.rounds() {
        for key in all(store.as_ref()).await?.keys() {
            store.delete(&Path::parse(key)?).await?;
        }
        let (objects, changes) = change(&mut random, prepared.clone());
        for (key, content) in &objects {
            store
                .put(&Path::parse(key)?, content.clone().into())
                .await?;
        }
        let context = format!("SPILLWAY_FUZZ_SEED={seed}: {changes:?}");
        operate(make, &mut answers)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
        let left = all(store.as_ref()).await?;
        for (key, content) in &objects {
            if key.starts_with("victim/") {
                assert_eq!(left.get(key), Some(content), "{context}");
            } else if key.starts_with(&format!("{CONTROL}commits/")) {
                assert!(left.contains_key(key), "{context}: {key} was erased");
            }
        }
        count += 1;
    }
    answers.say("control objects", count);
    Ok(())
}

fn uuid() -> u64 {
    rand::rng().random()
}

async fn all(store: &dyn ObjectStore) -> TestResult<Objects> {
    let listed: Vec<_> = store.list(None).try_collect().await?;
    let mut objects = Objects::new();
    for found in listed {
        let content = store.get(&found.location).await?.bytes().await?;
        objects.insert(found.location.to_string(), content);
    }
    Ok(objects)
}

/// A table with commits, one of them unfinished, and a run that staged and did not end.
async fn prepare(table: &Table, store: &dyn ObjectStore) -> TestResult {
    for key in [
        "victim/kept",
        "victim/city=a/part-00000-0123456789ab.parquet",
    ] {
        store
            .put(&Path::parse(key)?, "somebody else's".into())
            .await?;
    }
    for (number, mode) in [PublishMode::Overwrite, PublishMode::Append]
        .iter()
        .enumerate()
    {
        let run_id = format!("run-{number}");
        run(table, &run_id, *mode, &FIRST, info(1)).await?;
    }
    let (ctx, mode) = (session(None)?, by_city(PublishMode::Merge));
    let rows = vec![vec![events(&SECOND)?]];
    let (staging, _) = stage(table, "run-3", mode, &ctx, &rows).await?;
    let found = all(store).await?;
    staging.abandon().await?;
    for (key, content) in found {
        store.put(&Path::parse(&key)?, content.into()).await?;
    }
    let done = Path::parse(format!("{CONTROL}commits/00000002.done"))?;
    store.delete(&done).await?;
    // Free, so that operations get as far as they can.
    store
        .delete(&Path::parse(format!("{CONTROL}lock.json"))?)
        .await?;
    Ok(())
}

fn change(random: &mut ChaCha8Rng, mut objects: Objects) -> (Objects, Vec<String>) {
    let mut done = Vec::new();
    for _ in 0..random.random_range(1..=3) {
        let json = |key: &&String| key.starts_with(CONTROL) && key.ends_with(".json");
        let names: Vec<String> = objects.keys().filter(json).cloned().collect();
        let contents: Vec<Vec<u8>> = names.iter().map(|name| objects[name].to_vec()).collect();
        let Some(name) = names.choose(random) else {
            continue;
        };
        match random.random_range(0..10) {
            0 => {
                objects.remove(name);
                done.push(format!("{name} is gone"));
            }
            1 => {
                let other = NAMES.choose(random).copied().unwrap_or_default();
                let content = objects[name].clone();
                objects.insert(format!("{CONTROL}{other}"), content);
                done.push(format!("{name} is {other} too"));
            }
            _ => {
                let changed = mutate::content(random, &objects[name], &contents);
                let shown =
                    String::from_utf8_lossy(&changed[..changed.len().min(3000)]).into_owned();
                objects.insert(name.clone(), changed.into());
                done.push(format!("{name} is {shown}"));
            }
        }
    }
    (objects, done)
}
