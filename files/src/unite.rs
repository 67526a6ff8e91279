//! The columns of several files that say what they have. Owns their union by name, and the comparison with what is declared.

use datafusion::arrow::datatypes::{Field, Schema};

use super::error::{ReadError, listed};
use super::partitions::Partitions;
use super::sql_type::sql_type;
use super::types::{holds, holds_what_fits, together};

/// Which columns of a file go into a declared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Those whose every value does.
    Type,
    /// Integers and bytes of other sizes too: each is looked at when it is read. For files whose format has fewer types.
    Value,
}

/// The columns of a table whose files say what they have: those that are declared, which every file has to hold, or else those of
/// all files together.
///
/// # Errors
/// When columns of one name do not go together, or files do not have what is declared, or have a column that is in the names of
/// their folders too.
pub(crate) fn columns<'a>(
    location: &str,
    declared: Option<&Schema>,
    partitions: &Partitions,
    schemas: &(impl Iterator<Item = (&'a str, &'a Schema)> + Clone),
    fit: Fit,
) -> Result<Schema, ReadError> {
    for (file, schema) in schemas.clone() {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        partitions.check_names(file, names)?;
    }
    let Some(declared) = declared else {
        return Ok(partitions.without(&united(schemas.clone())?));
    };
    let of_files = partitions.without(declared);
    for (file, schema) in schemas.clone() {
        check_declared(file, schema, &of_files, fit)?;
    }
    check_missing(location, schemas, &of_files)?;
    Ok(of_files)
}

/// The error of a declared column that no file has, and what there is instead.
pub(crate) fn no_file_has<'a>(
    location: &str,
    column: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> ReadError {
    let there_are = listed(names);
    let problem = format!("no file has the column `{column}`; there are {there_are}");
    ReadError::of_file(location, problem)
}

/// The columns of all files, by name.
fn united<'a>(schemas: impl Iterator<Item = (&'a str, &'a Schema)>) -> Result<Schema, ReadError> {
    let mut fields: Vec<(Field, &str)> = Vec::new();
    for (file, schema) in schemas {
        for field in schema.fields() {
            let Some((known, first)) = fields
                .iter_mut()
                .find(|(known, _)| known.name() == field.name())
            else {
                fields.push((field.as_ref().clone().with_nullable(true), file));
                continue;
            };
            let data_type =
                together(known.data_type(), field.data_type()).ok_or_else(|| ReadError {
                    column: Some(field.name().clone()),
                    ..ReadError::of_file(
                        file,
                        format!(
                            "it is {} here and {} in {first}, and no type has room for both",
                            sql_type(field.data_type()),
                            sql_type(known.data_type()),
                        ),
                    )
                    .with_help("read them as two tables, and convert one of them in the query")
                })?;
            known.set_data_type(data_type);
        }
    }
    Ok(Schema::new(
        fields
            .into_iter()
            .map(|(field, _)| field)
            .collect::<Vec<_>>(),
    ))
}

/// Every declared column holds what the file has under its name.
fn check_declared(
    file: &str,
    schema: &Schema,
    declared: &Schema,
    fit: Fit,
) -> Result<(), ReadError> {
    let holds = match fit {
        Fit::Type => holds,
        Fit::Value => holds_what_fits,
    };
    for field in declared.fields() {
        let Ok(found) = schema.field_with_name(field.name()) else {
            continue;
        };
        if !holds(field.data_type(), found.data_type()) {
            let (is, wanted) = (sql_type(found.data_type()), sql_type(field.data_type()));
            return Err(ReadError {
                column: Some(field.name().clone()),
                ..ReadError::of_file(file, format!("it is {is} there and declared as {wanted}, which does not hold all of its values"))
                    .with_help(format!("declare it as {is}, and convert it in the query"))
            });
        }
    }
    Ok(())
}

/// Every declared column is in some file.
fn check_missing<'a>(
    location: &str,
    schemas: &(impl Iterator<Item = (&'a str, &'a Schema)> + Clone),
    declared: &Schema,
) -> Result<(), ReadError> {
    if schemas.clone().next().is_none() {
        return Ok(());
    }
    for field in declared.fields() {
        if schemas
            .clone()
            .any(|(_, schema)| schema.field_with_name(field.name()).is_ok())
        {
            continue;
        }
        let mut names: Vec<&str> = Vec::new();
        for (_, schema) in schemas.clone() {
            for field in schema.fields() {
                if !names.contains(&field.name().as_str()) {
                    names.push(field.name());
                }
            }
        }
        let near = names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(field.name()));
        let error = no_file_has(location, field.name(), names.iter().copied());
        return Err(match near {
            Some(near) => error.with_help(format!("write it as it is there: \"{near}\"")),
            None => error,
        });
    }
    Ok(())
}
