//! Verifies a stopped data folder, every byte of it, and says what is in it. Repairs nothing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use super::catalog::{Catalog, CatalogError, Contents, SegmentRecord};
use super::disk::Disk;
use super::folder::{Folder, FolderError};
use super::journal::{self, Drive, Journal, OnDamage, Record, RecoveryError};
use super::quarantine;
use super::segment::{self, ChunkEntry, Segment};

/// So many notes of damage are told.
const MOST_NOTES: usize = 1_000;

/// What is in a data folder, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many vhosts, exchanges, queues and so on.
    pub catalog: BTreeMap<&'static str, u64>,
    /// How many records of each kind the journal has.
    pub records: BTreeMap<&'static str, u64>,
    /// What recovery would say of the journal.
    pub journal: journal::Report,
    /// Segments that the catalog names.
    pub segments: u64,
    /// Records in their chunks, settled or not.
    pub segment_records: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Segments that the catalog does not name, which the next start removes.
    pub unlisted_segments: u64,
    /// What is wrong, for people. A torn tail is not: the next start cuts it.
    pub problems: Vec<String>,
    /// What is not as it was written and does no harm, and why.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "catalog: ")?;
        list(f, &self.catalog)?;
        write!(f, "journal: {} files, ", self.journal.files)?;
        list(f, &self.records)?;
        if let Some(cut) = &self.journal.cut {
            writeln!(
                f,
                "journal: torn at {} of {}, from record {} on; the next start cuts it there",
                cut.offset, cut.file, cut.first_index
            )?;
        }
        writeln!(
            f,
            "segments: {}, {} records, {} bytes, {} not listed",
            self.segments, self.segment_records, self.segment_bytes, self.unlisted_segments
        )?;
        for note in &self.notes {
            writeln!(f, "NOTE: {note}")?;
        }
        for problem in &self.problems {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, counts: &BTreeMap<&'static str, u64>) -> fmt::Result {
    let texts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let text = match texts.is_empty() {
        true => "nothing".to_string(),
        false => texts.join(", "),
    };
    writeln!(f, "{text}")
}

/// Verifies a data folder.
///
/// # Errors
/// It is not one, it is in use, or it was written by a newer program.
pub fn check(disk: Arc<dyn Disk>) -> Result<CheckReport, FolderError> {
    let folder = Folder::inspect(disk)?;
    let disk = folder.disk();
    let mut report = CheckReport::default();
    let mut journal = (0, 0);
    let mut known_damage = Vec::new();
    match Catalog::inspect(&*disk) {
        Ok(contents) => {
            journal = (contents.journal_start, contents.journal_end);
            known_damage.extend(contents.damage.iter().map(|(missing, _)| *missing));
            check_catalog(&contents, &mut report);
            check_segments(&disk, &contents, &mut report)?;
        }
        Err(error @ CatalogError::NewerFormat(_)) => return Err(error.into()),
        Err(error) => report.problems.push(error.to_string()),
    }
    check_journal(&disk, journal, known_damage, &mut report)?;
    for (place, note) in quarantine::notes(&*disk, MOST_NOTES)? {
        let what = note.what;
        let text = format!("found before, and noted in quarantine/{place}.note: {what}");
        report.problems.push(text);
    }
    Ok(report)
}

fn check_catalog(contents: &Contents, report: &mut CheckReport) {
    report.catalog = BTreeMap::from([
        ("vhosts", contents.vhosts.len() as u64),
        ("exchanges", contents.exchanges.len() as u64),
        ("queues", contents.queues.len() as u64),
        ("bindings", contents.bindings.len() as u64),
        ("users", contents.users.len() as u64),
        ("permissions", contents.permissions.len() as u64),
        ("topic permissions", contents.topic_permissions.len() as u64),
        ("parameters", contents.parameters.len() as u64),
    ]);
    let mut queues: HashSet<u64> = contents.queues.iter().map(|(id, _)| *id).collect();
    // Such an exchange keeps its messages under its own number.
    let exchanges = contents.exchanges.iter();
    let delaying = exchanges.filter(|(_, exchange)| exchange.kind == "x-delayed-message");
    queues.extend(delaying.map(|(id, _)| *id));
    for ((queue, number), _) in &contents.segments {
        if !queues.contains(queue) {
            let text = format!("segment {number} belongs to queue {queue}, which is not there");
            report.problems.push(text);
        }
    }
}

fn check_segments(
    disk: &Arc<dyn Disk>,
    contents: &Contents,
    report: &mut CheckReport,
) -> Result<(), FolderError> {
    let mut listed = HashSet::new();
    for (key, record) in &contents.segments {
        listed.insert(*key);
        report.segments += 1;
        report.segment_bytes += record.bytes;
        let (queue, number) = *key;
        let name = format!("segment {number} of {}", contents.name_of_queue(queue));
        match Segment::open(Arc::clone(disk), queue, number) {
            Ok(segment) => check_segment(&segment, &name, record, report),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let messages = record.messages();
                let text = format!("{name} is missing, in which were {messages} messages");
                report.problems.push(text);
            }
            Err(error) => report.problems.push(format!("{name}: {error}")),
        }
    }
    let found = segment::list(&**disk)?;
    report.unlisted_segments = found.iter().filter(|key| !listed.contains(key)).count() as u64;
    Ok(())
}

fn check_segment(segment: &Segment, name: &str, record: &SegmentRecord, report: &mut CheckReport) {
    for chunk in &record.chunks {
        report.segment_records += u64::from(chunk.records);
        if let Err(error) = segment.look(chunk) {
            report.problems.push(error.to_string());
        }
    }
    // The catalog may have let go of chunks that are lost.
    let table = segment.table().ok().flatten();
    let is_in_table = |table: &Vec<ChunkEntry>| {
        let mut rest = table.iter();
        record
            .chunks
            .iter()
            .all(|chunk| rest.any(|entry| entry == chunk))
    };
    if record.sealed && !table.as_ref().is_some_and(is_in_table) {
        report.notes.push(format!(
            "{name} does not end with the table of chunks that was written there; that is harmless: the \
             catalog has that table, and a broker reads no other"
        ));
    }
}

fn check_journal(
    disk: &Arc<dyn Disk>,
    (journal_start, journal_end): (u64, u64),
    known_damage: Vec<(u64, u64)>,
    report: &mut CheckReport,
) -> Result<(), FolderError> {
    if disk.list("journal")?.is_empty() && journal_end == 0 {
        return Ok(());
    }
    let options = journal::Options {
        on_damage: OnDamage::Report,
        known_damage,
        needed_from: journal_start,
        drive: Drive::Manual,
        ..journal::Options::default()
    };
    let mut recovery = match Journal::open(Arc::clone(disk), options) {
        Ok(recovery) => recovery,
        Err(RecoveryError::NewerFormat { format }) => return Err(FolderError::NewerFormat(format)),
        Err(error) => {
            report.problems.push(error.to_string());
            return Ok(());
        }
    };
    loop {
        match recovery.next() {
            Ok(Some(entry)) => {
                let name = match entry.record {
                    Record::Message(_) => "messages",
                    Record::Settle { .. } => "settlements",
                    Record::Cursor { .. } => "cursors",
                    Record::Returned { .. } => "returns",
                    Record::Waiting { .. } => "delays",
                    Record::Letters { .. } => "dead letters",
                    Record::Seen(_) => "ids",
                };
                *report.records.entry(name).or_default() += 1;
            }
            Ok(None) => break,
            Err(error) => {
                report.problems.push(error.to_string());
                break;
            }
        }
    }
    match recovery.inspect() {
        Ok(journal) => {
            if journal.last_index + 1 < journal_end {
                let last = journal_end - 1;
                let text = format!("the journal had records up to {last} and ends before");
                report.problems.push(text);
            }
            for damage in journal.damage.iter().filter(|damage| !damage.is_known) {
                report.problems.push(format!("journal: {damage}"));
            }
            report.journal = journal;
        }
        Err(error) => report.problems.push(error.to_string()),
    }
    Ok(())
}
