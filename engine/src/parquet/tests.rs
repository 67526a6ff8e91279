//! Files of Parquet in folders of their own, read through whole sessions: schemas that are refused, and what is read.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::schema::{Unreadable, look};
use crate::{Budget, SessionOptions, session};

fn opened(folder: &Path) -> SessionContext {
    session(&SessionOptions::new(
        Budget::new(256 << 20, 2, 4096),
        folder.join("spill"),
    ))
    .unwrap()
}

async fn count(folder: &Path, file: &Path) -> Result<usize, String> {
    let frame = opened(folder)
        .read_parquet(file.display().to_string(), ParquetReadOptions::default())
        .await;
    match frame {
        Ok(frame) => frame.count().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Metadata in the compact protocol: version 1 and a schema of so many groups in one another, around one leaf.
fn metadata(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x15, 2, 0x19, 0xfc];
    let mut count = levels + 1;
    while count >= 0x80 {
        bytes.push(u8::try_from(count & 0x7f).unwrap() | 0x80);
        count >>= 7;
    }
    bytes.push(u8::try_from(count).unwrap());
    for _ in 0..levels {
        // repetition: required; name: "a"; one child
        bytes.extend([0x35, 0, 0x18, 1, b'a', 0x15, 2, 0]);
    }
    // type: INT64; repetition; name
    bytes.extend([0x15, 4, 0x25, 0, 0x18, 1, b'a', 0]);
    // rows: 0; no row groups
    bytes.extend([0x16, 0, 0x19, 0x0c, 0]);
    bytes
}

fn file(path: &Path, metadata: &[u8]) {
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(metadata);
    bytes.extend(u32::try_from(metadata.len()).unwrap().to_le_bytes());
    bytes.extend(b"PAR1");
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_schema_of_any_depth_is_an_error_with_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    // The reader sees the second only with a second request.
    for levels in [257, 100_000, 2_000_000] {
        let path = folder.path().join(format!("deep{levels}.parquet"));
        file(&path, &metadata(levels));
        let error = count(folder.path(), &path).await.unwrap_err();
        assert!(error.contains("nests more than 256 levels deep"), "{error}");
        assert!(error.contains(&format!("deep{levels}.parquet")), "{error}");
    }
    let path = folder.path().join("flat.parquet");
    file(&path, &metadata(3));
    assert_eq!(count(folder.path(), &path).await, Ok(0));
}

#[tokio::test]
async fn files_with_nested_columns_are_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for _ in 0..50 {
        let field = Arc::new(Field::new("a", column.data_type().clone(), true));
        column = Arc::new(StructArray::from(vec![(field, column)]));
    }
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
    let batch = RecordBatch::try_from_iter([("deep", column), ("name", names)]).unwrap();
    assert!(matches!(
        batch.schema().field(0).data_type(),
        DataType::Struct(_)
    ));
    let path = folder.path().join("good.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert_eq!(count(folder.path(), &path).await, Ok(3));
}

#[test]
fn damaged_metadata_is_walked_without_harm() {
    let good = metadata(20);
    assert_eq!(look(&good), Ok(()));
    for end in 0..good.len() {
        assert_eq!(look(&good[..end]), Err(Unreadable::Damaged), "{end}");
    }
    // Structures in one another, where something else is expected.
    assert_eq!(look(&[0x3c].repeat(1_000_000)), Err(Unreadable::Damaged));
    // A list of more items than there are bytes.
    let endless = [
        0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ];
    assert_eq!(look(&endless), Err(Unreadable::Damaged));
}
