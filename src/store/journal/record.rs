//! What can be written into the journal, and how it is encoded. Encoding borrows its inputs and
//! allocates nothing; decoding yields views into what was read.

use std::fmt;

use super::returns::Returns;
use crate::store::fields::Fields;

/// Where a message lies: a queue, and its sequence there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The queue's id.
    pub queue: u64,
    /// Band in the top byte, number below.
    pub sequence: u64,
}

/// A message's place in a queue that it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where it lies.
    pub place: Place,
    /// When it expires there, in milliseconds since 1970, or [`Placement::NEVER`].
    pub expires_at_ms: u64,
}

impl Placement {
    /// It does not expire.
    pub const NEVER: u64 = u64::MAX;
}

/// That an exchange remembers a message, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenId {
    /// The exchange's id.
    pub exchange: u64,
    /// Its place among those that the exchange remembers.
    pub sequence: u64,
    /// What the message is told by.
    pub id: u128,
    /// When the exchange forgets it, in milliseconds since 1970, or [`Placement::NEVER`].
    pub expires_at_ms: u64,
}

const SEEN_BYTES: usize = 40;

impl SeenId {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.exchange.to_le_bytes());
        to.extend_from_slice(&self.sequence.to_le_bytes());
        to.extend_from_slice(&self.id.to_le_bytes());
        to.extend_from_slice(&self.expires_at_ms.to_le_bytes());
    }
}

/// Bytes of the payload that [`encode_seen`] appends.
pub(super) fn seen_bytes(seen: &[SeenId]) -> usize {
    4 + seen.len() * SEEN_BYTES
}

/// Appends what exchanges remember.
pub(super) fn encode_seen(to: &mut Vec<u8>, seen: &[SeenId]) {
    to.extend_from_slice(&(seen.len() as u32).to_le_bytes());
    seen.iter().for_each(|id| id.encode(to));
}

/// What exchanges remember, still encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenViews<'a>(&'a [u8]);

impl<'a> SeenViews<'a> {
    /// Views of ids, which are encoded into `buffer`.
    pub fn of(seen: &[SeenId], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        seen.iter().for_each(|id| id.encode(buffer));
        Self(buffer)
    }

    fn decode(fields: &mut Fields<'a>) -> Option<Self> {
        let count = fields.u32()? as usize;
        Some(Self(fields.bytes(count.checked_mul(SEEN_BYTES)?)?))
    }
}

impl Iterator for SeenViews<'_> {
    type Item = SeenId;

    fn next(&mut self) -> Option<SeenId> {
        let mut fields = Fields(self.0);
        let seen = SeenId {
            exchange: fields.u64()?,
            sequence: fields.u64()?,
            id: u128::from(fields.u64()?) | u128::from(fields.u64()?) << 64,
            expires_at_ms: fields.u64()?,
        };
        self.0 = fields.0;
        Some(seen)
    }
}

/// A message to be written. One record even if it went to several queues; if it comes from
/// another queue, it settles itself there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewMessage<'a> {
    /// delivery-mode 2.
    pub persistent: bool,
    /// The priority property.
    pub priority: u8,
    /// There is a BCC header among the properties, which receivers must not see.
    pub has_bcc: bool,
    /// Where it went.
    pub placements: &'a [Placement],
    /// What this record settles.
    pub settles: &'a [Place],
    /// What exchanges remember of it.
    pub seen: &'a [SeenId],
    /// The exchange it was published to, at most 255 bytes.
    pub exchange: &'a [u8],
    /// The routing key it was published with, at most 255 bytes.
    pub routing_key: &'a [u8],
    /// Property flags and values, encoded.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

const PERSISTENT: u8 = 1;
const EXPIRES: u8 = 2;
const HAS_BCC: u8 = 4;
const SEEN: u8 = 8;

/// Kinds of records; 0 is none, so that zeros are never one.
pub(super) mod kind {
    pub const MESSAGE: u8 = 1;
    pub const SETTLE: u8 = 2;
    pub const CURSOR: u8 = 3;
    pub const RETURNED: u8 = 4;
    /// A queue was deleted. It is not written any more, since the catalog says so, and read over.
    pub const DROP: u8 = 5;
    pub const SEEN: u8 = 6;
    pub const WAITING: u8 = 7;
    pub const LETTERS: u8 = 8;
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message entered queues, and maybe left others.
    Message(MessageView<'a>),
    /// Messages of a queue are done with.
    Settle {
        /// The queue's id.
        queue: u64,
        /// First and last sequence of each range.
        ranges: RangeViews<'a>,
    },
    /// Everything below the sequence, in its band, was delivered at least once.
    Cursor {
        /// The queue's id.
        queue: u64,
        /// The first that was not.
        sequence: u64,
    },
    /// Messages were delivered, or came back.
    Returned {
        /// The queue's id.
        queue: u64,
        /// First and last sequence.
        range: (u64, u64),
        /// How often each was delivered by now, at least; so often it came back if it is nowhere now.
        returns: Returns,
    },
    /// Messages of a queue that were given back wait.
    Waiting {
        /// The queue's id.
        queue: u64,
        /// The sequence of each, and until when, in milliseconds since 1970.
        waiting: RangeViews<'a>,
    },
    /// Messages of a queue are dead letters that stay until they have arrived.
    Letters {
        /// The queue's id.
        queue: u64,
        /// The sequence of each, and a number that says why it is one.
        letters: RangeViews<'a>,
    },
    /// Exchanges remember messages that went to no queue that outlives a run.
    Seen(SeenViews<'a>),
}

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// delivery-mode 2.
    pub persistent: bool,
    /// The priority property.
    pub priority: u8,
    /// There is a BCC header among the properties, which receivers must not see.
    pub has_bcc: bool,
    /// Where it went.
    pub placements: PlacementViews<'a>,
    /// What it settled.
    pub settles: PlaceViews<'a>,
    /// What exchanges remember of it.
    pub seen: SeenViews<'a>,
    /// The exchange it was published to.
    pub exchange: &'a [u8],
    /// The routing key it was published with.
    pub routing_key: &'a [u8],
    /// Property flags and values, encoded.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// Placements, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementViews<'a> {
    bytes: &'a [u8],
    expires: bool,
}

impl<'a> PlacementViews<'a> {
    /// Views of placements, which are encoded into `buffer`.
    pub fn of(placements: &[Placement], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for placement in placements {
            encode_place(buffer, placement.place);
            buffer.extend_from_slice(&placement.expires_at_ms.to_le_bytes());
        }
        Self {
            bytes: buffer,
            expires: true,
        }
    }
}

impl Iterator for PlacementViews<'_> {
    type Item = Placement;

    fn next(&mut self) -> Option<Placement> {
        let mut fields = Fields(self.bytes);
        let place = Place {
            queue: fields.u64()?,
            sequence: fields.u64()?,
        };
        let expires_at_ms = if self.expires {
            fields.u64()?
        } else {
            Placement::NEVER
        };
        self.bytes = fields.0;
        Some(Placement {
            place,
            expires_at_ms,
        })
    }
}

/// Places, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceViews<'a>(&'a [u8]);

impl<'a> PlaceViews<'a> {
    /// Views of places, which are encoded into `buffer`.
    pub fn of(places: &[Place], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        places.iter().for_each(|place| encode_place(buffer, *place));
        Self(buffer)
    }
}

impl Iterator for PlaceViews<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let mut fields = Fields(self.0);
        let place = Place {
            queue: fields.u64()?,
            sequence: fields.u64()?,
        };
        self.0 = fields.0;
        Some(place)
    }
}

/// Ranges, or other pairs, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeViews<'a>(&'a [u8]);

impl<'a> RangeViews<'a> {
    /// Views of ranges, which are encoded into `buffer`.
    pub fn of(ranges: &[(u64, u64)], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for (first, last) in ranges {
            buffer.extend_from_slice(&first.to_le_bytes());
            buffer.extend_from_slice(&last.to_le_bytes());
        }
        Self(buffer)
    }
}

impl<'a> RangeViews<'a> {
    fn decode(fields: &mut Fields<'a>) -> Option<Self> {
        let pairs = fields.u32()? as usize;
        Some(Self(fields.bytes(pairs.checked_mul(16)?)?))
    }
}

impl Iterator for RangeViews<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let mut fields = Fields(self.0);
        let range = (fields.u64()?, fields.u64()?);
        self.0 = fields.0;
        Some(range)
    }
}

/// A record whose checksum holds but which this format does not have: it was written by a newer
/// program, or by a faulty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRecord {
    /// Its kind.
    pub kind: u8,
}

impl fmt::Display for UnknownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record of kind {} that can't be understood", self.kind)
    }
}

impl std::error::Error for UnknownRecord {}

impl NewMessage<'_> {
    /// Whether all its lengths fit their fields.
    pub(super) fn fits(&self) -> bool {
        self.exchange.len() <= usize::from(u8::MAX)
            && self.routing_key.len() <= usize::from(u8::MAX)
            && self.placements.len() <= usize::from(u16::MAX)
            && self.settles.len() <= usize::from(u16::MAX)
            && self.properties.len() <= MAX_PART_BYTES
            && self.body.len() <= MAX_PART_BYTES
    }

    fn expires(&self) -> bool {
        self.placements
            .iter()
            .any(|placement| placement.expires_at_ms != Placement::NEVER)
    }

    /// Bytes of the payload.
    pub(super) fn encoded_bytes(&self) -> usize {
        MESSAGE_FIXED_BYTES
            + self.placements.len() * if self.expires() { 24 } else { 16 }
            + self.settles.len() * 16
            + if self.seen.is_empty() {
                0
            } else {
                seen_bytes(self.seen)
            }
            + self.exchange.len()
            + self.routing_key.len()
            + self.properties.len()
            + self.body.len()
    }

    /// Appends the payload.
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        let expires = self.expires();
        let mut fixed = [0; MESSAGE_FIXED_BYTES];
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        fixed[0] = flag(self.persistent, PERSISTENT)
            | flag(expires, EXPIRES)
            | flag(self.has_bcc, HAS_BCC)
            | flag(!self.seen.is_empty(), SEEN);
        fixed[1] = self.priority;
        fixed[2] = self.exchange.len() as u8;
        fixed[3] = self.routing_key.len() as u8;
        fixed[4..6].copy_from_slice(&(self.placements.len() as u16).to_le_bytes());
        fixed[6..8].copy_from_slice(&(self.settles.len() as u16).to_le_bytes());
        fixed[8..12].copy_from_slice(&(self.properties.len() as u32).to_le_bytes());
        fixed[12..16].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        to.extend_from_slice(&fixed);
        for placement in self.placements {
            encode_place(to, placement.place);
            if expires {
                to.extend_from_slice(&placement.expires_at_ms.to_le_bytes());
            }
        }
        for place in self.settles {
            encode_place(to, *place);
        }
        if !self.seen.is_empty() {
            encode_seen(to, self.seen);
        }
        to.extend_from_slice(self.exchange);
        to.extend_from_slice(self.routing_key);
        to.extend_from_slice(self.properties);
        to.extend_from_slice(self.body);
    }
}

const MESSAGE_FIXED_BYTES: usize = 16;
/// No part of a message is longer, so that a record's length fits its field.
const MAX_PART_BYTES: usize = 1 << 30;

pub(super) fn encode_place(to: &mut Vec<u8>, place: Place) {
    to.extend_from_slice(&place.queue.to_le_bytes());
    to.extend_from_slice(&place.sequence.to_le_bytes());
}

impl<'a> Record<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// The kind is unknown, or the payload is not one of that kind.
    pub(super) fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, UnknownRecord> {
        Self::decode_known(kind, Fields(payload)).ok_or(UnknownRecord { kind })
    }

    fn decode_known(kind: u8, mut fields: Fields<'a>) -> Option<Self> {
        let record = match kind {
            kind::MESSAGE => Record::Message(MessageView::decode(&mut fields)?),
            kind::SETTLE => Record::Settle {
                queue: fields.u64()?,
                ranges: RangeViews::decode(&mut fields)?,
            },
            kind::CURSOR => Record::Cursor {
                queue: fields.u64()?,
                sequence: fields.u64()?,
            },
            kind::RETURNED => {
                let queue = fields.u64()?;
                let (range, returns) = Returns::decode(&mut fields)?;
                Record::Returned {
                    queue,
                    range,
                    returns,
                }
            }
            kind::WAITING => Record::Waiting {
                queue: fields.u64()?,
                waiting: RangeViews::decode(&mut fields)?,
            },
            kind::LETTERS => Record::Letters {
                queue: fields.u64()?,
                letters: RangeViews::decode(&mut fields)?,
            },
            kind::SEEN => Record::Seen(SeenViews::decode(&mut fields)?),
            _ => return None,
        };
        fields.0.is_empty().then_some(record)
    }
}

impl<'a> MessageView<'a> {
    fn decode(fields: &mut Fields<'a>) -> Option<Self> {
        let flags = fields.u8()?;
        let expires = flags & EXPIRES != 0;
        let priority = fields.u8()?;
        let exchange_bytes = usize::from(fields.u8()?);
        let key_bytes = usize::from(fields.u8()?);
        let placements = usize::from(fields.u16()?);
        let settles = usize::from(fields.u16()?);
        let properties_bytes = fields.u32()? as usize;
        let body_bytes = fields.u32()? as usize;
        Some(Self {
            persistent: flags & PERSISTENT != 0,
            priority,
            has_bcc: flags & HAS_BCC != 0,
            placements: PlacementViews {
                bytes: fields.bytes(placements * if expires { 24 } else { 16 })?,
                expires,
            },
            settles: PlaceViews(fields.bytes(settles * 16)?),
            seen: match flags & SEEN {
                0 => SeenViews::default(),
                _ => SeenViews::decode(fields)?,
            },
            exchange: fields.bytes(exchange_bytes)?,
            routing_key: fields.bytes(key_bytes)?,
            properties: fields.bytes(properties_bytes)?,
            body: fields.bytes(body_bytes)?,
        })
    }
}
