//! A shape-faithful Launchpad API server over a deterministic generator, for the bundled sample and for tests.
