//! Pauses: a connection takes no more input until something has happened elsewhere.
//!
//! In: a pause, asked for by the connection's own channels while they deal with input, each with
//! what is to be done at its end. Out: a [`Resume`] for whoever makes it happen, from any thread.
//! What holds: while any pause lasts, no input is used; when the last one is over, what was to be
//! done at their ends is done in their order, before any input; a `Resume` that is dropped ends
//! its pause with an exception, so that no connection waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Outgoing;
use crate::amqp::method::Method;
use crate::amqp::reply::{Exception, ReplyCode};

/// What is to be done when a pause is over.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// What follows in the input.
    GoOn,
    /// The channel sends this, if it is still open.
    Reply(Box<Method>),
    /// The method that asked for the pause once more, as if it had just come.
    Again,
}

/// The pauses of one connection.
#[derive(Debug, Default)]
pub struct Pauses {
    /// Whether there are any, over or not.
    any: AtomicBool,
    pauses: Mutex<Vec<Pause>>,
}

/// One of them.
#[derive(Debug)]
struct Pause {
    channel: u16,
    then: Then,
    outcome: Arc<OnceLock<Result<(), Exception>>>,
    /// How long it lasts at most, and so until when, once it has begun.
    at_most: Option<Duration>,
    until: Option<Instant>,
}

/// A pause that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub channel: u16,
    pub then: Then,
    pub outcome: Result<(), Exception>,
}

/// Ends a pause and wakes its connection's task. Call without the lock of its outgoing buffer.
#[must_use]
pub struct Resume {
    outcome: Arc<OnceLock<Result<(), Exception>>>,
    outgoing: Arc<Outgoing>,
}

impl Pauses {
    /// Pauses the connection with that outgoing buffer, on behalf of a channel.
    pub fn pause(&self, outgoing: &Arc<Outgoing>, channel: u16, then: Then) -> Resume {
        self.add(outgoing, channel, then, None)
    }

    /// The same for no longer than that; then the input goes on in any case.
    pub fn pause_at_most(
        &self,
        outgoing: &Arc<Outgoing>,
        channel: u16,
        at_most: Duration,
    ) -> Resume {
        self.add(outgoing, channel, Then::GoOn, Some(at_most))
    }

    fn add(
        &self,
        outgoing: &Arc<Outgoing>,
        channel: u16,
        then: Then,
        at_most: Option<Duration>,
    ) -> Resume {
        let outcome = Arc::new(OnceLock::new());
        self.pauses.lock().push(Pause {
            channel,
            then,
            outcome: Arc::clone(&outcome),
            at_most,
            until: None,
        });
        self.any.store(true, Ordering::Relaxed);
        Resume {
            outcome,
            outgoing: Arc::clone(outgoing),
        }
    }

    /// The input that asked for them was dealt with: from now on they take their time.
    pub(super) fn begin(&self, now: Instant) {
        for pause in self.pauses.lock().iter_mut() {
            pause.until = pause.until.or(pause.at_most.map(|at_most| now + at_most));
        }
    }

    /// When [`Pauses::expire`] is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.any() {
            return None;
        }
        let pauses = self.pauses.lock();
        let lasting = pauses.iter().filter(|pause| pause.outcome.get().is_none());
        lasting.filter_map(|pause| pause.until).min()
    }

    /// Ends those that have lasted as long as they may.
    pub(super) fn expire(&self, now: Instant) {
        if self.any() {
            let pauses = self.pauses.lock();
            let over = |pause: &&Pause| pause.until.is_some_and(|until| until <= now);
            for pause in pauses.iter().filter(over) {
                // Only the first end counts.
                let _ = pause.outcome.set(Ok(()));
            }
        }
    }

    /// Whether there are any, over or not. Only the connection's own task makes them and takes
    /// them out.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether one of them still lasts.
    pub fn is_lasting(&self) -> bool {
        let is_over = |pause: &Pause| pause.outcome.get().is_some();
        self.any() && !self.pauses.lock().iter().all(is_over)
    }

    /// Whether the method that was dealt with last is to be dealt with again.
    pub(super) fn again(&self) -> bool {
        let pauses = self.pauses.lock();
        pauses.last().is_some_and(|pause| pause.then == Then::Again)
    }

    /// Takes them out, once all of them are over; none otherwise.
    pub(super) fn take_over(&self) -> Vec<Over> {
        if !self.any() || self.is_lasting() {
            return Vec::new();
        }
        self.any.store(false, Ordering::Relaxed);
        let pauses = std::mem::take(&mut *self.pauses.lock());
        let over = pauses.into_iter().map(|pause| Over {
            channel: pause.channel,
            then: pause.then,
            outcome: pause.outcome.get().cloned().unwrap_or(Ok(())),
        });
        over.collect()
    }
}

impl Resume {
    /// It has happened.
    pub fn go_on(self) {
        self.end(Ok(()));
    }

    /// It will not happen: the channel or the connection, as the code has it, is closed over it.
    pub fn fail(self, exception: Exception) {
        self.end(Err(exception));
    }

    fn end(&self, outcome: Result<(), Exception>) {
        // Only the first end counts.
        if self.outcome.set(outcome).is_ok() {
            self.outgoing.wake_owner();
        }
    }
}

impl Drop for Resume {
    fn drop(&mut self) {
        if self.outcome.get().is_none() {
            let text = "what was waited for will not happen";
            self.end(Err(Exception::new(ReplyCode::InternalError, text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::method::channel;

    #[test]
    fn all_must_be_over_and_come_out_in_their_order() {
        let (pauses, outgoing) = (Pauses::default(), Outgoing::detached(1 << 20));
        assert!(!pauses.any() && !pauses.is_lasting() && pauses.take_over().is_empty());
        let reply = Then::Reply(Box::new(channel::CloseOk.into()));
        let first = pauses.pause(&outgoing, 1, Then::GoOn);
        let second = pauses.pause(&outgoing, 1, reply.clone());
        assert!(!pauses.again());
        let third = pauses.pause(&outgoing, 2, Then::Again);
        assert!(pauses.again());
        second.go_on();
        drop(third);
        assert!(pauses.any() && pauses.is_lasting() && pauses.take_over().is_empty());
        first.fail(Exception::new(ReplyCode::ResourceError, "full"));
        assert!(pauses.any() && !pauses.is_lasting());
        let over = pauses.take_over();
        let seen: Vec<_> = over.iter().map(|over| (over.channel, &over.then)).collect();
        assert_eq!(seen, [(1, &Then::GoOn), (1, &reply), (2, &Then::Again)]);
        let codes: Vec<_> = over
            .iter()
            .map(|over| over.outcome.as_ref().err().map(|error| error.code))
            .collect();
        let (full, dropped) = (ReplyCode::ResourceError, ReplyCode::InternalError);
        assert_eq!(codes, [Some(full), None, Some(dropped)]);
        assert!(!pauses.any());
    }
}
