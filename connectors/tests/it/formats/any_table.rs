//! Rows with every type that a format holds: edges of each type, and random values between, by a seed.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int64Array, ListArray, PrimitiveArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, Fields, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tables::Format;

/// Parts of texts: what formats use for themselves, and what takes several bytes.
const PARTS: [&str; 18] = [
    ",", "\"", "\n", "\r", "\r\n", "\t", "\\", " ", "'", ";", "NULL", "null", "a", "0", "ü", "𠮷",
    "\u{7f}", "{[",
];
const DAY: i64 = 86_400_000_000;

/// See the module. `id` is the number of the row; `part` has few values.
pub(crate) fn any_table(format: Format, seed: u64, rows: usize) -> RecordBatch {
    let mut any = Any {
        random: StdRng::seed_from_u64(seed),
        rows,
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![(
        "id",
        Arc::new((0..rows as i64).collect::<Int64Array>()) as ArrayRef,
    )];
    columns.extend(any.scalars(format));
    if format != Format::Csv {
        columns.extend(any.nested());
    }
    if matches!(format, Format::Arrow | Format::Avro) {
        columns.extend(any.bytes());
    }
    if format == Format::Avro {
        columns.retain(|(name, _)| !["uint64", "time_ns"].contains(name));
    }
    columns.push(("part", any.texts(&["a", "b c", "d=e/f"])));
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

struct Any {
    random: StdRng,
    rows: usize,
}

impl Any {
    fn column<T>(
        &mut self,
        rows: usize,
        edges: &[T],
        other: impl Fn(&mut StdRng) -> T,
    ) -> Vec<Option<T>>
    where
        T: Clone,
    {
        let random = &mut self.random;
        (0..rows)
            .map(|row| match random.random_range(0..5) {
                0 => None,
                1 if !edges.is_empty() => Some(edges[row % edges.len()].clone()),
                _ => Some(other(random)),
            })
            .collect()
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        edges: &[T::Native],
        other: impl Fn(&mut StdRng) -> T::Native,
    ) -> ArrayRef {
        let values = self.column(self.rows, edges, other);
        Arc::new(values.into_iter().collect::<PrimitiveArray<T>>())
    }

    fn scalars(&mut self, format: Format) -> Vec<(&'static str, ArrayRef)> {
        macro_rules! integers {
            ($($name:literal $array:ident $native:ty),*) => {
                vec![$(($name, self.primitive::<$array>(
                    &[<$native>::MIN, <$native>::MAX, 0],
                    |random| random.random::<$native>(),
                ))),*]
            };
        }
        let mut columns: Vec<(&str, ArrayRef)> = integers!(
            "int8" Int8Type i8, "int16" Int16Type i16, "int32" Int32Type i32, "int64" Int64Type i64,
            "uint8" UInt8Type u8, "uint16" UInt16Type u16, "uint32" UInt32Type u32, "uint64" UInt64Type u64
        );
        // What is no number is no JSON.
        let (single, double): (&[f32], &[f64]) = if format == Format::Json {
            (
                &[f32::MAX, f32::MIN_POSITIVE, -0.0, 0.1, 1e-45],
                &[f64::MAX, f64::MIN_POSITIVE, -0.0, 0.1, 5e-324],
            )
        } else {
            (
                &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.1, -0.0],
                &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0],
            )
        };
        let finite = |bits: u64| Some(f64::from_bits(bits)).filter(|float| float.is_finite());
        let floats = self.column(self.rows, double, |random| {
            finite(random.random()).unwrap_or(1.5)
        });
        columns.push(("float64", Arc::new(Float64Array::from(floats))));
        let floats = self.column(self.rows, single, |random| {
            let float = f32::from_bits(random.random());
            if float.is_finite() { float } else { 1e10 }
        });
        columns.push(("float32", Arc::new(Float32Array::from(floats))));
        let booleans = self.column(self.rows, &[], |random| random.random::<bool>());
        columns.push(("boolean", Arc::new(BooleanArray::from(booleans))));
        let most = 10_i128.pow(38) - 1;
        let decimals = self.column(self.rows, &[most, -most, 0, -1, 1], |random| {
            random.random_range(-most..=most)
        });
        let decimals = Decimal128Array::from(decimals).with_precision_and_scale(38, 9);
        columns.push((
            "decimal38",
            Arc::new(decimals.expect("a scale that there is")),
        ));
        let decimals = self.column(self.rows, &[-999, 999], |random| {
            random.random_range(-99..99)
        });
        let decimals = Decimal128Array::from(decimals).with_precision_and_scale(3, 3);
        columns.push((
            "decimal3",
            Arc::new(decimals.expect("a scale that there is")),
        ));
        let wide =
            |most: i128| i256::from_i128(most).wrapping_mul(i256::from_i128(10_i128.pow(20)));
        let decimals = self.column(self.rows, &[wide(most), wide(-most)], |random| {
            wide(random.random_range(-most..=most)).wrapping_add(i256::from_i128(7))
        });
        let decimals = Decimal256Array::from(decimals).with_precision_and_scale(60, 5);
        columns.push((
            "decimal60",
            Arc::new(decimals.expect("a scale that there is")),
        ));
        // From the year 1 to the year 9999: other readers end there.
        let (first, last) = (-719_162, 2_932_896);
        columns.push((
            "date",
            self.primitive::<Date32Type>(&[first, last, 0, -1], |random| {
                random.random_range(first..=last)
            }),
        ));
        let instants = [
            i64::from(first) * DAY,
            (i64::from(last) + 1) * DAY - 1,
            0,
            -1,
            1_000,
        ];
        for (name, zone) in [("timestamp", None), ("instant", Some("UTC"))] {
            let values = self.column(self.rows, &instants, |random| {
                random.random_range(i64::from(first) * DAY..i64::from(last) * DAY)
            });
            let values = TimestampMicrosecondArray::from(values).with_timezone_opt(zone);
            columns.push((name, Arc::new(values)));
        }
        columns.push((
            "time_ms",
            self.primitive::<Time32MillisecondType>(&[0, 86_399_999, 1_000], |random| {
                random.random_range(0..86_400_000)
            }),
        ));
        columns.push((
            "time_us",
            self.primitive::<Time64MicrosecondType>(&[0, DAY - 1], |random| {
                random.random_range(0..DAY)
            }),
        ));
        columns.push((
            "time_ns",
            self.primitive::<Time64NanosecondType>(&[0, DAY * 1_000 - 1], |random| {
                random.random_range(0..DAY * 1_000)
            }),
        ));
        let texts = self.column(self.rows, &[String::new()], |random| {
            let parts = random.random_range(0..6);
            let parts = (0..parts).map(|_| PARTS[random.random_range(0..PARTS.len())]);
            parts.collect::<String>()
        });
        columns.push(("text", Arc::new(StringArray::from(texts))));
        columns
    }

    fn texts(&mut self, among: &[&str]) -> ArrayRef {
        let values = self.column(self.rows, &[], |random| {
            among[random.random_range(0..among.len())].to_owned()
        });
        Arc::new(StringArray::from(values))
    }

    fn nested(&mut self) -> Vec<(&'static str, ArrayRef)> {
        let numbers = self.column(self.rows * 2, &[i64::MIN, i64::MAX], |random| {
            random.random()
        });
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        let numbers = self.lists(&numbers);
        let texts = self.column(self.rows * 2, &[String::new()], |random| {
            PARTS[random.random_range(0..PARTS.len())].to_owned()
        });
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let one = self.structs(&texts, self.rows * 2);
        let listed = self.lists(&one);
        let one = self.structs(&texts.slice(0, self.rows), self.rows);
        vec![("numbers", numbers), ("object", one), ("objects", listed)]
    }

    fn bytes(&mut self) -> Vec<(&'static str, ArrayRef)> {
        let edges = [Vec::new(), vec![0, 255, 10]];
        let bytes = self.column(self.rows, &edges, |random| {
            random.random::<u32>().to_le_bytes().to_vec()
        });
        let bytes = bytes.iter().map(Option::as_deref).collect::<BinaryArray>();
        let fixed = self.column(self.rows, &[[0; 4]], |random| random.random::<[u8; 4]>());
        let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 4);
        vec![
            ("bytes", Arc::new(bytes)),
            ("fixed", Arc::new(fixed.expect("values of four bytes"))),
        ]
    }

    fn nulls(&mut self, rows: usize) -> NullBuffer {
        (0..rows)
            .map(|_| self.random.random_range(0..5) > 0)
            .collect()
    }

    fn structs(&mut self, texts: &ArrayRef, rows: usize) -> ArrayRef {
        let days = self.column(rows, &[0], |random| random.random_range(-9_999..9_999));
        let days = days.into_iter().collect::<PrimitiveArray<Date32Type>>();
        let fields = Fields::from(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("day", DataType::Date32, true),
        ]);
        let nulls = self.nulls(rows);
        // What is in a struct that is NULL is nothing.
        let hidden = |array: &ArrayRef| {
            let both = NullBuffer::union(array.nulls(), Some(&nulls));
            let data = array.to_data().into_builder().nulls(both);
            datafusion::arrow::array::make_array(data.build().expect("NULLs of as many rows"))
        };
        let columns = vec![hidden(texts), hidden(&(Arc::new(days) as ArrayRef))];
        Arc::new(StructArray::new(fields, columns, Some(nulls)))
    }

    /// Lists of none to three items, two on average at most.
    fn lists(&mut self, items: &ArrayRef) -> ArrayRef {
        let nulls = self.nulls(self.rows);
        let mut left = items.len();
        let lengths: Vec<usize> = (0..self.rows)
            .map(|row| {
                let length = self.random.random_range(0..4).min(left);
                let length = if nulls.is_null(row) { 0 } else { length };
                left -= length;
                length
            })
            .collect();
        let items = items.slice(0, items.len() - left);
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Arc::new(ListArray::new(field, offsets, items, Some(nulls)))
    }
}
