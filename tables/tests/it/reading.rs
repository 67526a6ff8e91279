//! Which commits can be read: the newest once its files are in place, earlier ones as long as their files are the table's.

use std::time::Duration;

use tables::{Error, PublishMode};

use crate::maintenance::appended;
use crate::support::{TestResult, by_city, info, new_table, run, run_with};

#[tokio::test]
async fn a_commit_that_is_not_carried_out_is_waited_for_and_not_read() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    assert!(matches!(
        table.readable(None).await,
        Err(Error::NoTable { .. })
    ));
    let rows = appended(1);
    let commit = run(&table, "run-1", PublishMode::Append, &rows, info(1)).await?;
    let mark = folder.with_file_name(".t.spillway/commits/00000001.done");
    std::fs::remove_file(&mark)?;
    let carried_out = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::write(mark, "")
    });
    assert_eq!(table.readable(None).await?.files, commit.files);
    carried_out.await??;
    std::fs::remove_file(folder.with_file_name(".t.spillway/commits/00000001.done"))?;
    let refused = table.readable(None).await;
    assert!(
        matches!(refused, Err(Error::NotInPlace { number: 1, .. })),
        "{refused:?}"
    );
    table.recover().await?;
    assert_eq!(table.readable(Some(1)).await?.files, commit.files);
    Ok(())
}

#[tokio::test]
async fn a_version_is_read_until_one_of_its_files_is_another() -> TestResult {
    let (_parent, _, table) = new_table()?;
    let first = run(&table, "run-1", PublishMode::Append, &appended(1), info(1)).await?;
    run(&table, "run-2", PublishMode::Append, &appended(2), info(2)).await?;
    assert_eq!(table.readable(Some(1)).await?.files, first.files);
    assert_eq!(table.readable(Some(2)).await?.number, 2);
    for version in [0, 3] {
        let none = table.readable(Some(version)).await;
        assert!(
            matches!(none, Err(Error::NoVersion { newest: 2, .. })),
            "{none:?}"
        );
    }
    // A partition of one file is replaced under the name of that file.
    let options = by_city(PublishMode::Overwrite);
    let third = run_with(&table, "run-3", options.clone(), &appended(3), info(3)).await?;
    let fourth = run_with(&table, "run-4", options, &appended(4), info(4)).await?;
    let names = |files: &[tables::DataFile]| -> Vec<String> {
        files.iter().map(|file| file.path.clone()).collect()
    };
    assert_eq!(names(&third.files), names(&fourth.files));
    for (version, gone) in [(2, 6), (3, 3)] {
        let refused = table.readable(Some(version)).await;
        assert!(
            matches!(&refused, Err(Error::VersionGone { newest: 4, files, .. }) if *files == gone),
            "{refused:?}"
        );
    }
    Ok(())
}
