//! How deep the schema in a Parquet file's metadata nests. Owns as much of Thrift's compact protocol as it takes to walk past
//! everything else; never recurses without a limit.

use std::fmt;

/// How deep groups may nest. A list is two of them, a map too.
const LIMIT: usize = 256;

/// How deep a value that is walked past may nest: more than anything in Parquet's definition.
const SKIPPED: usize = 32;

/// Why metadata is not given to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    TooDeep,
    Damaged,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "its schema nests more than {LIMIT} levels deep"),
            Self::Damaged => f.write_str("its metadata is damaged"),
        }
    }
}

/// Looks at the metadata of a file (`FileMetaData`).
pub(super) fn look(metadata: &[u8]) -> Result<(), Unreadable> {
    const SCHEMA: i64 = 2;
    let mut walk = Walk { rest: metadata };
    let mut field = 0;
    while let Some(kind) = walk.field(&mut field)? {
        match (field, kind) {
            (SCHEMA, Walk::LIST) => walk.schema()?,
            _ => walk.skip(kind, SKIPPED)?,
        }
    }
    Ok(())
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    const LIST: u8 = 9;
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.rest.split_first().ok_or(Unreadable::Damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Unreadable> {
        let bytes = usize::try_from(bytes).map_err(|_| Unreadable::Damaged)?;
        self.rest = self.rest.get(bytes..).ok_or(Unreadable::Damaged)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable::Damaged)
    }

    fn zigzag(&mut self) -> Result<i64, Unreadable> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The kind of the next field of a structure, whose number is put into `field`; `None` at its end.
    fn field(&mut self, field: &mut i64) -> Result<Option<u8>, Unreadable> {
        let header = self.byte()?;
        let kind = header & 0x0f;
        if kind == 0 {
            return Ok(None);
        }
        *field = match header >> 4 {
            0 => self.zigzag()?,
            more => field
                .checked_add(i64::from(more))
                .ok_or(Unreadable::Damaged)?,
        };
        Ok(Some(kind))
    }

    /// The number and the kind of the items of a list.
    fn list(&mut self) -> Result<(u64, u8), Unreadable> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Ok((count, header & 0x0f))
    }

    /// Goes past the schema: its elements, of which each says how many of those behind it are its children.
    fn schema(&mut self) -> Result<(), Unreadable> {
        const CHILDREN: i64 = 5;
        let (count, kind) = self.list()?;
        if kind != Self::STRUCT {
            return Err(Unreadable::Damaged);
        }
        // Of each group that is open, how many children are still to come.
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..count {
            let (mut field, mut children) = (0, 0);
            while let Some(kind) = self.field(&mut field)? {
                match (field, kind) {
                    (CHILDREN, 4..=6) => children = self.zigzag()?,
                    _ => self.skip(kind, SKIPPED)?,
                }
            }
            if children > 0 {
                open.push(children);
                if open.len() > LIMIT {
                    return Err(Unreadable::TooDeep);
                }
                continue;
            }
            // A leaf: it may be the last child of its group, and that of the one around.
            while let Some(left) = open.last_mut() {
                *left -= 1;
                if *left > 0 {
                    break;
                }
                open.pop();
            }
        }
        Ok(())
    }

    /// Goes past a value.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable::Damaged)?;
        match kind {
            // In a structure the kind is the value.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.skip_item(kind, depth)?;
                }
                Ok(())
            }
            11 => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.skip_item(kinds >> 4, depth)?;
                    self.skip_item(kinds & 0x0f, depth)?;
                }
                Ok(())
            }
            12 => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            13 => self.pass(16),
            _ => Err(Unreadable::Damaged),
        }
    }

    fn skip_item(&mut self, kind: u8, depth: usize) -> Result<(), Unreadable> {
        match kind {
            // In a list a truth value is a byte.
            1 | 2 => self.pass(1),
            other => self.skip(other, depth),
        }
    }
}
