//! What a kind of source is: its word and options, how one is opened, what the surroundings of a run add to it.
//!
//! Owns the contract between a run and the kinds of sources. Which kinds there are is the
//! [`Registry`](crate::Registry)'s, how records come is [`extract`](crate::extract)'s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use files::listing::{File, Listing, Why};

use crate::extract::Extract;
use crate::option::{Given, OptionProblem, OptionSpec, OptionValue, hint};
use crate::sample::Sample;

/// A source as a definition declares it, parameters replaced.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// What of the kind is read: a path, a URL, a collection.
    pub location: String,
    /// The declared columns; `None` if the source tells its own.
    pub columns: Option<SchemaRef>,
    /// Hive partition columns.
    pub partitioned_by: Vec<String>,
    /// The options given, secrets resolved.
    pub options: Given,
}

/// Reads a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A kind of source: what stands after `STORED AS`.
pub trait SourceFactory: fmt::Debug + Send + Sync {
    /// Its word, in capitals.
    fn kind(&self) -> &str;

    /// What it reads, in one line.
    fn summary(&self) -> &str;

    /// The locations that it has, each with what is there; empty where a location is a path or the like.
    fn locations(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Its options; what an option names (a spec file) may add more.
    fn options(&self) -> Vec<OptionSpec>;

    /// Whether `PARTITIONED BY` has a meaning for it.
    fn is_partitioned(&self) -> bool {
        false
    }

    /// How a source is read. Opens nothing and needs no option, so that a pipeline can be planned before its parameters
    /// have values.
    fn read(&self, declared: &Declared) -> Read;

    /// Everything wrong with a declaration, as far as its values are known. Asks nothing of the network.
    fn check(&self, declared: &Declared) -> Vec<OptionProblem>;

    /// Opens a source that is extracted; nothing is asked of the network.
    ///
    /// # Errors
    /// Everything wrong with the location and the options; [`OpenError::InPlace`] for what is read in place.
    fn open(&self, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError>;

    /// What the environment says of sources of this kind.
    fn surroundings(&self, _variable: Variables<'_>) -> Surroundings {
        Surroundings::default()
    }

    /// The bundled sample that a source of this kind, declared with options of these names, reads because nothing says
    /// what else.
    fn sample(&self, _options: &[&str], _variable: Variables<'_>) -> Option<Arc<dyn Sample>> {
        None
    }
}

/// What the environment says of a kind of source.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Options that hold where the definition gives none.
    pub options: BTreeMap<String, OptionValue>,
    /// What decides which data is read: part of what makes two requests the same one.
    pub identity: BTreeMap<String, String>,
}

/// How a source is read.
#[derive(Debug)]
pub enum Read {
    /// In place, also by executors.
    InPlace(Arc<dyn InPlace>),
    /// Extracted before a query runs: it reads what landed, which has these columns.
    Extracted(SchemaRef),
}

/// A source that queries read where it is.
#[async_trait]
pub trait InPlace: fmt::Debug + Send + Sync {
    /// Its table.
    ///
    /// # Errors
    /// When its columns are not declared and cannot be found out, or an option is wrong.
    async fn table(
        &self,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError>;

    /// Whether the number of rows in the statistics of its table is a count, though it is given as an estimate, so that no plan
    /// takes it for an answer.
    fn counts_rows(&self) -> bool {
        false
    }

    /// The source file by file, if a run reads only those files that are new to it.
    fn by_file(&self) -> Option<&dyn ByFile> {
        None
    }

    /// What there is to read, and what is not going to be: an empty listing would read as an empty table, and publishing that
    /// could replace a full one.
    ///
    /// # Errors
    /// When it cannot be looked at.
    async fn survey(&self, session: &SessionState) -> Result<Survey, DataFusionError>;
}

/// A source of which each run reads some files.
#[async_trait]
pub trait ByFile: Send + Sync {
    /// The files that there are.
    ///
    /// # Errors
    /// As [`InPlace::survey`].
    async fn list(&self, session: &SessionState) -> Result<Listing, DataFusionError>;

    /// Its table, of some of the files.
    ///
    /// # Errors
    /// As [`InPlace::table`].
    async fn table_of(
        &self,
        session: &SessionState,
        files: Chosen,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError>;
}

/// What a run reads of a source's files.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// These.
    Files(Vec<File>),
    /// None; the columns are those of these files.
    None(Vec<File>),
}

impl Chosen {
    /// The files that have to be looked at, and whether their rows are read.
    pub(crate) fn look(self) -> (Vec<File>, bool) {
        match self {
            Self::Files(files) => (files, true),
            Self::None(files) => (files, false),
        }
    }
}

/// What is under the location of a source.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Files that are read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, where they were counted when they were written.
    pub rows: Option<u64>,
    /// Whether nothing to read is what there is, and no mistake.
    pub may_be_empty: bool,
    /// Files that are not, each with why.
    pub left_out: Vec<(String, Why)>,
    /// What was found of how they are written, if it was asked for, or is written down.
    pub detected: Option<String>,
}

/// Why a source cannot be opened. All of them are the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such kind.
    #[error("there is no kind of source `{kind}`{}", hint(suggestion.as_deref()))]
    UnknownKind {
        /// The name given.
        kind: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// The location or options are wrong.
    #[error("{}", list(problems))]
    Options {
        /// At least one problem.
        problems: Vec<OptionProblem>,
    },
    /// It is read in place, so there is nothing to extract.
    #[error("a source of the kind `{kind}` is read in place, not extracted")]
    InPlace {
        /// Its kind.
        kind: String,
    },
    /// The HTTP client cannot be set up on this machine.
    #[error("the HTTP client cannot be set up")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

fn list(problems: &[OptionProblem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
