//! Functions whose values may be much larger than what they are made of: they ask before they make them.
//!
//! Owns which functions those are, and the wrapping; how large a result will be is [`size`]'s, and what may be made is
//! [`memory`](crate::memory)'s. Functions that are not here return at most a small multiple of what they are given.

mod size;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, resources_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, StructFieldMapping,
};

use self::size::Size;
use crate::memory;

/// The functions, and what the size of their result follows from.
const FUNCTIONS: &[(&str, Size)] = &[
    ("repeat", Size::Repeated),
    ("lpad", Size::Padded),
    ("rpad", Size::Padded),
    ("replace", Size::Replaced),
    ("concat", Size::Joined),
    ("concat_ws", Size::Joined),
    ("overlay", Size::Joined),
    ("range", Size::Series),
    ("generate_series", Size::Series),
    ("array_repeat", Size::Repeated),
    ("array_resize", Size::Resized),
    ("array_to_string", Size::Delimited),
    ("make_array", Size::Joined),
    ("array_append", Size::Joined),
    ("array_prepend", Size::Joined),
    ("array_concat", Size::Joined),
    ("struct", Size::Joined),
    ("named_struct", Size::Joined),
];

/// Results up to this size are too small to be named while they are made, bytes.
const SMALL: u64 = 1 << 20;

/// Puts the functions of `registry` that need it under the process's memory ceiling.
///
/// # Errors
/// When the registry refuses a function.
pub(crate) fn bound_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, size) in FUNCTIONS {
        let inner = registry.udf(name)?;
        registry.register_udf(Arc::new(bounded(inner, *size)))?;
    }
    Ok(())
}

fn bounded(inner: Arc<ScalarUDF>, size: Size) -> ScalarUDF {
    ScalarUDF::new_from_impl(Bounded { inner, size })
}

/// A function that asks before it makes its values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

impl Bounded {
    fn of(&self) -> &dyn ScalarUDFImpl {
        self.inner.inner().as_ref()
    }

    /// The same function in the expression that it simplified itself to.
    fn again(&self, expression: Expr) -> Expr {
        match expression {
            Expr::ScalarFunction(call)
                if call.func.name() == self.inner.name()
                    && !(call.func.inner().as_ref() as &dyn std::any::Any).is::<Self>() =>
            {
                let func = Arc::new(bounded(call.func, self.size));
                Expr::ScalarFunction(ScalarFunction::new_udf(func, call.args))
            }
            other => other,
        }
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.of().name()
    }

    fn aliases(&self) -> &[String] {
        self.of().aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.of().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.of().signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.of().return_type(arg_types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let updated = self.of().with_updated_config(config)?;
        Some(bounded(Arc::new(updated), self.size))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.of().return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.of().is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.size.of(&args.args, args.number_rows);
        let _named = (bytes > SMALL).then(|| memory::in_progress(self.name()));
        match memory::claim(bytes) {
            Ok(_claim) => self.of().invoke_with_args(args),
            Err(most) => resources_err!(
                "`{}` would make {} of values for {} rows, and {} may be made of what is left of the memory ceiling",
                self.name(),
                readable(bytes),
                args.number_rows,
                readable(most)
            ),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.of().simplify(args, info)? {
            ExprSimplifyResult::Simplified(expression) => {
                ExprSimplifyResult::Simplified(self.again(expression))
            }
            original => original,
        })
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.of().preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.of().short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.of().conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.of().evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.of().propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.of().output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.of().preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.of().strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.of().coerce_types(arg_types)
    }

    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.of().struct_field_mapping(literals)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of().documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.of().placement(args)
    }
}

fn readable(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{bytes} bytes"),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};

    use super::*;
    use crate::{Budget, SessionOptions, session};

    fn context() -> datafusion::prelude::SessionContext {
        session(&SessionOptions::new(
            Budget::new(256 << 20, 2, 4096),
            std::env::temp_dir().join("spillway-bounded-test"),
        ))
        .unwrap()
    }

    #[tokio::test]
    async fn bounded_functions_mean_what_they_meant() {
        let query = "SELECT repeat('ab', 2), lpad('x', 3, '-'), replace('aXa', 'X', 'bb'), concat('a', NULL, 'b'), \
                     concat_ws('-', 'a', 'b'), range(1, 4), array_repeat(7, 2), array_to_string([1, 2], '+')";
        let frame = context().sql(query).await.unwrap();
        let shown = frame.to_string().await.unwrap();
        for value in [
            "abab",
            "--x",
            "abba",
            "ab",
            "a-b",
            "[1, 2, 3]",
            "[7, 7]",
            "1+2",
        ] {
            assert!(shown.contains(value), "{value}: {shown}");
        }
    }

    #[tokio::test]
    async fn a_function_stays_bounded_where_it_simplifies_itself() {
        let query = "SELECT concat('a', 'b', CAST(i AS TEXT)) FROM generate_series(1, 2) AS t(i)";
        let state = context().state();
        let plan = state.create_logical_plan(query).await.unwrap();
        let plan = state.optimize(&plan).unwrap();
        let (mut bounded, mut plain) = (0, 0);
        plan.apply(|node| {
            for expression in node.expressions() {
                expression.apply(|part| {
                    if let Expr::ScalarFunction(call) = part
                        && call.func.name() == "concat"
                    {
                        let inner = call.func.inner().as_ref() as &dyn std::any::Any;
                        *(if inner.is::<Bounded>() {
                            &mut bounded
                        } else {
                            &mut plain
                        }) += 1;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        assert_eq!((bounded, plain), (1, 0), "{plan}");
    }
}
