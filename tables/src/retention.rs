//! Lengths of time by the calendar: how long data is kept, and how long one value of a date lasts. Owns their spelling and
//! their arithmetic; knows no table.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike as _, Days, Months, NaiveDate, Weekday};

use crate::options::OptionProblem;

/// A first day, and the day after the last one.
pub(crate) type Span = (NaiveDate, NaiveDate);

/// How long data is kept: `90d`, `12w`, `6m` (months), `2y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    number: u32,
    unit: DateUnit,
}

/// The reach of one value of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateUnit {
    /// A day.
    Day,
    /// A week, from its Monday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar quarter.
    Quarter,
    /// A calendar year.
    Year,
}

impl DateUnit {
    /// Every unit with its name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The span of this length that holds `day`.
    pub(crate) fn around(self, day: NaiveDate) -> Option<Span> {
        let first_of = |month: u32| NaiveDate::from_ymd_opt(day.year(), month, 1);
        Some(match self {
            Self::Day => (day, day.succ_opt()?),
            Self::Week => {
                let monday = day.week(Weekday::Mon).checked_first_day()?;
                (monday, monday.checked_add_days(Days::new(7))?)
            }
            Self::Month => {
                let first = first_of(day.month())?;
                (first, first.checked_add_months(Months::new(1))?)
            }
            Self::Quarter => {
                let first = first_of((day.month() - 1) / 3 * 3 + 1)?;
                (first, first.checked_add_months(Months::new(3))?)
            }
            Self::Year => {
                let first = first_of(1)?;
                (first, first.checked_add_months(Months::new(12))?)
            }
        })
    }
}

impl FromStr for DateUnit {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let found = Self::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, unit)| *unit).ok_or_else(|| OptionProblem {
            option: "span",
            name: Some(text.to_owned()),
            reason: "there is no such span".to_owned(),
            candidates: Self::NAMES
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        })
    }
}

impl Retention {
    /// The first day that is kept, counted back from `day`; `None` if the calendar does not reach so far.
    pub fn before(self, day: NaiveDate) -> Option<NaiveDate> {
        let days = |days: u32| day.checked_sub_days(Days::new(u64::from(days)));
        let months = |months: u32| day.checked_sub_months(Months::new(months));
        match self.unit {
            DateUnit::Day => days(self.number),
            DateUnit::Week => days(self.number.checked_mul(7)?),
            DateUnit::Month => months(self.number),
            DateUnit::Quarter => months(self.number.checked_mul(3)?),
            DateUnit::Year => months(self.number.checked_mul(12)?),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.number == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.number, self.unit.name())
    }
}

impl FromStr for Retention {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let problem = || OptionProblem {
            option: "keep",
            name: Some(text.to_owned()),
            reason: "write a number and a unit, as in 90d, 12w, 6m (months) or 2y; at least 1"
                .to_owned(),
            candidates: Vec::new(),
        };
        let trimmed = text.trim();
        let end = trimmed
            .find(|character: char| !character.is_ascii_digit())
            .ok_or_else(problem)?;
        let unit = match trimmed[end..].trim().to_ascii_lowercase().as_str() {
            "d" | "day" | "days" => DateUnit::Day,
            "w" | "week" | "weeks" => DateUnit::Week,
            "m" | "month" | "months" => DateUnit::Month,
            "y" | "year" | "years" => DateUnit::Year,
            _ => return Err(problem()),
        };
        match trimmed[..end].parse() {
            Ok(number) if number > 0 => Ok(Self { number, unit }),
            _ => Err(problem()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn retention_counts_back_in_calendar_units() {
        let before = |keep: &str, day: &str| {
            let keep: Retention = keep.parse().unwrap();
            keep.before(date(day)).unwrap().to_string()
        };
        assert_eq!(before("90d", "2026-09-21"), "2026-06-23");
        assert_eq!(before("2w", "2026-09-21"), "2026-09-07");
        assert_eq!(before("1 month", "2026-03-31"), "2026-02-28");
        assert_eq!(before("2y", "2024-02-29"), "2022-02-28");
        for wrong in ["", "90", "d", "0d", "-1d", "1.5y", "90s", "99999999999d"] {
            assert!(wrong.parse::<Retention>().is_err(), "{wrong}");
        }
        assert_eq!(
            "4000000000y"
                .parse::<Retention>()
                .unwrap()
                .before(date("2026-01-01")),
            None
        );
    }
}
