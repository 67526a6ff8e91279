//! Arrow IPC files, with the writer of the `arrow` crate: a record batch for every chunk of rows.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, Scalar, StructArray,
    new_null_array,
};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::ipc::CompressionType;
use datafusion::arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use datafusion::error::Result;

use super::{FileEncoder, FileEncoding};
use crate::options::Compression;

/// What is given to the storage at once.
const GROUP_BYTES: usize = 2 << 20;

/// How files are written that are compressed so.
pub(super) fn encoding(compression: Compression) -> Box<dyn FileEncoding> {
    Box::new(ArrowEncoding {
        compression: match compression {
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            // No other one is valid for these files.
            _ => None,
        },
    })
}

#[derive(Debug)]
struct ArrowEncoding {
    compression: Option<CompressionType>,
}

impl FileEncoding for ArrowEncoding {
    fn group_limits(&self) -> (usize, usize) {
        // A batch is as large as it comes: only bytes count.
        (usize::MAX, GROUP_BYTES)
    }

    fn begin(&self, schema: &SchemaRef, _: &RecordBatch, _: usize) -> Result<Box<dyn FileEncoder>> {
        let options = IpcWriteOptions::default().try_with_compression(self.compression)?;
        Ok(Box::new(ArrowEncoder {
            writer: FileWriter::try_new_with_options(Vec::new(), schema, options)?,
            taken: 0,
            plain_bytes: 0,
        }))
    }
}

struct ArrowEncoder {
    writer: FileWriter<Vec<u8>>,
    taken: usize,
    plain_bytes: u64,
}

impl FileEncoder for ArrowEncoder {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns: Result<Vec<ArrayRef>> = rows.columns().iter().map(without_hidden).collect();
        let rows = RecordBatch::try_new(rows.schema(), columns?)?;
        for column in rows.columns() {
            self.plain_bytes += column.to_data().get_slice_memory_size()? as u64;
        }
        Ok(self.writer.write(&rows)?)
    }

    fn end_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(self.writer.finish()?)
    }

    fn take_encoded(&mut self) -> Result<Vec<u8>> {
        // The writer counts for itself where its batches are.
        let encoded = std::mem::take(self.writer.get_mut());
        self.taken += encoded.len();
        Ok(encoded)
    }

    fn group_bytes(&self) -> usize {
        self.writer.get_ref().len()
    }

    fn file_bytes(&self) -> usize {
        self.taken + self.group_bytes()
    }

    fn memory(&self) -> usize {
        self.writer.get_ref().capacity()
    }

    fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }
}

/// The same values, and nothing under a NULL: what is hidden there depends on where the rows came from, and would be in the
/// file.
fn without_hidden(array: &ArrayRef) -> Result<ArrayRef> {
    let plain: ArrayRef = match array.data_type() {
        DataType::List(item) => {
            let lists = array.as_list::<i32>();
            let items = without_hidden(lists.values())?;
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                lists.offsets().clone(),
                items,
                lists.nulls().cloned(),
            )?)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let structs = array.as_struct();
            let columns: Result<Vec<ArrayRef>> =
                structs.columns().iter().map(without_hidden).collect();
            let nulls = structs.nulls().cloned();
            Arc::new(StructArray::try_new(fields.clone(), columns?, nulls)?)
        }
        _ => Arc::clone(array),
    };
    let Some(nulls) = plain.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Ok(plain);
    };
    let valid = BooleanArray::new(nulls.inner().clone(), None);
    let nothing = Scalar::new(new_null_array(plain.data_type(), 1));
    Ok(zip(&valid, &plain, &nothing)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
    use datafusion::arrow::datatypes::Field;

    use super::*;

    fn encoded(rows: &RecordBatch) -> Vec<u8> {
        let encoding = encoding(Compression::None);
        let mut encoder = encoding.begin(&rows.schema(), rows, 0).unwrap();
        encoder.write(rows).unwrap();
        let mut file = encoder.take_encoded().unwrap();
        encoder.finish().unwrap();
        file.extend(encoder.take_encoded().unwrap());
        file
    }

    #[test]
    fn what_is_under_a_null_is_not_in_the_file() {
        let rows = |hidden: i64, text: &str| {
            let nulls = Some(NullBuffer::from(vec![true, false, true]));
            let numbers: ArrayRef =
                Arc::new(Int64Array::new(vec![1, hidden, 3].into(), nulls.clone()));
            let texts = StringArray::from(vec!["a", text, "c"]);
            let (offsets, values, _) = texts.into_parts();
            let texts: ArrayRef = Arc::new(StringArray::new(offsets, values, nulls.clone()));
            let field = Arc::new(Field::new("item", DataType::Int64, true));
            let offsets = OffsetBuffer::from_lengths([1, 2, 0]);
            let lists = ListArray::new(field, offsets, Arc::clone(&numbers), nulls);
            RecordBatch::try_from_iter([
                ("number", numbers),
                ("text", texts),
                ("list", Arc::new(lists)),
            ])
            .unwrap()
        };
        let (one, other) = (rows(7, "hidden"), rows(8, "other"));
        assert_eq!(encoded(&one), encoded(&other));
    }
}
