//! Where the deliveries of one channel go: from queues, into the client's outgoing buffer.
//!
//! In: what queues offer, called with a queue's lock held. Out: basic.deliver frames, encoded
//! straight into the outgoing buffer, and the list of what is unsettled. Locks are taken in the
//! order queue, delivery state, outgoing buffer; nothing here calls a queue.
//!
//! Holds always: a consumer that was said to be full has its reason in [`Waits`], written under
//! this lock, and whoever takes the reason away (settling, basic.qos, the outgoing buffer) resumes
//! it afterwards. So no wake-up is lost.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::content_frames::{self, is_redelivered, short_str};
use super::reply_to::{self, ReplyConsumer};
use super::slots::{ChannelPrefetch, ConsumerState, Slots, Waits};
use super::unacked::{Unacked, Unsettled};
use crate::amqp::encode;
use crate::amqp::method::{Method, basic};
use crate::amqp::table::ShortStr;
use crate::broker::notices::Consumed;
use crate::broker::queue::ConsumerId;
use crate::broker::{Body, Delivery, Queue, Sink, Taken};
use crate::connection::Shared;
use crate::connection::outgoing::{HIGH_WATER_BYTES, Pending};

/// Direct replies for a client that does not read count against the memory limit, and publishers are
/// blocked past that. Should any come all the same, they are dropped past so many unsent bytes.
const REPLY_LIMIT_BYTES: usize = 8 * HIGH_WATER_BYTES;

/// The least that a delivery takes in the outgoing buffer.
const SMALLEST_BYTES: usize = 64;

/// See the module.
pub(super) struct Deliveries {
    shared: Arc<Shared>,
    channel: u16,
    state: Mutex<State>,
}

/// What the lock protects.
pub(super) struct State {
    pub slots: Slots,
    pub unacked: Unacked,
    pub channel_prefetch: ChannelPrefetch,
    pub reply_consumer: Option<ReplyConsumer>,
    /// Some consumer waits for the channel's prefetch.
    has_waiting_for_channel: bool,
    /// Numbers those that wait for it.
    next_wait: u64,
    /// Which of them is resumed first.
    turn: usize,
    is_open: bool,
    next_tag: u64,
    /// What a delivery took of late in the outgoing buffer.
    typical_bytes: usize,
    /// The tags of cancelled consumers that the client is to be told of later, while that is so.
    kept_cancels: Option<Vec<ShortStr>>,
}

impl Deliveries {
    /// No consumers, nothing delivered.
    pub fn new(channel: u16, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            channel,
            state: Mutex::new(State {
                slots: Slots::default(),
                unacked: Unacked::default(),
                channel_prefetch: ChannelPrefetch::default(),
                reply_consumer: None,
                has_waiting_for_channel: false,
                next_wait: 0,
                turn: 0,
                is_open: true,
                next_tag: 1,
                typical_bytes: SMALLEST_BYTES,
                kept_cancels: None,
            }),
        })
    }

    /// On whose behalf: the connection and the channel's number.
    pub(super) fn whose(&self) -> (&Shared, u16) {
        (&self.shared, self.channel)
    }

    /// One of its consumers, for what is told of it.
    pub(super) fn consumed<'a>(&'a self, queue: &'a Queue, tag: &'a str) -> Consumed<'a> {
        Consumed {
            connection: self.shared.id,
            channel: self.channel,
            tag,
            queue,
            vhost: self.shared.vhost.name(),
        }
    }

    /// Takes the lock. Hold no outgoing buffer's lock; call no queue while holding it.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Tells the client that the broker cancelled a consumer, if it wants to know.
    pub fn write_cancel(&self, consumer_tag: ShortStr) {
        if self.shared.capabilities.consumer_cancel_notify {
            let method = cancelled(consumer_tag);
            encode::method_frame(
                &mut self.shared.outgoing.lock().frames,
                self.channel,
                &method,
            );
        }
    }

    /// Keeps what it would tell the client of cancelled consumers from now on, until
    /// [`Deliveries::take_cancels`].
    pub fn keep_cancels(&self) {
        self.lock().kept_cancels = Some(Vec::new());
    }

    /// What was kept; nothing is any more.
    pub fn take_cancels(&self) -> Vec<Method> {
        let kept = self.lock().kept_cancels.take().unwrap_or_default();
        kept.into_iter().map(cancelled).collect()
    }

    /// Writes a basic.get-ok and remembers it if it is to be acknowledged. Called under the
    /// queue's lock, as an offer is.
    pub fn get_ok(
        &self,
        queue: &Arc<Queue>,
        no_ack: bool,
        delivery: &Delivery<'_>,
        remaining: u64,
    ) {
        let mut state = self.state.lock();
        let tag = state.take_tag();
        if !no_ack {
            let slot = state.slots.for_get(queue);
            if let Some(entry) = state.slots.get_mut(slot) {
                entry.unsettled += 1;
            }
            let now_ms = self.shared.broker.engine.clock.now_ms();
            state.unacked.push(unsettled(tag, slot, now_ms, delivery));
        }
        if self.shared.vhost.is_traced() {
            self.trace(queue, std::iter::once(delivery));
        }
        let method = Method::BasicGetOk(basic::GetOk {
            delivery_tag: tag,
            redelivered: is_redelivered(delivery),
            exchange: short_str(delivery.message.exchange),
            routing_key: short_str(delivery.message.routing_key),
            message_count: u32::try_from(remaining).unwrap_or(u32::MAX),
        });
        let frame_max = self.shared.frame_max;
        let mut message = delivery.message;
        let stamped = self.shared.interceptors.sent_time.then(|| {
            let sent_ms = self.shared.broker.engine.clock.now_ms();
            content_frames::stamped(&message, frame_max, sent_ms)
        });
        if let Some(Some(properties)) = &stamped {
            message.properties = properties;
            message.facts.has_bcc = false;
        }
        let mut pending = self.shared.outgoing.lock();
        encode::method_frame(&mut pending.frames, self.channel, &method);
        content_frames::write(&mut pending, self.channel, frame_max, &message);
    }

    /// A direct reply. RabbitMQ gives it the next delivery's tag without using that up.
    fn reply(&self, state: &State, slot: u32, deliveries: &[Delivery<'_>]) {
        let Some(consumer) = state
            .reply_consumer
            .as_ref()
            .filter(|consumer| consumer.slot == slot)
        else {
            return;
        };
        let mut pending = self.shared.outgoing.lock();
        let mut written = 0;
        for delivery in deliveries {
            let mut delivery = *delivery;
            if pending.room_bytes() == 0 {
                // Copied, so that the limit counts it.
                delivery.message.body = Body::Slice(delivery.message.body.as_slice());
                let memory = &self.shared.broker.engine.memory;
                let is_short = memory.used_bytes() > memory.limit_bytes();
                if is_short && pending.frames.len() >= REPLY_LIMIT_BYTES {
                    break;
                }
            }
            let (template, frame_max) = (&consumer.template, self.shared.frame_max);
            let tag = state.next_tag;
            if self.shared.interceptors.sent_time {
                let sent_ms = self.shared.broker.engine.clock.now_ms();
                content_frames::deliver_stamped(
                    &mut pending,
                    template,
                    frame_max,
                    tag,
                    &delivery,
                    sent_ms,
                );
            } else {
                content_frames::deliver(&mut pending, template, frame_max, tag, &delivery);
            }
            written += 1;
        }
        drop(pending);
        let metrics = self.shared.broker.metrics();
        metrics.messages_delivered.add(written);
    }

    fn count<'d>(&self, deliveries: impl ExactSizeIterator<Item = &'d Delivery<'d>>) {
        let metrics = self.shared.broker.metrics();
        metrics.messages_delivered.add(deliveries.len() as u64);
        let redelivered = deliveries.filter(|delivery| is_redelivered(delivery));
        let redelivered = redelivered.count() as u64;
        if redelivered > 0 {
            metrics.messages_redelivered.add(redelivered);
        }
    }
}

impl Sink for Deliveries {
    fn offer(&self, slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if reply_to::is_reply_slot(slot) {
            self.reply(state, slot, deliveries);
            return Taken {
                count: deliveries.len(),
                full: false,
            };
        }
        if !state.is_running(slot) {
            return Taken {
                count: 0,
                full: true,
            };
        }
        let credit = state.credit(slot);
        let allowed = &deliveries[..deliveries.len().min(credit)];
        let mut pending = self.shared.outgoing.lock();
        pending.make_room(allowed.len() * state.typical_bytes);
        let count = state.write(self, slot, allowed.iter(), &mut pending, |pending| {
            pending.room_bytes() > 0
        });
        state.sent(slot, count);
        // Where the channel's prefetch is used up, the consumer finds out in its turn, and so is the
        // next one when there is room again.
        let full = count < deliveries.len()
            || (count == credit && !state.has_prefetch_left(slot))
            || pending.room_bytes() == 0;
        if full {
            state.wait(slot, count == credit, &mut pending);
        }
        drop(pending);
        if self.shared.vhost.is_traced() {
            state.trace(self, slot, deliveries[..count].iter());
        }
        drop(guard);
        self.count(deliveries[..count].iter());
        Taken { count, full }
    }

    fn reserve(&self, slot: u32, wanted: usize) -> usize {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if !state.is_running(slot) {
            return 0;
        }
        let credit = state.credit(slot);
        let mut pending = self.shared.outgoing.lock();
        // At least one fits where there is any room: the mark may be passed by one message.
        let fit = pending.room_bytes().div_ceil(state.typical_bytes);
        let promised = wanted.min(credit).min(fit);
        state.sent(slot, promised);
        if promised < wanted {
            state.wait(slot, promised == credit, &mut pending);
        }
        promised
    }

    fn deliver(&self, slot: u32, deliveries: &[Delivery<'_>], places: &[u16]) {
        let dealt = || places.iter().map(|at| &deliveries[usize::from(*at)]);
        let mut state = self.state.lock();
        let mut pending = self.shared.outgoing.lock();
        state.write(self, slot, dealt(), &mut pending, |_| true);
        drop(pending);
        if self.shared.vhost.is_traced() {
            state.trace(self, slot, deliveries.iter());
        }
        drop(state);
        self.count(dealt());
    }

    fn defer(&self, slot: u32) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if reply_to::is_reply_slot(slot) || !state.is_running(slot) {
            return false;
        }
        state.wait(slot, false, &mut self.shared.outgoing.lock());
        true
    }

    fn cancel(&self, slot: u32) {
        let mut state = self.state.lock();
        let Some(was) = state.slots.cancel(slot) else {
            return;
        };
        // A consumer whose consume-ok is not out yet is told by whoever writes that.
        if was == ConsumerState::Running {
            if let Some((queue, tag)) = state.slots.consumer(slot) {
                let notices = &self.shared.broker.engine.notices;
                notices.consumer_bereft(&self.consumed(&queue, &tag));
                let is_open = state.is_open;
                match &mut state.kept_cancels {
                    Some(kept) if self.shared.capabilities.consumer_cancel_notify => kept.push(tag),
                    // A channel that failed says nothing any more.
                    None if is_open => self.write_cancel(tag),
                    Some(_) | None => {}
                }
            }
            state.slots.free_if_done(slot);
            self.shared.broker.metrics().consumers_removed.add(1);
        }
    }

    fn flush(&self) {
        self.shared.outgoing.flush();
    }

    fn flush_among_many(&self) {
        self.shared.outgoing.flush_or_wake_owner();
    }
}

impl State {
    /// Nothing is taken from now on, except what was promised, which is not written any more.
    pub fn close(&mut self) {
        self.is_open = false;
    }

    /// If the consumer waited for its own prefetch and that has room now, it waits no longer and is
    /// to be resumed.
    pub fn take_resumable(&mut self, slot: u32) -> Option<ConsumerId> {
        let slot = self.slots.get_mut(slot)?;
        let has_room = slot.credit() > 0;
        let consumer = slot.consumer.as_mut()?;
        if consumer.waits != Waits::ForPrefetch || !has_room {
            return None;
        }
        consumer.waits = Waits::Not;
        consumer.id
    }

    /// The consumers that waited for the channel's prefetch, if that has room now: they wait no
    /// longer and are to be resumed, in that order. Those of a queue stand together, whoever has
    /// waited longest first; it starts with another queue each time, because the first may take all
    /// there is.
    pub fn take_waiting_for_channel(&mut self) -> Vec<(Arc<Queue>, ConsumerId)> {
        if !self.has_waiting_for_channel || self.channel_prefetch.credit() == 0 {
            return Vec::new();
        }
        self.has_waiting_for_channel = false;
        let mut waiting = self.slots.take_waiting_for_channel_prefetch();
        let of_one = |one: &(Arc<Queue>, _), other: &(Arc<Queue>, _)| one.0.id() == other.0.id();
        let queues = waiting.chunk_by(of_one).count();
        if queues > 1 {
            self.turn = (self.turn + 1) % queues;
            let before = waiting.chunk_by(of_one).take(self.turn);
            let before = before.map(<[_]>::len).sum();
            waiting.rotate_left(before);
        }
        waiting
    }

    /// Deliveries of a slot were settled: they count against the limits no more.
    pub fn settled(&mut self, slot: u32, count: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.unsettled = slot.unsettled.saturating_sub(count as u32);
            if slot.consumer.is_some() {
                self.channel_prefetch.settled(count);
            }
        }
    }

    fn trace<'d>(
        &mut self,
        channel: &Deliveries,
        slot: u32,
        deliveries: impl Iterator<Item = &'d Delivery<'d>>,
    ) {
        if let Some(slot) = self.slots.get_mut(slot) {
            channel.trace(&slot.queue, deliveries);
        }
    }

    fn is_running(&mut self, slot: u32) -> bool {
        let consumer = self
            .slots
            .get_mut(slot)
            .and_then(|slot| slot.consumer.as_ref());
        self.is_open && consumer.is_some_and(|consumer| consumer.state == ConsumerState::Running)
    }

    fn take_tag(&mut self) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        tag
    }

    /// How many deliveries the limits allow. Those without acknowledgements do not use up the
    /// channel's prefetch, but wait while it is used up.
    fn credit(&mut self, slot: u32) -> usize {
        let channel = self.channel_prefetch.credit();
        let Some(slot) = self.slots.get_mut(slot) else {
            return 0;
        };
        match &slot.consumer {
            Some(consumer) if consumer.no_ack && channel > 0 => usize::MAX,
            _ => slot.credit().min(channel),
        }
    }

    /// Whether the consumer's own prefetch leaves room.
    fn has_prefetch_left(&mut self, slot: u32) -> bool {
        self.slots
            .get_mut(slot)
            .is_some_and(|slot| slot.credit() > 0)
    }

    /// Deliveries count against the limits.
    fn sent(&mut self, slot: u32, count: usize) {
        if let Some(slot) = self.slots.get_mut(slot)
            && slot
                .consumer
                .as_ref()
                .is_some_and(|consumer| !consumer.no_ack)
        {
            slot.unsettled += count as u32;
            self.channel_prefetch.sent(count);
        }
    }

    /// The consumer is full: notes what for, and who resumes it.
    fn wait(&mut self, slot: u32, for_prefetch: bool, pending: &mut Pending) {
        let Some(slot) = self.slots.get_mut(slot) else {
            return;
        };
        let own_has_room = slot.credit() > 0;
        let Some(consumer) = slot.consumer.as_mut() else {
            return;
        };
        consumer.waits = match for_prefetch {
            true if own_has_room => Waits::ForChannelPrefetch,
            true => Waits::ForPrefetch,
            false => Waits::ForRoom,
        };
        match (consumer.waits, consumer.id) {
            (Waits::ForRoom, Some(id)) => pending.wait_for_room(Arc::clone(&slot.queue), id),
            (Waits::ForChannelPrefetch, _) => {
                consumer.waits_since = self.next_wait;
                self.next_wait += 1;
                self.has_waiting_for_channel = true;
            }
            _ => {}
        }
    }

    /// Encodes deliveries for as long as `goes_on` says so, and remembers what is to be settled.
    /// Says how many.
    fn write<'d>(
        &mut self,
        channel: &Deliveries,
        slot: u32,
        deliveries: impl Iterator<Item = &'d Delivery<'d>>,
        pending: &mut Pending,
        goes_on: impl Fn(&Pending) -> bool,
    ) -> usize {
        let consumer = self
            .slots
            .get_mut(slot)
            .and_then(|slot| slot.consumer.as_ref());
        let Some(consumer) = consumer else { return 0 };
        let now_ms = if consumer.no_ack {
            0
        } else {
            channel.shared.broker.engine.clock.now_ms()
        };
        let (mut count, mut bytes) = (0, 0);
        let mut like = None;
        let stamps = channel.shared.interceptors.sent_time;
        for delivery in deliveries {
            if !goes_on(pending) {
                break;
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            let (template, frame_max) = (&consumer.template, channel.shared.frame_max);
            if self.is_open && stamps {
                let sent_ms = channel.shared.broker.engine.clock.now_ms();
                bytes += content_frames::deliver_stamped(
                    pending, template, frame_max, tag, delivery, sent_ms,
                );
            } else if self.is_open {
                bytes += content_frames::deliver_next(
                    pending, template, frame_max, tag, delivery, &mut like,
                );
            }
            if !consumer.no_ack {
                self.unacked.push(unsettled(tag, slot, now_ms, delivery));
            }
            count += 1;
        }
        if let Some(typical_bytes) = bytes.checked_div(count) {
            self.typical_bytes = typical_bytes.max(SMALLEST_BYTES);
        }
        count
    }
}

fn cancelled(consumer_tag: ShortStr) -> Method {
    Method::BasicCancel(basic::Cancel {
        consumer_tag,
        no_wait: true,
    })
}

fn unsettled(tag: u64, slot: u32, delivered_at_ms: u64, delivery: &Delivery<'_>) -> Unsettled {
    Unsettled {
        tag,
        sequence: delivery.sequence,
        slot,
        delivered_at_ms,
    }
}
