//! Columns that say where a row is from. Owns their names and types; they stand behind all others.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use serde::{Deserialize, Serialize};

use super::error::ReadError;

/// The columns that a table has besides those of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the column with the file.
    pub file: Option<String>,
    /// The name of the column with the line on which the record begins, from 1.
    pub line: Option<String>,
}

impl Origin {
    /// The columns, the file's first.
    pub(crate) fn fields(&self) -> Vec<FieldRef> {
        let field = |name: &Option<String>, data_type: DataType| {
            let name = name.as_ref()?;
            Some(Arc::new(Field::new(name, data_type, true)))
        };
        [
            field(&self.file, DataType::Utf8),
            field(&self.line, DataType::Int64),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The columns of a table with these ones behind them.
    ///
    /// # Errors
    /// When a name is there twice.
    pub(crate) fn behind(&self, location: &str, others: &Schema) -> Result<Schema, ReadError> {
        let mut fields: Vec<FieldRef> = others.fields().to_vec();
        for field in self.fields() {
            if fields.iter().any(|other| other.name() == field.name()) {
                let problem = format!("the column `{}` is there already", field.name());
                return Err(ReadError::of_file(location, problem).with_help(
                    "give `file_column` and `line_column` names that no other column has",
                ));
            }
            fields.push(field);
        }
        Ok(Schema::new(fields))
    }
}
