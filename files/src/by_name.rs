//! Things with names, in the order in which they came. Owns that one is found without looking through the others: files with
//! as many columns as other files have rows exist.

use std::collections::HashMap;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByName<T> {
    items: Vec<(String, T)>,
    index: HashMap<String, usize>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<T> ByName<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Where the thing of that name is, which is probably behind the one that was asked for before; a new one if there is none.
    pub(crate) fn position(
        &mut self,
        name: &str,
        expected: usize,
        new: impl FnOnce() -> T,
    ) -> usize {
        if self
            .items
            .get(expected)
            .is_some_and(|(known, _)| known == name)
        {
            return expected;
        }
        if let Some(position) = self.index.get(name) {
            return *position;
        }
        self.index.insert(name.to_owned(), self.items.len());
        self.items.push((name.to_owned(), new()));
        self.items.len() - 1
    }

    /// The thing at a position.
    pub(crate) fn at(&mut self, position: usize) -> &mut T {
        &mut self.items[position].1
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }

    /// All, in their order.
    pub(crate) fn into_items(self) -> Vec<(String, T)> {
        self.items
    }
}
