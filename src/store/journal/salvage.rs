//! What can be made out of damaged records: which queues they spoke of. Nothing that is read here is
//! sure, since no checksum holds; it is for telling people where to look.

use std::collections::BTreeSet;
use std::io;

use super::layout::{RECORD_HEADER_BYTES, RecordHeader};
use super::record::Record;
use super::walk::Walk;

/// So many queues are named.
const MOST_QUEUES: usize = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Concerned {
    pub queues: BTreeSet<u64>,
    /// Whether there are records of which nothing can be made out.
    pub of_unknown: bool,
}

impl Concerned {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self {
            queues: BTreeSet::new(),
            of_unknown: true,
        }
    }

    fn add(&mut self, record: &Record<'_>) {
        match record {
            Record::Message(message) => {
                let placed = message.placements.map(|placement| placement.place);
                for place in placed.chain(message.settles) {
                    self.add_queue(place.queue);
                }
            }
            Record::Settle { queue, .. }
            | Record::Cursor { queue, .. }
            | Record::Returned { queue, .. }
            | Record::Waiting { queue, .. }
            | Record::Letters { queue, .. } => self.add_queue(*queue),
            Record::Seen(_) => {}
        }
    }

    fn add_queue(&mut self, queue: u64) {
        if self.queues.len() < MOST_QUEUES {
            self.queues.insert(queue);
        } else {
            self.of_unknown |= !self.queues.contains(&queue);
        }
    }
}

/// Searches a range of a file for what looks like the records from `first` to before `next`.
pub(super) fn concerned(
    walk: &mut Walk,
    offset: u64,
    bytes: u64,
    (first, next): (u64, u64),
) -> io::Result<Concerned> {
    let mut concerned = Concerned::default();
    let (mut at, mut expected, end) = (offset, first, offset.saturating_add(bytes));
    while expected < next
        && let Some(header) = walk.peek(at, RECORD_HEADER_BYTES)?
    {
        let header = RecordHeader::decode(header).filter(|header| {
            (expected..next).contains(&header.index)
                && (header.group, header.term) == (0, 0)
                && at + header.total_bytes() as u64 <= end
        });
        let Some(header) = header else {
            at += 1;
            continue;
        };
        let total = header.total_bytes();
        let payload = walk
            .peek(at, total)?
            .map(|bytes| &bytes[RECORD_HEADER_BYTES..]);
        match payload.map(|payload| Record::decode(header.kind, payload)) {
            Some(Ok(record)) => {
                concerned.add(&record);
                concerned.of_unknown |= header.index > expected;
                expected = header.index + 1;
                at += total as u64;
            }
            _ => at += 1,
        }
    }
    concerned.of_unknown |= expected < next;
    Ok(concerned)
}
