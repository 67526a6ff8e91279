//! OAuth 1.0 with the PLAINTEXT method: who is it that asks.

use percent_encoding::percent_decode_str;

use crate::entries::Viewer;
use crate::options::OAuthRule;
use crate::refusal::Refusal;

/// Who sent this `Authorization` header, under this rule.
pub(crate) fn viewer(rule: Option<&OAuthRule>, header: Option<&str>) -> Result<Viewer, Refusal> {
    let Some(rule) = rule else {
        return Ok(Viewer::Anonymous);
    };
    let claim = header.and_then(Claim::parse);
    let token = claim
        .as_ref()
        .map(|claim| claim.token.as_str())
        .unwrap_or_default();
    let Some(claim) = claim.as_ref().filter(|_| !token.is_empty()) else {
        return if rule.required {
            Err(Refusal::Unauthorized(
                "You need to be logged in to view this URL.".to_owned(),
            ))
        } else {
            Ok(Viewer::Anonymous)
        };
    };
    if claim.consumer.is_empty() {
        return Err(Refusal::Unauthorized("Unknown consumer ().".to_owned()));
    }
    if claim.method != "PLAINTEXT" {
        return Err(Refusal::BadRequest(
            "Only PLAINTEXT signatures are supported.".to_owned(),
        ));
    }
    if rule.expired_token.as_deref() == Some(token) {
        return Err(Refusal::Unauthorized(format!("Expired token ({token}).")));
    }
    if token != rule.token {
        return Err(Refusal::Unauthorized(format!(
            "Unknown access token ({token})."
        )));
    }
    // The secret of the consumer, which is empty, an ampersand, the secret of the token.
    if claim.signature != format!("&{}", rule.secret) {
        return Err(Refusal::Unauthorized("Invalid signature.".to_owned()));
    }
    Ok(Viewer::Known)
}

/// What an `Authorization: OAuth` header says.
#[derive(Default)]
struct Claim {
    consumer: String,
    token: String,
    method: String,
    signature: String,
}

impl Claim {
    fn parse(header: &str) -> Option<Self> {
        let fields = header.strip_prefix("OAuth ")?;
        let mut claim = Self::default();
        for field in fields.split(',') {
            let Some((name, value)) = field.trim().split_once('=') else {
                continue;
            };
            let value = percent_decode_str(value.trim_matches('"'))
                .decode_utf8_lossy()
                .into_owned();
            match name {
                "oauth_consumer_key" => claim.consumer = value,
                "oauth_token" => claim.token = value,
                "oauth_signature_method" => claim.method = value,
                "oauth_signature" => claim.signature = value,
                _ => {}
            }
        }
        Some(claim)
    }
}
