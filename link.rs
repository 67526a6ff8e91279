//! The build script of the three programs: how they are linked when they are built for users.
//!
//! Rust compiles generic code once in every crate that uses it, and Arrow's kernels once for every type, so a third
//! of a program's code is the same bytes again. The linker can fold it. What it does not own: what is compiled how,
//! which `Cargo.toml` says.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "cargo speaks with build scripts so"
)]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=../link.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|found| found == value);
    // Rust brings the linker that knows these options for this target only, where it is the default.
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") {
        // `safe` leaves functions alone whose addresses are compared.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=safe");
    }
}
