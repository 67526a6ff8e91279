//! The types of documents, from those that were looked at. Owns that only types are found that give every value back: whole
//! numbers, doubles while they keep all digits, then decimals; texts for all that does not go together.

use datafusion::arrow::datatypes::{DataType, Field};

use super::lexer::{Kind, Lexer};
use crate::by_name::ByName;
use crate::csv::guess::Guess as NumberGuess;
use crate::error::Problem;

/// Keys of an object from which on it is taken as a text: keys that are values would make a column each.
const MOST_KEYS: usize = 10_000;

/// Lists and objects within each other from which on what is within is taken as a text: formats in which schemas are written and
/// sent have limits of their own, the lowest of about 60.
const MOST_LEVELS: usize = 24;

/// What a value may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Guess {
    /// Nothing but null so far.
    #[default]
    Unknown,
    /// Booleans.
    Boolean,
    /// Numbers.
    Number(NumberGuess),
    /// Strings, or values of several kinds.
    Text,
    /// Lists.
    List(Box<Self>),
    /// Objects, with their keys in the order in which they came.
    Object(ByName<Self>),
}

impl Guess {
    /// One more value.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn add(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Problem> {
        match lexer.kind()? {
            Kind::Null => lexer.word("null"),
            Kind::Boolean => {
                lexer.boolean()?;
                self.become_if(|guess| matches!(guess, Self::Boolean), Self::Boolean);
                Ok(())
            }
            Kind::Number => {
                let text = lexer.number()?;
                let fresh = || Self::Number(NumberGuess::default());
                self.become_if(|guess| matches!(guess, Self::Number(_)), fresh());
                if let Self::Number(number) = self {
                    number.add(text);
                }
                Ok(())
            }
            Kind::String => {
                lexer.string()?;
                *self = Self::Text;
                Ok(())
            }
            Kind::Array => {
                let fresh = Self::List(Box::default());
                self.become_if(|guess| matches!(guess, Self::List(_)), fresh);
                let Self::List(item) = self else {
                    return lexer.skip().map(drop);
                };
                lexer.open(b'[')?;
                let mut first = true;
                while !lexer.close(b']', first)? {
                    item.add(lexer)?;
                    first = false;
                }
                Ok(())
            }
            Kind::Object => {
                let fresh = Self::Object(ByName::default());
                self.become_if(|guess| matches!(guess, Self::Object(_)), fresh);
                let Self::Object(keys) = self else {
                    return lexer.skip().map(drop);
                };
                lexer.open(b'{')?;
                let (mut first, mut expected) = (true, 0);
                while !lexer.close(b'}', first)? {
                    first = false;
                    let key = lexer.key()?;
                    let position = keys.position(&key, expected, Self::default);
                    keys.at(position).add(lexer)?;
                    expected = position + 1;
                }
                Ok(())
            }
        }
    }

    /// Is of another kind now, if it was of none; is a text, if it was of a third.
    fn become_if(&mut self, is: impl Fn(&Self) -> bool, fresh: Self) {
        if *self == Self::Unknown {
            *self = fresh;
        } else if !is(self) {
            *self = Self::Text;
        }
    }

    /// What two parts of a column may be together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, guess) | (guess, Self::Unknown) => guess,
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (Self::Number(one), Self::Number(other)) => Self::Number(one.and(&other)),
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.and(*other))),
            (Self::Object(mut one), Self::Object(other)) => {
                for (index, (key, guess)) in other.into_items().into_iter().enumerate() {
                    let position = one.position(&key, index, Self::default);
                    let known = one.at(position);
                    *known = std::mem::take(known).and(guess);
                }
                Self::Object(one)
            }
            _ => Self::Text,
        }
    }

    /// The narrowest type.
    pub(crate) fn data_type(&self) -> DataType {
        self.data_type_within(0)
    }

    fn data_type_within(&self, level: usize) -> DataType {
        match self {
            Self::Unknown | Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Number(number) => number.data_type(),
            Self::List(_) | Self::Object(_) if level == MOST_LEVELS => DataType::Utf8,
            Self::List(item) => DataType::new_list(item.data_type_within(level + 1), true),
            // Parquet has no type for an object without fields.
            Self::Object(keys) if keys.len() == 0 || keys.len() > MOST_KEYS => DataType::Utf8,
            Self::Object(keys) => DataType::Struct(
                keys.iter()
                    .map(|(name, guess)| Field::new(name, guess.data_type_within(level + 1), true))
                    .collect(),
            ),
        }
    }
}
