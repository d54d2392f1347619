//! How often a message came back to its queue, as the journal keeps it.

use crate::store::fields::Fields;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    /// In whatever way.
    pub all: u32,
    /// Those among them by which a consumer failed: it rejected the message, or was lost with its channel.
    pub failures: u32,
}

impl Returns {
    /// Of a message that was delivered once, if nobody is there to have it any more.
    pub const LOST_ONCE: Self = Self {
        all: 1,
        failures: 1,
    };

    /// Whether it ever came back.
    pub fn is_any(self) -> bool {
        self.all > 0
    }

    /// It came back once more.
    #[must_use]
    pub fn again(self, is_failure: bool) -> Self {
        Self {
            all: self.all.saturating_add(1),
            failures: self.failures.saturating_add(is_failure.into()),
        }
    }

    /// Of two that were said of one message, in whatever order, what holds. While it is delivered it is said
    /// to have failed, which it has if the broker ends; if it comes back in another way, that is taken back.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        match self.all.cmp(&other.all) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal => Self {
                all: self.all,
                failures: self.failures.min(other.failures),
            },
        }
    }

    /// What a record about messages from one sequence to another takes behind the queue's id, in bytes.
    pub(super) fn encoded_bytes(self, (first, last): (u64, u64)) -> usize {
        let range_bytes = if first == last { 8 } else { 16 };
        range_bytes + if self.failures == self.all { 4 } else { 8 }
    }

    pub(super) fn encode(self, to: &mut Vec<u8>, (first, last): (u64, u64)) {
        to.extend_from_slice(&first.to_le_bytes());
        to.extend_from_slice(&self.all.to_le_bytes());
        if first != last {
            to.extend_from_slice(&last.to_le_bytes());
        }
        if self.failures != self.all {
            to.extend_from_slice(&self.failures.to_le_bytes());
        }
    }

    /// The range and what is said of it. Where no failures are told apart, as by a broker that did not know
    /// of them, all are.
    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<((u64, u64), Self)> {
        let (first, all) = (fields.u64()?, fields.u32()?);
        let last = match fields.0.len() {
            0 | 4 => first,
            _ => fields.u64().filter(|last| *last > first)?,
        };
        let failures = match fields.0.is_empty() {
            true => all,
            false => fields.u32().filter(|failures| *failures < all)?,
        };
        Some(((first, last), Self { all, failures }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn returns() -> impl Strategy<Value = Returns> {
        (0..5u32, 0..5u32).prop_map(|(all, failures)| Returns {
            all,
            failures: failures.min(all),
        })
    }

    proptest! {
        #[test]
        fn are_read_as_they_were_written(first in 0..9u64, more in 0..3u64, returns in returns()) {
            let range = (first, first + more);
            let mut bytes = Vec::new();
            returns.encode(&mut bytes, range);
            prop_assert_eq!(bytes.len(), returns.encoded_bytes(range));
            let mut fields = Fields(&bytes);
            prop_assert_eq!(Returns::decode(&mut fields), Some((range, returns)));
            prop_assert!(fields.0.is_empty());
        }

        /// The log may say it in another order, and more than once.
        #[test]
        fn what_holds_does_not_hang_on_the_order(
            ways in prop::collection::vec(any::<bool>(), 1..6),
            is_back in any::<bool>(),
            shuffle in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let (mut now, mut said) = (Returns::default(), Vec::new());
            for (at, is_failure) in ways.iter().enumerate() {
                said.push(now.again(true));
                if at + 1 == ways.len() && !is_back {
                    now = now.again(true);
                } else {
                    now = now.again(*is_failure);
                    said.push(now);
                }
            }
            let known = shuffle.iter().map(|at| *at.get(&said)).chain(said.iter().copied());
            prop_assert_eq!(known.reduce(Returns::later), Some(now));
        }
    }
}
