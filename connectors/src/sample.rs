//! Data that comes with the program, for a source that would otherwise have nothing to read.
//!
//! Owns what a run needs to know of a sample. Which kind has one, and what it serves, is the kind's own.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;

use crate::option::OptionValue;

/// A bundled sample.
#[async_trait]
pub trait Sample: fmt::Debug + Send + Sync {
    /// Parameters that it has an answer for, used where nobody gave one.
    fn parameters(&self) -> &[(&'static str, &'static str)];

    /// What takes the place of the environment in the identity of a request.
    fn identity(&self) -> BTreeMap<String, String>;

    /// Begins to serve it.
    ///
    /// # Errors
    /// When the machine has no room for it: no port, no memory.
    async fn start(&self) -> Result<Served, Box<dyn Error + Send + Sync>>;
}

/// A sample that is being served, until it is stopped or dropped.
pub struct Served {
    /// The kind of the sources that read it.
    pub kind: String,
    /// Options that those sources are given.
    pub options: BTreeMap<String, OptionValue>,
    /// What a person is told about it.
    pub announcement: String,
    /// Ends it in good order. Not begun, it keeps the sample alive.
    pub stop: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Served")
            .field("kind", &self.kind)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
