//! Resident memory of this process, as the kernel counts it. Owns reading it cheaply: it is read up to a thousand times a
//! second.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// `AT_PAGESZ` of the auxiliary vector.
const PAGE_SIZE_ENTRY: usize = 6;

/// Reads the resident memory of this process.
#[derive(Debug)]
pub struct Resident {
    statm: File,
    page_bytes: u64,
}

impl Resident {
    /// `None` where the system does not tell: it is Linux's `/proc` that does.
    pub fn open() -> Option<Self> {
        Some(Self {
            statm: File::open("/proc/self/statm").ok()?,
            page_bytes: page_bytes()?,
        })
    }

    /// Bytes that are resident now.
    pub fn bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * self.page_bytes)
    }
}

/// Bytes of this process that are resident now; 0 where the system does not tell.
pub fn resident() -> u64 {
    static RESIDENT: OnceLock<Option<Resident>> = OnceLock::new();
    RESIDENT
        .get_or_init(Resident::open)
        .as_ref()
        .and_then(Resident::bytes)
        .unwrap_or_default()
}

fn page_bytes() -> Option<u64> {
    let auxiliary = std::fs::read("/proc/self/auxv").ok()?;
    let words: Vec<usize> = auxiliary
        .chunks_exact(size_of::<usize>())
        .filter_map(|word| Some(usize::from_ne_bytes(word.try_into().ok()?)))
        .collect();
    words
        .chunks_exact(2)
        .find(|entry| entry[0] == PAGE_SIZE_ENTRY)
        .map(|entry| entry[1] as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_resident() {
        const BYTES: usize = 64 << 20;
        let before = resident();
        let touched = vec![1_u8; BYTES];
        let after = resident();
        assert!(before > 0 && touched[BYTES - 1] == 1);
        assert!(after >= before + BYTES as u64 / 2, "{before} {after}");
    }

    #[test]
    fn the_kernel_says_the_same_in_another_file() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap();
        let (other, here) = (kibibytes << 10, resident());
        // Other tests of this process are at work between the two.
        assert!(here < 4 * other && other < 4 * here, "{other} {here}");
    }
}
