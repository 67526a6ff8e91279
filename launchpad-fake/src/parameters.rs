//! The query of a request: JSON-or-literal values, repeated keys, and the service's texts for bad ones.

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::Value;
use url::form_urlencoded;

use crate::refusal::Refusal;

/// The decoded key-value pairs of a query, in the order they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Decodes a query string.
    pub(crate) fn parse(query: &str) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        }
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The pairs that do not say which page is wanted.
    pub(crate) fn own_query(&self) -> impl Iterator<Item = &(String, String)> {
        self.pairs.iter().filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "ws.size" | "ws.start" | "ws.show" | "memo" | "direction"
            )
        })
    }

    /// The first value of `name` as it was sent.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.raw_all(name).next()
    }

    /// Every value of `name` as it was sent.
    fn raw_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The operation asked for, if one is.
    pub(crate) fn operation(&self) -> Result<Option<&str>, Refusal> {
        let names: Vec<&str> = self.raw_all("ws.op").collect();
        match names.as_slice() {
            [] => Ok(None),
            [""] => Err(Refusal::BadRequest("No operation name given.".to_owned())),
            [name] => Ok(Some(name)),
            _ => Err(Refusal::BadRequest(format!(
                "Expected a single operation: {}",
                names.join(",")
            ))),
        }
    }

    /// Every value of `name`: each is JSON if it parses as JSON, else text; lists are flattened and
    /// `null` is no value.
    fn values(&self, name: &str) -> Vec<Value> {
        let mut values = Vec::new();
        for raw in self.raw_all(name) {
            match decode(raw) {
                Value::Null => {}
                Value::Array(items) => values.extend(items),
                value => values.push(value),
            }
        }
        values
    }
}

/// JSON if it parses as JSON, else the text itself.
fn decode(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_else(|_| Value::String(raw.to_owned()))
}

/// Reads the parameters of one operation and collects what is wrong with them, so that all of it is
/// said in one answer.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    parameters: &'a Parameters,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader without problems.
    pub(crate) fn new(parameters: &'a Parameters) -> Self {
        Self {
            parameters,
            problems: Vec::new(),
        }
    }

    /// The refusal, if there were problems.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Refusal::BadRequest(self.problems.join("\n")))
        }
    }

    /// Notes a problem with a parameter.
    pub(crate) fn problem(&mut self, name: &str, text: &str) {
        self.problems.push(format!("{name}: {text}"));
    }

    fn single(&mut self, name: &str) -> Option<Value> {
        let mut values = self.parameters.values(name);
        if values.len() > 1 {
            self.problem(
                name,
                &format!(
                    "got 'list', expected a single value: {}",
                    Value::Array(values)
                ),
            );
            return None;
        }
        values.pop()
    }

    /// A text. A JSON number or flag is refused.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.single(name)? {
            Value::String(text) => Some(text),
            other => {
                self.problem(
                    name,
                    &format!("got '{}', expected str: {other}", python_type(&other)),
                );
                None
            }
        }
    }

    /// A text that has to be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        let problems = self.problems.len();
        let text = self.text(name);
        if text.is_none() && problems == self.problems.len() {
            self.problem(name, "Required input is missing.");
        }
        text
    }

    /// A flag.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.single(name)?;
        let flag = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        if flag.is_none() {
            self.problem(
                name,
                &format!("got '{}', expected bool: {value}", python_type(&value)),
            );
        }
        flag
    }

    /// Texts: none, one, repeated, or a JSON list.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let values = self.parameters.values(name);
        if values.is_empty() {
            return None;
        }
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::String(text) => texts.push(text),
                other => self.problem(
                    name,
                    &format!("got '{}', expected str: {other}", python_type(&other)),
                ),
            }
        }
        Some(texts)
    }

    /// Titles of a choice, as positions in `titles`. Case matters.
    pub(crate) fn choices(&mut self, name: &str, titles: &[&str]) -> Option<Vec<usize>> {
        let texts = self.texts(name)?;
        let mut chosen = Vec::with_capacity(texts.len());
        for text in texts {
            match titles.iter().position(|title| *title == text) {
                Some(position) => chosen.push(position),
                None => self.problem(
                    name,
                    &format!(
                        "Invalid value \"{text}\". Acceptable values are: {}",
                        titles.join(", ")
                    ),
                ),
            }
        }
        Some(chosen)
    }

    /// A point in time, in microseconds since the epoch: a date, or a date and time in UTC.
    pub(crate) fn moment(&mut self, name: &str) -> Option<i64> {
        let moment = match self.single(name)? {
            Value::String(text) => parse_moment(&text),
            // JSON reads 20230101 as a number.
            _ => Err(NOT_A_DATE),
        };
        match moment {
            Ok(moment) => Some(moment),
            Err(problem) => {
                self.problem(name, problem);
                None
            }
        }
    }
}

const NOT_A_DATE: &str = "Value doesn't look like a date.";
const NOT_UTC: &str = "Time not in UTC.";

fn parse_moment(text: &str) -> Result<i64, &'static str> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    // RFC 3339 reads both `T` and a space between date and time.
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) if moment.offset().local_minus_utc() == 0 => Ok(moment.timestamp_micros()),
        Ok(_) => Err(NOT_UTC),
        // A time without an offset is refused for its missing zone, anything else for its form.
        Err(_) if DateTime::parse_from_rfc3339(&format!("{text}Z")).is_ok() => Err(NOT_UTC),
        Err(_) => Err(NOT_A_DATE),
    }
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_of_a_list_reads_the_same() {
        let titles = ["New", "In Progress", "Triaged"];
        for query in [
            "status=New&status=In+Progress",
            "status=%5B%22New%22%2C+%22In+Progress%22%5D",
            "status=%22New%22&status=%5B%22In+Progress%22%5D",
        ] {
            let parameters = Parameters::parse(query);
            let mut reader = Reader::new(&parameters);
            assert_eq!(
                reader.choices("status", &titles),
                Some(vec![0, 1]),
                "{query}"
            );
            reader.finish().unwrap();
        }
    }

    #[test]
    fn dates_are_read_in_every_accepted_form_and_naive_times_refused() {
        let midnight = 1_672_531_200_000_000;
        for text in [
            "2023-01-01",
            "2023-01-01T00:00:00Z",
            "2023-01-01T00:00:00+00:00",
            "2023-01-01 00:00:00+00:00",
        ] {
            assert_eq!(parse_moment(text), Ok(midnight), "{text}");
        }
        assert_eq!(
            parse_moment("2023-01-01T00:00:00.000001Z"),
            Ok(midnight + 1)
        );
        assert_eq!(parse_moment("2023-01-01T00:00:00"), Err(NOT_UTC));
        assert_eq!(parse_moment("2023-01-01T00:00:00+01:00"), Err(NOT_UTC));
        assert_eq!(parse_moment("yesterday"), Err(NOT_A_DATE));
    }

    #[test]
    fn all_problems_are_said_at_once() {
        let parameters = Parameters::parse("status=Nope&created_since=soon&omit_duplicates=maybe");
        let mut reader = Reader::new(&parameters);
        reader.choices("status", &["New", "Triaged"]);
        reader.moment("created_since");
        reader.flag("omit_duplicates");
        reader.required_text("email");
        let Err(Refusal::BadRequest(text)) = reader.finish() else {
            panic!("accepted")
        };
        assert_eq!(
            text,
            "status: Invalid value \"Nope\". Acceptable values are: New, Triaged\n\
             created_since: Value doesn't look like a date.\n\
             omit_duplicates: got 'str', expected bool: \"maybe\"\n\
             email: Required input is missing."
        );
    }
}
