//! How far a stream's messages are safe. Readers see no others, so that an offset that somebody has
//! seen always means the same message, whatever happens to the broker.
//!
//! In: publishes, in the order of their numbers, and by which index of the log each is safe. Out: the
//! number below which everything is.

use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Default)]
pub struct Commits {
    committed: u64,
    /// Publishes that are not safe yet: the number after their last message, and the index, once the
    /// log has them.
    open: VecDeque<(u64, Option<u64>)>,
    /// The log has failed: nothing is safe any more.
    has_failed: bool,
}

impl Commits {
    /// Everything below that number is safe.
    pub fn starting_at(number: u64) -> Self {
        Self {
            committed: number,
            ..Self::default()
        }
    }

    /// Everything below it is safe.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Messages up to before `end` were published and are to be logged.
    pub fn published(&mut self, end: u64) {
        if !self.has_failed {
            self.open.push_back((end, None));
        }
    }

    /// They need no log.
    pub fn published_at_once(&mut self, end: u64) {
        self.committed = end;
    }

    /// The log has the publish that ended before `end`, up to `index`; or never will.
    pub fn logged(&mut self, end: u64, index: Option<u64>) {
        let Some(index) = index else {
            return self.fail();
        };
        let at = self.open.partition_point(|(other, _)| *other < end);
        if let Some((_, open)) = self.open.get_mut(at).filter(|(other, _)| *other == end) {
            *open = Some(index);
        }
    }

    /// Nothing more becomes safe.
    pub fn fail(&mut self) {
        self.has_failed = true;
        self.open = VecDeque::new();
    }

    /// The log is safe up to `safe_index`.
    pub fn advance(&mut self, safe_index: u64) {
        while let Some((end, Some(index))) = self.open.front()
            && *index <= safe_index
        {
            self.committed = *end;
            self.open.pop_front();
        }
    }

    /// The index whose safety is waited for next, if the log has it already.
    pub fn awaited(&self) -> Option<u64> {
        self.open.front().and_then(|(_, index)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_something_open_is_not_safe() {
        let mut commits = Commits::starting_at(5);
        commits.published(7);
        commits.published(8);
        commits.logged(8, Some(1));
        commits.advance(1);
        assert_eq!((commits.committed(), commits.awaited()), (5, None));
        commits.logged(7, Some(2));
        assert_eq!(commits.awaited(), Some(2));
        commits.advance(1);
        assert_eq!(commits.committed(), 5);
        commits.advance(2);
        assert_eq!((commits.committed(), commits.awaited()), (8, None));
    }

    #[test]
    fn after_a_failure_nothing_becomes_safe() {
        let mut commits = Commits::starting_at(0);
        commits.published(1);
        commits.logged(1, None);
        commits.published(2);
        commits.logged(2, Some(1));
        commits.advance(u64::MAX);
        assert_eq!((commits.committed(), commits.awaited()), (0, None));
    }
}
