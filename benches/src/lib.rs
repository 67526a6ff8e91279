//! Whole-process measurements against the goals of the product.
