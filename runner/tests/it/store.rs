//! The run store: one contract suite, which every backend runs, and what is particular to each backend.

mod contract;
mod sqlite;
