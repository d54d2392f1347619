//! What one read of the socket brought for one channel and the engine does not have yet.
//!
//! In: messages with the numbers of the queues they go to, and settled deliveries. Out: each queue
//! gets its messages with one call, in the order in which they were published. The messages borrow
//! the read buffer; the few that do not lie in it, or not as they are to be stored, have those
//! parts kept beside them.
//!
//! Allocations outlive the read that they were made for: a batch takes them from its thread and
//! gives them back, so that neither a read nor an idle connection pays for them.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

use super::settle::Settling;
use crate::amqp::table::ShortStr;
use crate::broker::message::SHARED_BODY_BYTES;
use crate::broker::{Body, Effects, Message, Queue};

/// So many messages are handed over at the latest...
const MAX_MESSAGES: usize = 1024;

/// ... or so many bytes of bodies ...
const MAX_BYTES: usize = 1 << 20;

/// ... or so many picks, where messages go to many queues.
const MAX_PICKS: usize = 1 << 16;

/// What was gathered from one read of the socket and not yet handed to the engine. Borrows the
/// read buffer; made anew for each read from recycled allocations.
pub struct ReadBatch<'a>(pub(super) Gathering<'a>);

/// What a batch is made of.
#[derive(Default)]
pub(super) struct Gathering<'a> {
    messages: Vec<Message<'a>>,
    /// Which of them have parts that do not lie in the read buffer, in order.
    kept: Vec<(u32, Kept)>,
    /// Their publish tags, on a channel with confirms.
    tags: Vec<u64>,
    gathered: Gathered,
    /// Which messages go to which queue (by number), where not all go to one.
    picks: Vec<Vec<u32>>,
    /// The queues that have picks.
    touched: Vec<u32>,
    picked: usize,
    body_bytes: usize,
    /// How many publishes there were.
    pub published: u64,
    /// The publish tags that they used, first and last.
    pub confirms: Option<(u64, u64)>,
    pub settling: Settling,
    /// What calls into queues left to be done.
    pub effects: Effects,
}

/// Gathering of a message that do not lie in the read buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Exchange and routing key.
    pub names: Option<(ShortStr, ShortStr)>,
    pub properties: Option<Bytes>,
    pub body: Option<Bytes>,
}

/// Where the gathered messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gathered {
    #[default]
    Nothing,
    /// All of them to this queue and no other.
    ToOne(u32),
    /// As the picks say.
    ToMany,
}

thread_local! {
    static SPARE: Cell<Option<Gathering<'static>>> = const { Cell::new(None) };
}

impl ReadBatch<'_> {
    /// An empty batch, with the allocations of an earlier one of this thread.
    pub fn new() -> Self {
        Self(
            SPARE
                .try_with(Cell::take)
                .ok()
                .flatten()
                .unwrap_or_default(),
        )
    }
}

impl Default for ReadBatch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ReadBatch<'_> {
    fn drop(&mut self) {
        let spare = std::mem::take(&mut self.0).emptied();
        // Where the thread ends, so do its allocations.
        let _ = SPARE.try_with(|place| place.set(Some(spare)));
    }
}

impl<'a> Gathering<'a> {
    /// Without what it gathered, for another read.
    fn emptied<'b>(mut self) -> Gathering<'b> {
        self.messages.clear();
        self.forget();
        Gathering {
            // Collecting an emptied vector in place keeps its allocation and sheds the lifetime.
            messages: self
                .messages
                .into_iter()
                .map(|_| unreachable!("it was emptied"))
                .collect(),
            kept: self.kept,
            tags: self.tags,
            gathered: Gathered::Nothing,
            picks: self.picks,
            touched: self.touched,
            picked: 0,
            body_bytes: 0,
            published: 0,
            confirms: None,
            settling: Settling::default(),
            effects: self.effects,
        }
    }

    /// Whether there are no messages.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is time to hand the messages over.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MAX_MESSAGES
            || self.body_bytes >= MAX_BYTES
            || self.picked >= MAX_PICKS
    }

    /// Adds a message for some queues, at least one.
    #[inline]
    pub fn push(&mut self, message: Message<'a>, targets: &[u32]) {
        let index = self.messages.len() as u32;
        self.body_bytes += message.body.len();
        self.messages.push(message);
        match (self.gathered, targets) {
            (Gathered::ToOne(queue), [target]) if queue == *target => {}
            (Gathered::ToMany, _) => targets.iter().for_each(|target| self.pick(index, *target)),
            _ => self.turn(index, targets),
        }
    }

    /// Adds a message of which some parts are kept; `message` has the rest.
    pub fn push_kept(&mut self, message: Message<'a>, kept: Kept, targets: &[u32]) {
        self.body_bytes += kept.body.as_ref().map_or(0, Bytes::len);
        self.kept.push((self.messages.len() as u32, kept));
        self.push(message, targets);
    }

    /// A publish tag was used, for the message that was pushed last if there is one.
    #[inline]
    pub fn used_tag(&mut self, tag: u64, is_pushed: bool) {
        if is_pushed {
            self.tags.push(tag);
        }
        let first = self.confirms.map_or(tag, |(first, _)| first);
        self.confirms = Some((first, tag));
    }

    /// Gives all messages to their queues, of which `queues` are those that have numbers. Says the
    /// publish tags of messages that a full queue refused, once per queue that did.
    pub fn hand_over(&mut self, queues: &[Arc<Queue>]) -> Vec<u64> {
        let mut refused = Vec::new();
        if self.kept.is_empty() {
            let messages = std::mem::take(&mut self.messages);
            self.publish(&messages, queues, &mut refused);
            self.messages = messages;
        } else {
            let kept = std::mem::take(&mut self.kept);
            let mut whole: Vec<Message<'_>> = self.messages.clone();
            for (index, kept) in &kept {
                if let Some(message) = whole.get_mut(*index as usize) {
                    kept.complete(message);
                }
            }
            self.publish(&whole, queues, &mut refused);
            drop(whole);
            self.kept = kept;
        }
        self.messages.clear();
        self.forget();
        refused
    }

    fn publish(&mut self, messages: &[Message<'_>], queues: &[Arc<Queue>], refused: &mut Vec<u64>) {
        let mut publish = |queue: u32, picks: Option<&[u32]>| {
            let Some(queue) = queues.get(queue as usize) else {
                return;
            };
            queue.publish(messages, picks, &mut self.effects);
            refused.extend(
                self.effects
                    .refused
                    .drain(..)
                    .filter_map(|index| self.tags.get(index as usize)),
            );
        };
        match self.gathered {
            Gathered::Nothing => {}
            Gathered::ToOne(queue) => publish(queue, None),
            Gathered::ToMany => {
                for &queue in &self.touched {
                    let picks = self
                        .picks
                        .get(queue as usize)
                        .map_or(&[][..], Vec::as_slice);
                    publish(queue, Some(picks));
                }
            }
        }
    }

    /// The first message, or the first that goes elsewhere than all before.
    #[cold]
    fn turn(&mut self, index: u32, targets: &[u32]) {
        if let (Gathered::Nothing, [target]) = (self.gathered, targets) {
            self.gathered = Gathered::ToOne(*target);
            return;
        }
        if let Gathered::ToOne(queue) = self.gathered {
            (0..index).for_each(|earlier| self.pick(earlier, queue));
        }
        self.gathered = Gathered::ToMany;
        targets.iter().for_each(|target| self.pick(index, *target));
    }

    fn pick(&mut self, index: u32, queue: u32) {
        let at = queue as usize;
        if self.picks.len() <= at {
            self.picks.resize_with(at + 1, Vec::new);
        }
        if let Some(picks) = self.picks.get_mut(at) {
            if picks.is_empty() {
                self.touched.push(queue);
            }
            picks.push(index);
            self.picked += 1;
        }
    }

    fn forget(&mut self) {
        self.kept.clear();
        self.tags.clear();
        for queue in self.touched.drain(..) {
            if let Some(picks) = self.picks.get_mut(queue as usize) {
                picks.clear();
            }
        }
        self.gathered = Gathered::Nothing;
        self.picked = 0;
        self.body_bytes = 0;
    }
}

impl Kept {
    /// Puts the kept parts into the message.
    pub fn complete<'k>(&'k self, message: &mut Message<'k>) {
        if let Some((exchange, routing_key)) = &self.names {
            message.exchange = exchange.as_bytes();
            message.routing_key = routing_key.as_bytes();
        }
        if let Some(properties) = &self.properties {
            message.properties = properties;
        }
        if let Some(body) = &self.body {
            message.body = body_of(body);
        }
    }
}

/// A body that is shared from a certain size on.
pub(super) fn body_of(body: &Bytes) -> Body<'_> {
    if body.len() >= SHARED_BODY_BYTES {
        Body::Shared(body)
    } else {
        Body::Slice(body)
    }
}
