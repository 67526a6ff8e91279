//! Files as sources: what is in them is what comes out, or the run ends at the place where that cannot be.
//!
//! ```text
//! listing ─► sample ─► table ─► scan ─► feed: open ─► bytes ─► split ─► queue ─► decode: csv, json, text, avro ─► values
//! which       columns           plan     decompress, UTF-8     whole records      rows, exactly
//! ```
//!
//! Owns the readers of text formats: [`csv`], [`json`] and lines, and of files that are values. Of Parquet, [`ParquetTable`] decides what is
//! read, and DataFusion reads it. Which options a definition has is the
//! connectors', how far a run may go with bad rows the runner's.

mod ahead;
mod arrow;
mod avro;
mod bad_rows;
mod bad_scan;
mod binary;
mod by_name;
mod bytes;
mod columns;
mod counted;
pub mod csv;
mod decode;
mod dialect;
mod error;
mod feed;
mod format;
mod guard;
mod guarded_scan;
pub mod json;
pub mod listing;
mod misfit;
mod number;
mod open;
mod origin;
mod parquet;
mod partitions;
mod record_starts;
mod rows;
mod salvage;
mod sample;
mod scan;
mod slice;
mod split;
mod sql_type;
mod stores;
mod table;
mod text;
mod time;
mod types;
mod unite;
mod value;
mod web;

pub use bad_rows::{BadRow, BadRows, MOST_BAD_ROWS, Quarantine};
pub use bad_scan::{BadRowScan, bad_row_scans, good_rows};
pub use bytes::{Compression, encoding};
pub use dialect::detected;
pub use error::{Problem, ReadError};
pub use feed::longest_record;
pub use format::{Binary, Bytes, Csv, Format, Json};
pub use guard::hide_panics_of_readers;
pub use guarded_scan::guard_scans;
pub use origin::Origin;
pub use parquet::{DeclaredParquet, ParquetTable};
pub use sample::SAMPLE_BYTES;
pub use scan::{FileScanExec, decode_operator, encode_operator, is_operator};
pub use sql_type::sql_type;
pub use stores::Stores;
pub use table::{Declared, FilesTable};
pub use web::WebStore;
