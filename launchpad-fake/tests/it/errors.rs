//! Statuses, texts, redirects, tags, and tokens.

use launchpad_fake::{Faults, OAuthRule, Options, landmarks};

use crate::support::Server;

#[tokio::test]
async fn what_is_not_there_is_a_404_in_the_services_words() {
    let server = Server::sample().await;
    for (path, object, name) in [
        (
            "2.0/bugs/2000001".to_owned(),
            "WebServiceApplication",
            "2.0".to_owned(),
        ),
        ("devel/bugs/1".to_owned(), "BugSet", "1".to_owned()),
        (
            "devel/bugs/nickname".to_owned(),
            "BugSet",
            "nickname".to_owned(),
        ),
        (
            format!("devel/bugs/{}", landmarks::PRIVATE),
            "BugSet",
            landmarks::PRIVATE.to_string(),
        ),
        (
            format!("devel/bugs/{}/messages", landmarks::PRIVATE),
            "BugSet",
            landmarks::PRIVATE.to_string(),
        ),
        (
            format!("devel/bugs/{}/attachments", landmarks::ORDINARY),
            "Bug",
            "attachments".to_owned(),
        ),
        (
            "devel/~nobody".to_owned(),
            "PersonSet",
            "~nobody".to_owned(),
        ),
        (
            "devel/~example-secret".to_owned(),
            "PersonSet",
            "~example-secret".to_owned(),
        ),
        (
            "devel/mozilla.org".to_owned(),
            "WebServiceApplication",
            "mozilla.org".to_owned(),
        ),
    ] {
        let expected = format!("Object: <{object} object>, name: '{name}'");
        assert_eq!(server.refusal(&path).await, (404, expected), "{path}");
    }
    assert_eq!(server.get("").await.status, 404);
}

#[tokio::test]
async fn operations_are_refused_in_the_services_words() {
    let server = Server::sample().await;
    let bug = format!("devel/bugs/{}", landmarks::ORDINARY);
    for (path, text) in [
        (format!("{bug}?ws.op=explode"), "No such operation: explode"),
        (
            "devel/people?ws.op=searchTasks".to_owned(),
            "No such operation: searchTasks",
        ),
        ("devel/bugs?ws.op=".to_owned(), "No operation name given."),
        (
            "devel/people?ws.op=find&ws.op=findTeam&text=x".to_owned(),
            "Expected a single operation: find,findTeam",
        ),
        (
            "devel/people?ws.op=getByEmail".to_owned(),
            "email: Required input is missing.",
        ),
        (
            "devel/people?ws.op=findPerson&text=5".to_owned(),
            "text: got 'int', expected str: 5",
        ),
    ] {
        assert_eq!(
            server.refusal(&path).await,
            (400, text.to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn only_reading_is_possible() {
    let server = Server::sample().await;
    let url = server.url(&format!("devel/bugs/{}", landmarks::ORDINARY));
    for request in [
        server.http.post(&url),
        server.http.patch(&url),
        server.http.delete(&url),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
    let head = server.http.head(&url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.headers().contains_key("etag"));
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test]
async fn an_entry_known_to_the_client_is_a_304_and_a_collection_never_is() {
    let server = Server::sample().await;
    let path = format!("devel/bugs/{}", landmarks::ORDINARY);
    let reply = server.get(&path).await;
    let etag = reply.header("etag").to_owned();
    assert_eq!(reply.json()["http_etag"], etag);
    let digits: Vec<&str> = etag.trim_matches('"').split('-').collect();
    assert!(
        digits.len() == 2 && digits.iter().all(|digits| digits.len() == 40),
        "{etag}"
    );
    assert_eq!(reply.header("vary"), "Accept");
    let again = server.get_with(&path, &[("if-none-match", &etag)]).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), etag);
    assert_eq!(again.header("content-type"), "");
    let stale = server
        .get_with(&path, &[("if-none-match", "\"other\"")])
        .await;
    assert_eq!(stale.status, 200);
    let other = server
        .get(&format!("devel/bugs/{}", landmarks::OLD_BUG))
        .await;
    assert_ne!(other.header("etag"), etag);
    for collection in [
        format!("{path}/activity"),
        "devel/bugs?ws.op=searchTasks".to_owned(),
    ] {
        let reply = server
            .get_with(&collection, &[("if-none-match", "*")])
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("etag")),
            (200, ""),
            "{collection}"
        );
    }
}

#[tokio::test]
async fn a_compressing_front_end_spoils_tags_that_are_sent_back_as_they_came() {
    let server = Server::with_faults(Faults {
        etag_gzip: true,
        ..Faults::default()
    })
    .await;
    let path = format!("devel/bugs/{}", landmarks::ORDINARY);
    let reply = server.get(&path).await;
    let shown = reply.header("etag").to_owned();
    assert!(shown.ends_with("-gzip\""), "{shown}");
    assert_eq!(
        server
            .get_with(&path, &[("if-none-match", &shown)])
            .await
            .status,
        200
    );
    let own = shown.replace("-gzip", "");
    assert_eq!(reply.json()["http_etag"], own);
    assert_eq!(
        server
            .get_with(&path, &[("if-none-match", &own)])
            .await
            .status,
        304
    );
}

#[tokio::test]
async fn tokens_are_looked_at_when_there_is_a_rule() {
    let rule = OAuthRule {
        required: true,
        token: "good-token".to_owned(),
        secret: "s3cret&".to_owned(),
        expired_token: Some("old-token".to_owned()),
    };
    assert!(!format!("{rule:?}").contains("s3cret"));
    let header = |token: &str, secret: &str, method: &str| {
        format!(
            "OAuth realm=\"https://api.launchpad.net/\", oauth_consumer_key=\"test-app\", oauth_token=\"{token}\", \
             oauth_signature_method=\"{method}\", oauth_signature=\"%26{secret}\", oauth_timestamp=\"1700000000\", \
             oauth_nonce=\"8237492\", oauth_version=\"1.0\""
        )
    };
    let good = header("good-token", "s3cret%26", "PLAINTEXT");
    let server = Server::start(Options {
        oauth: Some(rule.clone()),
        ..Options::default()
    })
    .await;
    let private = format!("devel/bugs/{}", landmarks::PRIVATE);
    for (authorization, status, text) in [
        (None, 401, "You need to be logged in to view this URL."),
        (
            Some(header("", "", "PLAINTEXT")),
            401,
            "You need to be logged in to view this URL.",
        ),
        (
            Some(header("bad-token", "s3cret%26", "PLAINTEXT")),
            401,
            "Unknown access token (bad-token).",
        ),
        (
            Some(header("old-token", "s3cret%26", "PLAINTEXT")),
            401,
            "Expired token (old-token).",
        ),
        (
            Some(header("good-token", "wrong", "PLAINTEXT")),
            401,
            "Invalid signature.",
        ),
        (
            Some(good.replace("test-app", "")),
            401,
            "Unknown consumer ().",
        ),
        (
            Some(header("good-token", "s3cret%26", "HMAC-SHA1")),
            400,
            "Only PLAINTEXT signatures are supported.",
        ),
    ] {
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|header| ("authorization", header.as_str()))
            .collect();
        let reply = server.get_with(&private, &headers).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (status, text));
    }
    // Somebody with the token sees what is private and hidden.
    let known = [("authorization", good.as_str())];
    assert_eq!(
        server.get_with(&private, &known).await.json()["private"],
        true
    );
    let messages = format!("devel/bugs/{}/messages", landmarks::HIDDEN_MESSAGES);
    let messages = server.get_with(&messages, &known).await.json();
    let hidden = |message: &&serde_json::Value| message["visible"] == false;
    assert_eq!(
        messages["entries"]
            .as_array()
            .unwrap()
            .iter()
            .filter(hidden)
            .count(),
        7
    );
    assert_eq!(
        server
            .get_with("devel/~example-secret", &known)
            .await
            .json()["private"],
        true
    );
    let me = server.get_with("devel/people/+me", &known).await;
    assert_eq!(me.status, 303);
    assert!(me.header("location").ends_with("/devel/~ada-example"));

    let lenient = Server::start(Options {
        oauth: Some(OAuthRule {
            required: false,
            ..rule
        }),
        ..Options::default()
    })
    .await;
    assert_eq!(lenient.get(&private).await.status, 404);
    let public = format!("devel/bugs/{}", landmarks::ORDINARY);
    assert_eq!(lenient.get(&public).await.status, 200);
    let wrong = header("bad-token", "s3cret%26", "PLAINTEXT");
    assert_eq!(
        lenient
            .get_with(&public, &[("authorization", wrong.as_str())])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn options_out_of_range_are_a_start_error() {
    let refused = |options: Options| async {
        launchpad_fake::LaunchpadFake::start(options, crate::support::LOOPBACK)
            .await
            .unwrap_err()
            .to_string()
    };
    let zero = Faults {
        fail_every: Some(0),
        ..Faults::default()
    };
    assert_eq!(
        refused(Options {
            faults: zero,
            ..Options::default()
        })
        .await,
        "option fail_every is 0, but must be at least 1"
    );
    assert_eq!(
        refused(Options {
            member_share: 1.5,
            ..Options::default()
        })
        .await,
        "option member_share is 1.5, but must be from 0 to 1"
    );
    let server = Server::sample().await;
    let taken = server.fake.address();
    let error = launchpad_fake::LaunchpadFake::start(Options::default(), taken)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {taken}; choose another port, or 0 for any free one")
    );
}
