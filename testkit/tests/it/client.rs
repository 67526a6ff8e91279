//! Clients of the S3 server: object_store's, as the product uses it, and raw signed requests for what it hides.

#![expect(clippy::unwrap_used, reason = "test code outside #[test] functions")]

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential,
};
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::multipart::PartId;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use testkit::s3::{Behaviour, S3Options, S3Server};

pub(crate) fn server(behaviour: Behaviour) -> S3Server {
    S3Server::start(S3Options {
        behaviour,
        ..S3Options::default()
    })
    .unwrap()
}

/// A client made of nothing but the environment that the server names, which repeats a request `retries` times.
pub(crate) fn store(server: &S3Server, retries: usize) -> Arc<AmazonS3> {
    Arc::new(builder(server, retries).build().unwrap())
}

pub(crate) fn builder(server: &S3Server, retries: usize) -> AmazonS3Builder {
    builder_of(server.bucket(), server.environment(), retries)
}

pub(crate) fn builder_of(
    bucket: &str,
    environment: Vec<(String, String)>,
    retries: usize,
) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                base: 2.0,
            },
            max_retries: retries,
            retry_timeout: Duration::from_secs(60),
        });
    for (name, value) in environment {
        let key: AmazonS3ConfigKey = name.to_lowercase().parse().unwrap();
        builder = builder.with_config(key, value);
    }
    builder
}

pub(crate) struct Raw {
    endpoint: String,
    bucket: String,
    credential: AwsCredential,
    region: String,
    client: HttpClient,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: http::HeaderMap,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text of the first element of this name.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        self.elements(name).first().copied()
    }

    pub(crate) fn elements(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        self.body
            .split(&open)
            .skip(1)
            .map(|rest| rest.split(&close).next().unwrap())
            .collect()
    }
}

impl Raw {
    pub(crate) fn of(server: &S3Server) -> Self {
        Self::signed_as(
            server,
            &server.options().access_key,
            &server.options().secret_key,
            &server.options().region,
        )
    }

    pub(crate) fn signed_as(server: &S3Server, key: &str, secret: &str, region: &str) -> Self {
        Self {
            endpoint: server.endpoint(),
            bucket: server.bucket().to_owned(),
            credential: AwsCredential {
                key_id: key.to_owned(),
                secret_key: secret.to_owned(),
                token: None,
            },
            region: region.to_owned(),
            client: ReqwestConnector::default()
                .connect(&ClientOptions::new().with_allow_http(true))
                .unwrap(),
        }
    }

    /// Sends a signed request; `rest` is the key, with a query or without.
    pub(crate) async fn send(
        &self,
        method: &str,
        rest: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Reply {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{}{rest}", self.endpoint, self.bucket));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(HttpRequestBody::from(body.into())).unwrap();
        AwsAuthorizer::new(&self.credential, "s3", &self.region).authorize(&mut request, None);
        let (parts, body) = self.client.execute(request).await.unwrap().into_parts();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body.bytes().await.unwrap()).into_owned(),
        }
    }
}

/// The body of a completion that names these parts, the first as number 1.
pub(crate) fn completion(parts: &[PartId]) -> String {
    let parts: String = (1..)
        .zip(parts)
        .map(|(number, part)| {
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
                part.content_id
            )
        })
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}
