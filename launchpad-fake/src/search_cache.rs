//! The results of the last few searches: a client pages through one search after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::generator::Visible;
use crate::request::Request;

/// How many searches are kept.
const KEPT: usize = 16;

/// A search without its batch parameters, and the rows there were.
type Key = (String, Vec<(String, String)>, Visible);

/// The positions in the index that a search found, in order.
type Found = Arc<[u32]>;

/// The results of the last few searches.
#[derive(Debug, Default)]
pub(crate) struct SearchCache {
    kept: Mutex<VecDeque<(Key, Found)>>,
}

impl SearchCache {
    /// What the search of a request found; `run` is called when it is not known.
    pub(crate) fn get_or_run(
        &self,
        request: &Request,
        visible: Visible,
        run: impl FnOnce() -> Vec<u32>,
    ) -> Found {
        let query = request.parameters.own_query().cloned().collect();
        let key = (request.raw_path.clone(), query, visible);
        if let Some((_, found)) = self.lock().iter().find(|(known, _)| *known == key) {
            return Arc::clone(found);
        }
        let found: Found = run().into();
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::clone(&found)));
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Key, Found)>> {
        // Entries are added whole: a panic elsewhere leaves none half made.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
