//! Tells, with the queues' names, what a start finds missing, or what is found soon after it.

use super::Broker;
use super::pager::Stored;
use super::queue::Queue;
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
            chunks: None,
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
            chunks: None,
        };
        self.engine
            .store
            .damaged(&format!("journal-{}-{had}", has + 1), note);
    }
}

/// Tells of a chunk that is damaged, of which so many messages are in the log as well and so many are lost;
/// or that the disk does not give, while the log has all that is needed of it.
pub(super) fn give_up_chunk(
    queue: &Queue,
    stored: &Stored,
    error: &ChunkError,
    (in_log, lost): (u64, u64),
) {
    let concerned = queue.concerned();
    let store = &queue.engine().store;
    if let ChunkError::Unreadable { .. } = error {
        tracing::warn!(
            %error,
            queue = concerned.name,
            vhost = concerned.vhost,
            messages = in_log,
            "a part of a segment can't be read; the journal has all that is needed of it"
        );
        return store.replaced_unreadable();
    }
    let damage = stored.damage(error).at_start(in_log, lost);
    store.damaged_chunks(damage, Some(concerned));
}
