//! `arrow_cast` and `arrow_try_cast` for types that nest no deeper than they can be read. Owns the limit; the functions are
//! DataFusion's.
//!
//! The name of a type is read by recursion: `List(List(List(…` of a few megabytes ended the process.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::functions::core::{arrow_cast, arrow_try_cast};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

/// How deep the type may nest.
const LIMIT: usize = 64;

/// The functions, under the names of those that they replace.
pub(crate) fn casts() -> Vec<Arc<ScalarUDF>> {
    [arrow_cast(), arrow_try_cast()]
        .map(|cast| Arc::new(ScalarUDF::from(ShallowCast { cast })))
        .into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ShallowCast {
    cast: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ShallowCast {
    fn name(&self) -> &str {
        self.cast.name()
    }

    fn signature(&self) -> &Signature {
        self.cast.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.cast.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args.scalar_arguments.iter().skip(1).flatten();
        if types
            .filter_map(|name| name.try_as_str().flatten())
            .any(nests_too_deep)
        {
            return plan_err!(
                "the type that {} is given nests more than {LIMIT} levels deep",
                self.name()
            );
        }
        self.cast.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.cast.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.cast.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.cast.documentation()
    }
}

/// More brackets are open at once than a type may have. Those in the names of fields count too.
fn nests_too_deep(name: &str) -> bool {
    let mut open = 0_usize;
    name.bytes().any(|byte| {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        open > LIMIT
    })
}

#[cfg(test)]
mod tests {
    use crate::{Budget, SessionOptions, session};

    async fn cast(function: &str, levels: usize) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let ctx = session(&SessionOptions::new(
            Budget::new(256 << 20, 1, 4096),
            folder.path(),
        ))
        .unwrap();
        let of = format!("{}Int64{}", "List(".repeat(levels), ")".repeat(levels));
        let query = format!("SELECT arrow_typeof({function}(NULL, '{of}'))");
        let made = async { ctx.sql(&query).await?.to_string().await };
        made.await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_cast_takes_types_of_some_depth_and_refuses_any_other() {
        for function in ["arrow_cast", "arrow_try_cast"] {
            let made = cast(function, 50).await.unwrap();
            assert!(made.contains("List(List("), "{made}");
            for levels in [65, 3_000_000] {
                let error = cast(function, levels).await.unwrap_err();
                assert!(error.contains("nests more than 64 levels"), "{error}");
            }
        }
    }
}
