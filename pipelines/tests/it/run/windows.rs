//! Runs over parts of a time make the same table as one run over all of it, in whatever order.

use rstest::rstest;

use super::launchpad::{Launchpad, run_between, run_year};
use super::published::{assert_same, contents, events};

const MONTHS: [&str; 13] = [
    "2025-01-01",
    "2025-02-01",
    "2025-03-01",
    "2025-04-01",
    "2025-05-01",
    "2025-06-01",
    "2025-07-01",
    "2025-08-01",
    "2025-09-01",
    "2025-10-01",
    "2025-11-01",
    "2025-12-01",
    "2026-01-01",
];

#[rstest]
#[case::in_order([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])]
#[case::in_any_order([7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4])]
fn twelve_months_are_a_year(#[case] order: [usize; 12]) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(25)?;
    let (monthly, yearly) = (server.workspace()?, server.workspace()?);
    for month in order {
        monthly
            .run(run_between(MONTHS[month], MONTHS[month + 1], &[]))?
            .expect(0, &[]);
    }
    yearly.run(run_year(&[]))?.expect(0, &[]);
    let (monthly, yearly) = (monthly.path().join("events"), yearly.path().join("events"));
    assert_same(&events(&monthly)?, &events(&yearly)?);
    assert!(
        contents(&monthly)? == contents(&yearly)?,
        "the same rows in other files"
    );
    Ok(())
}

#[test]
fn windows_that_overlap_update_rows_and_double_none() -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(25)?;
    let (parts, whole) = (server.workspace()?, server.workspace()?);
    parts
        .run(run_between("2025-01-01", "2025-07-20", &[]))?
        .expect(0, &[]);
    let first = events(&parts.path().join("events"))?.len();
    let second = parts.run(run_between("2025-05-10", "2026-01-01", &[]))?;
    whole.run(run_year(&[]))?.expect(0, &[]);
    let whole = events(&whole.path().join("events"))?;
    assert_same(&events(&parts.path().join("events"))?, &whole);
    second.expect(
        0,
        &[&format!("{} new", whole.len() - first), "0 given twice"],
    );
    Ok(())
}
