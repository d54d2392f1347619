//! From a data folder to queues with their messages, and to the log and the pager that keep them
//! from then on.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::Replay;
use super::pager::{Pager, Surroundings};
use super::{Broker, Effects};
use crate::store::catalog::{Catalog, Contents, DamageRecord, Op, SegmentRecord};
use crate::store::disk::Disk;
use crate::store::journal::{Drive, Journal, OnDamage, Options, RecoveryError, Report};
use crate::store::segment::{self, ChunkError};

/// A long recovery says so often how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// How often it is looked whether what is waited for is synced.
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// Why messages cannot be recovered.
#[derive(Debug)]
pub enum NotRecovered {
    /// The journal cannot be read.
    Journal(RecoveryError),
    /// Segments cannot be listed or removed, or threads not be started.
    Io(io::Error),
    /// A segment is listed and not there, and damage is refused: what it is called, and how many messages
    /// were in it.
    MissingSegment(String, u64),
    /// The journal had records up to before that index and ends sooner, and damage is refused.
    JournalEnds(u64),
    /// A part of a segment is damaged, and damage is refused.
    DamagedChunk(ChunkError),
}

impl fmt::Display for NotRecovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Io(error) => write!(f, "messages can't be recovered: {error}"),
            Self::MissingSegment(name, messages) => {
                write!(f, "{name} is missing, in which were {messages} messages")
            }
            Self::JournalEnds(index) => {
                write!(f, "the journal had records up to {index} and ends before")
            }
            Self::DamagedChunk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotRecovered {}

impl From<RecoveryError> for NotRecovered {
    fn from(error: RecoveryError) -> Self {
        Self::Journal(error)
    }
}

impl From<ChunkError> for NotRecovered {
    fn from(error: ChunkError) -> Self {
        Self::DamagedChunk(error)
    }
}

impl From<io::Error> for NotRecovered {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What was recovered.
pub struct Recovered {
    /// The log, from now on.
    pub journal: Arc<Journal>,
    /// The pager, which is running.
    pub pager: Arc<Pager>,
    /// How many messages queues hold.
    pub messages: u64,
    /// What was found in the journal.
    pub report: Report,
    /// Segments that are listed and not there: queue and number.
    pub missing_segments: Vec<(u64, u64)>,
}

impl Recovered {
    /// Writes and syncs what gathered, and ends the threads. Clients are gone by now.
    pub fn close(&self, catalog: &Catalog) {
        catalog.wait_no_more();
        self.pager.close();
        self.journal.close();
        let last = self.journal.synced_index();
        if last > 0 {
            // Whoever closes the catalog waits for it.
            drop(catalog.submit(vec![Op::PutJournalEnd(last + 1)]));
        }
    }
}

impl Broker {
    /// Gives the durable queues, which were restored from the catalog's contents, their messages; and
    /// from then on keeps messages in that folder.
    ///
    /// # Errors
    /// See [`NotRecovered`].
    pub fn recover(
        self: &Arc<Self>,
        disk: &Arc<dyn Disk>,
        catalog: &Arc<Catalog>,
        contents: Contents,
        mut options: Options,
    ) -> Result<Recovered, NotRecovered> {
        self.engine.store.keep_notes(disk)?;
        let Contents {
            segments,
            damage,
            journal_start,
            ..
        } = contents;
        options.needed_from = journal_start;
        let (on_damage, drive) = (options.on_damage, options.drive);
        let known_damage = damage.into_iter().map(|(missing, _)| missing);
        options.known_damage = known_damage.collect();
        let known_damage = options.known_damage.clone();
        let queues = self.durable_queues();
        let known: HashSet<u64> = queues.iter().map(|queue| queue.id().0).collect();
        let mut segments: BTreeMap<(u64, u64), SegmentRecord> = segments.into_iter().collect();
        // Such a queue was deleted while its segment was being listed.
        let ownerless: Vec<(u64, u64)> = segments
            .extract_if(.., |(queue, _), _| !known.contains(queue))
            .map(|(key, _)| key)
            .collect();
        let listed: HashSet<(u64, u64)> = segments.keys().copied().collect();
        let found: HashSet<(u64, u64)> = segment::list(&**disk)?.into_iter().collect();
        // They were transient, or a crash let nothing be noted of them.
        let unlisted = found.difference(&listed).copied().collect::<Vec<_>>();
        let missing_segments: Vec<_> = segments
            .extract_if(.., |key, _| !found.contains(key))
            .collect();
        if on_damage == OnDamage::Refuse
            && let Some(((queue, number), record)) = missing_segments.first()
        {
            let name = self.segment_name(*queue, *number);
            return Err(NotRecovered::MissingSegment(name, record.messages()));
        }
        for (queue, number) in unlisted {
            segment::remove(&**disk, queue, number)?;
        }

        let next_segment = listed.iter().map(|(_, number)| number + 1).max();
        let surroundings = Surroundings {
            disk: Arc::clone(disk),
            catalog: Some(Arc::clone(catalog)),
            options: self.engine.paging,
            drive,
        };
        let pager = Pager::new(surroundings, next_segment.unwrap_or(1));
        let exchanges = self.exchanges_with_ids().into_iter();
        let exchanges = exchanges.map(|(_, exchange)| exchange);
        let now_ms = self.engine.clock.now_ms();
        let reader = Arc::clone(&pager);
        let sets_aside = on_damage == OnDamage::SetAside;
        let read = move |stored: &_| reader.read_at_start(stored, sets_aside);
        let mut replay = Replay::new(queues, read);
        replay.know_exchanges(exchanges, now_ms);
        for ((queue, number), record) in &segments {
            let mut marks = record.marks.iter().cloned();
            for stored in pager.listed(*queue, *number, &record.chunks) {
                replay.stored(*queue, stored, marks.next(), &record.settled);
            }
        }
        drop(segments);
        for ((queue, _), record) in &missing_segments {
            replay.missing(*queue, &record.chunks, &record.settled);
        }

        let mut recovery = Journal::open(Arc::clone(disk), options)?;
        let mut told_at = Instant::now();
        let mut records: u64 = 0;
        while let Some(entry) = recovery.next_mended(&mut |place| replay.content_at(place))? {
            replay.record(&entry);
            records += 1;
            if told_at.elapsed() >= PROGRESS {
                tracing::info!(records, "reading the journal");
                told_at = Instant::now();
            }
        }
        for (stored, from) in replay.copied() {
            match on_damage {
                OnDamage::Refuse => drop(pager.read_at_start(stored, false)?),
                _ => pager.prove_later(stored, from),
            }
        }
        // What was found missing in between was read past, and counts as read.
        let journal_ends_before = Some(catalog.journal_end().saturating_sub(1))
            .filter(|last| recovery.last_index() < *last);
        if let Some(index) = journal_ends_before.filter(|_| on_damage == OnDamage::Refuse) {
            return Err(NotRecovered::JournalEnds(index));
        }
        let (journal, report) = recovery.finish()?;
        let journal = Arc::new(journal);
        self.engine.store.watch(&journal);
        let set_aside = self
            .engine
            .store
            .recovered(&report, |id| self.concerned(id));
        let mut noted: Vec<Op> = ownerless
            .into_iter()
            .map(|(queue, number)| Op::DeleteSegment(queue, number))
            .collect();
        if report.last_index > 0 {
            noted.push(Op::PutJournalStart(report.first_index));
            noted.push(Op::PutJournalEnd(report.last_index + 1));
        }
        for ((first, last), place) in set_aside {
            noted.push(Op::PutDamage(first, last, DamageRecord { place }));
        }
        let is_gone = |(_, last): &&(u64, u64)| *last < report.first_index;
        for (first, last) in known_damage.iter().filter(is_gone) {
            noted.push(Op::DeleteDamage(*first, *last));
        }
        for ((queue, number), record) in &missing_segments {
            let left = replay.left_of(*queue, &record.chunks);
            // If it is noted, it is not to be expected from now on.
            if self.miss_segment(*queue, *number, left) {
                noted.push(Op::DeleteSegment(*queue, *number));
            }
        }
        let mut missing_records: u64 = report.newly_missing();
        if let Some(index) = journal_ends_before {
            self.miss_end(index, report.last_index);
            missing_records += index - report.last_index;
        }
        replay.miss_records(missing_records);
        self.engine.set_log(Arc::clone(&journal) as _);
        self.engine.set_pager(Arc::clone(&pager));
        let messages = replay.finish(&*journal);
        let are_ends_noted = self.note_ends(&journal, drive);
        // Nothing waits for it: without it, the next start says the same again. It is submitted before
        // anything that is written to segments from here on.
        if !noted.is_empty() && are_ends_noted {
            drop(catalog.submit(noted));
        }
        pager.start(self, Some(Arc::clone(&journal) as _))?;
        let mut effects = Effects::new();
        for queue in self.durable_queues() {
            queue.begin(&mut effects);
            effects.complete();
        }
        Ok(Recovered {
            journal,
            pager,
            messages,
            report,
            missing_segments: missing_segments.into_iter().map(|(key, _)| key).collect(),
        })
    }

    /// Has the journal hear which offsets streams give next whose last messages are lost, before the catalog
    /// forgets them; says whether it did.
    fn note_ends(&self, journal: &Journal, drive: Drive) -> bool {
        let mut effects = Effects::new();
        for queue in self.durable_queues() {
            queue.note_end(&mut effects);
        }
        effects.complete();
        let Ok(noted) = effects.take_logged() else {
            return false;
        };
        let index = noted.unwrap_or(0);
        if journal.synced_index() < index {
            journal.sync_soon();
        }
        while journal.synced_index() < index && journal.failure().is_none() {
            match drive {
                Drive::Manual => drop(journal.turn()),
                _ => std::thread::sleep(LOOK_AGAIN),
            }
        }
        journal.synced_index() >= index
    }
}
