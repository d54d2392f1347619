//! Reads the journal from the first record that is needed to the last that is there, in order,
//! and decides what a place means where the next one is not: the end, a torn tail, or damage.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::files::{make_slots, write_first_live};
use super::layout::FirstLive;
use super::layout::{BatchHead, RECORD_HEADER_BYTES};
use super::mend::ContentAt;
use super::record::{Record, UnknownRecord, kind};
use super::report::{Cut, Damage, Report};
use super::salvage::{Concerned, concerned};
use super::scan::Scan;
use super::walk::{Located, Lost, Step, Walk};
use super::{Journal, Options, resume};
use crate::store::disk::{BLOCK_BYTES, Disk};
use crate::store::quarantine;

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the log.
    pub index: u64,
    /// Its log group.
    pub group: u32,
    /// Its term.
    pub term: u32,
    /// What it says.
    pub record: Record<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn decode(located: &Located, bytes: &'a [u8]) -> Result<Self, UnknownRecord> {
        let payload = bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default();
        Ok(Self {
            index: located.header.index,
            group: located.header.group,
            term: located.header.term,
            record: Record::decode(located.header.kind, payload)?,
        })
    }
}

/// What is done with damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// It is copied to quarantine and reported; reading goes on behind it.
    SetAside,
    /// Opening fails.
    Refuse,
    /// It is reported, nothing is written: for looking at a stopped folder.
    Report,
}

/// Why a journal can't be opened.
#[derive(Debug)]
pub enum RecoveryError {
    /// The disk's error.
    Io(io::Error),
    /// It was written by a newer program.
    NewerFormat {
        /// Its format.
        format: u32,
    },
    /// A record is not of this format.
    Unknown {
        /// Its index.
        index: u64,
        /// What it is.
        record: UnknownRecord,
    },
    /// Something that had been promised is not there, and damage is refused.
    Damaged(Box<Damage>),
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the journal can't be read: {error}"),
            Self::NewerFormat { format } => write!(
                f,
                "the journal has format {format}, which is newer than this program knows"
            ),
            Self::Unknown { index, record } => write!(f, "the journal has {record} at {index}"),
            Self::Damaged(damage) => write!(f, "the journal is damaged: {damage}"),
        }
    }
}

impl std::error::Error for RecoveryError {}

impl From<io::Error> for RecoveryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where something is not as it was written.
#[derive(Default)]
struct Place {
    /// None if there is no such file.
    file: Option<String>,
    /// The file behind which it is not.
    gone_behind: Option<String>,
    offset: u64,
    bytes: u64,
}

/// A journal that is being read; [`Recovery::finish`] makes it one that can be written.
pub struct Recovery {
    disk: Arc<dyn Disk>,
    options: Options,
    scan: Scan,
    /// Which of the scan's files is read, and how far.
    at: usize,
    walk: Option<Walk>,
    /// The record that was found last, if it had to be made whole.
    mended: Option<Vec<u8>>,
    /// The index that comes next.
    expected: u64,
    /// The highest synced mark that was seen when something was looked for.
    promised: u64,
    has_ended: bool,
    /// Something lies beyond the end that must never be read as its continuation.
    has_remains: bool,
    report: Report,
}

impl Recovery {
    pub(super) fn new(disk: Arc<dyn Disk>, options: Options) -> Result<Self, RecoveryError> {
        let may_write = options.on_damage != OnDamage::Report;
        let scan = Scan::new(&*disk, may_write, options.needed_from)?;
        let first_live = scan.first_live.index;
        let mut recovery = Self {
            at: 0,
            walk: None,
            mended: None,
            expected: scan.files.first().map_or(first_live, |(first, _)| {
                first.header.first_index.min(first_live)
            }),
            promised: 0,
            has_ended: false,
            has_remains: false,
            report: Report::default(),
            disk,
            options,
            scan,
        };
        recovery.report_lost_files()?;
        Ok(recovery)
    }

    /// The index of the last record that was read, or read past.
    pub fn last_index(&self) -> u64 {
        self.expected - 1
    }

    /// The next record. After an error, or None, there is none.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, RecoveryError> {
        self.next_mended(&mut |_| None)
    }

    /// The same; what is damaged of messages that somebody else has as well is made whole, here and in the
    /// file.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn next_mended(
        &mut self,
        content_at: &mut ContentAt<'_>,
    ) -> Result<Option<Entry<'_>>, RecoveryError> {
        let located = loop {
            match self.advance(content_at) {
                Ok(Some(located)) if located.header.kind == kind::DROP => {}
                Ok(Some(located)) => break located,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.has_ended = true;
                    return Err(error);
                }
            }
        };
        let Some(walk) = &mut self.walk else {
            return Ok(None);
        };
        let bytes = match &self.mended {
            Some(record) => record,
            None => walk.bytes(&located)?,
        };
        match Entry::decode(&located, bytes) {
            Ok(entry) => Ok(Some(entry)),
            Err(record) => {
                self.has_ended = true;
                Err(RecoveryError::Unknown {
                    index: located.header.index,
                    record,
                })
            }
        }
    }

    /// Reads what is left, and makes the journal ready for more.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn finish(mut self) -> Result<(Journal, Report), RecoveryError> {
        while self.advance(&mut |_| None)?.is_some() {}
        let resumes = match &self.walk {
            Some(walk) if !self.has_remains => Some(walk.end_offset()),
            _ => None,
        };
        self.leave_file();
        self.report.first_index = self.scan.first_live.index;
        self.report.last_index = self.expected - 1;
        self.set_lost_files_aside()?;
        let parts = resume::Parts {
            scan: self.scan,
            files_in_use: self.at,
            resumes_at: resumes,
            last_index: self.expected - 1,
        };
        let journal = resume::start(self.disk, self.options, parts)?;
        Ok((journal, self.report))
    }

    /// Reads what is left, and says what was found, without making anything ready.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn inspect(mut self) -> Result<Report, RecoveryError> {
        while self.advance(&mut |_| None)?.is_some() {}
        self.leave_file();
        self.report.first_index = self.scan.first_live.index;
        self.report.last_index = self.expected - 1;
        Ok(self.report)
    }

    /// So that the next recovery does not find them again.
    fn set_lost_files_aside(&mut self) -> io::Result<()> {
        for file in &self.scan.unreadable {
            let from = super::files::path(&file.name);
            let kept = quarantine::move_file(&*self.disk, &from, &file.name)?;
            let mut told = self.report.damage.iter_mut();
            if let Some(damage) = told.find(|damage| damage.file.as_ref() == Some(&file.name)) {
                damage.kept_in = Some(kept);
            }
        }
        if let (true, Some(file)) = (self.scan.first_live_is_lost, &self.scan.first_live_file) {
            let FirstLive { counter, index } = self.scan.first_live;
            tracing::warn!(
                index,
                "the journal's first-live was lost and is written anew"
            );
            make_slots(&**file)?;
            for counter in [counter + 1, counter + 2] {
                self.scan.first_live = FirstLive { counter, index };
                write_first_live(&**file, self.scan.first_live)?;
            }
            self.disk.sync_dir(super::files::FOLDER)?;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        content_at: &mut ContentAt<'_>,
    ) -> Result<Option<Located>, RecoveryError> {
        self.mended = None;
        while !self.has_ended {
            let Some((live, limit)) = self.scan.files.get(self.at) else {
                break;
            };
            if self.expected >= *limit {
                self.leave_file();
                continue;
            }
            let Some(walk) = &mut self.walk else {
                if live.header.first_index > self.expected {
                    self.gap_before_file(live.header.first_index)?;
                    continue;
                }
                self.walk = Some(Walk::new(Arc::clone(&live.file.file), live.header)?);
                self.report.files += 1;
                continue;
            };
            let located = match walk.next(self.expected)? {
                Step::Record(located) => Some(located),
                Step::Lost(lost) => self.lost(lost, content_at)?,
            };
            let Some(located) = located else {
                continue;
            };
            self.expected += 1;
            if located.header.index >= self.scan.first_live.index {
                self.report.count(&located);
                return Ok(Some(located));
            }
        }
        // Indexes are never used again, whatever is missing.
        self.expected = self.expected.max(self.scan.first_live.index);
        Ok(None)
    }

    /// Done with a file: takes over what the walk learned.
    fn leave_file(&mut self) {
        if let Some(walk) = self.walk.take() {
            self.report.repaired_heads += walk.repaired_heads;
            self.report.unreadable_blocks += walk.unreadable_blocks();
            self.scan.files[self.at].0.marks = walk.marks;
        }
        if self.at < self.scan.files.len() {
            self.at += 1;
        }
    }

    /// The expected record is not where it should be.
    /// Gives it if it can be made whole.
    fn lost(
        &mut self,
        lost: Lost,
        content_at: &mut ContentAt<'_>,
    ) -> Result<Option<Located>, RecoveryError> {
        let Some(walk) = &mut self.walk else {
            return Ok(None);
        };
        let next = walk.find_head(lost.offset + 1, self.expected)?;
        // A mark alone was lost here, no record.
        if !lost.is_in_batch
            && let Some((offset, head)) = next
            && head.first_index == self.expected
        {
            walk.enter(offset, &head);
            return Ok(None);
        }
        let beyond = self.look_beyond(next.map(|(offset, _)| offset))?;
        if self.expected <= self.promised {
            let mended = self.mend(content_at)?;
            if mended.is_none() {
                self.pass_damage(lost, next)?;
            }
            return Ok(mended);
        }
        self.has_ended = true;
        self.has_remains = beyond > 0 || self.at + 1 < self.scan.files.len();
        if lost.is_in_batch || self.has_remains {
            let file = &self.scan.files[self.at].0.file;
            self.report.cut = Some(Cut {
                file: file.name.clone(),
                offset: lost.offset,
                first_index: self.expected,
                batches_beyond: beyond,
            });
        }
        Ok(None)
    }

    /// Makes the expected record whole where it is, so that the next recovery finds it, and if what it says
    /// is nowhere else, nothing is lost with whoever has its content now.
    fn mend(&mut self, content_at: &mut ContentAt<'_>) -> Result<Option<Located>, RecoveryError> {
        if self.expected < self.scan.first_live.index {
            return Ok(None);
        }
        let Some(walk) = &mut self.walk else {
            return Ok(None);
        };
        let Some((located, record)) = walk.mend(self.expected, content_at)? else {
            return Ok(None);
        };
        let (live, _) = &self.scan.files[self.at];
        if self.options.on_damage != OnDamage::Report
            && let Err(error) = live.file.file.write_at(&record, located.offset)
        {
            tracing::error!(%error, file = live.file.name, "a damaged record cannot be made whole");
            return Ok(None);
        }
        walk.pass(&located.header);
        self.report.mended_records += 1;
        self.mended = Some(record);
        Ok(Some(located))
    }

    /// Searches everything behind a place, from the next batch in its file on, for synced marks;
    /// says how many batches there are. Nothing is searched for if it is known already that the
    /// place was promised.
    fn look_beyond(&mut self, next: Option<u64>) -> Result<u64, RecoveryError> {
        let mut beyond = 0;
        let mut from = next;
        for at in self.at..self.scan.files.len() {
            if self.expected <= self.promised {
                break;
            }
            let (live, limit) = &self.scan.files[at];
            let mut other;
            let walk = match &mut self.walk {
                Some(walk) if at == self.at => walk,
                _ => {
                    from = Some(BLOCK_BYTES);
                    self.promised = self.promised.max(live.header.synced.min(limit - 1));
                    other = Walk::new(Arc::clone(&live.file.file), live.header)?;
                    &mut other
                }
            };
            while let Some(start) = from {
                let Some((offset, head)) = walk.find_head(start, 0)? else {
                    break;
                };
                self.promised = self.promised.max(head.synced.min(limit - 1));
                beyond += 1;
                from = Some(offset + 1);
            }
        }
        Ok(beyond)
    }

    /// Something promised is not there: sets it aside and goes on behind it.
    fn pass_damage(
        &mut self,
        lost: Lost,
        next: Option<(u64, BatchHead)>,
    ) -> Result<(), RecoveryError> {
        let first = self.expected;
        let (live, limit) = &self.scan.files[self.at];
        let (limit, name) = (*limit, live.file.name.clone());
        let is_last = self.at + 1 == self.scan.files.len();
        let is_next_gone = self.scan.is_next_gone(self.at);
        let Some(walk) = &mut self.walk else {
            return Ok(());
        };
        let (bytes, next) = if let Some(skipped) = walk.skip_broken(first)? {
            skipped
        } else if let Some((offset, head)) = next
            && head.first_index <= limit
        {
            walk.enter(offset, &head);
            (offset - lost.offset, head.first_index)
        } else if is_next_gone && !lost.is_in_batch {
            // What lies here may be as old as the file is.
            self.expected = limit;
            let place = Place {
                gone_behind: Some(name),
                ..Place::default()
            };
            return self.damaged(place, (first, limit), Concerned::unknown());
        } else {
            let next = if is_last { self.promised + 1 } else { limit };
            self.has_remains |= is_last;
            (walk.file_bytes().saturating_sub(lost.offset), next)
        };
        self.expected = next;
        let is_known = self.is_known(first, next);
        let needed = (first.max(self.scan.first_live.index), next);
        let concerned = match &mut self.walk {
            Some(walk) if !is_known => concerned(walk, lost.offset, bytes, needed)?,
            _ => Concerned::unknown(),
        };
        let place = Place {
            file: Some(name),
            gone_behind: None,
            offset: lost.offset,
            bytes,
        };
        self.damaged(place, (first, next), concerned)
    }

    /// A file begins later than the one before ended, or than the first record that is needed.
    fn gap_before_file(&mut self, first_index: u64) -> Result<(), RecoveryError> {
        let first = self.expected;
        self.expected = first_index;
        self.damaged(Place::default(), (first, first_index), Concerned::unknown())
    }

    /// Whether everything from `first` to before `next` was reported before.
    fn is_known(&self, first: u64, next: u64) -> bool {
        let first = first.max(self.scan.first_live.index);
        let mut known = self.options.known_damage.iter();
        known.any(|known| known.0 <= first && next <= known.1 + 1)
    }

    fn damaged(
        &mut self,
        place: Place,
        (first, next): (u64, u64),
        concerned: Concerned,
    ) -> Result<(), RecoveryError> {
        let is_known = self.is_known(first, next);
        let first = first.max(self.scan.first_live.index);
        if next <= first {
            // None of it is needed any more.
            return Ok(());
        }
        let Place {
            file,
            gone_behind,
            offset,
            bytes,
        } = place;
        let mut damage = Damage {
            file,
            gone_behind,
            offset,
            bytes,
            missing: Some((first, next - 1)),
            kept_in: None,
            queues: concerned.queues.into_iter().collect(),
            of_unknown: concerned.of_unknown,
            is_known,
        };
        match self.options.on_damage {
            _ if is_known => {}
            OnDamage::Refuse => return Err(RecoveryError::Damaged(Box::new(damage))),
            OnDamage::Report => {}
            OnDamage::SetAside if damage.file.is_none() => {}
            OnDamage::SetAside => {
                let live = &self.scan.files[self.at].0;
                let name = format!("{}-{}-{offset}", live.file.name, live.header.generation);
                damage.kept_in =
                    quarantine::copy(&*self.disk, &*live.file.file, offset, bytes, &name)?;
            }
        }
        self.report.damage.push(damage);
        Ok(())
    }

    /// Files whose header is broken are damage in any case; a lost first-live file is if nobody else knows
    /// what it said.
    fn report_lost_files(&mut self) -> Result<(), RecoveryError> {
        let mut names: Vec<String> = self
            .scan
            .unreadable
            .iter()
            .map(|file| file.name.clone())
            .collect();
        if self.scan.first_live_is_lost && self.options.needed_from == 0 {
            names.push(super::files::FIRST_LIVE.to_owned());
        }
        for name in names {
            let damage = Damage {
                file: Some(name),
                gone_behind: None,
                offset: 0,
                bytes: BLOCK_BYTES,
                missing: None,
                kept_in: None,
                queues: Vec::new(),
                of_unknown: true,
                is_known: false,
            };
            if self.options.on_damage == OnDamage::Refuse {
                return Err(RecoveryError::Damaged(Box::new(damage)));
            }
            self.report.damage.push(damage);
        }
        Ok(())
    }
}
