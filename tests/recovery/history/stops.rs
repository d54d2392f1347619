//! The machine stops, is perhaps damaged, and starts again; what is there then.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::Effects;
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::Got;
use warren::broker::recovery::Recovered;
use warren::store::check::check;
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};
use warren::store::journal::{Fsync, Report};

use super::{Damage, History};
use crate::content::Content;
use crate::model::{Found, Survived};
use crate::world::{KINDS, World};

/// Nothing can be done any more.
const STOPPED: Faults = Faults {
    crash_at: Some(0),
    fail_at: BTreeSet::new(),
    short_at: BTreeSet::new(),
    fail_reads_at: BTreeSet::new(),
    capacity_bytes: None,
};

/// How the machine stopped.
struct Stopped {
    /// Up to there the log was safe.
    safe: u64,
    /// The next record would have had that index.
    next: u64,
    keep: Keep,
}

/// What there is after a start.
struct Seen {
    /// By queue.
    found: BTreeMap<u64, Vec<Found>>,
    /// How many messages are said to be lost.
    lost: u64,
    /// How many damaged chunks are told of.
    told: u64,
    report: Report,
}

impl History {
    /// The machine stops, now or when it has stopped already, and starts again.
    pub(super) fn crash(&self) {
        let is_clean = self.chance(15);
        let stopped = self.stop(is_clean);
        // Sometimes it stops again while it starts.
        while self.chance(20) {
            let faults = self.faults();
            self.note(|| format!("{faults:?} while it starts"));
            self.0.disk.set_faults(faults);
            let started = self.start(&self.0.disk);
            self.0.disk.set_faults(STOPPED);
            drop(started);
            self.0.disk.crash(stopped.keep);
        }
        self.go_on(&stopped);
    }

    /// Stops in order, if it is to be clean and the disk allows for it.
    fn stop(&self, is_clean: bool) -> Stopped {
        let world = self.world();
        let is_clean = is_clean && !world.has_failed() && !self.0.disk_may_fail();
        if is_clean {
            while !self.0.in_flight.borrow().is_empty() {
                self.finish_one();
            }
            self.resolve_deferred();
        } else {
            // Nobody does anything any more, whatever is tidied up in here.
            self.0.disk.set_faults(STOPPED);
        }
        let next = world.journal.next_index();
        let keep = match self.random(0..4) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            2 => Keep::Sectors(512),
            _ => Keep::Sectors(4096),
        };
        // What was only written survives unless the power went, or the disk failed to sync it.
        let is_kept = keep == Keep::Everything && !world.has_failed();
        let safe = match self.0.plan.sizes.fsync {
            _ if is_clean => next - 1,
            Fsync::Always => world.journal.safe_index(),
            Fsync::Interval(_) | Fsync::Never if is_kept => world.journal.safe_index(),
            Fsync::Interval(_) | Fsync::Never => world.journal.synced_index(),
        };
        self.note(|| format!("stop (clean: {is_clean}), {keep:?}, safe {safe}, next {next}"));
        self.0.in_flight.borrow_mut().clear();
        *self.0.deferred.borrow_mut() = None;
        *self.0.world.borrow_mut() = None;
        assert_eq!(Rc::strong_count(&world), 1);
        drop(world);
        self.0.disk.crash(keep);
        Stopped { safe, next, keep }
    }

    /// Holds what is there against what should be, and goes on with it.
    fn go_on(&self, stopped: &Stopped) {
        let Stopped { safe, next, .. } = *stopped;
        if self.0.plan.damage.is_none() {
            let copy = self.0.disk.copy(1);
            copy.repair();
            let checked = check(Arc::new(copy)).expect("a data folder");
            // That a start could not read something, of which nothing is lost, is noted.
            let is_noted = |problem: &String| problem.contains("noted in quarantine/");
            let mut problems = checked.problems;
            problems.retain(|problem| !(self.0.plan.reads_fail && is_noted(problem)));
            assert_eq!(problems, [""; 0]);
        }
        let seen = self.seen();
        let last = seen.report.last_index;
        self.note(|| format!("starts again with {last} records"));
        assert_eq!(seen.lost, 0);
        assert!(last >= safe, "{last} survived, and {safe} was safe");
        assert!(
            last < next,
            "{last} survived, and {next} was never appended"
        );
        let missing: Vec<(u64, u64)> = seen
            .report
            .damage
            .iter()
            .filter_map(|damage| damage.missing)
            .collect();
        let survived = Survived {
            last,
            missing: &missing,
        };
        if let Err(what) = self.model().after_crash(&seen.found, &survived) {
            panic!("{what} ({survived:?}, safe {safe}, next {next})");
        }
        if self.chance(50) {
            self.repair();
        }
        let (world, recovered) = self.start(&self.0.disk).expect("it starts");
        assert_eq!(recovered.report.last_index, last);
        let world = Rc::new(world);
        *self.0.world.borrow_mut() = Some(Rc::clone(&world));
        assert_eq!(recovered.messages, self.model().ready());
        self.after_start(last);
    }

    /// Stops in order, has a bit of the log turned over, and goes on with the rest.
    pub(super) fn damage_log(&self) {
        let stopped = self.stop(true);
        let files = self.0.disk.files();
        let logs: Vec<&String> = files
            .iter()
            .map(|(path, _)| path)
            .filter(|path| path.ends_with(".journal"))
            .collect();
        if logs.is_empty() {
            return self.go_on(&stopped);
        }
        let path = logs[self.random(0..logs.len())];
        let contents = self.0.disk.contents(path).expect("it is there");
        let Some(last) = contents.iter().rposition(|byte| *byte != 0) else {
            return self.go_on(&stopped);
        };
        let bit = self.random(0..(last + 1) * 8) as u64;
        self.note(|| format!("bit {bit} of {path} is turned over"));
        assert!(self.0.disk.flip_bit(path, bit));
        self.go_on(&stopped);
    }

    /// Stops in order, has a bit of a segment turned over: what is in that chunk is lost, which is
    /// said, and nothing else.
    pub(super) fn damage_segment(&self) {
        let stopped = self.stop(true);
        let files = self.0.disk.files();
        let segments: Vec<&(String, u64)> = files
            .iter()
            .filter(|(path, bytes)| path.starts_with("segments/") && *bytes > 0)
            .collect();
        let damaged = match segments.is_empty() {
            true => None,
            false => {
                let (path, bytes) = segments[self.random(0..segments.len())];
                let bit = self.random(0..*bytes as usize * 8) as u64;
                self.note(|| format!("bit {bit} of {path} is turned over"));
                assert!(self.0.disk.flip_bit(path, bit));
                let queue = path.split('/').nth(1).expect("a queue");
                Some(u64::from_str_radix(queue, 16).expect("a number"))
            }
        };
        let seen = self.seen();
        let survived = Survived {
            last: stopped.next - 1,
            missing: &[],
        };
        let model = self.model();
        let lost = model.lost(&seen.found, &survived);
        let in_others = lost.iter().filter(|(queue, _)| Some(*queue) != damaged);
        assert_eq!(
            in_others.count(),
            0,
            "{damaged:?} is damaged, lost are {lost:?}"
        );
        assert_eq!(seen.lost, lost.len() as u64, "lost are {lost:?}");
        // What the log has as well is not lost with its chunk.
        assert!(seen.told > 0 || seen.lost == 0, "what is lost is told");
    }

    /// What is over its limits goes at once.
    fn after_start(&self, last: u64) {
        let world = self.world();
        let op = self.model().begin_start(last + 1);
        world.load_all();
        let ids: Vec<u64> = self.model().queues.keys().copied().collect();
        for id in ids {
            let mut letters = self.model().count_at_start(op, id);
            letters.extend(self.model().limit(op, id));
            if !letters.is_empty() {
                // They wait for what cannot be read.
                self.repair();
                world.load_all();
            }
            self.note(|| format!("op {op}: at start {id} gives up {letters:?}"));
            let sources = self.model().post(letters);
            self.model().publish(sources);
        }
        self.end_op(op);
        self.fire_timers();
        for kind in &KINDS {
            self.check_counts(&world.queue(kind.name));
        }
    }

    pub(super) fn start(&self, disk: &SimDisk) -> Result<(World, Recovered), String> {
        let seed = self.0.dice.borrow_mut().random();
        let (world, recovered) =
            World::start(disk, &self.0.plan.sizes, &self.0.clock, seed, |_| {})?;
        let condition = world.broker.engine.store.condition();
        assert_eq!(
            condition.journal_damage,
            recovered.report.damage.len() as u64
        );
        if self.0.plan.damage != Some(Damage::Log) {
            assert_eq!(recovered.report.damage, [], "nothing is damaged");
        }
        assert_eq!(recovered.missing_segments, [], "no segment is missing");
        Ok((world, recovered))
    }

    /// What is there, seen on a copy of the disk, without what queues would do with it.
    fn seen(&self) -> Seen {
        let copy = self.0.disk.copy(1);
        copy.repair();
        let mut plain = Vec::new();
        FieldTable::new().encode(&mut plain);
        let mut arguments = FieldTable::new();
        arguments.push("x-queue-type", FieldValue::LongStr("quorum".into()));
        arguments.push("x-delivery-limit", FieldValue::I32(-1));
        let mut counting = Vec::new();
        arguments.encode(&mut counting);
        let clock = Clock::manual(0);
        let start = World::start(&copy, &self.0.plan.sizes, &clock, 1, |contents| {
            for (_, queue) in &mut contents.queues {
                // Those that count go on counting, and give nothing up.
                let counts = queue.kind == "quorum";
                queue
                    .arguments
                    .clone_from(if counts { &counting } else { &plain });
            }
        });
        let (world, recovered) = start.expect("it starts");
        let mut found = BTreeMap::new();
        let lost = || world.broker.engine.metrics.messages_lost.get();
        let lost_at_start = lost();
        for queue in world.vhost.queues() {
            let mut messages = Vec::new();
            let mut effects = Effects::new();
            loop {
                let got = queue.get(true, &mut effects, &mut |delivery, _| {
                    messages.push(Found {
                        content: Content::seen(delivery),
                        redelivered: delivery.redelivered,
                        returns: delivery.returns,
                    });
                });
                match got {
                    Got::Message => {}
                    Got::Nothing => break,
                    Got::Unreadable => panic!("{} can't be read", queue.name()),
                    Got::NotLoaded => {
                        queue.when_head_is_loaded(Box::new(|| {}));
                        assert!(world.load_all() > 0, "{} never loads", queue.name());
                    }
                }
            }
            effects.complete();
            found.insert(queue.id().0, messages);
        }
        let read: usize = found.values().map(Vec::len).sum();
        let lost_since = lost() - lost_at_start;
        assert_eq!(recovered.messages, read as u64 + lost_since);
        Seen {
            found,
            lost: lost(),
            told: world.broker.engine.store.condition().segment_damage,
            report: recovered.report,
        }
    }

    /// Everything is taken; what it took on the disk is free again.
    pub(super) fn end(&self) {
        self.0.disk.set_faults(Faults::default());
        self.repair();
        let world = self.world();
        let turn_journal = || while world.journal.turn().expect("it works") {};
        for kind in &KINDS {
            let queue = world.queue(kind.name);
            let op = self.begin();
            let mut effects = Effects::new();
            queue.purge(&mut effects);
            effects.complete();
            self.model().purge(op, queue.id().0);
            self.check_counts(&queue);
        }
        for _ in 0..4 {
            while self.world().pager.turn(Turn::Write, &mut || {}) {}
            world.load_all();
            for _ in 0..6 {
                world.pager.turn(Turn::LookAfter, &mut || turn_journal());
                turn_journal();
            }
        }
        let files = self.0.disk.files();
        let segments: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with("segments/"))
            .collect();
        assert!(segments.is_empty(), "{segments:?} are left");
        let journal = files
            .iter()
            .filter(|(path, _)| path.ends_with(".journal"))
            .count();
        let live = world.journal.file_starts();
        let most = self.0.plan.sizes.paging.most_log_files;
        assert!(live.len() <= most, "{live:?} are in use");
        // Some wait to be used again; a crash may bring some back that were removed.
        assert!(journal <= most + 32, "{journal} files are left");
    }
}
