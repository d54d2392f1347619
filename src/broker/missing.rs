//! Tells, with the queues' names, what a start finds missing.

use super::Broker;
use super::log::DamagedChunk;
use super::pager::SegmentFile;
use crate::store::catalog::Op;
use crate::store::quarantine::{Concerned, Note, Part};
use crate::store::segment::ChunkError;

impl Broker {
    /// A queue as damage is told of it.
    pub(super) fn concerned(&self, id: u64) -> Option<Concerned> {
        self.queue_of_id(id).map(|queue| queue.concerned())
    }

    /// What to call a segment of a queue.
    pub(super) fn segment_name(&self, id: u64, number: u64) -> String {
        match self.concerned(id) {
            Some(Concerned { vhost, name }) => {
                format!("segment {number} of queue {name:?} in vhost {vhost:?}")
            }
            None => format!("segment {number} of queue {id}"),
        }
    }

    /// Tells of a segment that is not there, of whose messages so many are in the log as well and so many are
    /// lost; says whether that is noted.
    pub(super) fn miss_segment(&self, id: u64, number: u64, (in_log, lost): (u64, u64)) -> bool {
        self.engine.metrics.messages_lost.add(lost);
        let name = self.segment_name(id, number);
        let note = Note {
            part: Part::Segments,
            what: format!(
                "{name} is missing; {in_log} of its messages are in the journal as well, {lost} are lost"
            ),
            missing_records: lost,
            unknown_queue: false,
            queues: self.concerned(id).into_iter().collect(),
        };
        let place = format!("{id:016x}-{number:016x}");
        self.engine.store.damaged(&place, note)
    }

    /// Tells that the journal's end is gone, from behind one index up to another.
    pub(super) fn miss_end(&self, had: u64, has: u64) {
        let note = Note {
            part: Part::Journal,
            what: format!(
                "the journal had records up to {had} and ends before; concerned: an unknown queue"
            ),
            missing_records: had - has,
            unknown_queue: true,
            queues: Vec::new(),
        };
        self.engine
            .store
            .damaged(&format!("journal-{}-{had}", has + 1), note);
    }

    /// Tells of a chunk of which the log has messages as well and that is damaged, or that the disk does not
    /// give and of which the log has all; gives what makes the catalog forget it.
    pub(super) fn give_up_chunk(&self, chunk: &DamagedChunk) -> Op {
        let DamagedChunk {
            stored,
            error,
            in_log,
            lost,
            ..
        } = chunk;
        let SegmentFile { queue, number, .. } = &*stored.segment;
        let forgotten = Op::DropChunk(*queue, *number, stored.entry.band, stored.entry.first);
        let concerned = self.concerned(*queue);
        if let ChunkError::Unreadable { .. } = error {
            let named = concerned.as_ref();
            tracing::warn!(
                %error,
                queue = named.map(|queue| &queue.name),
                vhost = named.map(|queue| &queue.vhost),
                messages = in_log,
                "a part of a segment can't be read; the journal has all that is needed of it"
            );
            self.engine.store.replaced_unreadable();
            return forgotten;
        }
        self.engine.metrics.messages_lost.add(*lost);
        let note = Note {
            part: Part::Segments,
            what: format!(
                "{error}; {in_log} of its messages are in the journal as well, {lost} are lost"
            ),
            missing_records: *lost,
            unknown_queue: false,
            queues: concerned.into_iter().collect(),
        };
        self.engine.store.damaged(&stored.place(), note);
        forgotten
    }
}
