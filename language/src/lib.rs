//! The pipeline language: from SQL text to a checked, typed definition.
//!
//! Three steps, each reporting everything that is wrong at once:
//! 1. [`parse`] reads a text into a [`Definition`]: statements, parameters, options. No values, no network.
//! 2. [`bind`] gives parameters their values, as typed literals in syntax trees.
//! 3. [`plan`](plan()) turns steps, checks and outputs into DataFusion plans, against the tables of a session.
//!
//! Running a plan, opening a source and resolving a secret are not done here.

mod assert;
mod bind;
mod check;
mod columns;
mod constants;
mod copy;
mod cursor;
mod declare;
mod definition;
mod depth;
mod diagnostic;
mod fingerprint;
mod kind;
mod locate;
mod options;
mod output_options;
mod parameters;
mod plan;
pub mod regular;
mod resolve;
pub mod search;
mod secret;
mod set;
mod source;
mod split;
mod statement;
mod suggest;
mod text;
mod view;

pub use assert::Assert;
pub use bind::{Bound, bind, bind_draft};
pub use columns::SortKey;
pub use copy::Output;
pub use datafusion::sql::sqlparser::tokenizer::Span;
pub use definition::{Definition, Origin, parse};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use kind::SourceKind;
pub use options::{
    MemoryLimit, Mode, OptionError, OptionInfo, PIPELINE_OPTIONS, PipelineOptions, Preset,
};
pub use output_options::{DictionaryChoice, OUTPUT_OPTIONS, OutputOption, OutputOptions};
pub use parameters::{Parameter, ParameterValue, Provided, ValueOrigin};
pub use plan::{Planned, plan, plan_assert};
pub use secret::{NotAReference, SecretReference, is_credential, is_secret_parameter};
pub use source::{OptionSpans, OptionValue, Source};
pub use statement::{
    AssertStatement, CopyStatement, Entry, Name, SourceStatement, Statement, ViewStatement,
};
pub use suggest::{edits, nearest};
pub use text::{Place, SourceText};
pub use view::View;
