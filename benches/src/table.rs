//! What is printed: Markdown tables and lines on standard output.

/// Prints one line.
#[expect(
    clippy::print_stdout,
    reason = "the result of a measurement is data for standard output"
)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints a Markdown table.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| say(&format!("| {} |", cells.join(" | ")));
    line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    line(&vec![String::from("---"); head.len()]);
    rows.iter().for_each(|row| line(row));
    say("");
}

/// Bytes in MiB with one decimal.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Whether a goal is reached.
pub(crate) fn goal(reached: bool) -> String {
    String::from(if reached { "yes" } else { "no" })
}
