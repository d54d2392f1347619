//! Dead letters of one queue that are not published yet. They are put in under the queue's lock and
//! published without it, by one at a time: so they arrive in the order in which they left, whoever
//! made them leave.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::broker::Effects;
use crate::broker::dead_letter::DeadLetter;

/// See the module.
#[derive(Default)]
pub(in crate::broker) struct Outbox {
    letters: Mutex<VecDeque<DeadLetter>>,
    /// Held by whoever publishes.
    turn: Mutex<()>,
}

impl Outbox {
    /// Puts one in. Called with the queue's lock held.
    pub fn put(&self, letter: DeadLetter) {
        self.letters.lock().push_back(letter);
    }

    /// Publishes all there are; afterwards those that the caller put in are published, by whomever.
    /// Call without any lock.
    pub fn publish_all(&self, effects: &mut Effects) {
        let _turn = self.turn.lock();
        loop {
            let letter = self.letters.lock().pop_front();
            match letter {
                Some(letter) => letter.publish(effects),
                None => return,
            }
        }
    }
}
