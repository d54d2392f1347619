//! The store's condition: what has failed, and what was found damaged. Whoever notices says so
//! here; the management pages read it.
//!
//! Damage is noted in the quarantine folder and told, once in the log and always on the pages, also
//! after a restart, until somebody deletes its note.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::disk::Disk;
use super::journal::{self, Damage, Journal, Report};
use super::quarantine::{self, Concerned, DamagedChunks, Note, Part};
use super::unreadable::UnreadableChunks;

/// So many problems are told in words; all are counted.
const MOST_TOLD: usize = 50;
/// So many are kept each with its note; of more only the number.
const MOST_KEPT: usize = 10_000;
/// So many queues are told by name.
const MOST_QUEUES: usize = 1_000;

/// See the module. One per broker.
#[derive(Debug, Default)]
pub struct StoreHealth {
    journal: OnceLock<Weak<Journal>>,
    disk: OnceLock<Arc<dyn Disk>>,
    known: Mutex<Known>,
    /// Held while a note is written.
    writing: Mutex<()>,
    /// How many chunks the disk did not give at start whose messages the journal had.
    replaced: AtomicU64,
    /// Why segments can't be written at the moment.
    segments_wait: Mutex<Option<SegmentsWait>>,
    /// What can't be read at the moment.
    pub unreadable: UnreadableChunks,
}

/// Why what queues have beyond their windows stays in memory for now; it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentsWait {
    /// There is too little room on the disk.
    ForRoom,
    /// The disk fails, as it says.
    Failing(String),
}

/// What is known to be damaged.
#[derive(Debug, Default)]
struct Known {
    /// By place.
    notes: BTreeMap<String, Told>,
    /// Places that are too many to be kept, in the journal and in segments.
    more: [u64; 2],
}

#[derive(Debug)]
struct Told {
    note: Note,
    /// Its note is in the folder, or was.
    is_noted: bool,
}

/// How the store is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The journal's own word; None if there is none.
    pub journal: Option<journal::Health>,
    /// Why segments can't be written at the moment; None if they can.
    pub segments_wait: Option<SegmentsWait>,
    /// Damaged places that were found in the journal.
    pub journal_damage: u64,
    /// Records that are missing from it.
    pub missing_records: u64,
    /// Damaged or missing chunks and segments.
    pub segment_damage: u64,
    /// What is damaged, for people; the first few.
    pub damage: Vec<String>,
    /// How many damaged places concern each queue, as far as that is known; a bounded number of them.
    pub queues: BTreeMap<Concerned, u64>,
    /// How many places may concern queues of which nothing is known.
    pub of_unknown_queues: u64,
    /// How many chunks can't be read, and are tried again; each is told of in words as damage is.
    pub unreadable: u64,
    /// How many of them each queue has that waits for them; a bounded number of queues.
    pub waiting_queues: BTreeMap<Concerned, u64>,
    /// How many chunks the disk did not give at start whose messages came from the journal: nothing is lost,
    /// and nobody needs them any more.
    pub replaced: u64,
}

impl StoreHealth {
    /// From now on the journal is asked how it is.
    pub fn watch(&self, journal: &Arc<Journal>) {
        let _ = self.journal.set(Arc::downgrade(journal));
    }

    /// From now on damage is noted there; what was noted before is known.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_notes(&self, disk: &Arc<dyn Disk>) -> io::Result<()> {
        let notes = quarantine::notes(&**disk, MOST_KEPT)?;
        if !notes.is_empty() {
            tracing::warn!(
                places = notes.len(),
                "stored data were found damaged before; delete the notes in quarantine/ when that is known"
            );
        }
        let told = notes.into_iter().map(|(place, note)| {
            let is_noted = true;
            (place, Told { note, is_noted })
        });
        self.known.lock().notes.extend(told);
        let _ = self.disk.set(Arc::clone(disk));
        Ok(())
    }

    /// What a recovery of the journal found; `name_of` knows queues by their ids. Gives what is noted
    /// durably by now and need not be reported by later recoveries: the indices that are missing, and
    /// the place.
    pub fn recovered(
        &self,
        report: &Report,
        name_of: impl Fn(u64) -> Option<Concerned>,
    ) -> Vec<((u64, u64), String)> {
        let mut noted = Vec::new();
        for damage in report.damage.iter().filter(|damage| !damage.is_known) {
            let place = place_of(damage);
            let is_noted = self.damaged(&place, note_of(damage, &name_of));
            if let (Some(missing), true) = (damage.missing, is_noted) {
                noted.push((missing, place));
            }
        }
        noted
    }

    /// Something that was stored is missing, or not as it was. `place` names it, as a file's name; what
    /// is known already is not told again. Logs and notes it, which writes to the disk; says whether it is
    /// noted durably.
    pub fn damaged(&self, place: &str, note: Note) -> bool {
        let _writing = self.writing.lock();
        let mut known = self.known.lock();
        let is_known = known.notes.contains_key(place);
        if !is_known {
            tracing::error!(what = note.what, "stored data are damaged");
            if known.notes.len() < MOST_KEPT {
                let told = Told {
                    note: note.clone(),
                    is_noted: false,
                };
                known.notes.insert(place.to_owned(), told);
            } else {
                known.more[note.part as usize] += 1;
            }
        }
        drop(known);
        let Some(disk) = self.disk.get() else {
            return false;
        };
        match quarantine::write_note(&**disk, place, &note) {
            Ok(()) => {
                if let Some(told) = self.known.lock().notes.get_mut(place) {
                    told.is_noted = true;
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, place, "damage cannot be noted");
                false
            }
        }
    }

    /// Chunks of a segment of that queue are not what was written. Notes it as [`StoreHealth::damaged`] does,
    /// together with those of the segment that are known already, unless the note of these was deleted; the
    /// log has the first of them alone.
    pub fn damaged_chunks(&self, mut chunks: DamagedChunks, queue: Option<Concerned>) {
        let place = chunks.place();
        let _writing = self.writing.lock();
        let disk = self.disk.get();
        let is_deleted = disk.is_some_and(|disk| {
            let is_noted = |told: &Told| told.is_noted;
            let is_noted = self.known.lock().notes.get(&place).is_some_and(is_noted);
            is_noted && quarantine::is_there(&**disk, &place).is_ok_and(|is_there| !is_there)
        });
        let mut known = self.known.lock();
        let before = known.notes.get(&place).filter(|_| !is_deleted);
        let is_first = before.is_none();
        if let Some(before) = before.and_then(|told| told.note.chunks.as_ref()) {
            if before.has(&chunks) {
                return;
            }
            chunks.add(before);
        }
        let found = chunks.chunks;
        let note = Note::of_chunks(chunks, queue);
        if is_first {
            tracing::error!(what = note.what, "stored data are damaged");
        } else {
            tracing::debug!(what = note.what, "more of a segment is damaged");
        }
        if known.notes.contains_key(&place) || known.notes.len() < MOST_KEPT {
            let told = Told {
                note: note.clone(),
                is_noted: false,
            };
            known.notes.insert(place.clone(), told);
        } else {
            known.more[note.part as usize] += found;
        }
        drop(known);
        let Some(disk) = disk else {
            return;
        };
        match quarantine::put_note(&**disk, &place, &note) {
            Ok(()) => {
                if let Some(told) = self.known.lock().notes.get_mut(&place) {
                    told.is_noted = true;
                }
            }
            Err(error) => tracing::error!(%error, place, "damage cannot be noted"),
        }
    }

    /// A chunk that the disk does not give is not needed, because the journal has what it held.
    pub fn replaced_unreadable(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether any damage is known.
    pub fn is_damaged(&self) -> bool {
        !self.known.lock().notes.is_empty()
    }

    /// Looks whether notes were deleted: what they told of is not told any more. Waits for the disk.
    ///
    /// # Errors
    /// The disk's; everything stays known then.
    pub fn forget_deleted(&self) -> io::Result<()> {
        let Some(disk) = self.disk.get() else {
            return Ok(());
        };
        // Under the lock, so that what is noted meanwhile counts as being noted.
        let mut known = self.known.lock();
        let places: BTreeSet<String> = quarantine::places(&**disk)?.into_iter().collect();
        let is_told = |place: &String, told: &Told| !told.is_noted || places.contains(place);
        known.notes.retain(|place, told| is_told(place, told));
        Ok(())
    }

    /// Segments can't be written for now, or (None) can again.
    pub fn set_segments_wait(&self, why: Option<SegmentsWait>) {
        *self.segments_wait.lock() = why;
    }

    /// Whether the journal or segments wait for room on the disk.
    pub fn is_stalled(&self) -> bool {
        let journal = self.journal.get().and_then(Weak::upgrade);
        journal.is_some_and(|journal| journal.health().stalled.is_some())
            || *self.segments_wait.lock() == Some(SegmentsWait::ForRoom)
    }

    /// How it is now.
    pub fn condition(&self) -> Condition {
        let journal = self.journal.get().and_then(Weak::upgrade);
        let known = self.known.lock();
        let [journal_damage, segment_damage] = known.more;
        let mut condition = Condition {
            journal: journal.map(|journal| journal.health()),
            journal_damage,
            segment_damage,
            segments_wait: self.segments_wait.lock().clone(),
            replaced: self.replaced.load(Ordering::Relaxed),
            ..Condition::default()
        };
        for Told { note, .. } in known.notes.values() {
            match note.part {
                Part::Journal => {
                    condition.journal_damage += 1;
                    condition.missing_records += note.missing_records;
                }
                Part::Segments => condition.segment_damage += note.places(),
            }
            condition.of_unknown_queues += u64::from(note.unknown_queue);
            for queue in &note.queues {
                count(&mut condition.queues, queue, note.places());
            }
            if condition.damage.len() < MOST_TOLD {
                condition.damage.push(note.what.clone());
            }
        }
        drop(known);
        self.unreadable.for_each(|chunk| {
            condition.unreadable += 1;
            count(&mut condition.waiting_queues, &chunk.queue, 1);
            if condition.damage.len() < MOST_TOLD {
                condition.damage.push(chunk.what.clone());
            }
        });
        condition
    }
}

fn count(queues: &mut BTreeMap<Concerned, u64>, queue: &Concerned, more: u64) {
    if let Some(places) = queues.get_mut(queue) {
        *places += more;
    } else if queues.len() < MOST_QUEUES {
        queues.insert(queue.clone(), more);
    }
}

/// What a damaged place of the journal is called.
fn place_of(damage: &Damage) -> String {
    let copy = damage.kept_in.as_deref();
    let copy = copy.and_then(|path| path.rsplit('/').next());
    match (copy, damage.missing, &damage.file) {
        (Some(copy), _, _) => copy.to_owned(),
        (None, Some((first, last)), _) => format!("journal-{first}-{last}"),
        (None, None, Some(file)) => file.clone(),
        (None, None, None) => "journal".to_owned(),
    }
}

fn note_of(damage: &Damage, name_of: &impl Fn(u64) -> Option<Concerned>) -> Note {
    // What is said of a queue that is not there any more is of no interest.
    let queues: Vec<Concerned> = damage
        .queues
        .iter()
        .filter_map(|queue| name_of(*queue))
        .collect();
    let missing_records = damage.missing.map_or(0, |(first, last)| last - first + 1);
    let mut what = format!("journal: {damage}");
    if damage.missing.is_some() {
        let named = queues
            .iter()
            .take(MOST_TOLD)
            .map(|queue| format!("queue {:?} in vhost {:?}", queue.name, queue.vhost));
        let unknown = damage.of_unknown.then(|| "an unknown queue".to_owned());
        let all: Vec<String> = named.chain(unknown).collect();
        what += "; concerned: ";
        what += &match all.is_empty() {
            true => "no queue that is there".to_owned(),
            false => all.join(", "),
        };
    }
    Note {
        part: Part::Journal,
        what,
        missing_records,
        unknown_queue: damage.of_unknown,
        queues,
        chunks: None,
    }
}
