//! What calls into durable queues have changed and the log does not have yet. It gathers under the
//! queues' locks and is appended once they are released, before any client hears of the changes.

use std::sync::Arc;

use super::{AppendError, Flight, Log, NewMessage, Place, Placement, Records, Returns};
use crate::broker::Engine;
use crate::broker::catalog::Revision;
use crate::broker::message::Message;
use crate::store::journal::SeenId;

/// See the module.
#[derive(Default)]
pub struct Pending {
    flight: Option<Flight>,
    log: Option<Arc<dyn Log>>,
    /// By what index everything is safe that was appended since somebody last asked.
    logged: Option<Result<u64, AppendError>>,
    /// Where messages of the batch that is being published went: index in the batch, place.
    placements: Vec<(u32, Placement)>,
    /// By which revision of the catalog all queues are stored in which something was placed since somebody
    /// last asked.
    queues_stored_by: Revision,
    settles: Vec<(u64, (u64, u64))>,
    cursors: Vec<(u64, u64)>,
    /// Queue, first and last sequence, how often they were delivered.
    returned: Vec<(u64, (u64, u64), Returns)>,
    /// Queue, sequence, and until when.
    waits: Vec<(u64, (u64, u64))>,
    /// Queue, sequence, and why.
    letters: Vec<(u64, (u64, u64))>,
    /// Kept to reuse their allocations.
    places: Vec<Placement>,
    ranges: Vec<(u64, u64)>,
}

/// Where a sequence keeps its band.
const BAND_SHIFT: u32 = 56;

impl Pending {
    /// A durable queue is about to change.
    pub fn begin(&mut self, engine: &Engine) {
        if self.flight.is_none()
            && let Some(log) = engine.log()
        {
            self.flight = Some(engine.flights.begin());
            self.log = Some(Arc::clone(log));
        }
    }

    /// The message at `index` of the batch got a place, in a queue that the catalog has by that revision.
    #[inline]
    pub fn placed(&mut self, index: u32, placement: Placement, stored_by: Revision) {
        self.queues_stored_by = self.queues_stored_by.max(stored_by);
        self.placements.push((index, placement));
    }

    /// Messages of a queue, one after the other in one band, are done with.
    #[inline]
    pub fn settled(&mut self, queue: u64, first: u64, last: u64) {
        match self.settles.last_mut() {
            Some((same, range)) if *same == queue && range.1 + 1 == first => range.1 = last,
            _ => self.settles.push((queue, (first, last))),
        }
    }

    /// Everything below `sequence` in its band was delivered.
    pub fn delivered(&mut self, queue: u64, sequence: u64) {
        match self.cursors.last_mut() {
            Some((same, before))
                if *same == queue && *before >> BAND_SHIFT == sequence >> BAND_SHIFT =>
            {
                *before = sequence;
            }
            _ => self.cursors.push((queue, sequence)),
        }
    }

    /// A message was delivered, or came back, so often by now.
    pub fn returned(&mut self, queue: u64, sequence: u64, returns: Returns) {
        match self.returned.last_mut() {
            Some((same, range, known))
                if (*same, *known) == (queue, returns) && range.1 + 1 == sequence =>
            {
                range.1 = sequence;
            }
            _ => self.returned.push((queue, (sequence, sequence), returns)),
        }
    }

    /// A message that was given back waits until then.
    pub fn waits(&mut self, queue: u64, sequence: u64, due_ms: u64) {
        self.waits.push((queue, (sequence, due_ms)));
    }

    /// A message is a dead letter that stays until it has arrived.
    pub fn letter(&mut self, queue: u64, sequence: u64, reason: u64) {
        self.letters.push((queue, (sequence, reason)));
    }

    /// Whether a message of the batch that is being published got a place.
    pub fn has_placements(&self) -> bool {
        !self.placements.is_empty()
    }

    /// Appends the messages that got places, each once; says the index by which they are safe.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_messages(
        &mut self,
        log: &Arc<dyn Log>,
        batch: &[Message<'_>],
        settles: &[Place],
    ) -> Result<u64, AppendError> {
        self.append_messages_with(log, batch, settles, &[])
    }

    /// Appends one message, if it got places, and what exchanges remember of it, as one record. Says the
    /// index by which that is safe; None if there is nothing.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_passed(
        &mut self,
        log: &Arc<dyn Log>,
        message: &Message<'_>,
        settles: &[Place],
        seen: &[SeenId],
    ) -> Result<Option<u64>, AppendError> {
        if self.has_placements() {
            let batch = std::slice::from_ref(message);
            return self
                .append_messages_with(log, batch, settles, seen)
                .map(Some);
        }
        if seen.is_empty() {
            return Ok(None);
        }
        let appended = log.append(&mut |records| records.seen(seen));
        self.note(appended);
        appended.map(Some)
    }

    fn append_messages_with(
        &mut self,
        log: &Arc<dyn Log>,
        batch: &[Message<'_>],
        settles: &[Place],
        seen: &[SeenId],
    ) -> Result<u64, AppendError> {
        // Each queue's are in order already.
        if !self.placements.is_sorted_by_key(|(index, _)| *index) {
            self.placements.sort_by_key(|(index, _)| *index);
        }
        let Self {
            placements, places, ..
        } = self;
        let mut refused = None;
        let appended = log.append(&mut |records| {
            for run in placements.chunk_by(|one, next| one.0 == next.0) {
                let Some(message) = run.first().and_then(|(at, _)| batch.get(*at as usize)) else {
                    continue;
                };
                places.clear();
                places.extend(run.iter().map(|(_, placement)| *placement));
                let record = NewMessage {
                    // Where it went to, it is.
                    persistent: true,
                    priority: message.facts.priority,
                    has_bcc: message.facts.has_bcc,
                    placements: places,
                    settles,
                    seen,
                    exchange: message.exchange,
                    routing_key: message.routing_key,
                    properties: message.properties,
                    body: message.body.as_slice(),
                };
                if let Err(error) = records.message(&record) {
                    refused = Some(error);
                }
            }
        });
        placements.clear();
        let appended = match refused {
            Some(error) => Err(error),
            None => appended,
        };
        self.note(appended);
        appended
    }

    /// Appends everything else that gathered.
    pub fn append_rest(&mut self) {
        let is_empty = self.settles.is_empty()
            && self.cursors.is_empty()
            && self.returned.is_empty()
            && self.waits.is_empty()
            && self.letters.is_empty();
        debug_assert!(
            is_empty || self.log.is_some(),
            "what is noted was begun before"
        );
        if !is_empty && let Some(log) = self.log.clone() {
            // What can't be appended is not promised to anybody: it will come back.
            let appended = log.append(&mut |records| self.encode(records));
            self.note(appended);
        }
        self.settles.clear();
        self.cursors.clear();
        self.returned.clear();
        self.waits.clear();
        self.letters.clear();
    }

    /// The index by which everything is safe that was appended since the last time; None if nothing was.
    ///
    /// # Errors
    /// Some of it could not be appended.
    pub fn take_logged(&mut self) -> Result<Option<u64>, AppendError> {
        self.logged.take().transpose()
    }

    /// By which revision of the catalog all queues are stored that were given messages since the last
    /// time.
    pub fn take_queues_stored_by(&mut self) -> Revision {
        std::mem::take(&mut self.queues_stored_by)
    }

    fn note(&mut self, appended: Result<u64, AppendError>) {
        self.logged = Some(match (self.logged, appended) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(before)), Ok(index)) => Ok(before.max(index)),
            (_, appended) => appended,
        });
    }

    /// What was said of safety holds once the log is at that index as well.
    pub fn waits_for(&mut self, index: u64) {
        self.note(Ok(index));
    }

    /// Everything is appended.
    pub fn land(&mut self) {
        self.flight = None;
        self.log = None;
    }

    fn encode(&mut self, records: &mut dyn Records) {
        for run in self.settles.chunk_by(|one, next| one.0 == next.0) {
            self.ranges.clear();
            self.ranges.extend(run.iter().map(|(_, range)| *range));
            if let Some((queue, _)) = run.first() {
                records.settle(*queue, &self.ranges);
            }
        }
        for (queue, sequence) in &self.cursors {
            records.cursor(*queue, *sequence);
        }
        for (queue, range, returns) in &self.returned {
            records.returned(*queue, *range, *returns);
        }
        for run in self.waits.chunk_by(|one, next| one.0 == next.0) {
            self.ranges.clear();
            self.ranges.extend(run.iter().map(|(_, wait)| *wait));
            if let Some((queue, _)) = run.first() {
                records.waiting(*queue, &self.ranges);
            }
        }
        for run in self.letters.chunk_by(|one, next| one.0 == next.0) {
            self.ranges.clear();
            self.ranges.extend(run.iter().map(|(_, letter)| *letter));
            if let Some((queue, _)) = run.first() {
                records.letters(*queue, &self.ranges);
            }
        }
    }
}
