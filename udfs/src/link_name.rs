//! `link_name(link)`: the name at the end of a link of an API.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, StringViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::Result;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};
use percent_encoding::percent_decode_str;

use crate::signature::OF_OWN_TYPES;
use crate::texts;

const NAME: &str = "link_name";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_STRING,
        "The name at the end of a link: the last segment of its path, percent-decoded, without a leading \
         tilde. NULL if the path is empty.",
        "link_name(link)",
    )
    .with_argument("link", "An absolute or relative link; query, fragment and trailing slashes do not count.")
    .with_sql_example(
        "```sql\n> SELECT link_name('https://api.example/devel/~ada-example');\nada-example\n```",
    )
    .build()
});

/// The function `link_name(text) -> text`. NULL gives NULL, and so does a link that ends in no name (no
/// path, or only slashes and a tilde). A segment whose percent-encoding is no UTF-8 is given as it
/// stands, so that nothing of it is lost. It never fails on a value.
///
/// # Errors
/// Planning fails on an argument that is no text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LinkName;

impl ScalarUDFImpl for LinkName {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &OF_OWN_TYPES
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        texts::one_text(NAME, arg_types)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [link] = take_function_args(NAME, args.args)?;
        match link {
            ColumnarValue::Array(links) => Ok(ColumnarValue::Array(Arc::new(names(&links)?))),
            ColumnarValue::Scalar(link) => {
                let name = texts::scalar_text(NAME, &link)?
                    .and_then(name)
                    .map(Cow::into_owned);
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(name)))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn names(links: &ArrayRef) -> Result<StringViewArray> {
    Ok(texts::array_texts(NAME, links)?
        .map(|link| link.and_then(name))
        .collect())
}

fn name(link: &str) -> Option<Cow<'_, str>> {
    let path = path(link).trim_end_matches('/');
    let segment = path.rsplit('/').next()?;
    let decoded = percent_decode_str(segment)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(segment));
    // After decoding, because `%7E` is the same character to a server.
    let name = match decoded {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('~').unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix('~').map(str::to_owned).unwrap_or(text)),
    };
    (!name.is_empty()).then_some(name)
}

/// The path of a link without scheme, host, query and fragment; a link without a host is all path.
fn path(link: &str) -> &str {
    let link = link.split(['?', '#']).next().unwrap_or(link);
    match link.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/').map_or("", |(_host, path)| path),
        None => link,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array as _, new_empty_array};

    use super::*;

    #[test]
    fn an_empty_batch_gives_an_empty_batch() {
        for text_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            assert_eq!(
                names(&new_empty_array(&text_type)).unwrap().len(),
                0,
                "{text_type}"
            );
        }
    }

    #[test]
    fn a_plain_name_is_borrowed_from_its_link() {
        assert!(matches!(
            name("https://api.example/devel/~ada-example"),
            Some(Cow::Borrowed("ada-example"))
        ));
    }
}
