//! The people that records name: each asked for once, the latest kept.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::OnceCell;
use url::Url;

use super::client::Client;
use super::spec::Resource;
use crate::failure::RequestFailure;

/// People kept; at some hundred bytes each this bounds the memory to a few megabytes.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

type Person = Arc<OnceCell<Option<Arc<str>>>>;

/// A bounded cache of carried fields by link. Two who ask for the same person at once share one
/// request; a failure is not kept.
#[derive(Debug)]
pub(crate) struct Lookup {
    people: Mutex<LruCache<String, Person>>,
}

impl Lookup {
    pub(crate) fn new() -> Self {
        Self {
            people: Mutex::new(LruCache::new(KEPT)),
        }
    }

    /// The carried fields of who is at the link, as JSON; `None` when the server says that there
    /// is nobody (404) or nobody any more (410).
    pub(crate) async fn find(
        &self,
        client: &Client,
        base: &Url,
        link: &str,
        resource: &Resource,
    ) -> Result<Option<Arc<str>>, RequestFailure> {
        let person = {
            let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(people.get_or_insert_ref(link, Person::default))
        };
        let found = person
            .get_or_try_init(|| async {
                match client.get(&client.resolve(base, link)?).await {
                    Ok(answer) => Ok(Some(Arc::from(resource.carried(&answer.body).to_string()))),
                    Err(failure) if matches!(failure.status(), Some(404 | 410)) => Ok(None),
                    Err(failure) => Err(failure),
                }
            })
            .await?;
        Ok(found.clone())
    }
}
