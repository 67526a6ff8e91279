//! Signing requests. The one place where secrets are exposed: into a header marked sensitive.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// RFC 5849's unreserved characters stay, all others are escaped.
const OAUTH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a request is signed with. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    None,
    Bearer(SecretString),
    Basic {
        username: String,
        password: SecretString,
    },
    Header {
        name: String,
        value: SecretString,
    },
    Oauth1Plaintext {
        consumer: String,
        token: SecretString,
        token_secret: SecretString,
    },
}

/// The credentials hold a character that no header can carry.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the credentials hold a character that a header cannot carry, perhaps a line break")]
pub(crate) struct UnusableCredentials;

impl Credentials {
    /// The header that signs a request to the server of `base`, if requests are signed.
    pub(crate) fn header(
        &self,
        base: &Url,
    ) -> Result<Option<(HeaderName, HeaderValue)>, UnusableCredentials> {
        let (name, text) = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                (
                    AUTHORIZATION,
                    format!("Basic {}", BASE64_STANDARD.encode(pair)),
                )
            }
            Self::Header { name, value } => {
                let name = HeaderName::try_from(name).map_err(|_| UnusableCredentials)?;
                (name, value.expose_secret().to_owned())
            }
            Self::Oauth1Plaintext {
                consumer,
                token,
                token_secret,
            } => {
                let nonce = format!("{:016x}", rand::random::<u64>());
                let seconds = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |age| age.as_secs());
                let (token, token_secret) = (token.expose_secret(), token_secret.expose_secret());
                (
                    AUTHORIZATION,
                    oauth(base, consumer, token, token_secret, seconds, &nonce),
                )
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| UnusableCredentials)?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }
}

/// RFC 5849 with the PLAINTEXT method: the signature is the consumer's secret (Launchpad's
/// consumers have none), `&`, and the token's secret.
fn oauth(
    base: &Url,
    consumer: &str,
    token: &str,
    secret: &str,
    seconds: u64,
    nonce: &str,
) -> String {
    let escape = |text: &str| utf8_percent_encode(text, OAUTH).to_string();
    let signature = escape(&format!("&{}", escape(secret)));
    format!(
        "OAuth realm=\"{realm}/\", oauth_consumer_key=\"{consumer}\", oauth_token=\"{token}\", \
         oauth_signature_method=\"PLAINTEXT\", oauth_signature=\"{signature}\", \
         oauth_timestamp=\"{seconds}\", oauth_nonce=\"{nonce}\", oauth_version=\"1.0\"",
        realm = base.origin().ascii_serialization(),
        consumer = escape(consumer),
        token = escape(token),
    )
}

#[cfg(test)]
mod tests {
    use super::{Credentials, oauth};

    #[test]
    fn oauth_parameters_are_escaped_and_the_signature_is_plaintext() {
        let base = "https://api.launchpad.net/devel/".parse().unwrap();
        let header = oauth(&base, "my app", "to/ken", "s3&cret", 1_700_000_000, "00ff");
        assert_eq!(
            header,
            "OAuth realm=\"https://api.launchpad.net/\", oauth_consumer_key=\"my%20app\", \
             oauth_token=\"to%2Fken\", oauth_signature_method=\"PLAINTEXT\", \
             oauth_signature=\"%26s3%2526cret\", oauth_timestamp=\"1700000000\", \
             oauth_nonce=\"00ff\", oauth_version=\"1.0\""
        );
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_the_header_value() {
        let base = "https://example.org/".parse().unwrap();
        let credentials = Credentials::Bearer("hush-hush".into());
        let (_, value) = credentials.header(&base).unwrap().unwrap();
        assert!(!format!("{credentials:?} {value:?}").contains("hush"));
        assert!(Credentials::Bearer("a\nb".into()).header(&base).is_err());
    }
}
