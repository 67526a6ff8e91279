//! Secrets in addresses, hidden before a text is recorded, logged or shown. Owns the rule; what a terminal would obey is the
//! terminal's to hide.

use std::borrow::Cow;

use language::is_secret_parameter;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// `text` with the secrets in its addresses hidden: the password before a host, and the values of parameters that sign or
/// permit (`sig`, `X-Amz-Signature`, `access_token`).
pub fn redacted(text: &str) -> Cow<'_, str> {
    let secrets = secrets_in(text);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in secrets {
        if start >= at {
            shown.push_str(&text[at..start]);
            shown.push_str(HIDDEN);
            at = end;
        }
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}

/// Where secrets are in `text`, from the first to the last.
fn secrets_in(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let length = text[start..]
            .find(ends_authority)
            .unwrap_or(text.len() - start);
        let authority = &text[start..start + length];
        if let Some((user, _)) = authority.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
            && !password.is_empty()
        {
            let begin = start + name.len() + 1;
            found.push((begin, begin + password.len()));
        }
    }
    for (at, _) in text.match_indices('=') {
        let name_length = text[..at]
            .bytes()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.%".contains(byte))
            .count();
        let name_start = at - name_length;
        let in_query =
            name_start == 0 || matches!(text.as_bytes()[name_start - 1], b'?' | b'&' | b';');
        if in_query && is_secret_parameter(&text[name_start..at]) {
            let start = at + 1;
            let length = text[start..].find(ends_value).unwrap_or(text.len() - start);
            if length > 0 {
                found.push((start, start + length));
            }
        }
    }
    found.sort_unstable();
    found
}

fn ends_authority(character: char) -> bool {
    matches!(character, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>') || character.is_whitespace()
}

fn ends_value(character: char) -> bool {
    matches!(
        character,
        '&' | '#' | ';' | '"' | '\'' | '`' | '<' | '>' | ')' | ','
    ) || character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_hidden_and_nothing_else_is() {
        for (text, shown) in [
            (
                "az://lake/a?sv=2022-11-02&sig=aBc%2Bd%3D&se=2027",
                "az://lake/a?sv=2022-11-02&sig=***&se=2027",
            ),
            (
                "cannot get (https://b.s3.example/a?X-Amz-Signature=0f0f&x-id=1): refused",
                "cannot get (https://b.s3.example/a?X-Amz-Signature=***&x-id=1): refused",
            ),
            (
                "https://ada:hun:ter2@host/a and https://ada:x@host",
                "https://ada:***@host/a and https://ada:***@host",
            ),
            (
                "https://api/x?access_token=1#top",
                "https://api/x?access_token=***#top",
            ),
            ("sig=abc", "sig=***"),
            ("?sig=ä&x=ö", "?sig=***&x=ö"),
        ] {
            assert_eq!(redacted(text), shown);
        }
        for text in [
            "abfss://lake@account.dfs.example/a",
            "https://api/bugs?page_token=abc&ws.start=75",
            "a = b, design=1, key=value",
            "https://[::1]:8080/a",
            "https://host/a?sig=",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}
