//! JSON: documents one after the other, or the items of one array. Owns the strict reading of them (RFC 8259, with each key
//! of an object once and 128 levels at most), their types and their columns.

pub(crate) mod decode;
pub(crate) mod guess;
pub(crate) mod lexer;
pub(crate) mod mask;
mod path;
pub(crate) mod split;

pub use path::Path;
use serde::{Deserialize, Serialize};

/// How the documents of a file are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Layout {
    /// Each on a line.
    #[default]
    Lines,
    /// One after the other, on any lines.
    Documents,
    /// As the items of one array.
    Array,
}
