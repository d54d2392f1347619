//! Which filter values the messages of a chunk have, as a Bloom filter: it may say that a value is
//! there which is not, never the other way round.
//!
//! The filters are stored, so what is computed here must stay as it is.

/// Bits that are set for a value.
const PROBES: u64 = 4;

/// A value's hash: 64-bit FNV-1a, with its bits mixed once more.
pub fn hash(value: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

/// The values of a chunk's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkValues {
    /// The filter; empty as long as no message has a value.
    bloom: Vec<u8>,
    /// Whether there are messages without one.
    has_unfiltered: bool,
}

impl ChunkValues {
    /// As they were stored.
    pub fn restore(bloom: Vec<u8>, has_unfiltered: bool) -> Self {
        Self {
            bloom,
            has_unfiltered,
        }
    }

    /// The filter's bytes.
    pub fn bloom(&self) -> &[u8] {
        &self.bloom
    }

    /// Whether there are messages without a value.
    pub fn has_unfiltered(&self) -> bool {
        self.has_unfiltered
    }

    /// A message has that value, or none; a new filter gets `filter_bytes`.
    pub fn insert(&mut self, value: Option<&[u8]>, filter_bytes: u8) {
        let Some(value) = value else {
            self.has_unfiltered = true;
            return;
        };
        if self.bloom.is_empty() {
            self.bloom = vec![0; usize::from(filter_bytes.max(1))];
        }
        for bit in bits(hash(value), self.bloom.len()) {
            if let Some(byte) = self.bloom.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// Whether a message may have a value of that hash.
    pub fn may_have(&self, hash: u64) -> bool {
        let mut bits = bits(hash, self.bloom.len());
        !self.bloom.is_empty()
            && bits.all(|bit| {
                let byte = self.bloom.get(bit / 8);
                byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
            })
    }
}

/// The bits of a hash in a filter of so many bytes.
fn bits(hash: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
    let bits = (bytes as u64 * 8).max(1);
    (0..PROBES).map(move |probe| (first.wrapping_add(probe.wrapping_mul(step)) % bits) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_there_is_found(
            values in prop::collection::vec(prop::option::of("[a-z]{0,8}"), 0..200),
            filter_bytes in 16..=255u8,
        ) {
            let mut chunk = ChunkValues::default();
            for value in &values {
                chunk.insert(value.as_ref().map(String::as_bytes), filter_bytes);
            }
            for value in values.iter().flatten() {
                prop_assert!(chunk.may_have(hash(value.as_bytes())));
            }
            prop_assert_eq!(chunk.has_unfiltered(), values.contains(&None));
            let stored = ChunkValues::restore(chunk.bloom().to_vec(), chunk.has_unfiltered());
            prop_assert_eq!(stored, chunk);
        }
    }

    #[test]
    fn most_of_what_is_not_there_is_not_found() {
        let mut chunk = ChunkValues::default();
        assert!(!chunk.may_have(hash(b"0")));
        let there: HashSet<u32> = (0..10).collect();
        for number in &there {
            chunk.insert(Some(number.to_string().as_bytes()), 16);
        }
        let found =
            (10..1010u32).filter(|number| chunk.may_have(hash(number.to_string().as_bytes())));
        assert!(found.count() < 50);
    }

    /// They are on disks.
    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(hash(b""), 0xecba_3df2_c338_3c52);
        assert_eq!(hash(b"invoices"), 0xd394_36e4_cbe2_a706);
    }
}
