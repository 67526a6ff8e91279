//! `DECLARE name TYPE [DEFAULT expression]`.

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, Expr};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::constants;
use super::cursor::{Cursor, Parsed};
use super::diagnostic::Report;
use super::parameters::{PARAMETER_TYPES, Parameter, is_parameter_type, is_text};
use super::secret::{SecretReference, is_credential, string_of};
use super::suggest::nearest;

/// Reads the rest of a `DECLARE`, after the keyword.
pub(super) fn read(
    cursor: &mut Cursor,
    description: Option<String>,
    report: &mut Report,
) -> Parsed<Parameter> {
    let found = cursor.peek();
    if let Token::Placeholder(text) = &found.token {
        let mut mistake = cursor.error(found.span, "a parameter is declared without the `$`");
        mistake.suggestion = Some(text.trim_start_matches('$').to_owned());
        return Err(mistake);
    }
    let name = cursor.declared_name("a parameter's name")?;
    let start = cursor.here();
    if cursor.peek().token == Token::EOF {
        let found = cursor.peek();
        return Err(cursor.expected("a type", &found, None));
    }
    let sql_type = cursor.sql(Parser::parse_data_type)?;
    let data_type = check_type(cursor, &sql_type, cursor.since(start))?;
    let (default, default_span) = if cursor.accept(Keyword::DEFAULT) {
        let (expression, span) = cursor.expression()?;
        (Some(expression), span)
    } else {
        (None, Span::empty())
    };
    cursor.finish()?;
    if let Some(Expr::Value(literal)) = &default
        && is_credential(&name.value)
        && is_text(&data_type)
        && string_of(&literal.value).is_some_and(|text| text.parse::<SecretReference>().is_err())
    {
        report.push(
            report
                .error_at(
                    default_span,
                    format!(
                        "parameter `{}` is a secret and must not stand here",
                        name.value
                    ),
                )
                .with_help("refer to it: DEFAULT 'env:NAME' or DEFAULT 'file:/path'"),
        );
    }
    let required = default.is_none();
    Ok(Parameter {
        name: name.value,
        data_type,
        sql_type,
        default,
        default_span,
        required,
        description,
        span: name.span,
    })
}

fn check_type(cursor: &Cursor, sql_type: &SqlType, span: Span) -> Parsed<DataType> {
    let data_type = constants::data_type(sql_type);
    if let Ok(data_type) = data_type
        && is_parameter_type(&data_type)
    {
        return Ok(data_type);
    }
    let written = sql_type.to_string();
    let mut mistake = cursor.error(
        span,
        format!("a parameter cannot have the type `{written}`"),
    );
    mistake.suggestion = nearest(&written, PARAMETER_TYPES.iter().copied()).map(str::to_owned);
    mistake.help = Some(format!(
        "types of parameters: {}",
        PARAMETER_TYPES.join(", ")
    ));
    Err(mistake)
}
