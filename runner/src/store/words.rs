//! Words: enums whose values are stored, printed and typed under one spelling each.

/// A stored or typed word that is none of those known.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not a {what}; known are {known}")]
pub struct UnknownWord {
    /// What kind of word was expected, such as "run state".
    pub what: &'static str,
    /// The word found.
    pub found: String,
    /// The words that would have been understood.
    pub known: String,
}

/// Gives an enum of stored words `as_str`, `ALL`, `Display`, `FromStr` and `TryFrom<String>`, so that the
/// store, the command line and messages use the same spelling.
macro_rules! words {
    ($type:ident, $what:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of a run's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the store, the JSON document and messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::store::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::store::words::UnknownWord {
                        what: $what,
                        found: word.to_owned(),
                        known: [$($word),+].join(", "),
                    }),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::store::words::UnknownWord;

            fn try_from(word: String) -> Result<Self, Self::Error> {
                word.parse()
            }
        }
    };
}
pub(super) use words;
