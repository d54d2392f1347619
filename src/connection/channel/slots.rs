//! The consumers of a channel, and the queues that it took messages from, by slot.
//!
//! A slot is what deliveries are remembered by: it knows queue and consumer, so that an unsettled
//! delivery is a few numbers and holds no reference of its own. A slot stays until its consumer is
//! gone *and* its last delivery is settled; only then may its number be used again.
//!
//! Here, too, is prefetch as RabbitMQ means it: a consumer's own limit is what basic.qos said when
//! it was made; the channel's (global=true) counts what consumers with acknowledgements were sent
//! since the limit was set, on top of everything unsettled at that moment.

use std::sync::Arc;

use hashbrown::HashMap;
use slab::Slab;

use crate::amqp::encode::DeliverTemplate;
use crate::amqp::table::ShortStr;
use crate::broker::queue::{ConsumerId, ConsumerTimeout};
use crate::broker::{Queue, QueueId};

/// Why a consumer takes nothing at the moment, and thus who resumes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// It takes what it is offered.
    Not,
    /// Its prefetch is used up: whoever settles its deliveries resumes it.
    ForPrefetch,
    /// The channel's prefetch is used up: whoever settles any of its deliveries resumes it.
    ForChannelPrefetch,
    /// The outgoing buffer is full: it resumes the consumer itself.
    ForRoom,
}

/// See the module.
pub(super) struct Slot {
    /// Where its deliveries come from and are settled.
    pub queue: Arc<Queue>,
    /// What a consumer has; None for a slot of basic.get.
    pub consumer: Option<Consumer>,
    /// How many of its deliveries are unsettled or promised.
    pub unsettled: u32,
}

/// A consumer's part of its slot.
pub(super) struct Consumer {
    pub tag: ShortStr,
    /// How its deliveries begin.
    pub template: DeliverTemplate,
    /// What its queue knows it as; None until it is added there.
    pub id: Option<ConsumerId>,
    pub no_ack: bool,
    /// How many deliveries may be unsettled; 0: any number.
    pub prefetch: u32,
    /// What it asks for itself of deliveries that take too long.
    pub timeout: ConsumerTimeout,
    pub waits: Waits,
    /// Whether it began before another one to wait for the channel's prefetch.
    pub waits_since: u64,
    pub state: ConsumerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsumerState {
    /// consume-ok has not been written yet.
    Starting,
    /// It takes deliveries.
    Running,
    /// It was cancelled, by whomever.
    Cancelled,
}

impl Slot {
    /// How many more deliveries the consumer's own prefetch allows.
    pub fn credit(&self) -> usize {
        match &self.consumer {
            Some(consumer) if consumer.prefetch > 0 && !consumer.no_ack => {
                consumer.prefetch.saturating_sub(self.unsettled) as usize
            }
            _ => usize::MAX,
        }
    }

    fn is_done(&self) -> bool {
        let consumes = self
            .consumer
            .as_ref()
            .is_some_and(|consumer| consumer.state != ConsumerState::Cancelled);
        !consumes && self.unsettled == 0
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    slots: Slab<Slot>,
    by_tag: HashMap<ShortStr, u32>,
    by_queue: HashMap<QueueId, u32>,
}

impl Slots {
    /// The slot of that number.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)
    }

    /// The slot of the consumer with that tag.
    pub fn of_tag(&self, tag: &ShortStr) -> Option<u32> {
        self.by_tag.get(tag).copied()
    }

    /// How many consumers there are.
    pub fn consumers(&self) -> usize {
        self.by_tag.len()
    }

    /// A slot for a consumer.
    pub fn add_consumer(&mut self, queue: Arc<Queue>, consumer: Consumer) -> u32 {
        let tag = consumer.tag.clone();
        let slot = self.slots.insert(Slot {
            queue,
            consumer: Some(consumer),
            unsettled: 0,
        }) as u32;
        self.by_tag.insert(tag, slot);
        slot
    }

    /// A slot for what basic.get takes from a queue.
    pub fn for_get(&mut self, queue: &Arc<Queue>) -> u32 {
        let slots = &mut self.slots;
        *self.by_queue.entry(queue.id()).or_insert_with(|| {
            slots.insert(Slot {
                queue: Arc::clone(queue),
                consumer: None,
                unsettled: 0,
            }) as u32
        })
    }

    /// The consumer takes deliveries from now on, as its queue's `id`. False if it was cancelled
    /// before it began.
    pub fn start(&mut self, slot: u32, id: ConsumerId) -> bool {
        match self
            .slots
            .get_mut(slot as usize)
            .and_then(|slot| slot.consumer.as_mut())
        {
            Some(consumer) if consumer.state == ConsumerState::Starting => {
                consumer.id = Some(id);
                consumer.state = ConsumerState::Running;
                true
            }
            _ => false,
        }
    }

    /// The consumer takes no more deliveries. Says what it did before; None if it is no consumer.
    pub fn cancel(&mut self, slot: u32) -> Option<ConsumerState> {
        let consumer = self.slots.get_mut(slot as usize)?.consumer.as_mut()?;
        let before = std::mem::replace(&mut consumer.state, ConsumerState::Cancelled);
        if before != ConsumerState::Cancelled {
            self.by_tag.remove(&consumer.tag);
        }
        Some(before)
    }

    /// Which slots have something unsettled, or will: their queues, and what their consumers ask for.
    pub fn timeouts(&self) -> Vec<(u32, Arc<Queue>, ConsumerTimeout)> {
        let slots = self.slots.iter();
        let watched = slots.filter(|(_, slot)| {
            let consumer = slot.consumer.as_ref();
            slot.unsettled > 0 || consumer.is_some_and(|consumer| !consumer.no_ack)
        });
        let timeout = |slot: &Slot| {
            let consumer = slot.consumer.as_ref();
            consumer
                .map(|consumer| consumer.timeout)
                .unwrap_or_default()
        };
        watched
            .map(|(number, slot)| (number as u32, Arc::clone(&slot.queue), timeout(slot)))
            .collect()
    }

    /// A consumer's queue and tag.
    pub fn consumer(&self, slot: u32) -> Option<(Arc<Queue>, ShortStr)> {
        let slot = self.slots.get(slot as usize)?;
        let tag = slot.consumer.as_ref()?.tag.clone();
        Some((Arc::clone(&slot.queue), tag))
    }

    /// Frees the slot if nothing needs it any more.
    pub fn free_if_done(&mut self, slot: u32) {
        if self.slots.get(slot as usize).is_some_and(Slot::is_done) {
            let slot = self.slots.remove(slot as usize);
            if slot.consumer.is_none() {
                self.by_queue.remove(&slot.queue.id());
            }
        }
    }

    /// The consumers that wait for the channel's prefetch; they do so no longer. By queue, whoever has
    /// waited longest first.
    pub fn take_waiting_for_channel_prefetch(&mut self) -> Vec<(Arc<Queue>, ConsumerId)> {
        let mut waiting = Vec::new();
        for (_, slot) in &mut self.slots {
            if let Some(consumer) = slot.consumer.as_mut()
                && consumer.waits == Waits::ForChannelPrefetch
                && let Some(id) = consumer.id
            {
                consumer.waits = Waits::Not;
                waiting.push((consumer.waits_since, Arc::clone(&slot.queue), id));
            }
        }
        waiting.sort_unstable_by_key(|(since, queue, _)| (queue.id(), *since));
        let waiting = waiting.into_iter();
        waiting.map(|(_, queue, id)| (queue, id)).collect()
    }

    /// Ends the consumers of these queues, and those that have not begun: which are still in their queues,
    /// with their tags.
    pub fn cancel_those(
        &mut self,
        goes: impl Fn(&Queue) -> bool,
    ) -> Vec<(Arc<Queue>, ConsumerId, ShortStr)> {
        let by_tag = &mut self.by_tag;
        let mut cancelled = Vec::new();
        for (_, slot) in &mut self.slots {
            let Some(consumer) = slot.consumer.as_mut() else {
                continue;
            };
            let ends = match consumer.state {
                ConsumerState::Cancelled => false,
                ConsumerState::Starting => true,
                ConsumerState::Running => goes(&slot.queue),
            };
            if !ends {
                continue;
            }
            consumer.state = ConsumerState::Cancelled;
            by_tag.remove(&consumer.tag);
            if let Some(id) = consumer.id {
                cancelled.push((Arc::clone(&slot.queue), id, consumer.tag.clone()));
            }
        }
        cancelled
    }
}

/// The channel's prefetch (basic.qos with global=true).
#[derive(Debug, Default)]
pub(super) struct ChannelPrefetch {
    /// 0: no limit.
    limit: u32,
    /// Sent and unsettled. RabbitMQ's count may fall below zero; so may ours.
    volume: i64,
}

impl ChannelPrefetch {
    /// Sets the limit (0: none) while `unsettled` deliveries of the channel are unsettled.
    pub fn set(&mut self, limit: u32, unsettled: usize) {
        if limit == 0 {
            self.volume = 0;
        } else if self.limit == 0 {
            self.volume = unsettled as i64;
        }
        self.limit = limit;
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.limit > 0
    }

    /// How many more deliveries it allows.
    pub fn credit(&self) -> usize {
        match self.limit {
            0 => usize::MAX,
            limit => usize::try_from(i64::from(limit) - self.volume).unwrap_or(0),
        }
    }

    /// Deliveries that need an acknowledgement were sent.
    pub fn sent(&mut self, count: usize) {
        if self.limit > 0 {
            self.volume += count as i64;
        }
    }

    /// Deliveries to consumers were settled.
    pub fn settled(&mut self, count: usize) {
        if self.limit > 0 && self.volume != 0 {
            self.volume -= count as i64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_prefetch_counts_from_what_is_unsettled_when_it_is_set() {
        let mut prefetch = ChannelPrefetch::default();
        prefetch.sent(100);
        assert_eq!(prefetch.credit(), usize::MAX);
        prefetch.set(10, 4);
        assert_eq!(prefetch.credit(), 6);
        prefetch.sent(6);
        assert_eq!(prefetch.credit(), 0);
        prefetch.set(5, 10);
        prefetch.settled(6);
        assert_eq!(prefetch.credit(), 1);
        prefetch.set(0, 4);
        prefetch.set(5, 4);
        assert_eq!(prefetch.credit(), 1);
    }
}
