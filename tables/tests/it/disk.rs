//! Disks that are full, read-only or in the wrong place. A small tmpfs needs root and `mount`; without them these tests
//! say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use rand::{Rng, SeedableRng};
use tables::{Error, PublishMode, StoreError};
use tempfile::TempDir;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, files_below, info, ints, rows_below, run, session,
    skipped, stage, table_at, texts,
};

/// A tmpfs that is unmounted when dropped.
struct Mounted {
    at: PathBuf,
    _parent: TempDir,
}

impl Mounted {
    /// `None`, said loudly, where this machine does not let us mount.
    fn of_size(size: &str) -> TestResult<Option<Self>> {
        let parent = TempDir::new()?;
        let at = parent.path().join("disk");
        std::fs::create_dir(&at)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(Self {
                at,
                _parent: parent,
            })),
            Ok(output) => {
                skipped(&format!(
                    "cannot mount a tmpfs: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                ));
                Ok(None)
            }
            Err(error) => {
                skipped(&format!("cannot run mount: {error}"));
                Ok(None)
            }
        }
    }

    fn remount(&self, option: &str) -> TestResult {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.at)
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("remount,{option} failed").into())
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

const ROWS: [Event; 2] = [Event(1, "Ghent", 10, Some("a")), Event(2, "Oulu", 20, None)];

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_the_table_and_no_leftovers() -> TestResult {
    let Some(disk) = Mounted::of_size("3m")? else {
        return Ok(());
    };
    let folder = disk.at.join("t");
    let table = table_at(&folder)?;
    run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await?;
    let before = rows_below(&folder)?;
    for sort in [vec![], by_city(PublishMode::Overwrite).sort] {
        let mut options = by_city(PublishMode::Overwrite);
        options.sort = sort;
        let staged = stage(
            &table,
            "run-2",
            options,
            &session(None)?,
            &[vec![incompressible()?]],
        )
        .await;
        let error = staged.err().ok_or("3 MiB took more than 6")?;
        let error = error
            .downcast_ref::<datafusion::error::DataFusionError>()
            .ok_or("not from the engine")?;
        let error = Error::find_in(error).ok_or("the cause is lost in the engine's error")?;
        assert!(error.is_disk_full(), "{error}");
        assert!(
            error
                .to_string()
                .contains("the disk is full; free some space and run again"),
            "{error}"
        );
        assert_eq!(
            rows_below(&folder)?,
            before,
            "what was published is untouched"
        );
        assert_at_rest(&folder).await?;
    }
    // The space is free again.
    run(&table, "run-3", PublishMode::Append, &ROWS, info(2)).await?;
    assert_at_rest(&folder).await
}

fn incompressible() -> TestResult<datafusion::arrow::array::RecordBatch> {
    use std::sync::Arc;

    use datafusion::arrow::array::TimestampNanosecondArray;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let count = 120_000_i64;
    let text = (0..count).map(|_| {
        let bytes: [u8; 48] = std::array::from_fn(|_| random.random());
        Some(hex::encode(bytes))
    });
    Ok(datafusion::arrow::array::RecordBatch::try_from_iter([
        ("id", ints(0..count)),
        ("city", texts((0..count).map(|_| Some("Ghent")))),
        (
            "at",
            Arc::new((0..count).map(Some).collect::<TimestampNanosecondArray>()),
        ),
        ("note", texts(text)),
    ])?)
}

#[tokio::test]
async fn a_read_only_filesystem_is_told_before_any_row_is_read() -> TestResult {
    let Some(disk) = Mounted::of_size("3m")? else {
        return Ok(());
    };
    let folder = disk.at.join("t");
    let table = table_at(&folder)?;
    run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await?;
    disk.remount("ro")?;
    let begun = table
        .begin(
            "run-2",
            by_city(PublishMode::Overwrite),
            &crate::support::events(&ROWS)?.schema(),
        )
        .await;
    let error = begun.err().ok_or("began on a read-only disk")?;
    assert!(
        matches!(error, Error::Store(StoreError::Denied { .. })),
        "{error}"
    );
    assert!(
        error.to_string().contains("not permitted; check the owner"),
        "{error}"
    );
    assert_eq!(
        table.current().await?.map(|commit| commit.number),
        Some(1),
        "reading still works"
    );
    disk.remount("rw")?;
    run(&table, "run-2", PublishMode::Append, &ROWS, info(2)).await?;
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_table_that_is_a_mount_point_is_refused_because_nothing_can_be_renamed_into_it()
-> TestResult {
    let Some(disk) = Mounted::of_size("3m")? else {
        return Ok(());
    };
    let table = table_at(&disk.at)?;
    let refused = run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await;
    let error = refused.err().ok_or("accepted")?.to_string();
    assert!(error.contains("is on another filesystem than"), "{error}");
    assert!(files_below(&disk.at).is_empty());
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_with_its_path() -> TestResult {
    let parent = TempDir::new()?;
    let file = parent.path().join("a-file");
    std::fs::write(&file, "content")?;
    // A file where a folder is needed refuses everyone, root included.
    for (folder, named) in [(file.join("t"), file.clone()), (file.clone(), file.clone())] {
        let refused = run(
            &table_at(&folder)?,
            "run-1",
            PublishMode::Overwrite,
            &ROWS,
            info(1),
        )
        .await;
        let error = refused.err().ok_or("wrote into a file")?.to_string();
        assert!(error.contains(&named.display().to_string()), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file)?, "content");
    assert_denied_folder(parent.path()).await
}

/// A folder without write permission; root may write everywhere, so for root there is nothing to see.
async fn assert_denied_folder(parent: &Path) -> TestResult {
    use std::os::unix::fs::PermissionsExt;

    let folder = parent.join("denied");
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555))?;
    if std::fs::write(folder.join("probe"), "").is_ok() {
        skipped("this user may write into a folder without write permission");
        return Ok(());
    }
    let refused = run(
        &table_at(&folder.join("t"))?,
        "run-1",
        PublishMode::Overwrite,
        &ROWS,
        info(1),
    )
    .await;
    let error = refused.err().ok_or("wrote without permission")?;
    assert!(
        matches!(
            error.downcast_ref::<Error>(),
            Some(Error::Store(StoreError::Denied { .. }))
        ),
        "{error}"
    );
    Ok(())
}
