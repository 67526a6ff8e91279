//! Uploads in parts: invisible until completed, by whoever knows their id.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::aws::{AmazonS3, Checksum};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use testkit::s3::{Behaviour, PendingUpload, S3Options, S3Server};

use super::client::{Raw, builder, completion, server, store};

const PART: usize = 5 * 1024 * 1024;

fn part(fill: u8, length: usize) -> Bytes {
    Bytes::from(vec![fill; length])
}

/// Begins an upload with these parts, the last of them sent first.
#[expect(clippy::unwrap_used, reason = "test helper")]
async fn staged(s3: &Arc<AmazonS3>, key: &str, parts: &[Bytes]) -> (Path, String, Vec<PartId>) {
    let path = Path::from(key);
    let id = s3.create_multipart(&path).await.unwrap();
    let mut ids = Vec::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let put = s3.put_part(&path, &id, index, part.clone().into()).await;
        ids.push(put.unwrap());
    }
    ids.reverse();
    (path, id, ids)
}

#[tokio::test]
async fn an_upload_is_invisible_until_another_client_completes_it() {
    let server = server(Behaviour::default());
    server.put_object("a", "old").unwrap();
    let parts = [part(1, PART), part(2, PART), part(3, 7)];
    let (path, id, ids) = staged(&store(&server, 0), "a", &parts).await;
    assert_eq!(server.object("a").unwrap(), "old");
    assert_eq!(
        server.pending_uploads(),
        [PendingUpload {
            key: "a".to_owned(),
            upload_id: id.clone(),
            parts: 3,
            bytes: 2 * PART + 7
        }]
    );
    let other = store(&server, 0);
    let done = other.complete_multipart(&path, &id, ids).await.unwrap();
    assert_eq!(server.object("a").unwrap(), parts.concat());
    assert_eq!(server.pending_uploads(), []);
    let digests: Vec<u8> = parts.iter().flat_map(Md5::digest).collect();
    let predicted = format!("\"{}-3\"", hex::encode(Md5::digest(digests)));
    assert_eq!(done.e_tag.as_deref(), Some(predicted.as_str()));
    let head = other.head(&path).await.unwrap();
    assert_eq!(head.e_tag.as_deref(), Some(predicted.as_str()));
}

#[tokio::test]
async fn a_repeated_completion_is_answered_as_by_aws_or_as_by_minio() {
    for forgotten in [false, true] {
        let server = server(Behaviour {
            completed_uploads_are_forgotten: forgotten,
            ..Behaviour::default()
        });
        let s3 = store(&server, 0);
        let (path, id, ids) = staged(&s3, "a", &[part(1, 9)]).await;
        let first = s3.complete_multipart(&path, &id, ids.clone()).await;
        let first = first.unwrap();
        let second = s3.complete_multipart(&path, &id, ids).await;
        match second {
            Ok(second) => assert_eq!((second.e_tag, forgotten), (first.e_tag, false)),
            Err(Error::NotFound { source, .. }) => {
                assert!(forgotten);
                assert!(source.to_string().contains("NoSuchUpload"), "{source}");
            }
            Err(error) => panic!("{error}"),
        }
        let aborted = s3.abort_multipart(&path, &id).await;
        assert!(
            matches!(aborted, Err(Error::NotFound { .. })),
            "{aborted:?}"
        );
        assert_eq!(server.object("a").unwrap(), part(1, 9));
    }
}

#[tokio::test]
async fn an_aborted_or_unknown_upload_can_do_nothing() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let (path, id, ids) = staged(&s3, "a", &[part(1, 9)]).await;
    s3.abort_multipart(&path, &id).await.unwrap();
    let wrong_key = staged(&s3, "b", &[part(1, 9)]).await.1;
    for id in [id, wrong_key, "never".to_owned()] {
        let complete = s3.complete_multipart(&path, &id, ids.clone()).await;
        let put = s3.put_part(&path, &id, 1, part(1, 1).into()).await;
        let abort = s3.abort_multipart(&path, &id).await;
        for error in [
            complete.map(drop).unwrap_err(),
            put.map(drop).unwrap_err(),
            abort.unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        }
    }
    assert_eq!(server.object("a"), None);
    assert_eq!(server.pending_uploads().len(), 1, "that of b");
}

#[tokio::test]
async fn parts_are_checked_and_the_upload_outlives_a_mistake() {
    let server = server(Behaviour::default());
    let (s3, raw) = (store(&server, 0), Raw::of(&server));
    let (path, id, ids) = staged(&s3, "a", &[part(1, PART), part(2, 5)]).await;
    let small = s3.put_part(&path, &id, 2, part(3, 4).into()).await.unwrap();
    let query = format!("/a?uploadId={id}");
    let swapped = format!(
        "<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>{}</ETag></Part>\
         <Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        ids[1].content_id, ids[0].content_id
    );
    let mut too_small = ids.clone();
    too_small.push(small);
    let mut wrong = ids.clone();
    wrong.swap(0, 1);
    for (body, code) in [
        (completion(&[]), "MalformedXML"),
        (completion(&wrong), "InvalidPart"),
        (swapped, "InvalidPartOrder"),
        (completion(&too_small), "EntityTooSmall"),
    ] {
        let reply = raw.send("POST", &query, &[], body).await;
        assert_eq!((reply.status, reply.element("Code")), (400, Some(code)));
    }
    // A part that is sent again replaces the one before: its id is worth nothing.
    let again = s3.put_part(&path, &id, 0, part(9, PART).into()).await;
    let stale = s3.complete_multipart(&path, &id, ids.clone()).await;
    assert!(stale.unwrap_err().to_string().contains("InvalidPart"));
    let ids = vec![again.unwrap(), ids[1].clone()];
    s3.complete_multipart(&path, &id, ids).await.unwrap();
    let expected = [part(9, PART), part(2, 5)].concat();
    assert_eq!(server.object("a").unwrap(), expected);
}

#[tokio::test]
async fn uploads_of_one_key_do_not_touch_each_other_and_the_last_completion_wins() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let (path, first, first_ids) = staged(&s3, "a", &[part(1, 9)]).await;
    let (_, second, second_ids) = staged(&s3, "a", &[part(2, 9)]).await;
    s3.put(&path, "plain".into()).await.unwrap();
    s3.delete(&path).await.unwrap();
    s3.complete_multipart(&path, &second, second_ids)
        .await
        .unwrap();
    s3.complete_multipart(&path, &first, first_ids)
        .await
        .unwrap();
    assert_eq!(server.object("a").unwrap(), part(1, 9));
}

#[tokio::test]
async fn a_completion_can_be_told_not_to_replace() {
    let server = server(Behaviour::default());
    server.put_object("a", "old").unwrap();
    let s3 = store(&server, 0);
    let (_, id, ids) = staged(&s3, "a", &[part(1, 9)]).await;
    let raw = Raw::of(&server);
    let query = format!("/a?uploadId={id}");
    let create = [("if-none-match", "*")];
    let refused = raw.send("POST", &query, &create, completion(&ids)).await;
    assert_eq!(
        (refused.status, refused.element("Code")),
        (412, Some("PreconditionFailed"))
    );
    assert_eq!(server.object("a").unwrap(), "old");
    assert_eq!(raw.send("DELETE", "/a", &[], "").await.status, 204);
    let done = raw.send("POST", &query, &create, completion(&ids)).await;
    assert_eq!(done.status, 200, "the upload outlived the refusal");
    assert_eq!(server.object("a").unwrap(), part(1, 9));
}

#[tokio::test]
async fn unfinished_uploads_and_their_parts_are_listed_page_by_page() {
    for page in [1, 2, 1000] {
        let server = S3Server::start(S3Options {
            page,
            ..S3Options::default()
        })
        .unwrap();
        let (s3, raw) = (store(&server, 0), Raw::of(&server));
        let mut expected = Vec::new();
        for key in ["out/a", "out/a", "out/b", "other"] {
            let (_, id, _) = staged(&s3, key, &[part(1, 3), part(2, 3), part(3, 3)]).await;
            if key.starts_with("out/") {
                expected.push((key.to_owned(), id));
            }
        }
        let mut listed = Vec::new();
        let mut marker = String::new();
        loop {
            let query = format!("?{marker}prefix=out%2F&uploads=");
            let reply = raw.send("GET", &query, &[], "").await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            let ids = reply.elements("UploadId").into_iter().map(str::to_owned);
            let keys = reply.elements("Key").into_iter().map(str::to_owned);
            listed.extend(keys.zip(ids));
            if reply.element("IsTruncated") == Some("false") {
                break;
            }
            marker = format!(
                "key-marker={}&upload-id-marker={}&",
                reply.element("NextKeyMarker").unwrap().replace('/', "%2F"),
                reply.element("NextUploadIdMarker").unwrap()
            );
        }
        assert_eq!(listed, expected);

        let mut numbers = Vec::new();
        let mut marker = String::new();
        loop {
            let query = format!("/out/a?{marker}uploadId={}", expected[0].1);
            let reply = raw.send("GET", &query, &[], "").await;
            let parts = reply.elements("PartNumber").into_iter().map(str::to_owned);
            numbers.extend(parts);
            assert_eq!(reply.elements("ETag").len(), reply.elements("Size").len());
            if reply.element("IsTruncated") == Some("false") {
                break;
            }
            let next = reply.element("NextPartNumberMarker").unwrap();
            marker = format!("part-number-marker={next}&");
        }
        assert_eq!(numbers, ["1", "2", "3"]);
    }
}

#[tokio::test]
async fn checksums_and_unsigned_bodies_are_accepted() {
    let server = server(Behaviour::default());
    for builder in [
        builder(&server, 0).with_checksum_algorithm(Checksum::SHA256),
        builder(&server, 0).with_unsigned_payload(true),
    ] {
        let s3 = Arc::new(builder.build().unwrap());
        s3.put(&Path::from("plain"), "1".into()).await.unwrap();
        let (path, id, ids) = staged(&s3, "parts", &[part(1, PART), part(2, 5)]).await;
        s3.complete_multipart(&path, &id, ids).await.unwrap();
        let expected = [part(1, PART), part(2, 5)].concat();
        assert_eq!(server.object("parts").unwrap(), expected);
    }
}

#[tokio::test]
async fn a_content_type_comes_back() {
    let server = server(Behaviour::default());
    let raw = Raw::of(&server);
    let headers = [("content-type", "text/x-test"), ("x-amz-meta-run", "7")];
    raw.send("PUT", "/a", &headers, "1").await;
    let reply = raw.send("GET", "/a", &[], "").await;
    assert_eq!(reply.header("content-type"), Some("text/x-test"));
    assert_eq!(reply.header("x-amz-meta-run"), Some("7"));
}
