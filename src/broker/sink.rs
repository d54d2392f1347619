//! A consumer as the engine sees it: has it room; take these messages.

use std::sync::Arc;

use super::Message;
use super::log::Returns;

/// A message offered to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Its place in its queue. What is acked, rejected or requeued is named by it.
    pub sequence: u64,
    /// How often it was given back by a consumer before, in a way that counts.
    pub returns: Returns,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
}

/// How much of an offer was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The first so many deliveries were taken; the sink has them now.
    pub count: usize,
    /// The consumer has no more room. It is not offered anything until
    /// [`Queue::resume`](super::Queue::resume) is called for it, which the sink's owner does as
    /// soon as there is room. Always true where `count` is less than what was offered.
    pub full: bool,
}

/// Where the deliveries of one channel go. Called with a queue's lock held: an implementation
/// takes its own locks (delivery state, then outgoing buffer), copies, and returns; it never
/// blocks, never does I/O and never calls a queue.
pub trait Sink: Send + Sync {
    /// Offers deliveries, in order, to the consumer that the channel knows as `slot`.
    fn offer(&self, slot: u32, deliveries: &[Delivery<'_>]) -> Taken;

    /// Promises to take up to `wanted` deliveries and says how many; less than `wanted` means that
    /// the consumer is then full, as in [`Taken::full`]. A promise above 0 is kept at once, by
    /// [`Sink::deliver`] with exactly so many in all, before the queue's lock is released. (A queue with
    /// several consumers deals in turn, and must know beforehand who drops out when, or a
    /// consumer could see messages out of order.)
    fn reserve(&self, slot: u32, wanted: usize) -> usize;

    /// Takes what was promised, or a part of it: those of `deliveries` at these places, in order.
    fn deliver(&self, slot: u32, deliveries: &[Delivery<'_>], places: &[u16]);

    /// The consumer has room, but what there is for it had better be delivered from its own task: it
    /// counts as full, as in [`Taken::full`], and its owner calls
    /// [`Queue::resume`](super::Queue::resume) soon after the next [`Sink::flush`]. Says whether it
    /// will; if not, nothing has changed.
    fn defer(&self, _slot: u32) -> bool {
        false
    }

    /// The broker cancelled the consumer, because its queue is gone.
    fn cancel(&self, slot: u32);

    /// Sends what was taken. Called without any lock, once per batch; it may write to the socket
    /// if that does not block, and may be called for nothing.
    fn flush(&self);

    /// The same for one of many that were given something at once: if that is little, it may be sent a
    /// little later, together with what others give it meanwhile.
    fn flush_among_many(&self) {
        self.flush();
    }
}

/// A shared sink. Two of them are the same channel's when they point to the same place.
pub type SinkRef = Arc<dyn Sink>;
