//! Who may write a table on an object store, and that a run which was paused and replaced commits nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tables::{Error, PublishMode};
use testkit::s3::{Behaviour, Fault, Injected, Operation};

use crate::lake::{FIRST, Lake, SECOND, stage};
use crate::support::{TestResult, by_city, events, info};

const LOCK: &str = "raw/.events.spillway/lock.json";

fn lock_file(lake: &Lake) -> TestResult<Value> {
    let content = lake.server.object(LOCK).ok_or("there is no lease")?;
    Ok(serde_json::from_slice(&content)?)
}

/// Puts a lease there that is held, with something else about its holder.
fn put_lock(lake: &Lake, change: impl FnOnce(&mut Value)) -> TestResult {
    let mut file = lock_file(lake)?;
    file["released"] = json!(false);
    file["token"] = json!("another");
    change(&mut file);
    Ok(lake.server.put_object(LOCK, serde_json::to_vec(&file)?)?)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) -> TestResult {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > deadline {
            return Err(format!("it never came to this: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn is_held(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::LeaseHeld { .. }))
}

#[tokio::test]
async fn a_second_run_is_refused_while_the_first_lives_and_let_in_when_it_ends() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let table = lake.table()?;
    let options = by_city(PublishMode::Overwrite);
    let (staging, change) = stage(&table, "run-1", options, events(&FIRST)?, false).await?;
    let refused = lake
        .run("run-2", PublishMode::Overwrite, &SECOND, false, info(2))
        .await;
    let refused = refused.err().ok_or("two runs had the lease")?;
    assert!(is_held(refused.as_ref()), "{refused}");
    assert!(refused.to_string().contains("run-1"), "{refused}");
    staging.publish(change, info(1)).await?;
    assert_eq!(lock_file(&lake)?["released"], true, "given back at once");
    lake.run("run-2", PublishMode::Overwrite, &SECOND, false, info(2))
        .await?;
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_dropped_run_gives_its_lease_back() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let options = by_city(PublishMode::Overwrite);
    let dropped = stage(&lake.table()?, "run-1", options, events(&FIRST)?, false).await?;
    drop(dropped);
    lake.run("run-2", PublishMode::Overwrite, &SECOND, false, info(2))
        .await?;
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_silent_holder_elsewhere_loses_the_lease_when_its_time_is_over() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    lake.run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await?;
    put_lock(&lake, |file| {
        file["owner"]["boot"] = json!("of another machine");
        file["ttl_millis"] = json!(2000);
    })?;
    let mut refusals = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match lake
            .run("run-2", PublishMode::Overwrite, &SECOND, false, info(2))
            .await
        {
            Ok(_) => break,
            Err(error) if is_held(error.as_ref()) && Instant::now() < deadline => refusals += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refusals > 0, "it was taken before its time was over");
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_holder_that_shows_signs_of_life_keeps_the_lease() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let options = lake
        .options
        .clone()
        .with_lock_ttl(Duration::from_millis(300));
    let table = tables::Table::open(&lake.location(), &options)?;
    let run_options = by_city(PublishMode::Overwrite);
    let (staging, change) = stage(&table, "run-1", run_options, events(&FIRST)?, false).await?;
    let token = lock_file(&lake)?["token"].clone();
    until("renewed three times", || {
        lock_file(&lake).is_ok_and(|file| file["renewed"].as_u64() >= Some(3))
    })
    .await?;
    assert_eq!(lock_file(&lake)?["token"], token);
    staging.publish(change, info(1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_process_of_this_machine_loses_the_lease_at_once() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    lake.run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await?;
    let mut child = std::process::Command::new("true").spawn()?;
    child.wait()?;
    put_lock(&lake, |file| {
        file["owner"]["pid"] = json!(child.id());
        file["ttl_millis"] = json!(3_600_000);
    })?;
    lake.run("run-2", PublishMode::Overwrite, &SECOND, false, info(2))
        .await?;
    lake.assert_at_rest().await
}

/// Commits once, lets a second run come to its decision and holds it there, takes its lease away, and lets a third run
/// commit. Gives what the held run then came to, and the third run's commit.
async fn taken_over_at_the_decision(
    lake: &Lake,
    before: u64,
    hold: Fault,
) -> TestResult<(tables::Result<tables::Commit>, tables::Commit)> {
    for number in 1..=before {
        let run_id = format!("before-{number}");
        lake.run(&run_id, PublishMode::Overwrite, &FIRST, false, info(0))
            .await?;
    }
    let decision = format!("commits/{:08}.json", before + 1);
    let held: Injected = lake
        .server
        .inject(hold.on(Operation::PutObject).key(&decision).times(1));
    let options = by_city(PublishMode::Overwrite);
    let (staging, change) =
        stage(&lake.table()?, "paused", options, events(&SECOND)?, false).await?;
    let paused = tokio::spawn(async move { staging.publish(change, info(2)).await });
    until("the decision is on the wire", || held.fired() == 1).await?;
    // As if it had been silent for too long: it does not know.
    put_lock(lake, |file| file["released"] = json!(true))?;
    let third = [FIRST[0].clone()];
    let third = lake
        .run("third", PublishMode::Overwrite, &third, false, info(3))
        .await?;
    held.release();
    Ok((paused.await?, third))
}

#[tokio::test]
async fn a_run_that_was_fenced_off_before_its_decision_arrived_cannot_commit() -> TestResult {
    for before in [0, 1] {
        let lake = Lake::start(Behaviour::default())?;
        let (paused, third) =
            taken_over_at_the_decision(&lake, before, Fault::hold_before()).await?;
        let error = paused.err().ok_or("T-4: it committed")?;
        assert!(matches!(error, Error::Superseded { .. }), "{error}");
        assert_eq!(third.number, before + 2, "one number went to the fence");
        lake.assert_at_rest().await?;
        let rows = lake.rows()?;
        assert!(!rows.iter().any(|row| row.contains("Turku")), "{rows:#?}");
        let newest = lake.table()?.current().await?.ok_or("no commit")?;
        assert_eq!(newest.cursors, json!({ "events": 3 }));
    }
    Ok(())
}

#[tokio::test]
async fn a_decision_that_arrived_before_the_fence_is_finished_by_who_took_over() -> TestResult {
    for (before, behaviour) in [
        (0, Behaviour::default()),
        (1, Behaviour::default()),
        (
            1,
            Behaviour {
                completed_uploads_are_forgotten: true,
                ..Behaviour::default()
            },
        ),
    ] {
        let lake = Lake::start(behaviour)?;
        let (paused, third) =
            taken_over_at_the_decision(&lake, before, Fault::hold_after()).await?;
        assert_eq!(third.number, before + 2, "the decision stands");
        if let Err(error) = paused {
            // Its files were put in place by another run and are replaced by now.
            assert!(matches!(error, Error::RollForward { .. }), "{error}");
        }
        lake.assert_at_rest().await?;
        let rows = lake.rows()?;
        assert!(rows.iter().any(|row| row.contains("Turku")), "{rows:#?}");
        let ghent = rows.iter().filter(|row| row.contains("Ghent")).count();
        assert_eq!(ghent, 1, "the later run's rows stay: {rows:#?}");
    }
    Ok(())
}
