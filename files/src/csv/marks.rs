//! Where the bytes are that end fields. Owns how they are found: 64 bytes at a time, since a field has about eight, and a search
//! of its own for each of them costs more than what it finds.

/// Seven bits of each byte.
const LOW: u64 = u64::from_le_bytes([0x7f; 8]);

/// Finds two bytes, going forward.
#[derive(Debug)]
pub(super) struct Marks {
    /// The bytes that are sought, eight times each.
    sought: [u64; 2],
    /// How far the text was looked at.
    end: usize,
    /// The marks of the 64 bytes before `end`, the first byte in the lowest bit.
    bits: u64,
}

impl Marks {
    /// Of these bytes.
    pub(super) fn new(sought: [u8; 2]) -> Self {
        Self {
            sought: sought.map(|byte| u64::from_le_bytes([byte; 8])),
            end: 0,
            bits: 0,
        }
    }

    /// The first mark at `from` or behind it, or the end of the text. Never asked for what is before an earlier answer.
    #[inline]
    pub(super) fn next(&mut self, text: &[u8], from: usize) -> usize {
        if from >= self.end {
            self.look(text, from);
        } else {
            // The bytes before `from` are of fields that had quotes, or of the mark of the last answer.
            self.bits &= u64::MAX << (from + 64 - self.end);
        }
        while self.bits == 0 {
            if self.end >= text.len() {
                return text.len();
            }
            self.look(text, self.end);
        }
        self.end - 64 + self.bits.trailing_zeros() as usize
    }

    fn look(&mut self, text: &[u8], from: usize) {
        self.end = from + 64;
        let rest = text.get(from..).unwrap_or_default();
        self.bits = match rest.first_chunk() {
            Some(block) => self.bits_of(block),
            None => {
                let mut block = [0; 64];
                block[..rest.len()].copy_from_slice(rest);
                self.bits_of(&block) & ((1 << rest.len()) - 1)
            }
        };
    }

    fn bits_of(&self, block: &[u8; 64]) -> u64 {
        let words = block.as_chunks::<8>().0.iter().enumerate();
        words.fold(0, |bits, (index, word)| {
            let word = u64::from_le_bytes(*word);
            let [first, second] = self.sought.map(|sought| equal(word, sought));
            // The highest bits of eight bytes, side by side.
            let found = ((first | second) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bits | found << (8 * index)
        })
    }
}

/// The highest bit of every byte that two words have in common.
fn equal(a: u64, b: u64) -> u64 {
    let other = a ^ b;
    !(((other & LOW) + LOW) | other | LOW)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_are_where_the_bytes_are(
            text in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(0), any::<u8>()], 0..300),
            steps in proptest::collection::vec(0_usize..150, 0..40),
        ) {
            let mut marks = Marks::new([b',', b'\n']);
            let mut from = 0;
            for step in steps {
                let rest = &text[from..];
                let expected = rest.iter().position(|byte| matches!(byte, b',' | b'\n'));
                let found = marks.next(&text, from);
                prop_assert_eq!(found, from + expected.unwrap_or(rest.len()));
                from = (found + step).min(text.len());
            }
        }
    }
}
