//! Launchpad: a spec on the REST engine.
//!
//! Everything about Launchpad is in `specs/launchpad.toml`: the addresses behind the names that
//! launchpadlib uses, OAuth with the PLAINTEXT method, paging, what is read of a bug. Nothing of
//! it is code.

use std::sync::{Arc, LazyLock};

use crate::rest::spec::Spec;

/// What stands after `STORED AS`.
pub const KIND: &str = "LAUNCHPAD";

static SPEC: LazyLock<Arc<Spec>> = LazyLock::new(|| {
    let text = include_str!("../specs/launchpad.toml");
    let spec = Spec::parse("specs/launchpad.toml", text);
    // The text is part of the program and a test parses it.
    Arc::new(spec.unwrap_or_else(|error| unreachable!("BUG: {error}")))
});

/// The built-in spec.
pub(crate) fn spec() -> Arc<Spec> {
    Arc::clone(&SPEC)
}

#[cfg(test)]
mod tests {
    use super::spec;

    #[test]
    fn the_built_in_spec_has_no_mistakes() {
        assert!(spec().locations.contains_key("bugs"));
    }
}
