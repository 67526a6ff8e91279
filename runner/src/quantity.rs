//! Numbers as sentences have them: grouped, with their noun, in units for people.

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// Bytes for a person: `12.3 MiB`.
pub fn bytes(number: u64) -> String {
    bytesize::ByteSize(number).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            ["0", "12", "123", "1,234", "1,234,567"].map(String::from),
            [0, 12, 123, 1234, 1_234_567].map(thousands)
        );
    }

    #[test]
    fn nouns_follow_the_number() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(1000, "row"), "1,000 rows");
    }
}
