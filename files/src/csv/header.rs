//! The names of a file's columns. Owns how they are made from its first record, and which field is which column.

use std::collections::HashSet;

use datafusion::arrow::datatypes::Schema;

use super::{Dialect, Records};
use crate::error::Problem;

/// The names in a header: as written, without spaces around, and each once: `x`, `x_1`, `x_2`; `column_3` where nothing is.
pub(crate) fn names(dialect: &Dialect, record: &str) -> Result<Vec<String>, Problem> {
    let mut records = Records::new(dialect, record);
    let (mut names, mut taken) = (Vec::new(), HashSet::new());
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
        let mut number = 0;
        while !taken.insert(name.clone()) {
            number += 1;
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
    let mut taken = vec![false; schema.fields().len()];
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        let found = column_of(name, names, schema);
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

/// The column of the table that a name of the file is.
fn column_of(name: &str, names: &[String], schema: &Schema) -> Option<usize> {
    let exact = schema
        .fields()
        .iter()
        .position(|field| field.name() == name);
    exact.or_else(|| {
        let mut near = schema.fields().iter().enumerate().filter(|(_, field)| {
            field.name().eq_ignore_ascii_case(name) && !names.contains(field.name())
        });
        let only = near.next();
        near.next().is_none().then_some(only?.0)
    })
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
