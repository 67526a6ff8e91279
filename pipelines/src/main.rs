//! The pipelines binary.

fn main() {}
