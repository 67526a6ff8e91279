//! Whose bugs are read: other spellings and former names, and people who are not to be seen.

use rstest::rstest;

use super::launchpad::{Launchpad, assert_untouched, run_year};
use super::published::{assert_same, events};

const BUGS: u32 = 40;

#[rstest]
#[case::in_capitals("Ada-Example", "ada-example")]
#[case::by_a_former_name("heidi-old-example", "heidi-example")]
fn a_member_is_followed_to_the_current_name(
    #[case] asked: &str,
    #[case] now: &str,
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(BUGS)?;
    let read = |member: &str| {
        let workspace = server.workspace()?;
        workspace
            .run(run_year(&["--set", &format!("member={member}")]))?
            .expect(0, &[]);
        events(&workspace.path().join("events"))
    };
    let found = read(asked)?;
    assert!(
        !found.is_empty() && found.values().all(|row| row["employee_id"] == now),
        "{}",
        found.len()
    );
    assert_same(&found, &read(now)?);
    Ok(())
}

#[rstest]
#[case::suspended("grace-example", &["410", "suspended"])]
#[case::unknown("nobody-example", &["404", "no such person"])]
#[case::private("example-secret", &["404", "private", "`token`"])]
fn a_member_who_is_not_to_be_seen_is_explained(
    #[case] member: &str,
    #[case] words: &[&str],
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(BUGS)?;
    let (workspace, before) = server.published_month()?;
    let outcome = workspace.run(run_year(&["--set", &format!("member={member}")]))?;
    outcome.expect(1, &[member, "option `member`"]);
    outcome.expect(1, words);
    assert_untouched(&workspace, &before)?;
    workspace
        .run(["runs", "--state", "failed"])?
        .expect(0, &["launchpad_bugs", "failed"]);
    Ok(())
}
