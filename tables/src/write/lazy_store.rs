//! The storage that rows are written to, opened when the first of them is. A plan for other processes passes through
//! one that writes nothing, the scheduler, which needs no credentials then.

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::location::open_store;
use crate::storage::StorageOptions;
use crate::store::Store;

/// A table's storage, open or not.
#[derive(Debug)]
pub(crate) enum LazyStore {
    Open(Arc<dyn Store>),
    /// To be opened by who writes there, as `options` say.
    Deferred {
        location: String,
        options: StorageOptions,
        opened: OnceLock<Arc<dyn Store>>,
    },
}

impl From<Arc<dyn Store>> for LazyStore {
    fn from(store: Arc<dyn Store>) -> Self {
        Self::Open(store)
    }
}

impl LazyStore {
    pub(super) fn deferred(location: &str, options: &StorageOptions) -> Self {
        Self::Deferred {
            location: location.to_owned(),
            options: options.clone(),
            opened: OnceLock::new(),
        }
    }

    pub(super) fn location(&self) -> &str {
        match self {
            Self::Open(store) => store.location(),
            Self::Deferred { location, .. } => location,
        }
    }

    /// Opens it, unless it is.
    ///
    /// # Errors
    /// As [`crate::Table::open`].
    pub(super) fn open(&self) -> Result<&Arc<dyn Store>> {
        match self {
            Self::Open(store) => Ok(store),
            Self::Deferred {
                location,
                options,
                opened,
            } => match opened.get() {
                Some(store) => Ok(store),
                None => {
                    let store = open_store(location, options)?;
                    Ok(opened.get_or_init(|| store))
                }
            },
        }
    }
}
