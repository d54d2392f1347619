//! Makes a damaged record whole. What is damaged is mostly a message's content, because that is most of
//! what there is, and a queue's segment may have it as well. A record's head with that content in place of
//! its own either has the checksum that was written, and then it is what was written, or it is not used.

use super::layout::{RECORD_HEADER_BYTES, RecordHeader, is_intact};
use super::record::{Place, Record};

/// So many places of a message are looked at: if one has it, the others have the same.
const MOST_PLACES: usize = 16;

/// Gives what a message consists of that lies at a place, if it is there: exchange, routing key, properties
/// and body, one behind the other. It need not be sure.
pub type ContentAt<'a> = dyn FnMut(Place) -> Option<Vec<u8>> + 'a;

/// The record that is damaged in `bytes` (header and payload), as it was written with that seed.
pub(super) fn mended(bytes: &[u8], seed: u32, content_at: &mut ContentAt<'_>) -> Option<Vec<u8>> {
    let header = RecordHeader::decode(bytes)?;
    let payload = bytes.get(RECORD_HEADER_BYTES..)?;
    let Ok(Record::Message(message)) = Record::decode(header.kind, payload) else {
        return None;
    };
    let names_bytes = message.exchange.len() + message.routing_key.len();
    let content_bytes = names_bytes + message.properties.len() + message.body.len();
    let head = &bytes[..bytes.len() - content_bytes];
    message.placements.take(MOST_PLACES).find_map(|placement| {
        let content = content_at(placement.place)?;
        if content.len() != content_bytes {
            return None;
        }
        let record = [head, &content].concat();
        is_intact(&record, seed).then_some(record)
    })
}
