//! Real servers and processes for tests; never shipped.
