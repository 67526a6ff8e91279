//! A sample of the values of the sort columns, by partition, that is a function of the rows. Owns what is sampled and
//! where it would be cut.
//!
//! A value is in the sample if its hash is below a limit, and the limit is the largest power of two for which the sample
//! is small enough. Streams that each sample some of the rows so, and are merged by the same rule, have the sample that
//! one stream would have: a stream never needs a lower limit than all rows do. (Threshold sampling by hash, as in
//! Gibbons's distinct sampling, VLDB 2001.)

use std::collections::{BTreeMap, HashMap};

/// Values that are kept, of all partitions together.
const KEPT: usize = 1 << 17;
/// About what keeping one takes beside its bytes.
const ENTRY_BYTES: usize = 64;

/// The rows of some partitions, and a sample of their values.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    /// Rows that were looked at.
    rows: u64,
    numbers: HashMap<String, u32>,
    partitions: Vec<(String, u64)>,
    /// Hash, partition, value: its rows.
    values: BTreeMap<(u64, u32, Box<[u8]>), u64>,
    value_bytes: usize,
    /// How often the limit was halved.
    halved: u32,
}

impl Sketch {
    /// Rows that have a value, of which the hash is given.
    #[cfg(test)]
    pub(super) fn add(&mut self, partition: &str, hash: u64, value: &[u8], rows: u64) {
        let number = self.number(partition);
        self.add_rows(number, rows);
        self.sample(number, hash, value, rows);
    }

    /// Counts rows that were looked at.
    pub(super) fn look_at(&mut self, rows: u64) {
        self.rows += rows;
    }

    pub(super) fn number(&mut self, partition: &str) -> u32 {
        if let Some(number) = self.numbers.get(partition) {
            return *number;
        }
        let number = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        self.numbers.insert(partition.to_owned(), number);
        self.partitions.push((partition.to_owned(), 0));
        number
    }

    /// The partitions that are known.
    pub(super) fn known(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn add_rows(&mut self, number: u32, rows: u64) {
        if let Some((_, count)) = self.partitions.get_mut(number as usize) {
            *count += rows;
        }
    }

    /// Whether a value with this hash would be kept.
    pub(super) fn samples(&self, hash: u64) -> bool {
        hash <= u64::MAX >> self.halved
    }

    pub(super) fn sample(&mut self, number: u32, hash: u64, value: &[u8], rows: u64) {
        if !self.samples(hash) {
            return;
        }
        *self
            .values
            .entry((hash, number, value.into()))
            .or_insert_with(|| {
                self.value_bytes += value.len();
                0
            }) += rows;
        while self.values.len() > KEPT && self.halved < u64::BITS - 1 {
            self.halve(self.halved + 1);
        }
    }

    /// Lowers the limit to what another stream has.
    pub(super) fn halve(&mut self, halved: u32) {
        if halved <= self.halved || halved >= u64::BITS {
            return;
        }
        self.halved = halved;
        let over = (u64::MAX >> halved).saturating_add(1);
        let dropped = self.values.split_off(&(over, 0, Box::default()));
        self.value_bytes -= dropped.keys().map(|(.., value)| value.len()).sum::<usize>();
    }

    pub(super) fn halved(&self) -> u32 {
        self.halved
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Each partition with its rows.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (&String, u64)> {
        self.partitions.iter().map(|(path, rows)| (path, *rows))
    }

    /// Each value with its partition, hash and rows.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, u64, &[u8], u64)> {
        self.values
            .iter()
            .filter_map(|((hash, number, value), rows)| {
                let (path, _) = self.partitions.get(*number as usize)?;
                Some((path.as_str(), *hash, value.as_ref(), *rows))
            })
    }

    /// What is held, bytes, about.
    pub(super) fn memory(&self) -> usize {
        self.values.len() * ENTRY_BYTES + self.value_bytes
    }

    /// The first value of each of `ranges` ranges of a partition but the first: fewer, if it has few values.
    ///
    /// Where every value is known, with its rows, a range ends where it is full. Of a sample, values count alike: the
    /// rows of a frequent one would otherwise stand for many that are not there.
    pub(super) fn cuts(&self, partition: &str, ranges: u64) -> Vec<Box<[u8]>> {
        let Some(number) = self.numbers.get(partition).filter(|_| ranges > 1) else {
            return Vec::new();
        };
        let whole = self.halved == 0;
        let mut values: Vec<(&[u8], u64)> = self
            .values
            .iter()
            .filter(|((_, of, _), _)| of == number)
            .map(|((.., value), rows)| (value.as_ref(), if whole { *rows } else { 1 }))
            .collect();
        values.sort_unstable();
        let all: u64 = values.iter().map(|(_, weight)| weight).sum();
        let mut cuts: Vec<Box<[u8]>> = Vec::new();
        let mut before = 0;
        let mut next = 1;
        for (value, weight) in values {
            // The range before this value is full.
            if next < ranges
                && u128::from(before) * u128::from(ranges) >= u128::from(all) * u128::from(next)
            {
                cuts.push(value.into());
                while next < ranges
                    && u128::from(before) * u128::from(ranges) >= u128::from(all) * u128::from(next)
                {
                    next += 1;
                }
            }
            before += weight;
        }
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(value: u64) -> u64 {
        // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
        let mut hash = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^ (hash >> 31)
    }

    fn of(values: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.add("p", hash(value), &value.to_be_bytes(), 1);
        }
        sketch
    }

    fn merged(sketches: &[Sketch]) -> Sketch {
        let mut all = Sketch::default();
        for sketch in sketches {
            all.halve(sketch.halved());
            for (path, rows) in sketch.partitions() {
                let number = all.number(path);
                all.add_rows(number, rows);
            }
            for (path, hash, value, rows) in sketch.values() {
                let number = all.number(path);
                all.sample(number, hash, value, rows);
            }
        }
        all
    }

    #[test]
    fn streams_together_sample_what_one_would() {
        let count = 4 * KEPT as u64;
        let one = of(0..count);
        let many = merged(&[
            of((0..count).filter(|value| value % 7 == 0)),
            of((0..count).rev().filter(|value| value % 7 != 0)),
        ]);
        assert!(one.values.len() <= KEPT && one.values.len() > KEPT / 4);
        assert_eq!(one.values, many.values);
        assert_eq!(one.cuts("p", 9), many.cuts("p", 9));
        let cuts: Vec<u64> = many
            .cuts("p", 4)
            .iter()
            .map(|cut| u64::from_be_bytes(cut.as_ref().try_into().unwrap()))
            .collect();
        for (cut, quarter) in cuts.iter().zip([count / 4, count / 2, count * 3 / 4]) {
            assert!(cut.abs_diff(quarter) < count / 50, "{cuts:?} of {count}");
        }
    }

    #[test]
    fn few_values_are_cut_between_by_their_rows() {
        let mut sketch = Sketch::default();
        for (value, rows) in [(1, 50), (2, 10), (3, 40), (4, 100)] {
            sketch.add("p", hash(value), &value.to_be_bytes(), rows);
        }
        let cuts: Vec<u64> = sketch
            .cuts("p", 4)
            .iter()
            .map(|cut| u64::from_be_bytes(cut.as_ref().try_into().unwrap()))
            .collect();
        assert_eq!(cuts, [2, 4], "50, then 10 and 40, then 100");
        assert!(sketch.cuts("p", 1).is_empty());
        assert!(sketch.cuts("another", 4).is_empty());
    }
}
