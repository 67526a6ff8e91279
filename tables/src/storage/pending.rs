//! Listing the unfinished uploads of a bucket, which the client library cannot do: a signed request of our own, in the
//! XML that S3 and Cloud Storage share.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Request, header};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use object_store::{Error as ObjectError, Result as ObjectResult};
use serde::Deserialize;

/// How a request proves who sent it.
pub(super) enum Authorization {
    Aws {
        credentials: AwsCredentialProvider,
        region: String,
        signed: bool,
    },
    Google {
        credentials: GcpCredentialProvider,
    },
}

/// Lists what was begun and neither finished nor dropped.
#[derive(Clone)]
pub(crate) struct PendingUploads {
    client: HttpClient,
    bucket_url: String,
    authorization: Arc<Authorization>,
}

impl fmt::Debug for PendingUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUploads")
            .field("bucket_url", &self.bucket_url)
            .finish_non_exhaustive()
    }
}

/// An unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingUpload {
    /// The key it would have.
    pub(crate) key: String,
    /// Its id.
    pub(crate) id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default)]
    upload: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    upload_id: String,
}

/// Pages at most: a bucket with more unfinished uploads than that needs a lifecycle rule, not us.
const MAX_PAGES: usize = 1000;

impl PendingUploads {
    pub(super) fn new(client: HttpClient, bucket_url: String, auth: Authorization) -> Self {
        Self {
            client,
            bucket_url,
            authorization: Arc::new(auth),
        }
    }

    /// Every unfinished upload whose key begins with `prefix`.
    ///
    /// # Errors
    /// What the server said. Not every server knows the request.
    pub(crate) async fn list(&self, prefix: &str) -> ObjectResult<Vec<PendingUpload>> {
        let mut found = Vec::new();
        let mut marker: Option<(String, String)> = None;
        for _ in 0..MAX_PAGES {
            // A slash must be escaped: some servers sign the value as they find it.
            let mut url = format!("{}?uploads=&prefix={}", self.bucket_url, encode(prefix));
            if let Some((key, id)) = &marker {
                // Sorted by name, as the signature wants them.
                url = format!(
                    "{}?key-marker={}&prefix={}&upload-id-marker={}&uploads=",
                    self.bucket_url,
                    encode(key),
                    encode(prefix),
                    encode(id)
                );
            }
            let page = self.page(&url).await?;
            found.extend(page.upload.into_iter().map(|entry| PendingUpload {
                key: entry.key,
                id: entry.upload_id,
            }));
            if !page.is_truncated {
                break;
            }
            marker = Some((page.next_key_marker, page.next_upload_id_marker));
        }
        Ok(found)
    }

    async fn page(&self, url: &str) -> ObjectResult<Page> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ObjectError::Generic {
            store: "uploads",
            source,
        };
        let mut request = Request::builder()
            .method("GET")
            .uri(url)
            .body(HttpRequestBody::empty())
            .map_err(|error| failed(error.into()))?;
        match self.authorization.as_ref() {
            Authorization::Aws {
                credentials,
                region,
                signed: true,
            } => {
                let credential = credentials.get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", region).authorize(&mut request, None);
            }
            Authorization::Aws { .. } => {}
            Authorization::Google { credentials } => {
                let credential = credentials.get_credential().await?;
                let bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer))
                    .map_err(|error| failed(error.into()))?;
                request.headers_mut().insert(header::AUTHORIZATION, bearer);
            }
        }
        let response = self
            .client
            .execute(request)
            .await
            .map_err(|error| failed(error.into()))?;
        let status = response.status();
        let body = response
            .into_body()
            .bytes()
            .await
            .map_err(|error| failed(error.into()))?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(failed(format!("{status}: {text}").into()));
        }
        quick_xml::de::from_str(&text).map_err(|error| failed(error.into()))
    }
}

/// Escapes a value of a query as signatures want it.
fn encode(text: &str) -> String {
    use fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_uploads_is_read_with_its_markers_and_an_empty_one_too() {
        let page: Page = quick_xml::de::from_str(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>lake</Bucket><KeyMarker/><NextKeyMarker>a/b</NextKeyMarker>
              <NextUploadIdMarker>2</NextUploadIdMarker><MaxUploads>1000</MaxUploads>
              <IsTruncated>true</IsTruncated>
              <Upload><Key>t/part-1</Key><UploadId>1</UploadId><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>
              <Upload><Key>t/part-2</Key><UploadId>2</UploadId></Upload>
            </ListMultipartUploadsResult>"#,
        )
        .unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.next_key_marker, "a/b");
        let ids: Vec<&str> = page.upload.iter().map(|e| e.upload_id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        let empty: Page = quick_xml::de::from_str(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        )
        .unwrap();
        assert!(empty.upload.is_empty() && !empty.is_truncated);
    }
}
