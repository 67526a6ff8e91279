//! The life of a table on object stores that others made, and on ours: every mode, reruns, runs that were cut off,
//! compaction and verification. What one of them does otherwise than ours shows here.
//!
//! Two tests for each server, because each test has a process and starts its server.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use http::Request;
use object_store::ClientOptions;
use object_store::ObjectStoreExt;
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use tables::storage::{self, StorageTraffic};
use tables::store::BucketStore;
use tables::{Commit, CompactOptions, Error, Provider, PublishMode, StorageOptions, Table};
use tempfile::TempDir;
use testkit::Service;
use testkit::s3::{Behaviour, S3Options, S3Server};
use url::Url;

use crate::faulty::{Fault, faulty_store};
use crate::lake::{FIRST, MODES, SECOND, rows_of, run};
use crate::once::{Once, run_once};
use crate::support::{
    Event, TestResult, by_city, covered, events, info, interval, rows_below, session, table_at,
};

/// Every so many calls of the storage a run is cut off.
const CUT_EVERY: usize = 9;

/// A server, as a table and a reader beside it reach it.
pub(crate) struct Server {
    /// The bucket as a URL, without a slash at its end.
    root: String,
    options: StorageOptions,
    /// Where S3's own requests go to; `None` where it is another protocol.
    s3: Option<String>,
    /// Whether finishing an upload replaces a file in one step.
    in_place: bool,
}

/// A table on it.
pub(crate) struct Place<'a> {
    server: &'a Server,
    name: String,
}

impl Server {
    pub(crate) fn place(&self, name: impl Into<String>) -> Place<'_> {
        let name = name.into();
        Place { server: self, name }
    }

    fn traffic(&self) -> TestResult<StorageTraffic> {
        Ok(storage::bucket(&Url::parse(&self.root)?, &self.options)?.traffic())
    }

    /// The answer to S3's list of unfinished uploads; empty where there is no such list.
    async fn uploads(&self, prefix: &str) -> TestResult<String> {
        let Some(bucket) = &self.s3 else {
            return Ok(String::new());
        };
        let client =
            ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true))?;
        let request = Request::get(format!("{bucket}?uploads&prefix={prefix}"))
            .body(HttpRequestBody::empty())?;
        let answer = client.execute(request).await?;
        assert!(answer.status().is_success(), "{}", answer.status());
        Ok(String::from_utf8_lossy(&answer.into_body().bytes().await?).into_owned())
    }
}

impl Place<'_> {
    fn location(&self) -> String {
        format!("{}/{}/events", self.server.root, self.name)
    }

    pub(crate) fn store(&self) -> TestResult<BucketStore> {
        Ok(BucketStore::new(&self.location(), &self.server.options)?)
    }

    pub(crate) fn table(&self) -> TestResult<Table> {
        Ok(Table::open(&self.location(), &self.server.options)?)
    }

    /// Every object below a folder of the place, by its key below it.
    pub(crate) async fn objects(&self, folder: &str) -> TestResult<BTreeMap<String, Bytes>> {
        let bucket = storage::bucket(&Url::parse(&self.server.root)?, &self.server.options)?;
        let store = bucket.object_store();
        let prefix = Path::parse(format!("{}/{folder}", self.name))?;
        let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
        let mut objects = BTreeMap::new();
        for object in listed {
            let key = object
                .location
                .as_ref()
                .replacen(&format!("{prefix}/"), "", 1);
            let content = store.get(&object.location).await?.bytes().await?;
            objects.insert(key, content);
        }
        Ok(objects)
    }

    /// What a reader that lists the table sees; fails on a file that is not whole.
    async fn rows(&self) -> TestResult<Vec<String>> {
        rows_of(&self.objects("events").await?)
    }

    async fn run(
        &self,
        table: &Table,
        run_id: &str,
        mode: PublishMode,
        rows: &[Event],
        readable: bool,
    ) -> TestResult<Commit> {
        let cursor = if run_id == "run-1" { 1 } else { 2 };
        run(table, run_id, mode, rows, readable, interval(cursor)).await
    }

    pub(crate) async fn first(&self, readable: bool) -> TestResult {
        let table = self.table()?;
        let overwrite = PublishMode::Overwrite;
        let commit = self.run(&table, "run-1", overwrite, &FIRST, readable);
        assert_eq!(commit.await?.number, 1);
        Ok(())
    }

    /// Makes a copy of another place: the same table, without the runs that made it.
    async fn copy_of(&self, other: &Place<'_>) -> TestResult {
        let bucket = storage::bucket(&Url::parse(&self.server.root)?, &self.server.options)?;
        let store = bucket.object_store();
        let listed: Vec<_> = store
            .list(Some(&Path::parse(&other.name)?))
            .try_collect()
            .await?;
        for object in listed {
            let to = object
                .location
                .as_ref()
                .replacen(&other.name, &self.name, 1);
            store.copy(&object.location, &Path::parse(to)?).await?;
        }
        Ok(())
    }

    /// Changes one object as somebody else.
    pub(crate) async fn put(&self, key: &str, content: Vec<u8>) -> TestResult {
        let bucket = storage::bucket(&Url::parse(&self.server.root)?, &self.server.options)?;
        let path = Path::parse(format!("{}/{key}", self.name))?;
        bucket.object_store().put(&path, content.into()).await?;
        Ok(())
    }

    /// The second run. Of an append that is done already nothing comes; the other modes do it again.
    async fn second(
        &self,
        table: &Table,
        mode: PublishMode,
        readable: bool,
    ) -> TestResult<Option<Commit>> {
        if mode != PublishMode::Append {
            let commit = self.run(table, "run-2", mode, &SECOND, readable).await?;
            return Ok(Some(commit));
        }
        let (options, rows) = (by_city(mode), events(&SECOND)?);
        let once = run_once(table, "run-2", options, rows, readable, interval(2)).await?;
        Ok(match once {
            Once::Now(commit) => Some(*commit),
            Once::Before(_) => None,
        })
    }

    /// T-1, T-2, and nothing is left of any attempt.
    pub(crate) async fn assert_at_rest(&self, context: &str) -> TestResult {
        let verified = self.table()?.verify(true).await?;
        assert!(verified.is_clean(), "{context}: {verified:?}");
        let commit = self.table()?.current().await?.ok_or("no commit")?;
        let rows = self.rows().await?;
        assert_eq!(rows.len() as u64, commit.totals.rows, "T-2: {context}");
        let control = self.objects(".events.spillway").await?;
        let left: Vec<&String> = control
            .keys()
            .filter(|key| {
                ["staging/", "intents/", "probe/"]
                    .iter()
                    .any(|area| key.starts_with(area))
            })
            .collect();
        assert!(left.is_empty(), "{context}: left behind: {left:?}");
        let uploads = self.server.uploads(&format!("{}%2F", self.name)).await?;
        assert!(!uploads.contains("<Upload>"), "{context}: {uploads}");
        Ok(())
    }
}

/// The rows of a table on the local filesystem after both runs.
async fn rows_on_disk(mode: PublishMode) -> TestResult<Vec<String>> {
    let parent = TempDir::new()?;
    let folder = parent.path().join("events");
    let table = table_at(&folder)?;
    let overwrite = PublishMode::Overwrite;
    run(&table, "run-1", overwrite, &FIRST, true, interval(1)).await?;
    run(&table, "run-2", mode, &SECOND, true, interval(2)).await?;
    rows_below(&folder)
}

async fn modes_and_reruns(server: &Server) -> TestResult {
    for mode in MODES {
        let expected = rows_on_disk(mode).await?;
        for readable in [true, false] {
            let place = server.place(format!("modes/{mode}/{readable}"));
            let context = format!("{mode}, readable: {readable}");
            place.first(readable).await?;
            place.assert_at_rest(&context).await?;
            // A run that found something to publish, and once more.
            for rerun in [false, true] {
                let commit = place.second(&place.table()?, mode, readable).await?;
                if mode == PublishMode::Overwrite && !rerun {
                    let window = commit.and_then(|commit| commit.window);
                    let in_place = readable || server.in_place;
                    assert_eq!(window.is_none(), in_place, "{context}: {window:?}");
                }
                assert_eq!(place.rows().await?, expected, "{context}");
                place.assert_at_rest(&context).await?;
            }
            let number = place.table()?.current().await?.map(|commit| commit.number);
            assert_eq!(number, Some(2), "{context}: a rerun changes nothing");
        }
    }
    Ok(())
}

/// Runs whose storage is gone from one call on, as after a kill; another process finds what they left.
async fn runs_that_were_cut_off(server: &Server) -> TestResult {
    let mut points = 0;
    for (nth, mode) in MODES.into_iter().enumerate() {
        let expected = rows_on_disk(mode).await?;
        let readable = nth % 2 == 0;
        let prepared = server.place(format!("prepared/{mode}"));
        prepared.first(readable).await?;
        let before = prepared.objects("events").await?;
        for at in (nth + 1..).step_by(CUT_EVERY) {
            let context = format!("{mode}, readable: {readable}, call {at}");
            let place = server.place(format!("cut/{mode}/{at}"));
            place.copy_of(&prepared).await?;
            let (table, faults) = faulty_store(Arc::new(place.store()?), at, Fault::Killed);
            let outcome = place.second(&table, mode, readable).await;
            drop(table);
            if !faults.fired() {
                outcome?;
                break;
            }
            points += 1;
            let newest = place.table()?.current().await?.map(|commit| commit.number);
            if newest == Some(1) {
                assert_eq!(place.objects("events").await?, before, "{context}");
            }
            let table = place.table()?;
            table
                .recover()
                .await
                .map_err(|error| format!("{context}: {error:?}"))?;
            assert!(table.recover().await?.is_clean(), "T-6: {context}");
            place.assert_at_rest(&context).await?;
            place.second(&table, mode, readable).await?;
            assert_eq!(place.rows().await?, expected, "{context}");
            place.assert_at_rest(&context).await?;
        }
    }
    covered(&format!(
        "{}: {points} runs cut off, at every {CUT_EVERY}. call",
        server.root
    ));
    assert!(points > 12, "only {points} points");
    Ok(())
}

async fn compaction(server: &Server) -> TestResult {
    let place = server.place("compaction");
    let table = place.table()?;
    for round in 1..=3 {
        let rows = FIRST.map(|Event(id, city, at, note)| Event(round * 10 + id, city, at, note));
        let append = PublishMode::Append;
        run(&table, "run", append, &rows, false, info(round)).await?;
    }
    let rows = place.rows().await?;
    let ctx = session(None)?;
    let options = CompactOptions::default();
    let stop = std::future::pending();
    let done = table.compact("compaction", &ctx, &options, stop).await?;
    assert_eq!((done.commit, done.partitions.len()), (Some(4), 3));
    assert_eq!(place.objects("events").await?.len(), 3);
    assert_eq!(place.rows().await?, rows);
    place.assert_at_rest("compaction").await
}

/// A table says what is wrong with it, and a folder with files of others is no table.
async fn verification(server: &Server) -> TestResult {
    let place = server.place("verification");
    place.first(false).await?;
    let bucket = storage::bucket(&Url::parse(&server.root)?, &server.options)?;
    let store = bucket.object_store();
    let files = place.objects("events").await?;
    let (gone, _) = files.first_key_value().ok_or("no file")?;
    store
        .delete(&Path::parse(format!("verification/events/{gone}"))?)
        .await?;
    let foreign = Path::from("verification/events/city=Ghent/export.parquet");
    store.put(&foreign, "foreign".into()).await?;
    let found = place.table()?.verify(true).await?;
    assert_eq!(found.missing.as_slice(), std::slice::from_ref(gone));
    assert_eq!(found.foreign, ["city=Ghent/export.parquet"]);

    let others = server.place("others");
    // Hidden ones do not count.
    store
        .put(&Path::from("others/events/_SUCCESS"), "".into())
        .await?;
    others.table()?.recover().await?;
    store
        .put(&Path::from("others/events/a b.parquet"), "x".into())
        .await?;
    let refused = others
        .first(false)
        .await
        .err()
        .ok_or("it was not refused")?;
    assert!(
        matches!(
            refused.downcast_ref::<Error>(),
            Some(Error::ForeignFiles { .. })
        ),
        "{refused}"
    );
    Ok(())
}

async fn whole_life(server: &Server) -> TestResult {
    modes_and_reruns(server).await?;
    compaction(server).await?;
    verification(server).await?;
    covered(&format!("{}: {}", server.root, server.traffic()?));
    Ok(())
}

fn s3(endpoint: &str, bucket: &str, environment: Vec<(String, String)>) -> Server {
    Server {
        root: format!("s3://{bucket}"),
        options: StorageOptions::from_variables(environment),
        s3: Some(format!("{endpoint}/{bucket}")),
        in_place: true,
    }
}

pub(crate) fn azure(service: &Service) -> Server {
    Server {
        root: format!("az://{}", service.bucket()),
        options: StorageOptions::from_variables(service.environment()),
        s3: None,
        in_place: false,
    }
}

/// Our own server, which wants signatures: its uploads are not asked for but looked at.
fn our_own() -> TestResult<(S3Server, Server)> {
    let service = S3Server::start(S3Options {
        behaviour: Behaviour::default(),
        ..S3Options::default()
    })?;
    let mut server = s3("", service.bucket(), service.environment());
    server.s3 = None;
    Ok((service, server))
}

fn moto(service: &Service) -> Server {
    s3(service.endpoint(), service.bucket(), service.environment())
}

#[tokio::test]
async fn a_table_lives_its_whole_life_on_our_own_s3() -> TestResult {
    let (service, server) = our_own()?;
    whole_life(&server).await?;
    assert_eq!(service.pending_uploads(), []);
    Ok(())
}

#[tokio::test]
async fn runs_that_were_cut_off_on_our_own_s3_are_recovered_from() -> TestResult {
    let (service, server) = our_own()?;
    runs_that_were_cut_off(&server).await?;
    assert_eq!(service.pending_uploads(), []);
    Ok(())
}

#[tokio::test]
async fn a_table_lives_its_whole_life_on_moto() -> TestResult {
    let Some(service) = Service::moto()? else {
        return Ok(());
    };
    whole_life(&moto(&service)).await
}

#[tokio::test]
async fn runs_that_were_cut_off_on_moto_are_recovered_from() -> TestResult {
    let Some(service) = Service::moto()? else {
        return Ok(());
    };
    runs_that_were_cut_off(&moto(&service)).await
}

#[tokio::test]
async fn a_table_lives_its_whole_life_on_azurite() -> TestResult {
    let Some(service) = Service::azurite()? else {
        return Ok(());
    };
    whole_life(&azure(&service)).await
}

#[tokio::test]
async fn runs_that_were_cut_off_on_azurite_are_recovered_from() -> TestResult {
    let Some(service) = Service::azurite()? else {
        return Ok(());
    };
    runs_that_were_cut_off(&azure(&service)).await
}

#[tokio::test]
async fn the_client_of_google_refuses_a_server_that_ignores_its_conditions() -> TestResult {
    let Some(service) = Service::moto()? else {
        return Ok(());
    };
    let variables = [
        ("GOOGLE_BASE_URL", service.endpoint()),
        ("GOOGLE_OAUTH_ACCESS_TOKEN", "x"),
        ("GOOGLE_ALLOW_HTTP", "true"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = Server {
        root: format!("gs://{}", service.bucket()),
        options: StorageOptions::from_variables(variables),
        s3: Some(format!("{}/{}", service.endpoint(), service.bucket())),
        in_place: false,
    };
    let place = server.place("google");
    let store = storage::bucket(&Url::parse(&server.root)?, &server.options)?;
    assert_eq!(store.provider(), Provider::Google);
    let refused = place.first(false).await.err().ok_or("it was not refused")?;
    let refused = refused.to_string();
    assert!(refused.contains("ignores conditional puts"), "{refused}");
    assert!(!server.uploads("google%2F").await?.contains("<Upload>"));
    let listed = store
        .object_store()
        .list_with_delimiter(Some(&Path::from("google")))
        .await?;
    assert!(
        listed.objects.is_empty() && listed.common_prefixes.is_empty(),
        "{listed:?}"
    );
    Ok(())
}
