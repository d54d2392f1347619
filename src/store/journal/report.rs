//! What a recovery found.

use std::fmt;

use super::walk::Located;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were read.
    pub files: u64,
    /// Records that were read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first index that is still needed.
    pub first_index: u64,
    /// The last record's index, whether or not it is still needed.
    pub last_index: u64,
    /// The torn tail, if there was one.
    pub cut: Option<Cut>,
    /// What had been promised and is not there, or not as it was.
    pub damage: Vec<Damage>,
    /// Batches whose head was broken, but whose records were all found.
    pub repaired_heads: u64,
    /// Records that were damaged and are whole again.
    pub mended_records: u64,
    /// Blocks that the disk could not read.
    pub unreadable_blocks: u64,
}

impl Report {
    pub(super) fn count(&mut self, located: &Located) {
        self.records += 1;
        self.bytes += located.header.total_bytes() as u64;
    }
}

impl Report {
    /// How many records are missing that no earlier recovery missed.
    pub fn newly_missing(&self) -> u64 {
        let damage = self.damage.iter().filter(|damage| !damage.is_known);
        let missing = damage.filter_map(|damage| damage.missing);
        missing.map(|(first, last)| last - first + 1).sum()
    }
}

/// The end of the log, where something was written that had not been promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The index that was the first to be lost.
    pub first_index: u64,
    /// How many batches can be seen behind the cut.
    pub batches_beyond: u64,
}

/// Something that is not as it was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, if it is there.
    pub file: Option<String>,
    /// Behind which file, in the log's order, one seems to be gone that had what is missing.
    pub gone_behind: Option<String>,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// First and last index of what is missing, if any record is.
    pub missing: Option<(u64, u64)>,
    /// Where a copy is.
    pub kept_in: Option<String>,
    /// Queues that its records seem to have spoken of, as far as they can be made out; a bounded number
    /// of them. They are no longer sure to be what was written.
    pub queues: Vec<u64>,
    /// Whether there were records of which nothing can be made out.
    pub of_unknown: bool,
    /// Whether it was reported before: see [`Options::known_damage`](super::Options::known_damage).
    pub is_known: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missing {
            Some((first, last)) => write!(f, "records {first} to {last} are missing")?,
            None => write!(f, "no record is known to be missing")?,
        }
        match (&self.file, &self.gone_behind) {
            (Some(file), _) => write!(f, " ({} bytes at {} of {file})", self.bytes, self.offset)?,
            (None, Some(file)) => write!(f, " (the file is gone that followed {file})")?,
            (None, None) => write!(f, " (no file has them)")?,
        }
        match &self.kept_in {
            Some(path) => write!(f, ", copied to {path}"),
            None => Ok(()),
        }
    }
}
