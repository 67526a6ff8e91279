//! Files as values.

use datafusion::arrow::datatypes::DataType;

use crate::cases::Case;

const FILES: [(&str, &[u8]); 4] = [
    ("a.png", b"\x89PNG\r\n\0\xff"),
    ("sub/b", b"01234567890"),
    ("empty.bin", b""),
    (".hidden", b"no"),
];

#[test]
fn a_file_is_a_row_with_its_bytes() {
    let case = Case::binary(&FILES, None);
    assert_eq!(
        case.read("SELECT length, chunk, encode(content, 'hex') FROM t")
            .unwrap(),
        [
            "0|0|",
            "11|0|3031323334353637383930",
            "8|0|89504e470d0a00ff"
        ]
    );
    let paths = case.read("SELECT path FROM t WHERE modified > TIMESTAMPTZ '2020-01-01'");
    let paths = paths.unwrap();
    let ends: Vec<&str> = paths
        .iter()
        .map(|path| path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(ends, ["a.png", "empty.bin", "b"]);
}

#[test]
fn a_file_is_its_chunks_one_after_the_other() {
    for (chunk_bytes, expected) in [
        (4, &["0|30313233", "1|34353637", "2|383930"][..]),
        (11, &["0|3031323334353637383930"]),
        (100, &["0|3031323334353637383930"]),
    ] {
        let case = Case::binary(&FILES, Some(chunk_bytes));
        let query = "SELECT chunk, encode(content, 'hex') FROM t WHERE path LIKE '%/b'";
        assert_eq!(case.read(query).unwrap(), expected);
        let chunks = case.read("SELECT count(*) FROM t WHERE path LIKE '%/b'");
        assert_eq!(chunks.unwrap(), [expected.len().to_string()]);
    }
    // By the sizes of files, which nobody has to read.
    let case = Case::binary(&FILES, Some(2));
    assert_eq!(case.read("SELECT count(*) FROM t").unwrap(), ["11"]);
}

#[test]
fn columns_are_declared_by_their_names() {
    let declared = Case::binary(&FILES[..1], None).columns(&[("content", DataType::BinaryView)]);
    assert_eq!(
        declared
            .read("SELECT length(encode(content, 'hex')) FROM t")
            .unwrap(),
        ["16"]
    );
    let other = Case::binary(&FILES[..1], None).columns(&[("bytes", DataType::Binary)]);
    let message = other.all().unwrap_err();
    assert!(
        message.contains("no file has the column `bytes`; there are `path`, `modified`, `length`, `chunk`, `content`"),
        "{message}"
    );
}

#[test]
fn a_value_beyond_the_memory_is_refused_with_the_way_out() {
    let content = vec![7; 9 << 20];
    let files: [(&str, &[u8]); 1] = [("big", &content)];
    let message = Case::binary(&files, None)
        .memory(64 << 20)
        .all()
        .unwrap_err();
    assert!(
        message.starts_with("big: a value of 9437184 bytes is longer than 8 MiB")
            && message.contains("`chunk_bytes '1MiB'`"),
        "{message}"
    );
    let chunks = Case::binary(&files, Some(1 << 19)).memory(256 << 20);
    let query = "SELECT chunk, length(encode(content, 'hex')) FROM t WHERE chunk >= 16";
    assert_eq!(chunks.read(query).unwrap(), ["16|1048576", "17|1048576"]);
    // Its size needs no memory.
    let length = Case::binary(&files, None).memory(64 << 20);
    assert_eq!(length.read("SELECT length FROM t").unwrap(), ["9437184"]);
}
