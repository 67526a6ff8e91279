//! Where records begin, as a decoder of text meets them. Owns which one is at hand, so that a fault is known to be of it, and
//! where those of a batch began, if lines are wanted.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RecordStarts {
    at_hand: Option<usize>,
    of_batch: Option<Vec<usize>>,
}

impl RecordStarts {
    /// Keeps those of a batch too, if that is wanted.
    pub(crate) fn kept(wanted: bool) -> Self {
        Self {
            at_hand: None,
            of_batch: wanted.then(Vec::new),
        }
    }

    /// Begins a batch.
    pub(crate) fn clear(&mut self) {
        self.at_hand = None;
        if let Some(starts) = &mut self.of_batch {
            starts.clear();
        }
    }

    /// A record begins there.
    #[inline]
    pub(crate) fn begin(&mut self, at: usize) {
        self.at_hand = Some(at);
        if let Some(starts) = &mut self.of_batch {
            starts.push(at);
        }
    }

    /// No record is at hand any more.
    pub(crate) fn end(&mut self) {
        self.at_hand = None;
    }

    /// Where the record begins that could not be read; `None` if what is around records could not.
    pub(crate) fn failed_at(&self) -> Option<usize> {
        self.at_hand
    }

    /// Where the records of the last batch begin.
    pub(crate) fn of_batch(&self) -> &[usize] {
        self.of_batch.as_deref().unwrap_or_default()
    }
}
