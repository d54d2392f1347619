//! Which of several weighted members a key belongs to, by rendezvous hashing.
//!
//! Every member draws a number for the key, by a hash of both, and the best one has the key. So a
//! member that comes takes keys from all others in proportion, and one that goes leaves its own to
//! them; no other key moves. Shares follow the weights.
//!
//! Where a key belongs is the same on every platform, after every restart and in every version:
//! the hash is XXH3 with 64 bits, and the logarithm below is made of operations that IEEE 754 fixes
//! to the last bit.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// See the module. Finding takes a hash for each member.
#[derive(Debug)]
pub(super) struct Rendezvous<T> {
    members: Vec<Member<T>>,
}

#[derive(Debug)]
struct Member<T> {
    /// What it is known by, hashed.
    seed: u64,
    weight: f64,
    value: T,
}

impl<T> Default for Rendezvous<T> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
        }
    }
}

/// What a name is known by.
pub(super) fn seed_of(name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, 0)
}

impl<T> Rendezvous<T> {
    /// Adds a member of that positive weight.
    pub fn add(&mut self, seed: u64, weight: f64, value: T) {
        self.members.push(Member {
            seed,
            weight,
            value,
        });
    }

    /// The members, to be looked at and removed.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        self.members.retain(|member| stays(&member.value));
    }

    /// Whom the key belongs to; None if there is nobody.
    pub fn find(&self, key: &[u8]) -> Option<&T> {
        let drawn = self
            .members
            .iter()
            .map(|member| (member.draw(key), member.seed, &member.value));
        let best = drawn.min_by(|one, other| {
            let by_number = one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal);
            by_number.then(one.1.cmp(&other.1))
        });
        best.map(|(_, _, value)| value)
    }
}

impl<T> Member<T> {
    /// The moment at which it would ask for the key, if it asked at random and as often as it is
    /// heavy: the first one has it.
    fn draw(&self, key: &[u8]) -> f64 {
        let hash = xxh3_64_with_seed(key, self.seed);
        // Between 0 and 1, neither of which it can be.
        let uniform = ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        -ln(uniform) / self.weight
    }
}

/// The natural logarithm of a positive, normal number. The standard library's may differ in its last
/// bits from platform to platform.
fn ln(value: f64) -> f64 {
    let bits = value.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // So that numbers a little below 1 are not the difference of two that are much larger.
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let part = (mantissa - 1.0) / (mantissa + 1.0);
    let square = part * part;
    // The series of the inverse hyperbolic tangent, of at most a sixth.
    let mut sum = 0.0;
    for odd in (0..10).rev() {
        sum = sum * square + 1.0 / f64::from(2 * odd + 1);
    }
    2.0 * part * sum + f64::from(exponent) * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn with(members: &BTreeMap<u8, u8>) -> Rendezvous<u8> {
        let mut ring = Rendezvous::default();
        for (name, weight) in members {
            ring.add(seed_of(&[*name]), f64::from(*weight), *name);
        }
        ring
    }

    fn owners(ring: &Rendezvous<u8>, keys: u32) -> Vec<Option<u8>> {
        let key = |key: u32| ring.find(format!("key {key}").as_bytes()).copied();
        (0..keys).map(key).collect()
    }

    #[test]
    fn the_logarithm_is_one() {
        for value in [
            1e-300, 1e-16, 0.1, 0.25, 0.5, 0.75, 0.999_999, 1.0, 1.5, 7.0,
        ] {
            let (ours, exact) = (ln(value), f64::ln(value));
            assert!((ours - exact).abs() <= 1e-12 * exact.abs(), "{value}");
        }
    }

    /// These must never change: messages with one key would go to another queue than before.
    #[test]
    fn keys_stay_where_they_are() {
        let ring = with(&(0..8).map(|name| (name, 1 + name % 3)).collect());
        let found: Vec<u8> = owners(&ring, 24).into_iter().flatten().collect();
        let before = [
            2, 4, 0, 0, 5, 2, 2, 2, 7, 0, 5, 2, 4, 5, 1, 4, 7, 2, 0, 2, 5, 0, 7, 2,
        ];
        assert_eq!(found, before);
    }

    /// The statistic of a chi-square test, against its bound for one chance in a million.
    #[test]
    fn shares_follow_weights() {
        const KEYS: u32 = 50_000;
        for weights in [vec![1; 10], vec![1, 2, 3, 4], vec![10, 10, 1], vec![255, 1]] {
            let ring = with(&(0..).zip(weights.clone()).collect());
            let mut counts = vec![0_u32; weights.len()];
            for owner in owners(&ring, KEYS).into_iter().flatten() {
                counts[usize::from(owner)] += 1;
            }
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let statistic: f64 = counts
                .iter()
                .zip(&weights)
                .map(|(count, weight)| {
                    let expected = f64::from(KEYS) * f64::from(*weight) / total;
                    (f64::from(*count) - expected).powi(2) / expected
                })
                .sum();
            let bound = [24.0, 28.0, 31.0, 34.0, 36.0, 39.0, 41.0, 43.0, 45.0];
            let bound = bound[weights.len() - 2];
            assert!(statistic < bound, "{weights:?}: {counts:?}, {statistic}");
        }
    }

    fn members() -> impl Strategy<Value = BTreeMap<u8, u8>> {
        prop::collection::btree_map(any::<u8>(), 1..20u8, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whoever comes takes keys only for itself, and whoever goes leaves only its own, whatever
        /// the order in which the others came.
        #[test]
        fn only_keys_of_who_comes_and_goes_move(mut names in members(), other in any::<u8>(), weight in 1..20u8) {
            names.remove(&other);
            let mut ring = with(&names);
            let before = owners(&ring, 100);
            prop_assert_eq!(before.iter().all(Option::is_none), names.is_empty());
            ring.add(seed_of(&[other]), f64::from(weight), other);
            for (was, is) in before.iter().zip(owners(&ring, 100)) {
                prop_assert!(is == *was || is == Some(other));
            }
            ring.retain(|name| *name != other);
            prop_assert_eq!(&owners(&ring, 100), &before);
            names.insert(other, weight);
            let mut backwards = Rendezvous::default();
            for (name, weight) in names.iter().rev() {
                backwards.add(seed_of(&[*name]), f64::from(*weight), *name);
            }
            prop_assert_eq!(owners(&backwards, 100), owners(&with(&names), 100));
        }
    }
}
