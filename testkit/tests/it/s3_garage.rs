//! What the server does when it imitates Garage: the things that a start-up probe has to notice.

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use testkit::s3::Behaviour;

use super::client::{server, store};

#[tokio::test]
async fn conditions_are_ignored_without_an_error() {
    let server = server(Behaviour {
        conditions_are_ignored: true,
        ..Behaviour::default()
    });
    let s3 = store(&server, 0);
    let path = Path::from("a");
    for mode in [
        PutMode::Create,
        PutMode::Create,
        PutMode::Update(UpdateVersion {
            e_tag: Some("\"stale\"".to_owned()),
            version: None,
        }),
    ] {
        s3.put_opts(&path, "1".into(), PutOptions::from(mode))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_key_has_one_upload_and_a_write_ends_it() {
    let server = server(Behaviour::GARAGE);
    let s3 = store(&server, 0);
    let path = Path::from("a");
    for disturbance in ["another upload", "a put", "a deletion", "a copy"] {
        let id = s3.create_multipart(&path).await.unwrap();
        let part = s3.put_part(&path, &id, 0, "1".into()).await.unwrap();
        match disturbance {
            "another upload" => drop(s3.create_multipart(&path).await.unwrap()),
            "a put" => drop(s3.put(&path, "2".into()).await.unwrap()),
            "a deletion" => s3.delete(&path).await.unwrap(),
            _ => {
                server.put_object("b", "2").unwrap();
                s3.copy(&Path::from("b"), &path).await.unwrap();
            }
        }
        let complete = s3.complete_multipart(&path, &id, vec![part]).await;
        assert!(
            matches!(complete, Err(Error::NotFound { .. })),
            "{disturbance}: {complete:?}"
        );
    }
}
