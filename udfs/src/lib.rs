//! SQL functions of Spillway: one file per function; no I/O.
