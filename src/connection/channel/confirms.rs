//! Publisher confirms: which publishes of a channel may be acknowledged, and how few frames say so.
//!
//! In: ranges of publish tags, each with the point of durability that it waits for and the tags
//! in it that a queue refused. Out: acks and nacks in the order of the tags, so that one `multiple`
//! ack may stand for everything below it.

use std::collections::VecDeque;

/// What has to be stored before publishes count as safe: records of the log and transactions of the
/// catalog, up to these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SafePoint {
    pub log_index: u64,
    pub revision: u64,
}

impl SafePoint {
    /// Safe at once: nothing of it has to be on the disk.
    pub const NOW: Self = Self {
        log_index: 0,
        revision: 0,
    };

    /// Whether it is behind what was reached.
    fn is_reached(self, reached: Self) -> bool {
        self.log_index <= reached.log_index && self.revision <= reached.revision
    }
}

/// A basic.ack or basic.nack to a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Confirm {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64, multiple: bool },
}

#[derive(Debug)]
struct Waiting {
    first: u64,
    last: u64,
    safe_at: SafePoint,
    /// Tags in the range that were refused, in order. (Empty but for full queues.)
    refused: Vec<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    waiting: VecDeque<Waiting>,
}

impl Confirms {
    /// Whether something was handed over and not answered yet.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The queues have the publishes `first..=last`, except those `refused` (in any order, maybe
    /// more than once); they count as confirmed when `safe_at` is reached.
    pub fn handed_over(
        &mut self,
        first: u64,
        last: u64,
        mut refused: Vec<u64>,
        safe_at: SafePoint,
    ) {
        refused.sort_unstable();
        refused.dedup();
        match self.waiting.back_mut() {
            Some(waiting) if waiting.last + 1 == first && waiting.safe_at == safe_at => {
                waiting.last = last;
                waiting.refused.append(&mut refused);
            }
            _ => self.waiting.push_back(Waiting {
                first,
                last,
                safe_at,
                refused,
            }),
        }
    }

    /// Everything up to `reached` is safe: says what to send, and how many publishes it confirms.
    pub fn release(&mut self, reached: SafePoint, mut send: impl FnMut(Confirm)) -> u64 {
        if let Some(tag) = self.take_if_all_refused(reached) {
            send(Confirm::Nack {
                tag,
                multiple: true,
            });
            return 0;
        }
        let mut confirmed = 0;
        // Acks that wait to be covered by a later one of the same round.
        let mut run: Option<(u64, u64)> = None;
        let send_run = |run: Option<(u64, u64)>, send: &mut dyn FnMut(Confirm)| {
            if let Some((first, last)) = run {
                send(Confirm::Ack {
                    tag: last,
                    multiple: last > first,
                });
            }
        };
        while self
            .waiting
            .front()
            .is_some_and(|waiting| waiting.safe_at.is_reached(reached))
        {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            confirmed += waiting.last - waiting.first + 1 - waiting.refused.len() as u64;
            let mut first = waiting.first;
            for tag in waiting.refused {
                if tag > first {
                    run = Some((run.map_or(first, |(start, _)| start), tag - 1));
                }
                send_run(run.take(), &mut send);
                send(Confirm::Nack {
                    tag,
                    multiple: false,
                });
                first = tag + 1;
            }
            if first <= waiting.last {
                run = Some((run.map_or(first, |(start, _)| start), waiting.last));
            }
        }
        send_run(run, &mut send);
        confirmed
    }

    /// If everything that is answered now was refused, takes it out and says the last tag.
    fn take_if_all_refused(&mut self, reached: SafePoint) -> Option<u64> {
        if self.waiting.front()?.refused.is_empty() {
            return None;
        }
        let is_answered = |waiting: &&Waiting| waiting.safe_at.is_reached(reached);
        let answered = self.waiting.iter().take_while(is_answered).count();
        let all_refused = self
            .waiting
            .iter()
            .take(answered)
            .all(|waiting| waiting.refused.len() as u64 == waiting.last - waiting.first + 1);
        if !all_refused {
            return None;
        }
        self.waiting
            .drain(..answered)
            .next_back()
            .map(|waiting| waiting.last)
    }

    /// What waits for more of the catalog than it has stored is refused: it has no more than that any more.
    pub fn catalog_failed(&mut self, stored: u64) {
        for waiting in &mut self.waiting {
            if waiting.safe_at.revision > stored {
                waiting.refused = (waiting.first..=waiting.last).collect();
                waiting.safe_at = SafePoint::NOW;
            }
        }
    }

    /// What is not safe by now never will be: says what to send.
    pub fn fail(&mut self, send: impl FnOnce(Confirm)) {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(last) = waiting.back() {
            send(Confirm::Nack {
                tag: last.last,
                multiple: true,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn point(log_index: u64) -> SafePoint {
        SafePoint {
            log_index,
            revision: 0,
        }
    }

    fn sent(confirms: &mut Confirms, reached: u64) -> Vec<Confirm> {
        let mut sent = Vec::new();
        confirms.release(point(reached), |confirm| sent.push(confirm));
        sent
    }

    #[test]
    fn a_batch_is_one_ack() {
        let mut confirms = Confirms::default();
        confirms.handed_over(1, 1, vec![], SafePoint::NOW);
        assert_eq!(
            sent(&mut confirms, 0),
            [Confirm::Ack {
                tag: 1,
                multiple: false
            }]
        );
        confirms.handed_over(2, 9, vec![], SafePoint::NOW);
        confirms.handed_over(10, 12, vec![], SafePoint::NOW);
        assert_eq!(
            sent(&mut confirms, 0),
            [Confirm::Ack {
                tag: 12,
                multiple: true
            }]
        );
        assert_eq!(sent(&mut confirms, 0), []);
    }

    #[test]
    fn refused_tags_split_the_acks() {
        let mut confirms = Confirms::default();
        confirms.handed_over(1, 6, vec![6, 3, 3], SafePoint::NOW);
        assert_eq!(
            sent(&mut confirms, 0),
            [
                Confirm::Ack {
                    tag: 2,
                    multiple: true
                },
                Confirm::Nack {
                    tag: 3,
                    multiple: false
                },
                Confirm::Ack {
                    tag: 5,
                    multiple: true
                },
                Confirm::Nack {
                    tag: 6,
                    multiple: false
                },
            ]
        );
    }

    #[test]
    fn what_waits_for_the_catalog_waits() {
        let mut confirms = Confirms::default();
        let safe_at = SafePoint {
            log_index: 1,
            revision: 1,
        };
        confirms.handed_over(1, 2, vec![], safe_at);
        assert_eq!(sent(&mut confirms, 9), []);
        let mut last = None;
        assert_eq!(confirms.release(safe_at, |confirm| last = Some(confirm)), 2);
        let expected = Confirm::Ack {
            tag: 2,
            multiple: true,
        };
        assert_eq!(last, Some(expected));
    }

    #[test]
    fn where_the_catalog_failed_what_needs_it_is_refused_and_no_more() {
        let mut confirms = Confirms::default();
        let with_queue = |log_index, revision| SafePoint {
            log_index,
            revision,
        };
        confirms.handed_over(1, 1, vec![], with_queue(1, 7));
        confirms.handed_over(2, 3, vec![], with_queue(1, 8));
        confirms.handed_over(4, 4, vec![], with_queue(2, 0));
        confirms.catalog_failed(7);
        let mut sent = Vec::new();
        confirms.release(with_queue(2, 7), |confirm| sent.push(confirm));
        let (ack, nack) = (
            |tag| Confirm::Ack {
                tag,
                multiple: false,
            },
            |tag| Confirm::Nack {
                tag,
                multiple: false,
            },
        );
        assert_eq!(sent, [ack(1), nack(2), nack(3), ack(4)]);
    }

    #[test]
    fn what_can_not_become_safe_is_refused() {
        let mut confirms = Confirms::default();
        confirms.handed_over(1, 2, vec![], point(1));
        confirms.handed_over(3, 3, vec![], point(2));
        assert_eq!(sent(&mut confirms, 1).len(), 1);
        let mut last = None;
        confirms.fail(|confirm| last = Some(confirm));
        let expected = Confirm::Nack {
            tag: 3,
            multiple: true,
        };
        assert_eq!(last, Some(expected));
        assert!(!confirms.has_waiting());
    }

    #[test]
    fn refused_tags_alone_are_one_nack() {
        let mut confirms = Confirms::default();
        confirms.handed_over(1, 1, vec![1], point(0));
        confirms.handed_over(2, 3, vec![2, 3], point(1));
        confirms.handed_over(4, 4, vec![], point(2));
        let nack = |tag| Confirm::Nack {
            tag,
            multiple: true,
        };
        assert_eq!(sent(&mut confirms, 0), [nack(1)]);
        assert_eq!(sent(&mut confirms, 1), [nack(3)]);
        assert_eq!(sent(&mut confirms, 2).len(), 1);
    }

    /// Batches: (length, which of it is refused, how much later it is safe).
    type Batches = Vec<(u64, BTreeSet<u64>, u64)>;

    fn batches() -> impl Strategy<Value = Batches> {
        prop::collection::vec(
            (1..6u64, prop::collection::btree_set(0..6u64, 0..3), 0..2u64),
            1..20,
        )
    }

    proptest! {
        /// A client that keeps its outstanding tags as the protocol says hears of each exactly
        /// once, rightly, and not before it is safe.
        #[test]
        fn every_tag_is_answered_once(batches in batches(), rounds in prop::collection::vec(0..3u64, 1..20)) {
            let mut confirms = Confirms::default();
            let (mut outstanding, mut refused_all) = (BTreeSet::new(), BTreeSet::new());
            let mut safe_at_of = std::collections::BTreeMap::new();
            let (mut safe_at, mut next_tag) = (0, 1);
            for (length, refused, later) in batches {
                safe_at += later;
                let tags: Vec<u64> = (next_tag..next_tag + length).collect();
                next_tag += length;
                let refused: Vec<u64> = tags.iter().copied().filter(|tag| refused.contains(&(tag - tags[0]))).collect();
                outstanding.extend(tags.iter().copied());
                safe_at_of.extend(tags.iter().map(|tag| (*tag, safe_at)));
                refused_all.extend(refused.iter().copied());
                confirms.handed_over(tags[0], tags[tags.len() - 1], refused, point(safe_at));
            }
            let mut reached = 0;
            for step in rounds.into_iter().chain([u64::MAX / 2]) {
                reached += step;
                for confirm in sent(&mut confirms, reached) {
                    let (tag, multiple, refused) = match confirm {
                        Confirm::Ack { tag, multiple } => (tag, multiple, false),
                        Confirm::Nack { tag, multiple } => (tag, multiple, true),
                    };
                    let low = if multiple { 0 } else { tag };
                    let answered: Vec<u64> = outstanding.range(low..=tag).copied().collect();
                    prop_assert!(!answered.is_empty());
                    for tag in answered {
                        outstanding.remove(&tag);
                        prop_assert_eq!(refused_all.contains(&tag), refused);
                        prop_assert!(safe_at_of[&tag] <= reached);
                    }
                }
            }
            prop_assert!(outstanding.is_empty());
        }
    }
}
