//! Where in a document the list is whose items are rows. Owns the syntax of it: a part of JSONPath that leads to lists in the
//! order in which they stand.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// To the value of a key.
    Key(String),
    /// To each item of a list.
    Each,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path(Vec<Step>);

impl Path {
    /// From its text: `$`, then `.key`, `['key']` and `[*]`. That rows are the items of the list where it ends need not be said
    /// with another `[*]`.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |rest: &str| {
            format!(
                "`{rest}` stands where `.key`, `['key']` or `[*]` is expected, as in `$.data.items`"
            )
        };
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| "a path begins with `$`, as in `$.data.items`".to_owned())?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix("[*]") {
                steps.push(Step::Each);
                rest = behind;
            } else if let Some(name) = rest.strip_prefix('.') {
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 || name[..end].contains(['*', ']', '\'', '"']) {
                    return Err(wrong(rest));
                }
                steps.push(Step::Key(name[..end].to_owned()));
                rest = &name[end..];
            } else {
                let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                    let name = rest.strip_prefix('[')?.strip_prefix(quote)?;
                    let (name, behind) = name.split_once(quote)?;
                    Some((name, behind.strip_prefix(']')?))
                });
                let (name, behind) = quoted.ok_or_else(|| wrong(rest))?;
                steps.push(Step::Key(name.to_owned()));
                rest = behind;
            }
        }
        if steps.last() == Some(&Step::Each) {
            steps.pop();
        }
        Ok(Self(steps))
    }

    /// The steps to the list.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// As it is written, up to so many steps.
    pub(crate) fn first(&self, count: usize) -> String {
        let mut text = String::from("$");
        for step in self.0.iter().take(count) {
            match step {
                Step::Each => text.push_str("[*]"),
                Step::Key(key)
                    if key.contains(['.', '[', '\'', '"', '*', ']']) || key.is_empty() =>
                {
                    text.push_str(&format!("['{key}']"));
                }
                Step::Key(key) => {
                    text.push('.');
                    text.push_str(key);
                }
            }
        }
        text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first(self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("$", "$")]
    #[case("$[*]", "$")]
    #[case("$.data.items", "$.data.items")]
    #[case("$['data'][\"items\"][*]", "$.data.items")]
    #[case("$.pages[*].items", "$.pages[*].items")]
    #[case("$['a.b c']", "$['a.b c']")]
    #[case("$.größe", "$.größe")]
    fn a_path_is_its_steps(#[case] text: &str, #[case] written: &str) {
        assert_eq!(Path::parse(text).unwrap().to_string(), written);
    }

    #[rstest]
    #[case("")]
    #[case("data.items")]
    #[case("$data")]
    #[case("$.")]
    #[case("$..a")]
    #[case("$.*")]
    #[case("$[0]")]
    #[case("$['a]")]
    #[case("$[?(@.a)]")]
    fn what_is_no_path_is_refused(#[case] text: &str) {
        assert!(Path::parse(text).is_err());
    }
}
