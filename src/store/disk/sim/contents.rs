//! A simulated file's bytes: as they are read, as they would be after a crash, and which can't be read.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::SmallRng;

const SMALLEST_SECTOR: u64 = 512;

/// What a crash keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the power went.
    Nothing,
    /// Everything: only the program was killed.
    Everything,
    /// Sectors of so many bytes, each or not as the dice say.
    Sectors(u64),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub now: Vec<u8>,
    pub durable: Vec<u8>,
    /// Sectors of [`SMALLEST_SECTOR`] that were written since the last sync.
    pub dirty: BTreeSet<u64>,
    /// Those that can't be read.
    pub bad: BTreeSet<u64>,
    /// Room is set aside for everything below that.
    pub set_aside: u64,
}

/// The sectors in which so many bytes lie.
fn sectors(offset: u64, bytes: usize) -> Range<u64> {
    let end = (offset + bytes as u64).div_ceil(SMALLEST_SECTOR);
    match bytes {
        0 => 0..0,
        _ => offset / SMALLEST_SECTOR..end,
    }
}

impl Contents {
    /// What it takes of the disk.
    pub fn used_bytes(&self) -> u64 {
        self.set_aside.max(self.now.len() as u64)
    }

    /// From now on the sector with that byte can't be read.
    pub fn break_sector(&mut self, at: u64) {
        self.bad.insert(at / SMALLEST_SECTOR);
    }

    /// Whether any of these bytes lies in a bad sector.
    pub fn is_bad(&self, offset: u64, bytes: usize) -> bool {
        self.bad.range(sectors(offset, bytes)).next().is_some()
    }

    /// Writes at an offset.
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset as usize + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset as usize..end].copy_from_slice(bytes);
        let written = sectors(offset, bytes.len());
        self.bad.retain(|sector| !written.contains(sector));
        self.dirty.extend(written);
    }

    /// Only what is dirty: what a failed sync has lost stays lost.
    pub fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = (sector * SMALLEST_SECTOR) as usize;
            let to = (from + SMALLEST_SECTOR as usize).min(self.now.len());
            if from < to {
                self.durable[from..to].copy_from_slice(&self.now[from..to]);
            }
        }
    }

    /// As it is when the machine has stopped.
    pub fn after_crash(&self, keep: Keep, dice: &mut SmallRng) -> Self {
        let mut left = self.durable.clone();
        match keep {
            Keep::Nothing => {}
            Keep::Everything => left.clone_from(&self.now),
            Keep::Sectors(sector_bytes) => {
                if self.now.len() != left.len() && dice.random() {
                    left.resize(self.now.len(), 0);
                }
                let sectors: BTreeSet<u64> = self
                    .dirty
                    .iter()
                    .map(|sector| sector * SMALLEST_SECTOR / sector_bytes)
                    .collect();
                for sector in sectors {
                    let from = (sector * sector_bytes) as usize;
                    let to = (from + sector_bytes as usize)
                        .min(self.now.len())
                        .min(left.len());
                    if from < to && dice.random() {
                        left[from..to].copy_from_slice(&self.now[from..to]);
                    }
                }
            }
        }
        Self {
            now: left.clone(),
            durable: left,
            dirty: BTreeSet::new(),
            bad: self.bad.clone(),
            set_aside: 0,
        }
    }
}
