//! Files that say what is not so. Each is an error with the file's name.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};

use crate::cases::Case;

fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "ü"]));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn stream() -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows().schema()).unwrap();
    writer.write(&rows()).unwrap();
    writer.write(&rows()).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn file() -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &rows().schema()).unwrap();
    writer.write(&rows()).unwrap();
    writer.write(&rows()).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn arrow_files_and_streams_are_read() {
    let expected = ["1|a", "1|a", "3|ü", "3|ü", "<null>|b", "<null>|b"];
    let (file, stream) = (file(), stream());
    assert_eq!(Case::arrow(&[("f.arrow", &file)]).all().unwrap(), expected);
    assert_eq!(
        Case::arrow(&[("f.arrows", &stream)]).all().unwrap(),
        expected
    );
    let both = Case::arrow(&[("f.arrow", &file), ("g.arrow", &stream)]);
    assert_eq!(
        both.read("SELECT count(*), sum(id) FROM t").unwrap(),
        ["12|16"]
    );
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let whole = file();
    for length in 0..whole.len() {
        let case = Case::arrow(&[("f.arrow", &whole[..length]), ("g.arrow", &whole)]);
        if length == 0 {
            continue;
        }
        // In every way is much for every length.
        let message = match length % 64 {
            0 => case.all().unwrap_err(),
            _ => case.once().unwrap_err(),
        };
        assert!(
            message.starts_with("f.arrow: it is no whole Arrow file"),
            "{length}: {message}"
        );
    }
}

#[test]
fn no_change_of_a_byte_ends_the_process_or_takes_memory() {
    for whole in [file(), stream()] {
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                // Data that is changed is other data; all that counts is that this returns.
                drop(Case::arrow(&[("f.arrow", &changed)]).all_once());
            }
        }
    }
}

#[test]
fn a_gzip_file_that_is_cut_is_an_error() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all("a,b\n1,2\n".repeat(1_000).as_bytes())
        .unwrap();
    let whole = encoder.finish().unwrap();
    for length in [whole.len() - 1, whole.len() - 8, whole.len() / 2] {
        let message = Case::csv(&[("f.csv", &whole[..length])]).all().unwrap_err();
        assert!(
            message.contains("f.csv: the file is cut short"),
            "{message}"
        );
    }
}
