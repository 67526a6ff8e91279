//! The names of a file's columns. Owns how they are made from its first record, and which field is which column.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::datatypes::Schema;

use super::{Dialect, Records};
use crate::error::Problem;

/// The names in a header: as written, without spaces around, and each once: `x`, `x_1`, `x_2`; `column_3` where nothing is.
pub(crate) fn names(dialect: &Dialect, record: &str) -> Result<Vec<String>, Problem> {
    let mut records = Records::new(dialect, record);
    let (mut names, mut taken) = (Vec::new(), HashSet::new());
    // A header may have one name some thousand times.
    let mut numbers: HashMap<String, usize> = HashMap::new();
    if records.next_record(true).is_none() {
        return Ok(names);
    }
    loop {
        let (field, last) = records.field()?;
        let written = field.text.trim();
        let base = match written.is_empty() {
            true => format!("column_{}", names.len() + 1),
            false => written.to_owned(),
        };
        let mut name = base.clone();
        while !taken.insert(name.clone()) {
            let number = numbers.entry(base.clone()).or_default();
            *number += 1;
            name = format!("{base}_{number}");
        }
        names.push(name);
        if last {
            return Ok(names);
        }
    }
}

/// The names of so many columns that have none.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("column_{number}"))
        .collect()
}

/// For every field of a file, the column of the table that it is; `None` for those that the table does not have.
///
/// A name is the same in another case, if no other name is.
///
/// # Errors
/// When two fields would be one column.
pub(crate) fn fields(names: &[String], schema: &Schema) -> Result<Vec<Option<usize>>, Problem> {
    let columns = schema.fields().iter().enumerate();
    let exact: HashMap<&str, usize> = columns
        .clone()
        .map(|(column, field)| (field.name().as_str(), column))
        .collect();
    let written: HashSet<&str> = names.iter().map(String::as_str).collect();
    // Columns that have no field of their own name, by their name in small letters; `None` for those of which there are two.
    let mut near: HashMap<String, Option<usize>> = HashMap::new();
    for (column, field) in columns.filter(|(_, field)| !written.contains(field.name().as_str())) {
        near.entry(field.name().to_ascii_lowercase())
            .and_modify(|only| *only = None)
            .or_insert(Some(column));
    }
    let mut taken = vec![false; schema.fields().len()];
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        let found = match exact.get(name.as_str()) {
            Some(column) => Some(*column),
            None => near.get(&name.to_ascii_lowercase()).copied().flatten(),
        };
        if let Some(column) = found {
            if taken[column] {
                return Err(Problem::new(
                    0,
                    format!(
                        "two columns of the file are `{}`",
                        schema.field(column).name()
                    ),
                ));
            }
            taken[column] = true;
        }
        fields.push(found);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn a_name_is_there_once() {
        let names = names(&Dialect::default(), "id,x,x, \"\" ,x_1,x\n").unwrap();
        assert_eq!(names, ["id", "x", "x_1", "\"\"", "x_1_1", "x_2"]);
    }

    #[test]
    fn fields_find_their_columns_by_name() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]);
        let fields = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            fields(&names, &schema)
        };
        assert_eq!(
            fields(&["name", "x", "id"]),
            Ok(vec![Some(1), None, Some(0)])
        );
        assert_eq!(fields(&["ID", "Name"]), Ok(vec![Some(0), Some(1)]));
        assert_eq!(fields(&["ID", "id"]), Ok(vec![None, Some(0)]));
        assert!(fields(&["ID", "Id"]).is_err());
    }
}
