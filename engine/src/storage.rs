//! Object stores in every session: a location such as `s3://bucket/folder/` is opened the first time it is read, with
//! the client that `tables` has for its bucket, or `files` for a web server, behind the look at Parquet files' schemas. Owns nothing
//! but the way from a URL to that client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{
    DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl,
};
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use files::WebStore;
use tables::StorageOptions;
use tables::storage::{bucket, is_object_store};
use url::{Position, Url};

use crate::parquet::Shallow;

/// A store for every URL, with nothing in it: for a process that takes plans apart and reads nothing. A plan that names a
/// bucket cannot be read without a store for it, and a store of a real one not be made without credentials.
#[derive(Debug, Default)]
pub(crate) struct NothingStored {
    store: Arc<InMemory>,
}

impl ObjectStoreRegistry for NothingStored {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, _: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::clone(&self.store) as Arc<dyn ObjectStore>)
    }
}

/// Stores by URL: those that were registered, the local filesystem, and buckets as they are asked for.
#[derive(Debug)]
pub(crate) struct Registry {
    known: DefaultObjectStoreRegistry,
    options: StorageOptions,
    /// Buckets and web servers that were asked for, by what precedes the path of their URLs.
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Registry {
    pub(crate) fn new(options: StorageOptions) -> Self {
        let known = DefaultObjectStoreRegistry::new();
        let files = ObjectStoreUrl::local_filesystem();
        if let Ok(local) = known.get_store(files.as_ref()) {
            known.register_store(files.as_ref(), Arc::new(Shallow::new(local)));
        }
        Self {
            known,
            options,
            stores: Mutex::default(),
        }
    }
}

impl ObjectStoreRegistry for Registry {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.known.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        let root = &url[..Position::BeforePath];
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(root) {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "http" | "https" => Arc::new(WebStore::new(url, &self.options)?),
            _ if is_object_store(url.as_str()) => bucket(url, &self.options)
                .map_err(|error| DataFusionError::External(Box::new(error)))?
                .object_store(),
            _ => return self.known.get_store(url),
        };
        let store: Arc<dyn ObjectStore> = Arc::new(Shallow::new(store));
        stores.insert(root.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_opened_when_it_is_asked_for_and_others_say_why_not() {
        let variables = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let registry = Registry::new(StorageOptions::from_variables(variables));
        let get = |url: &str| registry.get_store(&Url::parse(url).unwrap());
        let one = get("s3://lake/a").unwrap();
        assert!(Arc::ptr_eq(&one, &get("s3://lake/b").unwrap()));
        assert!(get("file:///tmp").is_ok());
        let web = get("https://host/a").unwrap();
        assert!(Arc::ptr_eq(&web, &get("https://host/b?c").unwrap()));
        assert!(!Arc::ptr_eq(&web, &get("https://host:8443/a").unwrap()));
        assert!(get("ftp://host/a").is_err());
        let bare = get("az://lake/a").unwrap_err().to_string();
        assert!(bare.contains("AZURE_STORAGE_ACCOUNT_KEY"), "{bare}");
    }
}
