//! Control files that were tampered with, lost, or put in the wrong place: they are refused with the way out, and nothing
//! outside the table is touched. What the fuzz targets (`fuzz`) found is here, too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use serde_json::{Value, json};
use tables::{Error, PublishMode, StorageOptions, Table, storage};
use tempfile::TempDir;
use url::Url;

use crate::support::{
    Event, TestResult, assert_at_rest, by_city, chain, control, files_below, info, interval,
    rows_below, run, run_with, table_at,
};

const ROWS: [Event; 3] = [
    Event(1, "Ghent", 10, Some("a")),
    Event(2, "Oulu", 20, None),
    Event(3, "Riga", 30, None),
];
const VICTIM: &str = "somebody else's";

/// A table of three commits, and files of others beside it.
struct Scene {
    _parent: TempDir,
    folder: PathBuf,
    victim: PathBuf,
}

impl Scene {
    async fn new() -> TestResult<Self> {
        let parent = TempDir::new()?;
        let (folder, victim) = (parent.path().join("t"), parent.path().join("victim"));
        let table = table_at(&folder)?;
        for number in 1..=3_usize {
            let rows = &ROWS[number - 1..];
            let mode = by_city(PublishMode::Append);
            run_with(
                &table,
                &format!("run-{number}"),
                mode,
                rows,
                interval(number as i64),
            )
            .await?;
        }
        fs::create_dir_all(victim.join("city=Ghent"))?;
        fs::write(victim.join("kept"), VICTIM)?;
        fs::write(
            victim.join("city=Ghent/part-00000-0123456789ab.parquet"),
            VICTIM,
        )?;
        Ok(Self {
            _parent: parent,
            folder,
            victim,
        })
    }

    fn control(&self, key: &str) -> PathBuf {
        control(&self.folder).join(key)
    }

    /// Changes a control file.
    fn tamper(&self, key: &str, change: impl Fn(&mut Value)) -> TestResult {
        let path = self.control(key);
        let mut value = serde_json::from_slice(&fs::read(&path)?)?;
        change(&mut value);
        fs::write(path, serde_json::to_vec(&value)?)?;
        Ok(())
    }

    /// The newest commit is decided and not carried out.
    fn unfinish(&self) -> TestResult {
        Ok(fs::remove_file(self.control("commits/00000003.done"))?)
    }

    async fn recover(&self) -> TestResult {
        table_at(&self.folder)?.recover().await?;
        Ok(())
    }

    async fn replace(&self) -> TestResult {
        let table = table_at(&self.folder)?;
        run(&table, "run-9", PublishMode::Replace, &ROWS, info(9)).await?;
        Ok(())
    }

    /// That recovery and a run refuse, with these words, and change nothing here or elsewhere.
    async fn assert_refused(&self, words: &[&str]) -> TestResult {
        let (before, log) = (self.rows()?, files_below(&self.control("commits")));
        for error in [
            self.recover().await.err().ok_or("recovered")?,
            self.replace().await.err().ok_or("published")?,
        ] {
            let error = chain(error.as_ref());
            for word in words {
                assert!(error.contains(word), "{word:?} is not in: {error}");
            }
        }
        assert_eq!(self.rows()?, before);
        assert_eq!(files_below(&self.control("commits")), log);
        self.assert_victim_is_there()
    }

    fn assert_victim_is_there(&self) -> TestResult {
        for file in ["kept", "city=Ghent/part-00000-0123456789ab.parquet"] {
            assert_eq!(fs::read_to_string(self.victim.join(file))?, VICTIM);
        }
        assert_eq!(files_below(&self.victim).len(), 2);
        Ok(())
    }

    fn rows(&self) -> TestResult<Vec<String>> {
        rows_below(&self.folder)
    }
}

#[tokio::test]
async fn a_lost_newest_record_is_noticed_by_its_mark() -> TestResult {
    let scene = Scene::new().await?;
    fs::remove_file(scene.control("commits/00000003.json"))?;
    scene
        .assert_refused(&[
            "lacks commits/00000003.json, though commits/00000003.done says that it was carried out",
            "from a backup",
            &scene.folder.display().to_string(),
        ])
        .await?;
    let table = table_at(&scene.folder)?;
    for error in [
        table.current().await.err().ok_or("read")?,
        table.verify(false).await.err().ok_or("verified")?,
        table.history(5).await.err().ok_or("told")?,
        table.leftovers().await.err().ok_or("looked")?,
    ] {
        assert!(matches!(error, Error::LostRecord { .. }), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_gap_in_the_log_is_refused() -> TestResult {
    for lost in [1, 2] {
        let scene = Scene::new().await?;
        fs::remove_file(scene.control(&format!("commits/{lost:08}.json")))?;
        scene
            .assert_refused(&[&format!("lacks commits/{lost:08}.json")])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_newest_commit_is_noticed_by_the_lease_of_the_run_after_it() -> TestResult {
    let scene = Scene::new().await?;
    // A run that began after it and published nothing.
    scene.recover().await?;
    for name in ["commits/00000003.json", "commits/00000003.done"] {
        fs::remove_file(scene.control(name))?;
    }
    scene
        .assert_refused(&["lacks commits/00000003.json, though the lease of the last run knows"])
        .await
}

#[tokio::test]
async fn a_lost_newest_commit_is_noticed_by_a_run_that_began_after_it() -> TestResult {
    let scene = Scene::new().await?;
    let intent = json!({
        "version": 1, "run_id": "run-4", "token": "0123456789ab", "epoch": 4, "base": 3,
        "mode": "append", "begun_at": "2026-09-21T00:00:00Z",
    });
    fs::write(
        scene.control("intents/0123456789ab.json"),
        intent.to_string(),
    )?;
    for name in ["commits/00000003.json", "commits/00000003.done"] {
        fs::remove_file(scene.control(name))?;
    }
    scene
        .assert_refused(&["lacks commits/00000003.json, though run run-4 knows commit 3"])
        .await
}

#[tokio::test]
async fn a_record_put_back_from_a_backup_is_the_way_out() -> TestResult {
    let scene = Scene::new().await?;
    let (record, aside) = (
        scene.control("commits/00000003.json"),
        scene.folder.with_file_name("aside"),
    );
    fs::rename(&record, &aside)?;
    assert!(scene.replace().await.is_err());
    fs::rename(&aside, &record)?;
    scene.replace().await?;
    assert_at_rest(&scene.folder).await
}

#[tokio::test]
async fn names_that_are_not_ours_are_neither_believed_nor_removed() -> TestResult {
    let scene = Scene::new().await?;
    let names = [
        "commits/3.json",
        "commits/00000009.json~",
        "commits/18446744073709551615.json",
        "commits/00000000.json",
        "intents/...json",
        "intents/.json",
        "intents/notes.txt",
        "staging/notes",
        "tmp/notes",
    ];
    for name in names {
        fs::write(scene.control(name), "{}")?;
    }
    scene.replace().await?;
    for name in names {
        assert!(scene.control(name).exists(), "{name}");
    }
    assert_eq!(
        table_at(&scene.folder)?
            .current()
            .await?
            .map(|commit| commit.number),
        Some(4)
    );
    scene.assert_victim_is_there()
}

/// A change of a commit record, and words of the refusal.
type Tampering = (fn(&mut Value), &'static str);

#[tokio::test]
async fn a_tampered_commit_is_refused_before_a_file_is_touched() -> TestResult {
    let changes: [Tampering; 17] = [
        (
            |record| record["removed"] = json!(["../victim/kept"]),
            "leads elsewhere",
        ),
        (
            |record| {
                record["removed"] = json!(["../victim/city=Ghent/part-00000-0123456789ab.parquet"])
            },
            "leads elsewhere",
        ),
        (
            |record| record["removed"] = json!(["/etc/passwd"]),
            "has an empty name",
        ),
        (
            |record| record["removed"] = json!(["city=Ghent/part-00000-0123456789ab.parquet"]),
            "which the table does not have",
        ),
        (
            |record| record["removed"] = record["added"][0]["path"].clone(),
            "expected a sequence",
        ),
        (
            |record| record["removed"] = json!([record["added"][0]["path"]]),
            "twice",
        ),
        (
            |record| record["added"][0]["staged"] = json!("../../victim/kept"),
            "leads elsewhere",
        ),
        (
            |record| record["added"][0]["staged"] = json!("0123456789ab/rows/x"),
            "was staged by another attempt",
        ),
        (
            |record| record["added"][0]["path"] = json!("../victim/kept"),
            "leads elsewhere",
        ),
        (
            |record| record["added"][0]["path"] = json!("part-00000-0123456789ab.parquet"),
            "is not in a partition by (city)",
        ),
        (
            |record| record["added"][0]["replaces"] = json!(true),
            "does not have to be replaced",
        ),
        (
            |record| record["added"][0]["rows"] = json!(u64::MAX),
            "is above",
        ),
        (
            |record| record["added"][0]["sha256"] = json!("ab"),
            "is not a SHA-256",
        ),
        (
            |record| record["token"] = json!(".."),
            "is not the name of an attempt",
        ),
        (|record| record["epoch"] = json!(u64::MAX), "is above"),
        (
            |record| record["totals"]["rows"] = json!(1),
            "the files say",
        ),
        (
            |record| record["run_id"] = json!("\u{1b}[2J"),
            "has a control character",
        ),
    ];
    for (change, words) in changes {
        let scene = Scene::new().await?;
        scene.unfinish()?;
        scene.tamper("commits/00000003.json", change)?;
        scene
            .assert_refused(&[
                words,
                "commits/00000003.json in the control folder of",
                "is damaged",
            ])
            .await
            .map_err(|error| format!("{words}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_tampered_snapshot_is_refused() -> TestResult {
    let changes: [Tampering; 4] = [
        (
            |record| record["snapshot"]["files"][0]["path"] = json!("../victim/kept"),
            "leads elsewhere",
        ),
        (
            |record| record["snapshot"]["files"][0]["bytes"] = json!(u64::MAX),
            "is above",
        ),
        (
            |record| record["snapshot"]["files"][0]["rows"] = json!((1_u64 << 53) - 1),
            "the files say",
        ),
        (
            |record| record["columns"][0]["type"] = json!("Decimal128(255, -1)"),
            "unknown type",
        ),
    ];
    for (change, words) in changes {
        let scene = Scene::new().await?;
        scene.replace().await?;
        scene.tamper("commits/00000004.json", change)?;
        let refused = [
            scene.replace().await.err().ok_or("published")?,
            table_at(&scene.folder)?
                .current()
                .await
                .err()
                .ok_or("read")?
                .into(),
        ];
        for error in refused {
            let error = chain(error.as_ref());
            assert!(
                error.contains(words) && error.contains("commits/00000004.json"),
                "{error}"
            );
        }
        scene.assert_victim_is_there()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_list_of_all_files_that_its_change_does_not_make_is_not_carried_out() -> TestResult {
    let scene = Scene::new().await?;
    scene.replace().await?;
    fs::remove_file(scene.control("commits/00000004.done"))?;
    scene.tamper("commits/00000004.json", |record| {
        record["removed"] = json!([])
    })?;
    let error = scene.recover().await.err().ok_or("recovered")?.to_string();
    assert!(error.contains("is not what its change makes"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_tampered_lease_is_refused() -> TestResult {
    for epoch in [
        json!(u64::MAX),
        json!((1_u64 << 53) - 1),
        json!(-1),
        json!("1"),
    ] {
        let scene = Scene::new().await?;
        scene.tamper("lease.json", |lease| lease["epoch"] = epoch.clone())?;
        scene.assert_refused(&["lease.json", "is damaged"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_control_file_that_is_too_large_or_no_file_is_refused_unread() -> TestResult {
    let scene = Scene::new().await?;
    let lease = scene.control("lease.json");
    fs::File::create(&lease)?.set_len(3 << 20)?;
    scene
        .assert_refused(&["lease.json", "a control file has 1048576 at most"])
        .await?;
    fs::remove_file(&lease)?;
    // A pipe that nobody writes to would be waited for.
    assert!(Command::new("mkfifo").arg(&lease).status()?.success());
    scene
        .assert_refused(&["lease.json", "it is not a regular file"])
        .await
}

#[tokio::test]
async fn no_step_follows_a_link_out_of_the_table() -> TestResult {
    let links = [
        ("tmp", "victim"),
        ("staging", "victim"),
        ("commits/00000003.json", "victim/kept"),
        ("lease.json", "victim/kept"),
        ("lock", "victim/kept"),
    ];
    for (name, target) in links {
        let scene = Scene::new().await?;
        scene.unfinish()?;
        let (link, target) = (scene.control(name), scene.folder.with_file_name(target));
        if link.is_dir() {
            fs::remove_dir_all(&link)?;
        } else {
            fs::remove_file(&link)?;
        }
        symlink(&target, &link)?;
        scene
            .assert_refused(&["is a symbolic link", &link.display().to_string()])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_control_folder_is_no_link() -> TestResult {
    let scene = Scene::new().await?;
    let (control, moved) = (control(&scene.folder), scene.folder.with_file_name("moved"));
    fs::rename(&control, &moved)?;
    symlink(&moved, &control)?;
    scene.assert_refused(&["is a symbolic link"]).await
}

#[tokio::test]
async fn a_partition_that_is_a_link_is_neither_written_nor_emptied() -> TestResult {
    for link_to in [Path::new("../victim"), Path::new("../victim/city=Ghent")] {
        let scene = Scene::new().await?;
        let partition = scene.folder.join("city=Riga");
        let names = files_below(&partition);
        for name in &names {
            fs::copy(
                partition.join(name),
                scene.victim.join("city=Ghent").join(name),
            )?;
        }
        fs::remove_dir_all(&partition)?;
        symlink(link_to, &partition)?;
        let before = files_below(&scene.victim);
        let error = scene.replace().await.err().ok_or("published")?;
        let error = chain(error.as_ref());
        assert!(error.contains("city=Riga is a symbolic link"), "{error}");
        assert_eq!(files_below(&scene.victim), before);
        let found = table_at(&scene.folder)?.verify(false).await?;
        assert!(found.foreign.contains(&"city=Riga".to_owned()), "{found:?}");
        assert!(partition.symlink_metadata()?.is_symlink());
    }
    Ok(())
}

#[tokio::test]
async fn a_link_in_the_staging_area_goes_as_a_link() -> TestResult {
    let scene = Scene::new().await?;
    symlink(&scene.victim, scene.control("staging/0123456789ab"))?;
    fs::create_dir_all(scene.control("staging/ba9876543210/rows"))?;
    symlink(
        &scene.victim,
        scene.control("staging/ba9876543210/rows/city=Ghent"),
    )?;
    scene.recover().await?;
    assert!(files_below(&scene.control("staging")).is_empty());
    scene.assert_victim_is_there()
}

#[tokio::test]
async fn a_run_whose_name_could_not_be_read_back_announces_nothing() -> TestResult {
    let scene = Scene::new().await?;
    let table = table_at(&scene.folder)?;
    let named = run(&table, "run\n9", PublishMode::Replace, &ROWS, info(9)).await;
    let error = named.err().ok_or("published")?;
    let error = error.downcast_ref::<Error>().ok_or("another error")?;
    assert!(matches!(error, Error::Unrecordable { .. }), "{error}");
    assert!(files_below(&scene.control("intents")).is_empty());
    scene.replace().await?;
    assert_at_rest(&scene.folder).await
}

/// Found by a fuzz target: recovery wrote one fence after the other.
#[tokio::test]
async fn a_run_whose_intent_cannot_be_read_is_fenced_off_once() -> TestResult {
    let location = "memory://damaged-intent/lake/t";
    let options = StorageOptions::from_variables([]);
    let table = Table::open(location, &options)?;
    run(&table, "run-1", PublishMode::Overwrite, &ROWS, info(1)).await?;
    let bucket = storage::bucket(&Url::parse(location)?, &options)?.object_store();
    let intent = ObjectPath::from("lake/.t.spillway/intents/0123456789ab.json");
    bucket.put(&intent, "{".into()).await?;
    let recovery = table.recover().await?;
    assert_eq!(recovery.dropped, ["0123456789ab"]);
    assert_eq!(table.current().await?.map(|commit| commit.number), Some(2));
    assert!(table.recover().await?.is_clean());
    Ok(())
}
