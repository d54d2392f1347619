//! The watch over free disk space, on a disk whose size the test sets.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use warren::broker::engine::DiskWatch;
use warren::broker::{Alarms, Engine};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::Faults;

const LIMIT_BYTES: u64 = 50_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

fn set_free(disk: &SimDisk, bytes: u64) {
    disk.set_faults(Faults {
        capacity_bytes: Some(bytes),
        ..Faults::default()
    });
}

fn alarms(engine: &Engine) -> Alarms {
    *engine.alarms.borrow()
}

#[test]
fn the_alarm_holds_while_less_than_the_limit_is_free() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    set_free(&disk, LIMIT_BYTES);
    assert_eq!(engine.disk.free_bytes(), None);
    let mut watch = DiskWatch::new(&engine, Arc::new(disk.clone()), LIMIT_BYTES);
    for (free_bytes, is_short) in [
        (LIMIT_BYTES, false),
        (LIMIT_BYTES - 1, true),
        (0, true),
        (LIMIT_BYTES, false),
        (u64::MAX - 1, false),
    ] {
        set_free(&disk, free_bytes);
        watch.look();
        assert_eq!(alarms(&engine).disk, is_short, "{free_bytes}");
        assert_eq!(engine.disk.free_bytes(), Some(free_bytes));
        assert_eq!(engine.disk.limit_bytes(), LIMIT_BYTES);
    }
}

#[test]
fn no_limit_is_no_alarm() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    set_free(&disk, 0);
    DiskWatch::new(&engine, Arc::new(disk), 0).look();
    assert_eq!(alarms(&engine), Alarms::default());
}

#[test]
fn the_two_alarms_do_not_touch_each_other() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    let mut watch = DiskWatch::new(&engine, Arc::new(disk.clone()), LIMIT_BYTES);
    let mut changes = engine.alarms.subscribe();
    for (free_bytes, memory_bytes, memory, is_short) in [
        (0, 0, false, true),
        (0, 2_000, true, true),
        (LIMIT_BYTES, 0, true, false),
        (0, 0, true, true),
        (0, -2_000, false, true),
        (LIMIT_BYTES, 0, false, false),
    ] {
        set_free(&disk, free_bytes);
        watch.look();
        engine.account_memory(memory_bytes);
        let now = *changes.borrow_and_update();
        assert_eq!((now.memory, now.disk), (memory, is_short));
        // Nothing new is nothing to tell.
        watch.look();
        assert!(!changes.has_changed().expect("the engine is there"));
    }
}

#[test]
fn it_looks_the_more_often_the_nearer_the_limit_is() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    let mut watch = DiskWatch::new(&engine, Arc::new(disk.clone()), LIMIT_BYTES);
    let mut after = |free_bytes| {
        set_free(&disk, free_bytes);
        watch.look()
    };
    let longest = after(1 << 50);
    let mut last = longest;
    for free_bytes in [20_000_000_000, 5_000_000_000, 1_000_000_000, LIMIT_BYTES] {
        let next = after(free_bytes);
        assert!(next < last, "{free_bytes}: {next:?}");
        assert!(next >= Duration::from_millis(10));
        last = next;
    }
    assert_eq!(after(0), longest);
}

#[test]
fn what_cannot_be_known_changes_nothing() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    let mut watch = DiskWatch::new(&engine, Arc::new(disk.clone()), LIMIT_BYTES);
    let dead = Faults {
        crash_at: Some(0),
        ..Faults::default()
    };
    disk.set_faults(dead.clone());
    watch.look();
    assert_eq!(alarms(&engine), Alarms::default());
    assert_eq!(engine.disk.free_bytes(), None);
    for is_short in [true, false] {
        set_free(&disk, if is_short { 1 } else { LIMIT_BYTES });
        watch.look();
        disk.set_faults(dead.clone());
        watch.look();
        assert_eq!(alarms(&engine).disk, is_short);
    }
}

#[tokio::test]
async fn it_goes_on_looking() {
    let engine = Engine::new(1_000);
    let disk = SimDisk::new(1);
    set_free(&disk, LIMIT_BYTES);
    let watch = DiskWatch::new(&engine, Arc::new(disk.clone()), LIMIT_BYTES);
    let running = tokio::spawn(watch.run());
    let mut changes = engine.alarms.subscribe();
    set_free(&disk, LIMIT_BYTES - 1);
    let alarmed = timeout(PATIENCE, changes.wait_for(|alarms| alarms.disk)).await;
    assert!(alarmed.is_ok());
    running.abort();
}
