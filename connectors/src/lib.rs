//! Sources: the REST engine and its specs. Never decides when anything runs.
