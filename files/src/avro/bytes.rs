//! The bytes of records. Owns how numbers and lengths are written, and that nothing is taken that is not there.

use crate::error::Problem;

/// Reads the bytes of records.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of memory that columns may still take: a byte of a file can be a NULL in each of a thousand of them.
    left: usize,
}

impl<'a> Reader<'a> {
    /// From `at` on, for columns that take so many bytes of memory at most, besides what is in texts.
    pub(crate) fn new(bytes: &'a [u8], at: usize, left: usize) -> Self {
        Self { bytes, at, left }
    }

    /// Where the next byte is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Bytes of memory that columns may still take.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Something is wrong here.
    pub(crate) fn wrong(&self, problem: impl Into<String>) -> Problem {
        Problem::new(self.at, problem)
    }

    /// Takes memory for a value.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.wrong("it has more values than there is memory for")),
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.wrong("a value is longer than what is left"))?;
        self.at += count;
        Ok(taken)
    }

    /// As many bytes as a constant says.
    ///
    /// # Errors
    /// When there are fewer.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| self.wrong("a value is longer than what is left"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it does not end, or has more than 64 bits.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Problem> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.wrong("a number does not end"));
            };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.wrong("a number has more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // Signs are in the lowest bit.
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
            shift += 7;
            if shift > 63 {
                return Err(self.wrong("a number has more than 64 bits"));
            }
        }
    }

    /// A whole number of 32 bits.
    ///
    /// # Errors
    /// When it has more.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Problem> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| self.wrong(format!("{number} has more than 32 bits")))
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// When there are fewer.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.long()?;
        let length = usize::try_from(length);
        let length = length.map_err(|_| self.wrong("a length is below zero"))?;
        self.take(length)
    }

    /// A text behind its length.
    ///
    /// # Errors
    /// When it is no UTF-8.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Problem> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("a text is no UTF-8"))
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn boolean(&mut self) -> Result<bool, Problem> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.wrong("a boolean is neither 0 nor 1")),
        }
    }

    /// Which of so many branches or symbols follows.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub(crate) fn index(&mut self, count: usize) -> Result<usize, Problem> {
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < count => Ok(index),
            _ => Err(self.wrong(format!("{index} is none of {count} choices"))),
        }
    }

    /// How many items follow of an array or a map, which is given in several goes; 0 at its end.
    ///
    /// # Errors
    /// When there cannot be so many.
    pub(crate) fn items(&mut self) -> Result<u64, Problem> {
        let count = self.long()?;
        if count < 0 {
            // Then the bytes of the items follow, for who goes over them.
            self.long()?;
        }
        match count.unsigned_abs() {
            count if count > i32::MAX.unsigned_abs().into() => {
                Err(self.wrong(format!("a list of {count} items is too long")))
            }
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(bytes: &[u8]) -> Result<i64, Problem> {
        Reader::new(bytes, 0, 0).long()
    }

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        for (number, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
            (
                i64::MAX,
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            assert_eq!(long(bytes), Ok(number));
        }
        assert!(long(&[0x80]).is_err());
        assert!(long(&[0xff; 9]).is_err());
        assert!(long(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
        assert!(
            long(&[
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0
            ])
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn nothing_is_taken_that_is_not_there(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut reader = Reader::new(&bytes, 0, 100);
            while reader.bytes().is_ok() || reader.int().is_ok() || reader.items().is_ok() {
                prop_assert!(reader.position() <= bytes.len());
                if reader.position() == bytes.len() {
                    break;
                }
            }
        }
    }
}
