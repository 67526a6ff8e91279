//! The run store: what a run did, kept durably.
