//! The scheduler binary.

fn main() {}
