//! Who holds memory, or is about to: for the message of a process that is beyond its ceiling. Owns the list of pools and of
//! functions that are at work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use datafusion::execution::memory_pool::MemoryPool;

use crate::budget::consumers;

static POOLS: Mutex<Vec<Weak<dyn MemoryPool>>> = Mutex::new(Vec::new());
static FUNCTIONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// So many operators are named.
const NAMED: usize = 3;

/// Lets the operators that reserve from `pool` be named.
pub fn watch_pool(pool: &Arc<dyn MemoryPool>) {
    let mut pools = locked(&POOLS);
    pools.retain(|pool| pool.strong_count() > 0);
    pools.push(Arc::downgrade(pool));
}

/// A function is at work until this is dropped.
#[derive(Debug)]
pub struct InProgress(String);

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut functions = locked(&FUNCTIONS);
        if let Some(at) = functions.iter().position(|name| *name == self.0) {
            functions.swap_remove(at);
        }
    }
}

/// Lets the function `name` be named while it makes values.
pub fn in_progress(name: &str) -> InProgress {
    locked(&FUNCTIONS).push(String::from(name));
    InProgress(String::from(name))
}

/// The functions that are making values, each once.
pub(super) fn functions() -> Vec<String> {
    let mut names = locked(&FUNCTIONS).clone();
    names.sort();
    names.dedup();
    names
}

/// The operators that hold most, and how many bytes.
pub(crate) fn operators() -> Vec<(String, usize)> {
    let pools: Vec<Arc<dyn MemoryPool>> = locked(&POOLS).iter().filter_map(Weak::upgrade).collect();
    let mut operators: Vec<(String, usize)> = pools
        .iter()
        .flat_map(|pool| consumers(pool.as_ref()))
        .filter(|(_, bytes)| *bytes > 0)
        .collect();
    operators.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    operators.truncate(NAMED);
    operators
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;
    use crate::fair_pool;

    #[test]
    fn those_who_hold_most_are_named_first_and_only_while_they_do() {
        let pool = fair_pool(64 << 20, 1);
        watch_pool(&pool);
        let small = MemoryConsumer::new("TestSmall").register(&pool);
        let large = MemoryConsumer::new("TestLarge").register(&pool);
        small.grow(40 << 40);
        large.grow(50 << 40);
        let names = |found: Vec<(String, usize)>| -> Vec<String> {
            found.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(operators())[..2], ["TestLarge", "TestSmall"]);
        large.free();
        assert!(!names(operators()).contains(&String::from("TestLarge")));
        let busy = in_progress("test_repeat");
        assert!(functions().contains(&String::from("test_repeat")));
        drop(busy);
        assert!(!functions().contains(&String::from("test_repeat")));
    }
}
