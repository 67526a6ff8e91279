//! The folders of shuffled rows: `<job>/<stage>/`. Owns when they are removed; they are written and handed out by Ballista.

use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often rows of old jobs are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// Rows that nothing touched for so long belong to a job whose client is gone.
const MAX_IDLE: Duration = Duration::from_hours(12);

/// Removes the rows of a job, or of some of its stages.
///
/// # Errors
/// When `job` is no name of a folder, or the system refuses.
pub(crate) async fn remove(folder: &Path, job: &str, stages: &[u32]) -> io::Result<()> {
    let mut parts = Path::new(job).components();
    if !matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    ) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{job:?} is no job"),
        ));
    }
    let folder = folder.join(job);
    if stages.is_empty() {
        return remove_folder(&folder).await;
    }
    for stage in stages {
        remove_folder(&folder.join(stage.to_string())).await?;
    }
    Ok(())
}

async fn remove_folder(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes rows of old jobs, again and again.
pub(crate) async fn remove_old(folder: Arc<Path>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let (folder, before) = (Arc::clone(&folder), SystemTime::now() - MAX_IDLE);
        let looked = tokio::task::spawn_blocking(move || remove_untouched(&folder, before));
        match looked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "rows of old jobs remain"),
            Err(error) => tracing::warn!(%error, "rows of old jobs remain"),
        }
    }
}

fn remove_untouched(folder: &Path, before: SystemTime) -> io::Result<()> {
    for job in std::fs::read_dir(folder)? {
        let job = job?;
        if job.file_type()?.is_dir() && newest(&job.path())? < before {
            tracing::info!(job = %job.path().display(), "rows of an old job are removed");
            std::fs::remove_dir_all(job.path())?;
        }
    }
    Ok(())
}

/// When something below was written last.
fn newest(path: &Path) -> io::Result<SystemTime> {
    let mut found = std::fs::symlink_metadata(path)?.modified()?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let inner = match entry.file_type()?.is_dir() {
            true => newest(&entry.path())?,
            false => entry.metadata()?.modified()?,
        };
        found = found.max(inner);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn only_what_is_a_jobs_is_removed() {
        let work = tempfile::tempdir().unwrap();
        let rows = work.path().join("rows");
        let make = |path: &str| {
            fs::create_dir_all(rows.join(path)).unwrap();
            fs::write(rows.join(path).join("data"), "rows").unwrap();
        };
        make("a/1");
        make("a/2");
        make("b/1");
        fs::write(work.path().join("outside"), "kept").unwrap();
        remove(&rows, "a", &[1, 7]).await.unwrap();
        assert!(!rows.join("a/1").exists() && rows.join("a/2").exists());
        remove(&rows, "a", &[]).await.unwrap();
        remove(&rows, "a", &[]).await.unwrap();
        assert!(!rows.join("a").exists());
        for foreign in ["", ".", "..", "../rows", "/", "b/1", "b/.."] {
            let refused = remove(&rows, foreign, &[]).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{foreign}");
        }
        assert!(rows.join("b/1/data").exists() && work.path().join("outside").exists());
    }

    #[test]
    fn rows_go_when_nothing_of_their_job_was_touched() {
        let rows = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - MAX_IDLE;
        for job in ["old", "new"] {
            let stage = rows.path().join(job).join("1");
            fs::create_dir_all(&stage).unwrap();
            let data = fs::File::create(stage.join("data")).unwrap();
            if job == "old" {
                data.set_modified(old).unwrap();
            }
            for folder in [&stage, &rows.path().join(job)] {
                fs::File::open(folder).unwrap().set_modified(old).unwrap();
            }
        }
        remove_untouched(rows.path(), old + Duration::from_secs(1)).unwrap();
        assert!(!rows.path().join("old").exists());
        assert!(rows.path().join("new/1/data").exists());
    }
}
