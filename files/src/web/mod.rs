//! Files on web servers, which are read over HTTP. Owns what becomes of an address, and the store that reads it; nothing is
//! listed, and nothing written.
//!
//! ```text
//! location ─► find: one byte is asked for ─► key: address, length, version ─► store: ranges, or cut from the whole
//!             may it be read in ranges?      goes along to executors         every answer is of that version
//! ```

mod answer;
mod fault;
mod find;
mod headers;
mod key;
mod patience;
mod reading;
mod server;
mod store;

pub(crate) use fault::{as_io, as_read_error, told};
pub(crate) use find::find;
pub(crate) use key::{Seen, is_web, path, seen, shown};
pub use store::WebStore;
