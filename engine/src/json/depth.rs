//! How deep a JSON text nests, told from its bytes as they come. Owns the limit; whether the text is JSON is not looked at.

use std::fmt;

/// How deep values of JSON may nest: as deep as `serde_json` reads.
pub(super) const LIMIT: usize = 128;

/// What is known of a text after some of its bytes.
#[derive(Debug, Default)]
pub(super) struct Depth {
    open: usize,
    text: Text,
    bytes: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

/// A value nests deeper than [`LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooDeep {
    pub(super) file: String,
    /// So many bytes of the text, decompressed, were read before.
    pub(super) bytes: u64,
}

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the JSON of {} nests more than {LIMIT} levels deep, {} bytes into what was read of it: nothing deeper is read; \
             take the value out of the file or keep it as text",
            self.file, self.bytes
        )
    }
}

impl Depth {
    /// Goes on with the next bytes of the text.
    ///
    /// # Errors
    /// The number of bytes before the one that opens a level too many.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), u64> {
        for byte in bytes {
            match (self.text, byte) {
                (Text::Outside, b'"') | (Text::Escaped, _) => self.text = Text::Inside,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, b'\\') => self.text = Text::Escaped,
                (Text::Outside, b'[' | b'{') if self.open == LIMIT => return Err(self.bytes),
                (Text::Outside, b'[' | b'{') => self.open += 1,
                // A stray one is the reader's to refuse.
                (Text::Outside, b']' | b'}') => self.open = self.open.saturating_sub(1),
                _ => {}
            }
            self.bytes += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), u64> {
        let mut depth = Depth::default();
        // Byte by byte: where a chunk ends must not matter.
        text.as_bytes()
            .chunks(1)
            .try_for_each(|byte| depth.read(byte))
    }

    #[test]
    fn levels_count_and_what_stands_in_texts_does_not() {
        let nested = |open: &str, levels: usize| open.repeat(levels);
        assert_eq!(read(&nested("[", LIMIT)), Ok(()));
        assert_eq!(read(&nested("[", LIMIT + 1)), Err(LIMIT as u64));
        assert_eq!(read(&nested("{\"a\":", LIMIT + 1)), Err(5 * LIMIT as u64));
        assert_eq!(read(&format!("\"{}\"", nested("[", 9999))), Ok(()));
        assert_eq!(read(&format!("\"\\\"{}\"", nested("[", 9999))), Ok(()));
        assert_eq!(
            read(&format!("\"\\\\\"{}", nested("[", LIMIT + 1))),
            Err(4 + LIMIT as u64)
        );
        assert_eq!(read(&"[[]]\n{\"a\":[]}\n".repeat(999)), Ok(()));
        assert_eq!(read(&format!("]]]]{}", nested("[", LIMIT))), Ok(()));
    }
}
