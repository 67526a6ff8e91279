//! The options that say what becomes of bad rows. Owns their values; what a bad row is, is `files`'.

use std::collections::BTreeMap;

use files::{MOST_BAD_ROWS, Quarantine};

use crate::option::{OptionProblem, OptionSpec, Parser};

/// Bad rows that a source may have if nothing else is said.
const DEFAULT_ROWS: u64 = 1_000;

const ON_ERROR: &str = "on_error";
const MOST_ROWS: &str = "max_bad_rows";
const MOST_SHARE: &str = "max_bad_share";

/// The options.
pub(super) fn options() -> Vec<OptionSpec> {
    let spec = |name: &str, parser: Parser, default: &str, doc: &str| OptionSpec {
        name: name.to_owned(),
        parser,
        required: false,
        secret: false,
        default: Some(default.to_owned()),
        doc: doc.to_owned(),
    };
    let words = ["fail", "quarantine"].map(str::to_owned);
    vec![
        spec(
            ON_ERROR,
            Parser::Choice(words.to_vec()),
            "fail",
            "what a bad row does: it ends the run, or is put aside",
        ),
        spec(
            MOST_ROWS,
            Parser::Count(u64::MAX),
            "1000, or 100000 beside `max_bad_share`",
            "with `quarantine`: how many bad rows there may be; at most 100000",
        ),
        spec(
            MOST_SHARE,
            Parser::Word,
            "any",
            "with `quarantine`: which share of the rows may be bad, as `0.5%` or `0.005`",
        ),
    ]
}

/// What is said.
pub(super) fn of(plain: &BTreeMap<String, String>) -> Result<Option<Quarantine>, OptionProblem> {
    if plain.get(ON_ERROR).is_none_or(|word| word != "quarantine") {
        let limit = [MOST_ROWS, MOST_SHARE]
            .into_iter()
            .find(|name| plain.contains_key(*name));
        return match limit {
            None => Ok(None),
            Some(name) => Err(OptionProblem::new(
                name,
                "has a meaning with `on_error 'quarantine'` only",
                None,
            )),
        };
    }
    let most_share = plain.get(MOST_SHARE).map(|text| share(text)).transpose()?;
    let default = match most_share {
        Some(_) => MOST_BAD_ROWS,
        None => DEFAULT_ROWS,
    };
    let most_rows = match plain.get(MOST_ROWS) {
        None => default,
        Some(text) => {
            let rows = text.trim().parse().ok();
            rows.filter(|rows| *rows <= MOST_BAD_ROWS).ok_or_else(|| {
                let problem = format!(
                    "`{text}` is more than the {MOST_BAD_ROWS} bad rows that a source can put aside"
                );
                OptionProblem::new(MOST_ROWS, problem, None)
            })?
        }
    };
    Ok(Some(Quarantine {
        most_rows,
        most_share,
    }))
}

/// A share from 0 to 1, which may be said in percent.
fn share(text: &str) -> Result<f64, OptionProblem> {
    let trimmed = text.trim();
    let share = match trimmed.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|share| share / 100.0),
        None => trimmed.parse(),
    };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        OptionProblem::new(
            MOST_SHARE,
            format!("`{text}` is no share such as `0.5%` or `0.005`"),
            None,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(options: &[(&str, &str)]) -> Result<Option<(u64, Option<f64>)>, String> {
        let options = options.iter();
        let plain = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let quarantine = of(&plain.collect()).map_err(|problem| problem.to_string())?;
        Ok(quarantine.map(|said| (said.most_rows, said.most_share)))
    }

    #[test]
    fn limits_are_what_is_said() {
        let quarantine = ("on_error", "quarantine");
        let share = |text| ("max_bad_share", text);
        for (options, expected) in [
            (vec![], None),
            (vec![("on_error", "fail")], None),
            (vec![quarantine], Some((1_000, None))),
            (vec![quarantine, ("max_bad_rows", "5")], Some((5, None))),
            (vec![quarantine, share("1%")], Some((100_000, Some(0.01)))),
            (
                vec![quarantine, share("0.25"), ("max_bad_rows", "7")],
                Some((7, Some(0.25))),
            ),
        ] {
            assert_eq!(said(&options), Ok(expected), "{options:?}");
        }
    }

    #[test]
    fn a_limit_that_means_nothing_is_refused() {
        let quarantine = ("on_error", "quarantine");
        for (options, word) in [
            ([("max_bad_rows", "5"), ("on_error", "fail")], "`on_error"),
            ([("max_bad_share", "1%"), ("on_error", "fail")], "`on_error"),
            ([quarantine, ("max_bad_rows", "100001")], "100000"),
            ([quarantine, ("max_bad_share", "101%")], "`101%`"),
            ([quarantine, ("max_bad_share", "NaN")], "`NaN`"),
            ([quarantine, ("max_bad_share", "few")], "`few`"),
        ] {
            let problem = said(&options).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
