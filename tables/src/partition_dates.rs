//! The days that a partition stands for, read from its folder names. Owns which columns tell a date and how far a value
//! reaches; always errs towards the later day, because what is read here decides what is dropped.

use std::fmt;

use chrono::{Days, NaiveDate, Weekday};
use datafusion::arrow::datatypes::DataType;

use crate::layout;
use crate::retention::{DateUnit, Span};
use crate::schema::TableSchema;

/// Which partition columns tell the date of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DateColumns {
    /// One column of dates, or of texts that spell one; `unit` where it is known beforehand.
    One {
        column: String,
        unit: Option<DateUnit>,
    },
    /// Year, and what else there is of month and day.
    Calendar {
        year: String,
        month: Option<String>,
        day: Option<String>,
    },
    /// Year and ISO week.
    Week { year: String, week: String },
}

impl DateColumns {
    /// Finds the columns, or the one that was asked for.
    ///
    /// # Errors
    /// Why there is none, or which there are.
    pub(crate) fn find(
        schema: &TableSchema,
        asked: Option<&str>,
        unit: Option<DateUnit>,
    ) -> Result<Self, String> {
        let there = schema.partition_by();
        let list = if there.is_empty() {
            "the table has no partition columns".to_owned()
        } else {
            format!("it is partitioned by: {}", there.join(", "))
        };
        let is_date = |name: &str| {
            let field = schema.columns().field_with_name(name);
            field.is_ok_and(|field| *field.data_type() == DataType::Date32)
        };
        let one = |name: &str| Self::One {
            column: name.to_owned(),
            unit: unit.or_else(|| is_date(name).then(|| unit_by_name(name))),
        };
        if let Some(asked) = asked {
            let Some(name) = there.iter().find(|name| *name == asked) else {
                return Err(format!("{asked:?} is not a partition column; {list}"));
            };
            let text = schema
                .columns()
                .field_with_name(name)
                .is_ok_and(|field| *field.data_type() == DataType::Utf8);
            if is_date(name) || text {
                return Ok(one(name));
            }
            if name.eq_ignore_ascii_case("year") {
                return Ok(Self::Calendar {
                    year: name.clone(),
                    month: None,
                    day: None,
                });
            }
            return Err(format!(
                "{asked:?} is neither a date nor a text, so it does not say a day by itself; {list}"
            ));
        }
        let dates: Vec<&String> = there.iter().filter(|name| is_date(name)).collect();
        match dates.as_slice() {
            [only] => return Ok(one(only)),
            [] if unit.is_some() => {
                return Err(format!("a span belongs to a column: name it too; {list}"));
            }
            [] => {}
            several => {
                let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                return Err(format!(
                    "several columns hold dates ({}): choose one",
                    names.join(", ")
                ));
            }
        }
        let named = |wanted: &str| {
            there
                .iter()
                .find(|name| name.eq_ignore_ascii_case(wanted))
                .cloned()
        };
        match (named("year"), named("month"), named("week")) {
            (Some(year), None, Some(week)) => Ok(Self::Week { year, week }),
            (Some(year), month, _) => Ok(Self::Calendar {
                year,
                day: month.as_ref().and_then(|_| named("day")),
                month,
            }),
            _ => Err(format!(
                "no partition column is a date, and there is no year, year and month, or year and week; {list}"
            )),
        }
    }

    /// The span of a partition.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(crate) fn span(&self, partition: &str) -> Result<Span, String> {
        let values = layout::split(partition);
        let value = |column: &str| match values.iter().find(|(name, _)| name == column) {
            Some((_, Some(value))) => Ok(value.as_str()),
            Some((_, None)) => Err(format!("{column} is NULL")),
            None => Err(format!("it has no {column}")),
        };
        let number = |column: &str| {
            let text = value(column)?;
            text.trim()
                .parse::<u32>()
                .map_err(|_| format!("{column} is {text:?}, which is no number of the calendar"))
        };
        let year_of = |column: &str| match number(column)? {
            year @ 1..=9999 => Ok(i32::try_from(year).unwrap_or(0)),
            year => Err(format!("{column} is {year}")),
        };
        match self {
            Self::One { column, unit } => {
                let text = value(column)?;
                let read = spelled(text, *unit);
                read.ok_or_else(|| format!("{column} is {text:?}, which does not read as a date"))
            }
            Self::Calendar { year, month, day } => {
                let (first, unit) = match (month, day) {
                    (None, _) => ((1, 1), DateUnit::Year),
                    (Some(month), None) => ((number(month)?, 1), DateUnit::Month),
                    (Some(month), Some(day)) => ((number(month)?, number(day)?), DateUnit::Day),
                };
                NaiveDate::from_ymd_opt(year_of(year)?, first.0, first.1)
                    .and_then(|day| unit.around(day))
                    .ok_or_else(|| "there is no such day".to_owned())
            }
            Self::Week { year, week } => {
                let (year, week) = (year_of(year)?, number(week)?);
                week_span(year, week).ok_or_else(|| format!("there is no week {week} in {year}"))
            }
        }
    }
}

impl fmt::Display for DateColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One { column, unit } => match unit {
                None | Some(DateUnit::Day) => f.write_str(column),
                Some(unit) => write!(f, "{column} (each a {})", unit.name()),
            },
            Self::Calendar { year, month, day } => {
                f.write_str(year)?;
                for column in [month, day].into_iter().flatten() {
                    write!(f, ", {column}")?;
                }
                Ok(())
            }
            Self::Week { year, week } => write!(f, "{year}, {week}"),
        }
    }
}

/// A column of dates is often the first day of something longer, and then named after it.
fn unit_by_name(column: &str) -> DateUnit {
    let lower = column.to_ascii_lowercase();
    DateUnit::NAMES
        .iter()
        .find(|(name, unit)| *unit != DateUnit::Day && lower.split('_').any(|part| part == *name))
        .map_or(DateUnit::Day, |(_, unit)| *unit)
}

/// Reads `2026-09-21`, `2026-09`, `2026-W38` or `2026`; the form tells the reach unless `unit` does.
fn spelled(text: &str, unit: Option<DateUnit>) -> Option<Span> {
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let (day, form) = match parts.as_slice() {
        [year, month, _] if [year.len(), month.len(), text.len()] == [4, 2, 10] => {
            (day(text)?, DateUnit::Day)
        }
        [year, week] if year.len() == 4 && week.len() == 3 && week.starts_with('W') => {
            let week = week
                .strip_prefix('W')
                .filter(|week| digits(week))?
                .parse()
                .ok()?;
            let monday = NaiveDate::from_isoywd_opt(year.parse().ok()?, week, Weekday::Mon)?;
            (monday, DateUnit::Week)
        }
        [year, month] if [year.len(), month.len()] == [4, 2] => {
            (day(&format!("{text}-01"))?, DateUnit::Month)
        }
        [year] if year.len() == 4 && digits(year) => {
            (day(&format!("{text}-01-01"))?, DateUnit::Year)
        }
        _ => return None,
    };
    unit.unwrap_or(form).around(day)
}

/// An ISO week. Tools disagree about the year of the days around New Year: `year` may be the calendar's, so that week 1
/// also holds the last days of its December, and a week 52 or 53 the first ones of its January. Such a week reaches to the
/// end of its year.
fn week_span(year: i32, week: u32) -> Option<Span> {
    let new_year = NaiveDate::from_ymd_opt(year + 1, 1, 1)?;
    if !(1..=53).contains(&week) {
        return None;
    }
    let monday = NaiveDate::from_isoywd_opt(year, week, Weekday::Mon);
    let start = monday.or_else(|| NaiveDate::from_ymd_opt(year, 1, 1))?;
    let end = match monday {
        Some(monday) => monday.checked_add_days(Days::new(7))?,
        None => new_year,
    };
    let end = if (2..=51).contains(&week) {
        end
    } else {
        end.max(new_year)
    };
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use chrono::Datelike as _;
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn schema(columns: &[(&str, DataType)]) -> TableSchema {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        TableSchema::normalize(&Schema::new(fields), &names).0
    }

    fn span(columns: &DateColumns, partition: &str) -> Option<(String, String)> {
        let (start, end) = columns.span(partition).ok()?;
        Some((start.to_string(), end.to_string()))
    }

    fn days(start: &str, end: &str) -> Option<(String, String)> {
        Some((start.to_owned(), end.to_owned()))
    }

    #[test]
    fn date_columns_reach_as_far_as_their_name_or_the_asked_span_says() {
        let find = |name: &str, unit| {
            DateColumns::find(&schema(&[(name, DataType::Date32)]), None, unit).unwrap()
        };
        let day = find("day", None);
        assert_eq!(
            span(&day, "day=2026-09-21"),
            days("2026-09-21", "2026-09-22")
        );
        let week = find("week", None);
        assert_eq!(
            span(&week, "week=2026-09-21"),
            days("2026-09-21", "2026-09-28")
        );
        let month = find("order_month", None);
        assert_eq!(
            span(&month, "order_month=2026-12-01"),
            days("2026-12-01", "2027-01-01")
        );
        let period = find("period", Some(DateUnit::Quarter));
        assert_eq!(
            span(&period, "period=2026-11-05"),
            days("2026-10-01", "2027-01-01")
        );
        assert_eq!(span(&day, "day=__HIVE_DEFAULT_PARTITION__"), None);
        assert_eq!(span(&day, "day=2026-02-30"), None);
    }

    #[test]
    fn texts_are_dates_only_when_they_are_asked_for() {
        let schema = schema(&[("dt", DataType::Utf8)]);
        assert!(DateColumns::find(&schema, None, None).is_err());
        let text = DateColumns::find(&schema, Some("dt"), None).unwrap();
        assert_eq!(
            span(&text, "dt=2026-09-21"),
            days("2026-09-21", "2026-09-22")
        );
        assert_eq!(span(&text, "dt=2026-09"), days("2026-09-01", "2026-10-01"));
        assert_eq!(span(&text, "dt=2026-W01"), days("2025-12-29", "2026-01-05"));
        assert_eq!(span(&text, "dt=2026"), days("2026-01-01", "2027-01-01"));
        for odd in [
            "20260921",
            "2026-9-1",
            "yesterday",
            "12026-09-21",
            "2026-09-21T00",
            "-2026",
            "2026-W54",
            "2026-W+1",
            "2026-Wö",
        ] {
            assert_eq!(span(&text, &format!("dt={odd}")), None, "{odd}");
        }
    }

    #[test]
    fn year_month_and_day_are_found_by_name_whatever_their_type() {
        let columns = schema(&[
            ("kind", DataType::Utf8),
            ("Year", DataType::Int32),
            ("month", DataType::Utf8),
            ("day", DataType::Int8),
        ]);
        let found = DateColumns::find(&columns, None, None).unwrap();
        assert_eq!(
            span(&found, "kind=a/Year=2024/month=02/day=29"),
            days("2024-02-29", "2024-03-01")
        );
        assert_eq!(span(&found, "kind=a/Year=2023/month=02/day=29"), None);
        let months = schema(&[("year", DataType::Int32), ("month", DataType::Int32)]);
        let found = DateColumns::find(&months, None, None).unwrap();
        assert_eq!(
            span(&found, "year=2024/month=12"),
            days("2024-12-01", "2025-01-01")
        );
        for odd in [
            "year=2024/month=13",
            "year=-4/month=1",
            "year=0/month=1",
            "year=2024/month=__HIVE_DEFAULT_PARTITION__",
        ] {
            assert_eq!(span(&found, odd), None, "{odd}");
        }
        let year = DateColumns::find(&months, Some("year"), None).unwrap();
        assert_eq!(
            span(&year, "year=2024/month=1"),
            days("2024-01-01", "2025-01-01")
        );
        assert!(DateColumns::find(&months, Some("month"), None).is_err());
        assert!(DateColumns::find(&months, Some("yaer"), None).is_err());
        assert!(DateColumns::find(&schema(&[("month", DataType::Int32)]), None, None).is_err());
        let two = schema(&[("a", DataType::Date32), ("b", DataType::Date32)]);
        assert!(
            DateColumns::find(&two, None, None)
                .unwrap_err()
                .contains("a, b")
        );
    }

    #[test]
    fn a_week_at_new_year_reaches_to_the_end_of_its_year() {
        let columns = schema(&[("year", DataType::Int32), ("week", DataType::Int32)]);
        let found = DateColumns::find(&columns, None, None).unwrap();
        assert_eq!(
            span(&found, "year=2026/week=38"),
            days("2026-09-14", "2026-09-21")
        );
        // Under calendar years these hold days of December 2025 too.
        assert_eq!(
            span(&found, "year=2025/week=1"),
            days("2024-12-30", "2026-01-01")
        );
        assert_eq!(
            span(&found, "year=2026/week=53"),
            days("2026-12-28", "2027-01-04")
        );
        // There is no such ISO week: the first days of January 2027, or a mistake.
        assert_eq!(
            span(&found, "year=2027/week=53"),
            days("2027-01-01", "2028-01-01")
        );
        assert_eq!(span(&found, "year=2027/week=54"), None);
        assert_eq!(span(&found, "year=2027/week=0"), None);
    }

    /// Every day lies in the span of the partition that it would be written to, whichever year it is labelled with.
    #[test]
    fn no_day_lies_after_the_span_of_its_week() {
        let columns = schema(&[("year", DataType::Int32), ("week", DataType::Int32)]);
        let found = DateColumns::find(&columns, None, None).unwrap();
        let mut day = date("1999-12-20");
        while day < date("2031-01-20") {
            for year in [day.year(), day.iso_week().year()] {
                let partition = format!("year={year}/week={}", day.iso_week().week());
                let (_, end) = found.span(&partition).unwrap();
                assert!(day < end, "{day} in {partition}, which ends before {end}");
            }
            day = day.succ_opt().unwrap();
        }
    }
}
