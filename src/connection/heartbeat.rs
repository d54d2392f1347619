//! Heartbeats, both ways, at RabbitMQ's pace.
//!
//! We send one whenever half an interval went by in which nothing else was sent. The client is
//! looked at once an interval, and is gone when it sent nothing during two in a row: thus after
//! two to three intervals of silence.

use std::time::{Duration, Instant};

/// Looks in a row without a byte from the client, after which it is gone.
const SILENT_LOOKS: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next_send: Instant,
    sent_bytes: u64,
    next_look: Instant,
    received_bytes: u64,
    silent_looks: u32,
    paused: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beat {
    /// Send a heartbeat.
    pub send: bool,
    /// The client is gone.
    pub gone: bool,
}

impl Heartbeat {
    /// From now on; None if the client wants none.
    pub fn start(interval_s: u16, now: Instant) -> Option<Self> {
        let interval = Duration::from_secs(interval_s.into());
        (interval_s > 0).then(|| Self {
            interval,
            next_send: now + interval / 2,
            // Whatever was sent in the first half interval, one is sent at its end.
            sent_bytes: u64::MAX,
            next_look: now + interval,
            received_bytes: 0,
            silent_looks: 0,
            paused: false,
        })
    }

    /// When to call [`Heartbeat::beat`].
    pub fn deadline(&self) -> Instant {
        if self.paused {
            self.next_send
        } else {
            self.next_send.min(self.next_look)
        }
    }

    /// Says what is to be done by now, given how much was sent and received so far.
    pub fn beat(&mut self, now: Instant, sent_bytes: u64, received_bytes: u64) -> Beat {
        let mut beat = Beat::default();
        if now >= self.next_send {
            beat.send = self.sent_bytes == u64::MAX || self.sent_bytes == sent_bytes;
            self.sent_bytes = sent_bytes;
            self.next_send = now + self.interval / 2;
        }
        if !self.paused && now >= self.next_look {
            if received_bytes == self.received_bytes {
                self.silent_looks += 1;
            } else {
                self.silent_looks = 0;
            }
            beat.gone = self.silent_looks >= SILENT_LOOKS;
            self.received_bytes = received_bytes;
            self.next_look = now + self.interval;
        }
        beat
    }

    /// The heartbeat that [`Beat::send`] asked for is among these bytes: it is no sign of others.
    pub fn sent(&mut self, sent_bytes: u64) {
        self.sent_bytes = sent_bytes;
    }

    /// The client is not read for now, so it cannot be expected to be heard.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// The client is read again.
    pub fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.paused) {
            self.silent_looks = 0;
            self.received_bytes = u64::MAX;
            self.next_look = now + self.interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Beat = Beat {
        send: true,
        gone: false,
    };
    const NOTHING: Beat = Beat {
        send: false,
        gone: false,
    };

    fn started() -> (Heartbeat, Instant) {
        let now = Instant::now();
        (Heartbeat::start(10, now).expect("not 0"), now)
    }

    #[test]
    fn zero_is_none() {
        assert!(Heartbeat::start(0, Instant::now()).is_none());
    }

    #[test]
    fn one_is_sent_every_half_interval_in_which_nothing_else_was() {
        let (mut heartbeat, start) = started();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(heartbeat.deadline(), at(5));
        assert_eq!(heartbeat.beat(at(5), 100, 1), SEND);
        heartbeat.sent(108);
        assert_eq!(heartbeat.deadline(), at(10));
        assert_eq!(heartbeat.beat(at(10), 108, 2), SEND);
        heartbeat.sent(116);
        assert_eq!(heartbeat.beat(at(15), 300, 3), NOTHING);
        assert_eq!(heartbeat.beat(at(20), 300, 4), SEND);
    }

    #[test]
    fn a_client_is_gone_after_two_silent_intervals() {
        let (mut heartbeat, start) = started();
        let at = |s| start + Duration::from_secs(s);
        assert!(!heartbeat.beat(at(10), 0, 500).gone);
        assert!(!heartbeat.beat(at(20), 0, 500).gone);
        assert!(!heartbeat.beat(at(30), 0, 501).gone);
        assert!(!heartbeat.beat(at(40), 0, 501).gone);
        assert!(heartbeat.beat(at(50), 0, 501).gone);
    }

    #[test]
    fn a_client_that_is_not_read_is_not_listened_for() {
        let (mut heartbeat, start) = started();
        let at = |s| start + Duration::from_secs(s);
        assert!(!heartbeat.beat(at(10), 0, 500).gone);
        heartbeat.pause();
        for s in [20, 30, 40, 50] {
            assert_eq!(heartbeat.beat(at(s), 0, 500), SEND);
        }
        heartbeat.resume(at(55));
        for s in [65, 75] {
            assert!(!heartbeat.beat(at(s), 0, 500).gone);
        }
        assert!(heartbeat.beat(at(85), 0, 500).gone);
    }
}
