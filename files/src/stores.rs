//! The object stores of files. Owns that each is looked up once, whatever asks for the bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::object_store::ObjectStore;
use url::Url;

use super::ahead::{Ahead, AheadStore};
use super::listing::{File, Place};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Stores(BTreeMap<String, Arc<dyn ObjectStore>>);

impl Stores {
    /// The stores that the files are in, as a session has them.
    ///
    /// # Errors
    /// When one is not known to the session.
    pub fn of(files: &[File], registry: &dyn ObjectStoreRegistry) -> Result<Self> {
        let mut stores = BTreeMap::new();
        for file in files {
            if let Place::Stored { store, .. } = &file.place
                && !stores.contains_key(store)
            {
                let url = Url::parse(store)
                    .map_err(|error| DataFusionError::External(Box::new(error)))?;
                stores.insert(store.clone(), registry.get_store(&url)?);
            }
        }
        Ok(Self(stores))
    }

    /// The same stores, whose whole files come by several requests at once.
    #[must_use]
    pub(crate) fn ahead(&self, ahead: Ahead) -> Self {
        let stores = self.0.iter().map(|(name, store)| {
            let store: Arc<dyn ObjectStore> = Arc::new(AheadStore::new(Arc::clone(store), ahead));
            (name.clone(), store)
        });
        Self(stores.collect())
    }

    /// The store of a file; `None` for one on this machine.
    pub(crate) fn get(&self, file: &File) -> Option<&Arc<dyn ObjectStore>> {
        match &file.place {
            Place::Stored { store, .. } => self.0.get(store),
            Place::Local(_) => None,
        }
    }
}
