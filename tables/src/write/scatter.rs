//! Scatters rows to their partitions: each partition's rows, in the order in which they came, as a batch of its own. Owns
//! the copying; which partition a row belongs to is `partition_index`'s to know.
//!
//! Values are read in sequence and written to where their partition's next row goes. The other way round, collecting the
//! rows of one partition after the other, reads a cache line for nearly every value, as often as there are partitions.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericByteArray, PrimitiveArray,
    RecordBatch, downcast_primitive,
};
use datafusion::arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{
    ArrowNativeType, BinaryType, ByteArrayType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::error::Result;

/// The rows of each partition together, by its number. `numbers` has the partition of every row of every batch.
pub(super) fn scatter(
    batches: Vec<RecordBatch>,
    numbers: &[Vec<u32>],
) -> Result<Vec<(u32, RecordBatch)>> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Ok(Vec::new());
    };
    let moves = Moves::new(numbers);
    if let [(number, _)] = moves.partitions.as_slice() {
        return Ok(batches.into_iter().map(|rows| (*number, rows)).collect());
    }
    let mut columns: Vec<_> = moves
        .partitions
        .iter()
        .map(|_| Vec::with_capacity(schema.fields().len()))
        .collect();
    for index in 0..schema.fields().len() {
        let parts: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
        for (columns, array) in columns.iter_mut().zip(moves.column(&parts)?) {
            columns.push(array);
        }
    }
    moves
        .partitions
        .iter()
        .zip(columns)
        .map(|((number, _), columns)| {
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
            Ok((*number, rows))
        })
        .collect()
}

/// Where each row goes.
struct Moves<'a> {
    numbers: &'a [Vec<u32>],
    /// The partitions that have rows, and where those are among all.
    partitions: Vec<(u32, Range<usize>)>,
    /// The place of each row, in the order of the batches.
    places: Vec<usize>,
}

impl<'a> Moves<'a> {
    fn new(numbers: &'a [Vec<u32>]) -> Self {
        let highest = numbers.iter().flatten().copied().max().unwrap_or(0) as usize;
        let mut counts = vec![0_usize; highest + 1];
        for number in numbers.iter().flatten() {
            counts[*number as usize] += 1;
        }
        let mut partitions = Vec::new();
        // From here on the place of each partition's next row.
        let mut nexts = counts;
        let mut start = 0;
        for (number, next) in (0..).zip(&mut nexts) {
            let rows = std::mem::replace(next, start);
            if rows > 0 {
                partitions.push((number, start..start + rows));
                start += rows;
            }
        }
        let places = numbers
            .iter()
            .flatten()
            .map(|number| {
                let next = &mut nexts[*number as usize];
                *next += 1;
                *next - 1
            })
            .collect();
        Self {
            numbers,
            partitions,
            places,
        }
    }

    /// A column of each partition.
    fn column(&self, parts: &[&ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(first) = parts.first() else {
            return Ok(Vec::new());
        };
        macro_rules! primitive {
            ($type:ty) => {
                Ok(self.primitives::<$type>(parts))
            };
        }
        downcast_primitive! {
            first.data_type() => (primitive),
            DataType::Boolean => Ok(self.booleans(parts)),
            DataType::Utf8 => self.bytes::<Utf8Type>(parts),
            DataType::LargeUtf8 => self.bytes::<LargeUtf8Type>(parts),
            DataType::Binary => self.bytes::<BinaryType>(parts),
            DataType::LargeBinary => self.bytes::<LargeBinaryType>(parts),
            _ => self.others(parts),
        }
    }

    fn primitives<T: ArrowPrimitiveType>(&self, parts: &[&ArrayRef]) -> Vec<ArrayRef> {
        let values = parts
            .iter()
            .flat_map(|part| part.as_primitive::<T>().values());
        let moved = self.moved(values.copied());
        let nulls = self.nulls(parts);
        self.each(&nulls, |range, nulls| {
            let values = ScalarBuffer::from(moved[range].to_vec());
            let array = PrimitiveArray::<T>::new(values, nulls);
            // Of the column's own precision or time zone.
            let data_type = parts.first().map(|part| part.data_type().clone());
            Arc::new(array.with_data_type(data_type.unwrap_or(T::DATA_TYPE)))
        })
    }

    fn booleans(&self, parts: &[&ArrayRef]) -> Vec<ArrayRef> {
        let moved = self.moved(parts.iter().flat_map(|part| part.as_boolean().values()));
        let nulls = self.nulls(parts);
        self.each(&nulls, |range, nulls| {
            Arc::new(BooleanArray::new(moved[range].into(), nulls))
        })
    }

    fn bytes<T: ByteArrayType>(&self, parts: &[&ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let arrays: Vec<&GenericByteArray<T>> =
            parts.iter().map(|part| part.as_bytes::<T>()).collect();
        let lengths = self.moved(arrays.iter().flat_map(|array| array.offsets().lengths()));
        let total = lengths.iter().sum();
        if T::Offset::from_usize(total).is_none() {
            return Err(ArrowError::OffsetOverflowError(total));
        }
        // Where the bytes of each place begin.
        let mut ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, length| {
                let start = *end;
                *end += length;
                Some(start)
            })
            .collect();
        let mut moved = vec![0_u8; total];
        let mut places = self.places.iter();
        for array in &arrays {
            let bytes = array.value_data();
            let spans = array.value_offsets().windows(2);
            for (span, place) in spans.zip(&mut places) {
                let value = &bytes[span[0].as_usize()..span[1].as_usize()];
                let end = &mut ends[*place];
                moved[*end..*end + value.len()].copy_from_slice(value);
                *end += value.len();
            }
        }
        let nulls = self.nulls(parts);
        let mut start = 0;
        self.partitions
            .iter()
            .map(|(_, range)| {
                let end = ends.get(range.end - 1).copied().unwrap_or(start);
                let values = Buffer::from(&moved[start..end]);
                start = end;
                let offsets =
                    OffsetBuffer::<T::Offset>::from_lengths(lengths[range.clone()].iter().copied());
                let nulls = part_of(nulls.as_deref(), range);
                let array = GenericByteArray::<T>::try_new(offsets, values, nulls)?;
                Ok(Arc::new(array) as ArrayRef)
            })
            .collect()
    }

    /// Whatever has no place of a fixed kind for each value: nested types, views, dictionaries.
    fn others(&self, parts: &[&ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        let rows = (0..)
            .zip(self.numbers)
            .flat_map(|(batch, numbers)| (0..numbers.len()).map(move |row| (batch, row)));
        let from: Vec<(usize, usize)> = self.moved(rows);
        self.partitions
            .iter()
            .map(|(_, range)| interleave(&arrays, &from[range.clone()]))
            .collect()
    }

    /// The values, each in its place.
    fn moved<V: Copy + Default>(&self, values: impl Iterator<Item = V>) -> Vec<V> {
        let mut moved = vec![V::default(); self.places.len()];
        for (value, place) in values.zip(&self.places) {
            moved[*place] = value;
        }
        moved
    }

    /// Which values there are, each in its place; `None` if there are all.
    fn nulls(&self, parts: &[&ArrayRef]) -> Option<Vec<bool>> {
        if parts.iter().all(|part| part.null_count() == 0) {
            return None;
        }
        Some(self.moved(parts.iter().flat_map(|part| {
            let nulls = part.nulls();
            (0..part.len()).map(move |row| nulls.is_none_or(|nulls| nulls.is_valid(row)))
        })))
    }

    fn each(
        &self,
        nulls: &Option<Vec<bool>>,
        array: impl Fn(Range<usize>, Option<NullBuffer>) -> ArrayRef,
    ) -> Vec<ArrayRef> {
        self.partitions
            .iter()
            .map(|(_, range)| array(range.clone(), part_of(nulls.as_deref(), range)))
            .collect()
    }
}

fn part_of(valid: Option<&[bool]>, range: &Range<usize>) -> Option<NullBuffer> {
    let nulls = NullBuffer::from(&valid?[range.clone()]);
    (nulls.null_count() > 0).then_some(nulls)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::UInt32Array;
    use datafusion::arrow::array::{
        BinaryArray, Decimal128Array, DictionaryArray, Int32Array, LargeStringArray, ListArray,
        StringArray, StringViewArray, TimestampMicrosecondArray,
    };
    use datafusion::arrow::compute::{concat_batches, take_record_batch};
    use datafusion::arrow::datatypes::{Int32Type, Int64Type};

    use super::*;

    /// Rows of every kind of column; `nulls` is every how many values one is missing, 0 for never.
    fn rows(from: i32, count: i32, nulls: i32) -> RecordBatch {
        let some = |n: i32| nulls == 0 || n % nulls != 0;
        let number = |n: i32| some(n).then_some(n);
        let text = |n: i32| some(n).then(|| "ä".repeat(usize::try_from(n % 17).unwrap()));
        let all = || from..from + count;
        let list: Vec<Option<Vec<Option<i64>>>> = all()
            .map(|n| some(n).then(|| (0..n % 3).map(|m| Some(i64::from(m))).collect()))
            .collect();
        RecordBatch::try_from_iter_with_nullable([
            (
                "i",
                Arc::new(all().map(number).collect::<Int32Array>()) as ArrayRef,
                true,
            ),
            (
                "b",
                Arc::new(
                    all()
                        .map(|n| number(n).map(|n| n % 3 == 0))
                        .collect::<BooleanArray>(),
                ),
                true,
            ),
            (
                "s",
                Arc::new(all().map(text).collect::<StringArray>()),
                true,
            ),
            (
                "l",
                Arc::new(all().map(text).collect::<LargeStringArray>()),
                true,
            ),
            (
                "x",
                Arc::new(
                    all()
                        .map(text)
                        .map(|t| t.map(String::into_bytes))
                        .collect::<BinaryArray>(),
                ),
                true,
            ),
            (
                "v",
                Arc::new(all().map(text).collect::<StringViewArray>()),
                true,
            ),
            (
                "d",
                Arc::new(
                    all()
                        .map(|n| number(n).map(i128::from))
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(15, 2)
                        .unwrap(),
                ),
                true,
            ),
            (
                "t",
                Arc::new(
                    all()
                        .map(|n| number(n).map(i64::from))
                        .collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ),
                true,
            ),
            (
                "k",
                Arc::new(
                    all()
                        .map(|n| some(n).then_some("k"))
                        .collect::<DictionaryArray<Int32Type>>(),
                ),
                true,
            ),
            (
                "n",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list)),
                true,
            ),
        ])
        .unwrap()
    }

    /// What a partition's rows are, said by the engine's own kernels.
    fn expected(batches: &[RecordBatch], numbers: &[Vec<u32>], number: u32) -> RecordBatch {
        let all = concat_batches(&batches[0].schema(), batches).unwrap();
        let rows: UInt32Array = (0..)
            .zip(numbers.iter().flatten())
            .filter(|(_, of)| **of == number)
            .map(|(row, _)| row)
            .collect();
        take_record_batch(&all, &rows).unwrap()
    }

    #[test]
    fn every_row_comes_to_its_partition_in_its_order() {
        for nulls in [0, 2, 5] {
            // Parts of larger arrays too, whose values do not begin at the beginning.
            let batches = vec![
                rows(0, 100, nulls),
                rows(100, 500, nulls).slice(7, 301),
                rows(900, 3, 0),
                rows(903, 1, 1),
            ];
            let numbers: Vec<Vec<u32>> = batches
                .iter()
                .map(|batch| {
                    (0..batch.num_rows())
                        .map(|row| [4, 1, 9, 4][row * row % 4])
                        .collect()
                })
                .collect();
            let found = scatter(batches.clone(), &numbers).unwrap();
            assert_eq!(
                found.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>(),
                405
            );
            for (number, rows) in found {
                assert_eq!(rows, expected(&batches, &numbers, number));
            }
        }
    }

    #[test]
    fn rows_of_one_partition_are_not_copied() {
        let batches = vec![rows(0, 10, 3), rows(10, 5, 3)];
        let found = scatter(batches.clone(), &[vec![7; 10], vec![7; 5]]).unwrap();
        assert_eq!(
            found,
            batches
                .into_iter()
                .map(|rows| (7, rows))
                .collect::<Vec<_>>()
        );
        assert!(scatter(Vec::new(), &[]).unwrap().is_empty());
    }
}
