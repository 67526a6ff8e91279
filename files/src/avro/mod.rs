//! Avro object container files. Owns that a length in a file is compared with what is there before memory is taken, and that a
//! value is what its logical type says, exactly.
//!
//! ```text
//! container: header, blocks ─► block: decompress ─► decode: records to columns
//! (one reader)                 (the stream that decodes it)
//! ```
//! Format: <https://avro.apache.org/docs/1.12.0/specification/>

pub(crate) mod block;
pub(crate) mod bytes;
pub(crate) mod column;
pub(crate) mod container;
pub(crate) mod decode;
pub(crate) mod schema;
pub(crate) mod types;
