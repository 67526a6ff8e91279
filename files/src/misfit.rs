//! Why a text is no value of a type.

/// A text is no value of the type; says why, if there is more to say than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misfit(pub Option<&'static str>);

/// The number is beyond what the type can hold.
pub(crate) const OUT_OF_RANGE: Misfit = Misfit(Some("it is out of range"));
