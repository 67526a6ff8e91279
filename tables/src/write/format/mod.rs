//! The formats of files: how rows become bytes. Owns which encoder each format has. Where files and row groups are cut is
//! `encoder`'s, what a format can hold is `options::Format`'s, what is staged and published is nobody's here.

mod arrow;
mod avro;
mod file_encoder;
mod parquet;
mod text;

use crate::options::{Format, TableOptions};

pub(crate) use file_encoder::{FileEncoder, FileEncoding};

/// How files of a table with these options are written. The options have been validated.
pub(crate) fn encoding(options: &TableOptions) -> Box<dyn FileEncoding> {
    match options.format {
        Format::Parquet => parquet::encoding(options),
        Format::Csv => text::csv(options.compression),
        Format::Json => text::json(options.compression),
        Format::Arrow => arrow::encoding(options.compression),
        Format::Avro => avro::encoding(options.compression),
    }
}
