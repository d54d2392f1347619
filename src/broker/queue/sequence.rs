//! A message's name in its queue, its sequence: the band in the top byte, its number in the band below.

/// Where a sequence keeps its band.
const BAND_SHIFT: u32 = 56;

pub(in crate::broker) fn sequence_of(band: usize, number: u64) -> u64 {
    (band as u64) << BAND_SHIFT | number
}

pub(in crate::broker) fn band_of(sequence: u64) -> usize {
    (sequence >> BAND_SHIFT) as usize
}

pub(in crate::broker) fn number_of(sequence: u64) -> u64 {
    sequence & ((1 << BAND_SHIFT) - 1)
}
