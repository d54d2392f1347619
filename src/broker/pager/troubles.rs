//! What fails again and again, and is tried again many times a second: it is said once, then now and then
//! with how often, and once more when it is over.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// What goes on failing is said again after so long, and what has not failed for so long is over.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Troubles(Vec<Trouble>);

struct Trouble {
    what: &'static str,
    failed_at: Instant,
    said_at: Instant,
    /// How often it failed, in all.
    times: u64,
}

/// What is to be said of a failure.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    /// It has failed so often by now.
    Times(u64),
}

impl Troubles {
    /// Something failed, with details that only the log wants.
    pub fn failed(&mut self, what: &'static str, error: &dyn Display) {
        if let Said::Times(times) = self.note(what, Instant::now()) {
            tracing::error!(%error, what, times, "the disk fails");
        }
    }

    /// Says what has come to an end.
    pub fn look(&mut self) {
        for (what, times) in self.end(Instant::now()) {
            tracing::info!(what, times, "the disk fails no more");
        }
    }

    fn note(&mut self, what: &'static str, now: Instant) -> Said {
        let known = self.0.iter_mut().find(|trouble| trouble.what == what);
        let Some(trouble) = known else {
            self.0.push(Trouble {
                what,
                failed_at: now,
                said_at: now,
                times: 1,
            });
            return Said::Times(1);
        };
        trouble.times += 1;
        trouble.failed_at = now;
        if now.duration_since(trouble.said_at) < SAY_AGAIN {
            return Said::Nothing;
        }
        trouble.said_at = now;
        Said::Times(trouble.times)
    }

    /// Forgets what has not failed for a while: what, and how often it had.
    fn end(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let is_over = |trouble: &mut Trouble| now.duration_since(trouble.failed_at) >= SAY_AGAIN;
        let over = self.0.extract_if(.., is_over);
        over.map(|trouble| (trouble.what, trouble.times)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    #[test]
    fn what_fails_all_the_time_is_said_now_and_then() {
        let (mut troubles, mut now) = (Troubles::default(), Instant::now());
        let mut said = Vec::new();
        for _ in 0..=400 {
            if let Said::Times(times) = troubles.note("one", now) {
                said.push(times);
            }
            assert_eq!(troubles.end(now), []);
            now += STEP;
        }
        assert_eq!(said, [1, 201, 401]);
        assert_eq!(troubles.note("another", now), Said::Times(1));
        assert_eq!(troubles.end(now + SAY_AGAIN - STEP * 2), []);
        assert_eq!(
            troubles.end(now + SAY_AGAIN),
            [("one", 401), ("another", 1)]
        );
        assert_eq!(troubles.note("one", now + SAY_AGAIN), Said::Times(1));
    }

    /// What works in between is no end of it: it would be said twice each time.
    #[test]
    fn what_fails_now_and_then_is_one_trouble() {
        let (mut troubles, mut now) = (Troubles::default(), Instant::now());
        assert_eq!(troubles.note("one", now), Said::Times(1));
        for _ in 0..3 {
            now += SAY_AGAIN - STEP;
            assert_eq!(troubles.end(now), []);
            troubles.note("one", now);
        }
        assert_eq!(troubles.end(now + SAY_AGAIN), [("one", 4)]);
    }
}
