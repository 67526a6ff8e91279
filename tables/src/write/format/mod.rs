//! The formats of files: how rows become bytes, and how the engine reads them again. Owns which format tables have. Where
//! files and row groups are cut is `encoder`'s, what is staged and published is nobody's here.
//!
//! Tables have one format. Another one is a module beside [`parquet`], and a choice in [`of_tables`].

mod file_format;
mod parquet;

pub(crate) use file_format::{FileEncoder, FileEncoding, FileFormat};

/// The format of the files of a table.
pub(crate) fn of_tables() -> &'static dyn FileFormat {
    &parquet::Parquet
}
