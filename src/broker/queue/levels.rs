//! Which band a message's priority puts it into, and which band is served first.
//!
//! A classic queue has as many priorities as it was declared with; a message without one has the lowest. A
//! quorum queue has 32, and a message without one has [`USUAL_LEVEL`], as in RabbitMQ since 4.3. These are
//! nearly all messages, so theirs is the first band, and a queue that has none but these has no other.

use super::{QueueArguments, QueueType};
use crate::amqp::properties;
use crate::broker::message::Message;

/// The highest priority in a quorum queue; what is higher counts as this.
const TOP_LEVEL: u8 = 31;
/// The priority in a quorum queue of messages that have none.
const USUAL_LEVEL: u8 = 4;
/// The band of the first priority above that; those of the others follow, and before it lie those below.
const ABOVE_USUAL: usize = USUAL_LEVEL as usize + 2;

impl QueueArguments {
    /// Whether messages may go before others because of their priorities.
    pub(super) fn has_levels(&self) -> bool {
        self.max_priority > 0 || self.queue_type == QueueType::Quorum
    }

    /// What a message's priority counts as; of two the one with the higher goes first.
    pub(super) fn level_of(&self, message: &Message<'_>) -> u8 {
        let priority = message.facts.priority;
        match self.queue_type {
            QueueType::Quorum if priority == 0 && !properties::has_priority(message.properties) => {
                USUAL_LEVEL
            }
            QueueType::Quorum => priority.min(TOP_LEVEL),
            QueueType::Classic | QueueType::Stream => priority.min(self.max_priority),
        }
    }

    /// The band that a message goes to.
    pub(super) fn band_of(&self, message: &Message<'_>) -> usize {
        let level = self.level_of(message);
        match self.queue_type {
            QueueType::Quorum if level == USUAL_LEVEL => 0,
            QueueType::Quorum => usize::from(level) + 1,
            QueueType::Classic | QueueType::Stream => usize::from(level),
        }
    }

    /// So many bands, the one that is served first before the others.
    pub(super) fn bands_from_top(&self, bands: usize) -> impl Iterator<Item = usize> + use<> {
        let (above, below) = match self.queue_type {
            QueueType::Quorum => (ABOVE_USUAL, 1..bands.clamp(1, ABOVE_USUAL)),
            QueueType::Classic | QueueType::Stream => (1, 1..1),
        };
        let above = (above..bands).rev();
        above.chain((0..bands).take(1)).chain(below.rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::{Body, Facts};

    fn message(properties: &[u8], priority: u8) -> Message<'_> {
        Message {
            exchange: b"",
            routing_key: b"",
            properties,
            body: Body::Slice(b""),
            facts: Facts {
                priority,
                ..Facts::PLAIN
            },
        }
    }

    fn arguments(queue_type: QueueType, max_priority: u8) -> QueueArguments {
        QueueArguments {
            queue_type,
            max_priority,
            ..QueueArguments::default()
        }
    }

    #[test]
    fn bands_are_served_by_their_levels() {
        for (arguments, bands) in [
            (arguments(QueueType::Quorum, 0), 33),
            (arguments(QueueType::Classic, 32), 33),
        ] {
            for there in 1..=bands {
                let order: Vec<usize> = arguments.bands_from_top(there).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..there), "{there} {order:?}");
                let levels = (0..=32u8).map(|priority| message(&[0x08, 0, 0], priority));
                let levels = levels
                    .map(|message| (arguments.level_of(&message), arguments.band_of(&message)));
                let mut levels: Vec<_> = levels.filter(|(_, band)| *band < there).collect();
                levels.sort_unstable_by(|one, other| other.cmp(one));
                levels.dedup();
                let places = levels.iter().map(|(_, band)| {
                    let place = order.iter().position(|one| one == band);
                    place.expect("it is there")
                });
                assert!(places.is_sorted(), "{there} {levels:?} {order:?}");
            }
        }
    }

    #[test]
    fn a_message_without_a_priority_is_none_of_priority_0() {
        let quorum = arguments(QueueType::Quorum, 0);
        assert_eq!(quorum.level_of(&message(&[0, 0], 0)), 4);
        assert_eq!(quorum.level_of(&message(&[0x08, 0, 0], 0)), 0);
        assert_eq!(quorum.level_of(&message(&[0x08, 0, 255], 255)), 31);
        let classic = arguments(QueueType::Classic, 3);
        assert_eq!(classic.level_of(&message(&[0, 0], 0)), 0);
        assert_eq!(classic.level_of(&message(&[0x08, 0, 9], 9)), 3);
    }
}
