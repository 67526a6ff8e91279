//! How deep the plan of a step can become. Owns the limit, which counts through the steps that are read; how deep the text of
//! one statement nests is limited where it is read.
//!
//! Plans are built, optimised and executed by recursion, a step that reads another is planned with it, and their
//! expressions are put into one another: without a limit a generated file could use up the stack.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Select, Visit, Visitor};

/// Levels of one plan.
pub(super) const LIMIT: usize = 1_500;

/// What a query adds to the plan of the deepest step that it reads: every relation and every `SELECT` may be a level of its
/// own (joins, unions and common tables hang on one another), and so is every level of its deepest expression.
pub(super) fn levels(query: &Query) -> usize {
    let mut counted = Levels::default();
    // The visitor never breaks off.
    let _ = query.visit(&mut counted);
    counted.relations + counted.deepest
}

#[derive(Default)]
struct Levels {
    relations: usize,
    expressions: usize,
    deepest: usize,
}

impl Visitor for Levels {
    type Break = ();

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<()> {
        self.relations += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.relations += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.expressions += 1;
        self.deepest = self.deepest.max(self.expressions);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.expressions -= 1;
        ControlFlow::Continue(())
    }
}
