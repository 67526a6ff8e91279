//! The columns that a decoder fills. Owns their types, which of these nobody asked for, and the message about a value that
//! does not fit one.

use datafusion::arrow::datatypes::{DataType, SchemaRef};

use super::error::{Problem, shown};
use super::misfit::Misfit;
use super::sql_type::sql_type;
use super::value::Values;

/// Rows for which a column has room at first.
const ROWS: usize = 1_024;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    schema: SchemaRef,
    /// Whether the types were found in the data.
    inferred: bool,
}

impl Columns {
    /// Of these types, which were found in the data or declared.
    pub(crate) fn new(schema: SchemaRef, inferred: bool) -> Self {
        Self { schema, inferred }
    }

    /// Their names and types.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the types were found in the data.
    pub(crate) fn is_inferred(&self) -> bool {
        self.inferred
    }

    /// An empty column, if its type can be read from text.
    pub(crate) fn values(&self, column: usize) -> Option<Values> {
        let values = Values::new(self.schema.field(column).data_type(), ROWS)?;
        Some(match self.inferred {
            true => values.inferred(),
            false => values,
        })
    }

    /// A text is no value of the column.
    pub(crate) fn misfit(&self, at: usize, column: usize, text: &str, misfit: Misfit) -> Problem {
        let field = self.schema.field(column);
        misfit_of(
            at,
            field.name(),
            field.data_type(),
            self.inferred,
            text,
            misfit,
        )
    }
}

/// A text is no value of that column of that type.
pub(crate) fn misfit_of(
    at: usize,
    name: &str,
    data_type: &DataType,
    inferred: bool,
    text: &str,
    misfit: Misfit,
) -> Problem {
    let sql = sql_type(data_type);
    let why = match misfit.0 {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let problem = match inferred {
        true => format!(
            "`{}` is not {sql}, which the column is by the rows that were looked at{why}",
            shown(text)
        ),
        false => format!("`{}` is not {sql}{why}", shown(text)),
    };
    let help = match inferred {
        true => {
            "declare the columns of the table, this one as TEXT or as what it is, or look at more with the option `sample_size`"
        }
        false => "declare the column as TEXT, and convert it in the query",
    };
    Problem::new(at, problem).in_column(name).with_help(help)
}
