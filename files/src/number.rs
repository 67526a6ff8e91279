//! Decimal numbers as texts, digit by digit: nothing becomes a binary fraction on the way. Owns which texts are numbers, and
//! which of them a decimal type holds.

use datafusion::arrow::datatypes::i256;

use super::misfit::{Misfit, OUT_OF_RANGE};

/// Exponents beyond this are refused: no type holds such a number, and zero does not need one.
const MOST_EXPONENT: i64 = 1_000;

/// The powers of ten that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = powers[power - 1] * 10;
        power += 1;
    }
    powers
};

/// A decimal number, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    /// Whether it has a minus.
    pub negative: bool,
    /// The digits before the point.
    pub whole: &'a str,
    /// The digits behind it.
    pub fraction: &'a str,
    /// The power of ten.
    pub exponent: i64,
}

impl<'a> Number<'a> {
    /// Takes a text apart; `None` if it is no decimal number.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => {
                let digits = &unsigned[at + 1..];
                let unsigned_digits = digits.trim_start_matches(['+', '-']);
                if digits.len() - unsigned_digits.len() > 1 || !all_digits(unsigned_digits) {
                    return None;
                }
                let exponent: i64 = digits.trim_start_matches('+').parse().ok()?;
                (&unsigned[..at], exponent)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_empty = whole.is_empty() && fraction.is_empty();
        let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_empty || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        (exponent.abs() <= MOST_EXPONENT).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// Digits from the first that is not zero to the last that is not zero.
    pub(crate) fn significant(&self) -> usize {
        let digits = || self.whole.bytes().chain(self.fraction.bytes());
        let count = digits().count();
        let leading = digits().take_while(|&digit| digit == b'0').count();
        let trailing = digits().rev().take_while(|&digit| digit == b'0').count();
        count.saturating_sub(leading + trailing)
    }

    /// The significant digits, and the power of ten of the last one; equal for equal numbers.
    fn digits(&self) -> (bool, Vec<u8>, i64) {
        let digits: Vec<u8> = self.whole.bytes().chain(self.fraction.bytes()).collect();
        let first = digits.iter().position(|&digit| digit != b'0');
        let Some(first) = first else {
            return (false, Vec::new(), 0);
        };
        let last = digits
            .iter()
            .rposition(|&digit| digit != b'0')
            .unwrap_or(first);
        let behind = digits.len() - 1 - last;
        let power = self.exponent - self.fraction.len() as i64 + behind as i64;
        (self.negative, digits[first..=last].to_vec(), power)
    }

    /// The number without its point, at `scale` digits behind it.
    fn at_scale(&self, precision: u8, scale: i8) -> Result<i256, Misfit> {
        let fraction = i64::try_from(self.fraction.len()).map_err(|_| OUT_OF_RANGE)?;
        let shift = self.exponent - fraction + i64::from(scale);
        let digits: Vec<u8> = self.whole.bytes().chain(self.fraction.bytes()).collect();
        let first = digits.iter().position(|&digit| digit != b'0');
        let Some(first) = first else {
            return Ok(i256::ZERO);
        };
        let mut digits = &digits[first..];
        if shift < 0 {
            let cut = usize::try_from(-shift).map_err(|_| OUT_OF_RANGE)?;
            let kept = digits.len().saturating_sub(cut);
            if digits[kept..].iter().any(|&digit| digit != b'0') {
                return Err(Misfit(Some(
                    "it has more digits behind the point than the type",
                )));
            }
            digits = &digits[..kept];
        }
        let zeros = usize::try_from(shift.max(0)).map_err(|_| OUT_OF_RANGE)?;
        if digits.len() + zeros > usize::from(precision) {
            return Err(Misfit(Some("it has more digits than the type")));
        }
        let ten = i256::from(10);
        let mut value = i256::ZERO;
        for digit in digits
            .iter()
            .map(|digit| digit - b'0')
            .chain(std::iter::repeat_n(0, zeros))
        {
            value = value * ten + i256::from(i32::from(digit));
        }
        Ok(if self.negative { -value } else { value })
    }
}

/// Whether a number is kept by a double, which is `value`: all of its digits come back when that is written.
pub(crate) fn is_double(text: &str, value: f64) -> bool {
    let bytes = text.as_bytes();
    // Every number of up to 15 digits does.
    if bytes.len() <= 15 && !bytes.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    let (Some(number), true) = (Number::read(text), value.is_finite()) else {
        return !value.is_finite() && Number::read(text).is_none();
    };
    if number.significant() <= 15 && number.exponent.abs() < 200 {
        return true;
    }
    let written = format!("{value:e}");
    Number::read(&written).is_some_and(|kept| kept.digits() == number.digits())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number at `scale` digits behind the point, for a type of up to 38 digits.
///
/// # Errors
/// [`Misfit`] if the text is no number, or one that the type cannot hold exactly.
pub(crate) fn unscaled(text: &str, precision: u8, scale: i8) -> Result<i128, Misfit> {
    if let Some(value) = plain(text.as_bytes(), precision, scale) {
        return Ok(value);
    }
    let number = Number::read(text).ok_or(Misfit(None))?;
    let value = number.at_scale(precision, scale)?;
    value.to_i128().ok_or(OUT_OF_RANGE)
}

/// As [`unscaled`], for a type of up to 76 digits.
///
/// # Errors
/// As there.
pub(crate) fn unscaled_wide(text: &str, precision: u8, scale: i8) -> Result<i256, Misfit> {
    let number = Number::read(text).ok_or(Misfit(None))?;
    number.at_scale(precision, scale)
}

/// The short way for nearly all of them: few digits, no more behind the point than the scale.
fn plain(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || scale > 18 {
        return None;
    }
    let (mut value, mut point) = (0_i64, None);
    for (index, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(index),
            _ => return None,
        }
    }
    let behind = point.map_or(0, |point| digits.len() - 1 - point);
    if behind > scale || point.is_some() && digits.len() == 1 {
        return None;
    }
    let value = i128::from(value) * POWERS.get(scale - behind)?;
    let fits = value < *POWERS.get(usize::from(precision))?;
    fits.then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_double_keeps_what_it_can_be_written_as() {
        let kept = |text: &str| is_double(text, text.parse().unwrap());
        for text in [
            "1.10",
            "-0.1",
            "123456789012345",
            "9007199254740992",
            "1e300",
            "0.30000000000000004",
            "NaN",
            "1.7976931348623157e308",
        ] {
            assert!(kept(text), "{text}");
        }
        for text in [
            "9007199254740993",
            "12345678901234567890",
            "0.1234567890123456789",
            "1e400",
        ] {
            assert!(!kept(text), "{text}");
        }
    }

    #[test]
    fn a_decimal_holds_what_has_no_more_digits_than_it() {
        assert_eq!(unscaled("1.2", 10, 2), Ok(120));
        assert_eq!(unscaled("-1.20000", 10, 2), Ok(-120));
        assert_eq!(unscaled("12e-1", 10, 2), Ok(120));
        assert_eq!(unscaled("1.2e3", 10, 0), Ok(1_200));
        assert_eq!(unscaled("1200", 10, -2), Ok(12));
        assert_eq!(unscaled(".5", 10, 1), Ok(5));
        assert_eq!(unscaled("5.", 10, 1), Ok(50));
        for text in ["1.239", "123456789.00", "1e9", "0.001"] {
            assert!(
                matches!(unscaled(text, 10, 2), Err(Misfit(Some(_)))),
                "{text}"
            );
        }
        for text in [
            "", "-", ".", "e1", "1e", "1e+-1", "1.2.3", "1,2", "0x1", " 1", "1e1.5",
        ] {
            assert_eq!(unscaled(text, 10, 2), Err(Misfit(None)), "{text}");
        }
        assert!(unscaled("1e999999999999", 10, 2).is_err());
        assert_eq!(unscaled("0e5", 1, 0), Ok(0));
    }

    proptest! {
        #[test]
        fn the_short_way_is_the_long_way(text in "-?[0-9]{0,12}(\\.[0-9]{0,8})?", precision in 1_u8..20, scale in 0_i8..10) {
            let long = Number::read(&text).ok_or(Misfit(None)).and_then(|number| number.at_scale(precision, scale));
            prop_assert_eq!(unscaled(&text, precision, scale), long.map(|value| value.to_i128().unwrap()));
        }
    }
}
