//! Which partition each row belongs to: partition values to small numbers, the same for all streams of an operator.
//! Owns the numbers and the partitions' paths; holds no rows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::hash_utils::RandomState;
use datafusion::error::Result;

use crate::layout::PartitionColumns;

/// The partitions that rows were seen of, numbered as they come up.
#[derive(Debug, Default)]
pub(super) struct PartitionIndex(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    numbers: HashMap<String, u32>,
    paths: Vec<String>,
}

impl PartitionIndex {
    fn number(&self, path: String) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(&path) {
            return *number;
        }
        // A table with four thousand million partitions does not fit any memory.
        let number = u32::try_from(known.paths.len()).unwrap_or(u32::MAX);
        known.paths.push(path.clone());
        known.numbers.insert(path, number);
        number
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .paths
            .len()
    }

    /// The path of a numbered partition.
    pub(super) fn path(&self, number: u32) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .paths
            .get(number as usize)
            .cloned()
            .unwrap_or_default()
    }
}

/// One stream's way from values to numbers. Remembers what it saw, so that streams seldom wait for one another.
pub(super) struct PartitionLookup {
    partition: PartitionColumns,
    /// The path of all rows, whatever their columns say; empty if the columns give it.
    path: String,
    key: Key,
    last: Option<(u128, u32)>,
}

enum Key {
    /// No partition columns: everything is in one.
    One(Option<u32>),
    /// Values that fit into 128 bits together with their validity.
    Packed(HashMap<u128, u32, RandomState>),
    /// Texts, and more integers than that.
    Rows(RowConverter, HashMap<Box<[u8]>, u32, RandomState>),
}

impl PartitionLookup {
    /// For rows of `schema`. With a `path`, all are of that partition.
    pub(super) fn over(schema: &Schema, partition: PartitionColumns, path: String) -> Result<Self> {
        let types: Vec<DataType> = partition
            .indices()
            .map(|column| schema.field(column).data_type().clone())
            .collect();
        let bits: Option<usize> = types.iter().map(width).sum();
        let key = match bits {
            Some(0) => Key::One(None),
            Some(bits) if bits <= 128 => Key::Packed(HashMap::default()),
            _ => {
                let fields = types.into_iter().map(SortField::new).collect();
                Key::Rows(RowConverter::new(fields)?, HashMap::default())
            }
        };
        Ok(Self {
            partition,
            path,
            key,
            last: None,
        })
    }

    /// The number of the partition of every row.
    pub(super) fn of(
        &mut self,
        batch: &RecordBatch,
        partitions: &PartitionIndex,
    ) -> Result<Vec<u32>> {
        let (partition, path) = (&self.partition, &self.path);
        let columns: Vec<ArrayRef> = partition
            .indices()
            .map(|column| Arc::clone(batch.column(column)))
            .collect();
        let number = |row| -> Result<u32> {
            Ok(partitions.number(if path.is_empty() {
                partition.path(batch, row)?
            } else {
                path.clone()
            }))
        };
        let mut numbers = Vec::with_capacity(batch.num_rows());
        match &mut self.key {
            Key::One(known) => {
                let one = match known {
                    Some(one) => *one,
                    None => *known.insert(number(0)?),
                };
                numbers.resize(batch.num_rows(), one);
            }
            Key::Packed(known) => {
                for (row, key) in packed(&columns, batch.num_rows()).into_iter().enumerate() {
                    // Neighbours are often of one partition.
                    let found = match self.last {
                        Some((last, found)) if last == key => found,
                        _ => match known.get(&key) {
                            Some(found) => *found,
                            None => *known.entry(key).or_insert(number(row)?),
                        },
                    };
                    self.last = Some((key, found));
                    numbers.push(found);
                }
            }
            Key::Rows(converter, known) => {
                let rows = converter.convert_columns(&columns)?;
                let mut last: Option<(usize, u32)> = None;
                for row in 0..batch.num_rows() {
                    let key = rows.row(row);
                    let found = match last {
                        Some((before, found)) if rows.row(before) == key => found,
                        _ => match known.get(key.as_ref()) {
                            Some(found) => *found,
                            None => *known.entry(key.as_ref().into()).or_insert(number(row)?),
                        },
                    };
                    last = Some((row, found));
                    numbers.push(found);
                }
            }
        }
        Ok(numbers)
    }
}

/// Bits of a value and its validity; `None` if values have no fixed width.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(2),
        other => other.primitive_width().map(|bytes| bytes * 8 + 1),
    }
}

/// The values of each row side by side.
fn packed(columns: &[ArrayRef], rows: usize) -> Vec<u128> {
    let mut keys = vec![0; rows];
    for column in columns {
        match column.data_type() {
            DataType::Int8 => pack::<Int8Type>(column, &mut keys, |v| u64::from(v.cast_unsigned())),
            DataType::Int16 => {
                pack::<Int16Type>(column, &mut keys, |v| u64::from(v.cast_unsigned()));
            }
            DataType::Int32 => {
                pack::<Int32Type>(column, &mut keys, |v| u64::from(v.cast_unsigned()));
            }
            DataType::Date32 => {
                pack::<Date32Type>(column, &mut keys, |v| u64::from(v.cast_unsigned()));
            }
            DataType::Int64 => pack::<Int64Type>(column, &mut keys, i64::cast_unsigned),
            DataType::UInt8 => pack::<UInt8Type>(column, &mut keys, u64::from),
            DataType::UInt16 => pack::<UInt16Type>(column, &mut keys, u64::from),
            DataType::UInt32 => pack::<UInt32Type>(column, &mut keys, u64::from),
            DataType::UInt64 => pack::<UInt64Type>(column, &mut keys, |v| v),
            // No other type names partitions (`schema::can_partition`).
            _ => {
                let values = column.as_boolean();
                for (row, key) in keys.iter_mut().enumerate() {
                    *key = (*key << 2)
                        | if values.is_null(row) {
                            1
                        } else {
                            u128::from(values.value(row)) << 1
                        };
                }
            }
        }
    }
    keys
}

fn pack<T: ArrowPrimitiveType>(column: &ArrayRef, keys: &mut [u128], bits: fn(T::Native) -> u64) {
    let values = column.as_primitive::<T>();
    let width = size_of::<T::Native>() * 8 + 1;
    if values.null_count() == 0 {
        for (key, value) in keys.iter_mut().zip(values.values()) {
            *key = (*key << width) | (u128::from(bits(*value)) << 1);
        }
        return;
    }
    for (row, key) in keys.iter_mut().enumerate() {
        *key = (*key << width)
            | if values.is_null(row) {
                1
            } else {
                u128::from(bits(values.value(row))) << 1
            };
    }
}
