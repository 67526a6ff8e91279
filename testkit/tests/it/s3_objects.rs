//! Objects: conditions, ranges, listings, signatures.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::S3CopyIfNotExists;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use testkit::s3::{Behaviour, S3Options, S3Server};
use testkit::wait_for;

use super::client::{Raw, builder, server, store};

#[tokio::test]
async fn an_object_reads_back_whole_and_in_ranges() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let path = Path::from("a/ä b=c%2F.txt");
    let put = s3.put(&path, "0123456789".into()).await.unwrap();
    let get = s3.get(&path).await.unwrap();
    assert_eq!(get.meta.e_tag, put.e_tag);
    assert_eq!(get.meta.size, 10);
    assert_eq!(get.bytes().await.unwrap(), "0123456789");
    assert_eq!(s3.get_range(&path, 2..5).await.unwrap(), "234");
    let last = GetOptions {
        range: Some(GetRange::Suffix(3)),
        ..GetOptions::default()
    };
    let last = s3.get_opts(&path, last).await.unwrap();
    assert_eq!(last.bytes().await.unwrap(), "789");
    let from = GetOptions {
        range: Some(GetRange::Offset(8)),
        ..GetOptions::default()
    };
    let from = s3.get_opts(&path, from).await.unwrap();
    assert_eq!(from.bytes().await.unwrap(), "89");
    assert_eq!(s3.head(&path).await.unwrap().e_tag, put.e_tag);
    assert_eq!(server.objects("a/").len(), 1);

    let beyond = Raw::of(&server)
        .send("GET", "/a", &[("range", "bytes=5-6")], "")
        .await;
    assert_eq!(
        (beyond.status, beyond.element("Code")),
        (404, Some("NoSuchKey"))
    );
    server.put_object("a", "1234").unwrap();
    let beyond = Raw::of(&server)
        .send("GET", "/a", &[("range", "bytes=5-6")], "")
        .await;
    assert_eq!(
        (beyond.status, beyond.element("Code")),
        (416, Some("InvalidRange"))
    );
}

#[tokio::test]
async fn a_read_can_depend_on_the_etag() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let path = Path::from("a");
    let etag = s3.put(&path, "1".into()).await.unwrap().e_tag;
    let matching = |e_tag: Option<String>| GetOptions {
        if_match: e_tag,
        ..GetOptions::default()
    };
    s3.get_opts(&path, matching(etag.clone())).await.unwrap();
    s3.put(&path, "2".into()).await.unwrap();
    let stale = s3.get_opts(&path, matching(etag.clone())).await;
    assert!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{stale:?}"
    );
    let current = s3.head(&path).await.unwrap().e_tag;
    let unchanged = GetOptions {
        if_none_match: current,
        ..GetOptions::default()
    };
    let unchanged = s3.get_opts(&path, unchanged).await;
    assert!(
        matches!(unchanged, Err(Error::NotModified { .. })),
        "{unchanged:?}"
    );
}

#[tokio::test]
async fn a_create_of_what_exists_and_an_update_of_what_changed_are_refused() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let path = Path::from("a");
    let create = || PutOptions::from(PutMode::Create);
    let update = |e_tag| {
        PutOptions::from(PutMode::Update(UpdateVersion {
            e_tag,
            version: None,
        }))
    };
    let first = s3.put_opts(&path, "1".into(), create()).await.unwrap();
    let again = s3.put_opts(&path, "2".into(), create()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    s3.put_opts(&path, "3".into(), update(first.e_tag.clone()))
        .await
        .unwrap();
    let stale = s3.put_opts(&path, "4".into(), update(first.e_tag)).await;
    assert!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{stale:?}"
    );
    assert_eq!(server.object("a").unwrap(), "3");
    let etag = s3.head(&path).await.unwrap().e_tag.unwrap();
    s3.delete(&path).await.unwrap();
    let gone = s3
        .put_opts(&path, "5".into(), update(Some(etag.clone())))
        .await;
    assert!(matches!(gone, Err(Error::Precondition { .. })), "{gone:?}");
    // Beneath, AWS distinguishes the two.
    let raw = Raw::of(&server);
    let gone = raw.send("PUT", "/a", &[("if-match", &etag)], "5").await;
    assert_eq!(
        (gone.status, gone.element("Code")),
        (404, Some("NoSuchKey"))
    );
    server.put_object("a", "6").unwrap();
    let stale = raw.send("PUT", "/a", &[("if-match", &etag)], "5").await;
    assert_eq!(
        (stale.status, stale.element("Code")),
        (412, Some("PreconditionFailed"))
    );
    let exists = raw.send("PUT", "/a", &[("if-none-match", "*")], "5").await;
    assert_eq!(
        (exists.status, exists.element("Code")),
        (412, Some("PreconditionFailed"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_creates_and_updates_one_wins() {
    let server = server(Behaviour::default());
    // A client of its own for each, so that they do not share a connection.
    let stores: Vec<_> = (0..8).map(|_| store(&server, 0)).collect();
    for round in 0..20 {
        let path = Path::from(format!("{round}"));
        let mut base = None;
        for mode in ["create", "update"] {
            let mut racers = tokio::task::JoinSet::new();
            for (racer, s3) in stores.iter().enumerate() {
                let (s3, path) = (Arc::clone(s3), path.clone());
                let mode = match mode {
                    "create" => PutMode::Create,
                    _ => PutMode::Update(UpdateVersion {
                        e_tag: base.clone(),
                        version: None,
                    }),
                };
                racers.spawn(async move {
                    // Other bytes than those of the base: the ETag is the digest of the content.
                    let body = format!("{mode:?} {racer}");
                    s3.put_opts(&path, body.into(), mode.into()).await
                });
            }
            let won: Vec<_> = racers
                .join_all()
                .await
                .into_iter()
                .filter_map(Result::ok)
                .collect();
            assert_eq!(won.len(), 1, "{mode} {round}");
            base = won[0].e_tag.clone();
        }
    }
}

#[tokio::test]
async fn a_listing_has_every_key_once_whatever_the_page() {
    let keys: BTreeSet<String> = (0..5)
        .flat_map(|year| (0..5).map(move |file| format!("t/y={year}/{file}")))
        .chain(["t/z".to_owned(), "u/1".to_owned()])
        .collect();
    for page in [1, 2, 3, 7, 1000] {
        let server = S3Server::start(S3Options {
            page,
            ..S3Options::default()
        })
        .unwrap();
        for key in &keys {
            server.put_object(key, key.clone()).unwrap();
        }
        let s3 = store(&server, 0);
        let all: Vec<_> = s3.list(None).try_collect().await.unwrap();
        let listed: BTreeSet<String> = all.iter().map(|meta| meta.location.to_string()).collect();
        assert_eq!((listed, all.len()), (keys.clone(), keys.len()));
        for meta in &all {
            let head = s3.head(&meta.location).await.unwrap();
            assert_eq!((&head.e_tag, head.size), (&meta.e_tag, meta.size));
        }
        let below = s3
            .list_with_delimiter(Some(&Path::from("t")))
            .await
            .unwrap();
        let prefixes: Vec<String> = below.common_prefixes.iter().map(Path::to_string).collect();
        assert_eq!(prefixes, ["t/y=0", "t/y=1", "t/y=2", "t/y=3", "t/y=4"]);
        assert_eq!(below.objects.len(), 1, "t/z");
        let later: Vec<_> = s3
            .list_with_offset(Some(&Path::from("t")), &Path::from("t/y=3/2"))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(later.len(), 2 + 5 + 1);
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_a_missing_key_is_no_error() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    for key in ["a", "b", "c"] {
        server.put_object(key, key).unwrap();
    }
    let keys = ["a", "nothing", "b"].map(|key| Ok(Path::from(key)));
    let deleted: Vec<_> = s3
        .delete_stream(futures::stream::iter(keys).boxed())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(deleted.len(), 3);
    assert_eq!(server.objects("").keys().collect::<Vec<_>>(), ["c"]);
    let raw = Raw::of(&server);
    assert_eq!(raw.send("DELETE", "/c", &[], "").await.status, 204);
    assert_eq!(raw.send("DELETE", "/c", &[], "").await.status, 204);
    assert_eq!(raw.send("GET", "/c", &[], "").await.status, 404);
}

#[tokio::test]
async fn a_copy_can_be_told_not_to_replace() {
    let server = server(Behaviour::default());
    server.put_object("a", "1").unwrap();
    let (from, to) = (Path::from("a"), Path::from("b"));
    for how in [
        S3CopyIfNotExists::Multipart,
        S3CopyIfNotExists::Header("if-none-match".to_owned(), "*".to_owned()),
    ] {
        let s3 = Arc::new(
            builder(&server, 0)
                .with_copy_if_not_exists(how)
                .build()
                .unwrap(),
        );
        s3.copy_if_not_exists(&from, &to).await.unwrap();
        assert_eq!(server.object("b").unwrap(), "1");
        let again = s3.copy_if_not_exists(&from, &to).await;
        assert!(
            matches!(again, Err(Error::AlreadyExists { .. })),
            "{again:?}"
        );
        assert_eq!(server.pending_uploads(), []);
        s3.copy(&from, &to).await.unwrap();
        s3.delete(&to).await.unwrap();
        let missing = s3.copy(&Path::from("missing"), &to).await;
        assert!(
            matches!(missing, Err(Error::NotFound { .. })),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_is_not_signed_rightly_is_refused() {
    let server = server(Behaviour::default());
    server.put_object("a", "1").unwrap();
    let key = server.options().access_key.clone();
    let secret = server.options().secret_key.clone();
    let region = server.options().region.clone();
    for (key, secret, region, status, code) in [
        (&*key, &*secret, &*region, 200, None),
        (&key, "wrong", &region, 403, Some("SignatureDoesNotMatch")),
        (
            "AKIDOTHER",
            &secret,
            &region,
            403,
            Some("InvalidAccessKeyId"),
        ),
        (
            &key,
            &secret,
            "us-east-1",
            400,
            Some("AuthorizationHeaderMalformed"),
        ),
    ] {
        let reply = Raw::signed_as(&server, key, secret, region)
            .send("GET", "/a", &[], "")
            .await;
        assert_eq!((reply.status, reply.element("Code")), (status, code));
    }
    let wrong = builder(&server, 0)
        .with_secret_access_key("wrong")
        .build()
        .unwrap();
    let refused = wrong.get(&Path::from("a")).await;
    assert!(
        matches!(refused, Err(Error::PermissionDenied { .. })),
        "{refused:?}"
    );
    let unsigned = builder(&server, 0)
        .with_skip_signature(true)
        .build()
        .unwrap();
    let refused = unsigned.get(&Path::from("a")).await;
    assert!(
        matches!(refused, Err(Error::PermissionDenied { .. })),
        "{refused:?}"
    );
    let elsewhere = builder(&server, 0)
        .with_bucket_name("elsewhere")
        .build()
        .unwrap();
    let missing = elsewhere.put(&Path::from("a"), "1".into()).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
}

#[test]
fn several_runtimes_share_a_server_and_its_end_is_the_end_of_its_port() {
    let server = server(Behaviour::default());
    let address = server.endpoint().replace("http://", "");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let s3 = store(&server, 0);
            std::thread::spawn(move || {
                tokio::runtime::Runtime::new()
                    .unwrap()
                    .block_on(async move {
                        let path = Path::from(format!("{thread}"));
                        s3.put(&path, "1".into()).await.unwrap();
                        s3.get(&path).await.unwrap().bytes().await.unwrap()
                    })
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "1");
    }
    assert_eq!(server.objects("").len(), 4);
    drop(server);
    wait_for("the port to be closed", || {
        std::net::TcpStream::connect(&address).err()
    })
    .unwrap();
}
