//! A band against two sorted sets.

use bytes::Bytes;
use proptest::prelude::*;

use std::collections::BTreeMap;

use super::*;
use crate::broker::message::{Body, Facts};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Take(u64),
    Settle(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..64usize, Just(40_000usize)].prop_map(Step::Append),
        4 => (1..8u64).prop_map(Step::Take),
        4 => any::<prop::sample::Index>().prop_map(Step::Settle),
        3 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => Just(Step::Clear),
    ]
}

fn body_of(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + bytes, number as u8);
    body
}

fn append(band: &mut Band, number: u64, bytes: usize) {
    let body = body_of(number, bytes);
    let message = Message {
        exchange: b"x",
        routing_key: b"key",
        properties: &[0, 0],
        body: Body::Slice(&body),
        facts: Facts::PLAIN,
    };
    band.append(&message, u64::MAX, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A band does what two sorted sets of messages (ready, taken) would do.
    #[test]
    fn behaves_as_its_model(steps in prop::collection::vec(step(), 1..300)) {
        let mut band = Band::new(1 << 20);
        let mut ready: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut taken: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Append(bytes) => {
                    let body = body_of(next, bytes);
                    let shared = Bytes::from(body.clone());
                    let message = Message {
                        exchange: b"x",
                        routing_key: b"key",
                        properties: &[0, 0],
                        body: if bytes > 4096 { Body::Shared(&shared) } else { Body::Slice(&body) },
                        facts: Facts::PLAIN,
                    };
                    band.append(&message, next, None);
                    ready.insert(next, body);
                    next += 1;
                }
                Step::Take(count) => {
                    let mut numbers = vec![];
                    let mut bytes = 0;
                    band.read_ready(|number, _, record| {
                        numbers.push(number);
                        bytes += record.message.body.len() as u64;
                        (numbers.len() as u64) < count
                    });
                    let expected: Vec<u64> = ready.keys().copied().take(count as usize).collect();
                    prop_assert_eq!(&numbers, &expected);
                    band.take_head(numbers.len() as u64, bytes);
                    for number in numbers {
                        if let Some(body) = ready.remove(&number) {
                            taken.insert(number, body);
                        }
                    }
                }
                Step::Settle(index) if !taken.is_empty() => {
                    let keys: Vec<u64> = taken.keys().copied().collect();
                    let number = keys[index.index(keys.len())];
                    band.settle(number, number);
                    taken.remove(&number);
                }
                Step::GiveBack(index) if !taken.is_empty() => {
                    let keys: Vec<u64> = taken.keys().copied().collect();
                    let number = keys[index.index(keys.len())];
                    let is_there = band.give_back(number, Returns::LOST_ONCE);
                    prop_assert!(is_there);
                    if let Some(body) = taken.remove(&number) {
                        ready.insert(number, body);
                    }
                }
                Step::Clear => {
                    prop_assert_eq!(band.clear_ready(|_, _| {}), ready.len() as u64);
                    ready.clear();
                }
                Step::Settle(_) | Step::GiveBack(_) => {}
            }
            prop_assert_eq!(band.ready(), ready.len() as u64);
            prop_assert_eq!(band.ready_bytes(), ready.values().map(|body| body.len() as u64).sum::<u64>());
            prop_assert_eq!(band.head().map(|(number, _)| number), ready.keys().next().copied());
            for (&number, body) in ready.iter().chain(&taken) {
                let record = band.record(number).ok();
                prop_assert_eq!(record.map(|record| record.message.body.as_slice()), Some(&body[..]));
                prop_assert_eq!(record.map(|record| record.expires_at_ms), Some(number));
            }
            let settled = band.slots.iter().map(|slot| slot.settled.memory_bytes());
            prop_assert_eq!(band.settled_bytes, settled.sum::<usize>());
            if ready.is_empty() && taken.is_empty() {
                band.shrink();
                prop_assert!(band.memory_bytes() <= 2 * QUIET_CHUNK_BYTES);
            }
        }
    }
}

#[test]
fn what_was_lost_with_its_chunk_does_not_come_back() {
    let mut band = Band::new(64);
    (0..3).for_each(|number| append(&mut band, number, 40));
    band.take_head(2, 96);
    let first = band.slot(0).map(|slot| (slot.first, slot.end()));
    assert_eq!(first, Some((0, 1)), "a chunk for each");
    band.lose(0, 0);
    assert!(!band.give_back(0, Returns::default()));
    assert!(band.give_back(1, Returns::default()));
    let head: Vec<u64> = {
        let mut seen = Vec::new();
        band.read_ready(|number, _, _| {
            seen.push(number);
            true
        });
        seen
    };
    assert_eq!(head, [1, 2]);
    assert_eq!(band.ready(), 2);
}

#[test]
fn what_is_settled_out_of_order_counts() {
    let mut band = Band::new(1 << 20);
    (0..1000).for_each(|number| append(&mut band, number, 10));
    band.take_head(1000, 0);
    assert_eq!(band.runs_bytes(), 0);
    (1..1000)
        .step_by(2)
        .for_each(|number| band.settle(number, number));
    assert!((1000 / 8..1000).contains(&band.runs_bytes()));
    (0..1000)
        .step_by(2)
        .for_each(|number| band.settle(number, number));
    assert_eq!(band.runs_bytes(), 0);
}
