//! The pipeline language: from SQL text to a checked, typed definition.
