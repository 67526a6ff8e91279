//! The signature of functions that say by themselves which types they take.

use std::sync::LazyLock;

use datafusion::logical_expr::{Signature, Volatility};

/// Types are coerced by the function, and the same arguments always give the same.
pub(crate) static OF_OWN_TYPES: LazyLock<Signature> =
    LazyLock::new(|| Signature::user_defined(Volatility::Immutable));
