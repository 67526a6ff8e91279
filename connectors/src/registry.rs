//! Which kinds of sources there are. Owns the list; what a kind is says its factory.

use std::sync::Arc;

use language::{SourceKind, nearest};

use crate::files::Files;
use crate::launchpad::Launchpad;
use crate::rest::Rest;
use crate::source::{OpenError, SourceFactory};
use crate::table_source::Tables;

/// The kinds of sources that pipelines may use, in the order in which they are listed.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    factories: Vec<Arc<dyn SourceFactory>>,
}

impl Registry {
    /// Those that come with the program.
    pub fn builtin() -> Self {
        let files = Files::all().into_iter().fold(Self::default(), Self::with);
        files.with(Tables).with(Launchpad::default()).with(Rest)
    }

    /// These and one more, which takes the place of one with the same word.
    #[must_use]
    pub fn with(mut self, factory: impl SourceFactory + 'static) -> Self {
        self.factories
            .retain(|known| !known.kind().eq_ignore_ascii_case(factory.kind()));
        self.factories.push(Arc::new(factory));
        self
    }

    /// All of them.
    pub fn factories(&self) -> impl Iterator<Item = &dyn SourceFactory> {
        self.factories.iter().map(AsRef::as_ref)
    }

    /// Their words, as the language takes them.
    pub fn kinds(&self) -> Vec<SourceKind> {
        self.factories()
            .map(|factory| SourceKind {
                name: factory.kind().to_owned(),
                is_partitioned: factory.is_partitioned(),
            })
            .collect()
    }

    /// The kind of that word, in any case.
    ///
    /// # Errors
    /// [`OpenError::UnknownKind`] with the word that was probably meant.
    pub fn find(&self, kind: &str) -> Result<&dyn SourceFactory, OpenError> {
        self.factories()
            .find(|known| known.kind().eq_ignore_ascii_case(kind))
            .ok_or_else(|| OpenError::UnknownKind {
                kind: kind.to_owned(),
                suggestion: nearest(kind, self.factories().map(SourceFactory::kind))
                    .map(str::to_owned),
            })
    }
}
