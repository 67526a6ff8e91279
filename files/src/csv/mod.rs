//! Delimiter-separated values: the dialect of a file, where its records end, what is in their fields, and what types these
//! have. Follows RFC 4180, with these answers where it is silent: a quote opens a field only at its beginning; an empty field
//! without quotes is NULL and one with quotes is an empty text; a row with more or fewer fields than the first is a mistake;
//! an empty line is no row, except in a file of one column, where it is NULL.

pub(crate) mod decode;
pub(crate) mod detect;
mod dialect;
pub(crate) mod guess;
pub(crate) mod header;
mod marks;
mod records;
pub(crate) mod split;

pub use detect::Detect;
pub use dialect::Dialect;
pub(crate) use records::Records;
