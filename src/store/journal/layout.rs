//! The fixed parts of the journal's files, as bytes: file header, batch head, record header and
//! the first-live slots. `docs/storage.md` has the tables.

use crate::store::fields::{Fields, crc};

/// The format that is written, and the newest that can be read.
pub const FORMAT: u32 = 1;

const FILE_MAGIC: [u8; 8] = *b"WARRENJ1";
const FILE_HEADER_BYTES: usize = 64;
/// Where the file header stands, twice, in sectors of their own.
const FILE_HEADER_PLACES: [usize; 2] = [0, 2048];
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"WBAT");
const FIRST_LIVE_MAGIC: [u8; 8] = *b"WARRENL1";
pub(super) const FIRST_LIVE_BYTES: usize = 32;

/// Bytes of a batch's head.
pub const BATCH_HEAD_BYTES: usize = 48;
/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 28;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// One more than that of the file started before it.
    pub generation: u64,
    /// Random; seeds every checksum in the file.
    pub salt: u64,
    /// Index of its first record.
    pub first_index: u64,
    /// First index still needed when it was started.
    pub first_live: u64,
    /// Highest synced index when it was started.
    pub synced: u64,
    /// Its length.
    pub file_bytes: u64,
}

/// What block 0 of a file turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStart {
    /// Zeros: never used.
    Unused,
    /// A file in use, or used before.
    Used(FileHeader),
    /// Of a newer format.
    Newer(u32),
    /// Not to be read.
    Broken,
}

impl FileHeader {
    /// Block 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
        header.extend_from_slice(&FILE_MAGIC);
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&FORMAT.to_le_bytes());
        for field in [
            self.generation,
            self.salt,
            self.first_index,
            self.first_live,
            self.synced,
            self.file_bytes,
        ] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        let sum = crc(0, &header[12..]);
        header[8..12].copy_from_slice(&sum.to_le_bytes());
        let mut block = vec![0; crate::store::disk::BLOCK_BYTES as usize];
        for place in FILE_HEADER_PLACES {
            block[place..place + FILE_HEADER_BYTES].copy_from_slice(&header);
        }
        block
    }

    /// Reads block 0. Of two valid headers, the newer one was being written. One that is broken
    /// beside zeros was being written for the first time: nothing is in the file yet.
    pub fn decode(block: &[u8]) -> FileStart {
        let mut found = FileStart::Broken;
        let mut is_new = false;
        for place in FILE_HEADER_PLACES {
            let Some(header) = block.get(place..place + FILE_HEADER_BYTES) else {
                return FileStart::Broken;
            };
            is_new |= header.iter().all(|byte| *byte == 0);
            match (Self::decode_one(header), found) {
                (Some(FileStart::Used(new)), FileStart::Used(old))
                    if new.generation <= old.generation => {}
                (Some(start), _) => found = start,
                (None, _) => {}
            }
        }
        if found == FileStart::Broken && is_new {
            return FileStart::Unused;
        }
        found
    }

    fn decode_one(header: &[u8]) -> Option<FileStart> {
        let mut fields = Fields(header);
        if fields.bytes(8)? != FILE_MAGIC {
            return None;
        }
        let sum = fields.u32()?;
        if sum != crc(0, fields.0) {
            return None;
        }
        let format = fields.u32()?;
        if format > FORMAT {
            return Some(FileStart::Newer(format));
        }
        Some(FileStart::Used(Self {
            generation: fields.u64()?,
            salt: fields.u64()?,
            first_index: fields.u64()?,
            first_live: fields.u64()?,
            synced: fields.u64()?,
            file_bytes: fields.u64()?,
        }))
    }

    /// What seeds the checksums of batch heads.
    pub fn head_seed(&self) -> u32 {
        crc(0, &self.salt.to_le_bytes())
    }

    /// What seeds the checksums of records that `run` wrote.
    pub fn record_seed(&self, run: u64) -> u32 {
        crc(self.head_seed(), &run.to_le_bytes())
    }
}

/// What stands in front of the records that were written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Random for each time the journal was opened.
    pub run: u64,
    /// Index of the first record, or of the next one if there are none.
    pub first_index: u64,
    /// The synced mark: everything up to it was promised.
    pub synced: u64,
    /// How many records.
    pub records: u32,
    /// Their bytes.
    pub bytes: u32,
}

impl BatchHead {
    /// Writes it into the first bytes of `batch`.
    pub fn encode_into(&self, seed: u32, batch: &mut [u8]) {
        let mut head = [0; BATCH_HEAD_BYTES];
        head[0..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        head[8..16].copy_from_slice(&self.run.to_le_bytes());
        head[16..24].copy_from_slice(&self.first_index.to_le_bytes());
        head[24..32].copy_from_slice(&self.synced.to_le_bytes());
        head[32..36].copy_from_slice(&self.records.to_le_bytes());
        head[36..40].copy_from_slice(&self.bytes.to_le_bytes());
        let sum = crc(seed, &head[8..]);
        head[4..8].copy_from_slice(&sum.to_le_bytes());
        batch[..BATCH_HEAD_BYTES].copy_from_slice(&head);
    }

    /// Reads it from the start of `bytes`, if there is one.
    pub fn decode(seed: u32, bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..BATCH_HEAD_BYTES)?);
        if fields.u32()? != BATCH_MAGIC {
            return None;
        }
        let sum = fields.u32()?;
        if sum != crc(seed, fields.0) {
            return None;
        }
        Some(Self {
            run: fields.u64()?,
            first_index: fields.u64()?,
            synced: fields.u64()?,
            records: fields.u32()?,
            bytes: fields.u32()?,
        })
    }
}

/// What stands in front of a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of payload.
    pub length: u32,
    /// Log group.
    pub group: u32,
    /// Term.
    pub term: u32,
    /// Its place in the log.
    pub index: u64,
    /// What the payload is.
    pub kind: u8,
}

impl RecordHeader {
    /// The header without its checksum, which [`seal`] puts in when the file is known.
    pub fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[4..8].copy_from_slice(&self.length.to_le_bytes());
        header[8..12].copy_from_slice(&self.group.to_le_bytes());
        header[12..16].copy_from_slice(&self.term.to_le_bytes());
        header[16..24].copy_from_slice(&self.index.to_le_bytes());
        header[24] = self.kind;
        header
    }

    /// Reads a header, which may be nonsense: see [`is_intact`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(4..RECORD_HEADER_BYTES)?);
        Some(Self {
            length: fields.u32()?,
            group: fields.u32()?,
            term: fields.u32()?,
            index: fields.u64()?,
            kind: fields.u8()?,
        })
    }

    /// Bytes of header and payload.
    pub fn total_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.length as usize
    }
}

/// Puts the checksum into a record (header and payload).
pub fn seal(record: &mut [u8], seed: u32) {
    let sum = crc(seed, &record[4..]);
    record[..4].copy_from_slice(&sum.to_le_bytes());
}

/// Whether a record (header and payload) is as it was written.
pub fn is_intact(record: &[u8], seed: u32) -> bool {
    record.len() >= RECORD_HEADER_BYTES && record[..4] == crc(seed, &record[4..]).to_le_bytes()
}

/// One slot of the first-live file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstLive {
    /// The higher one holds.
    pub counter: u64,
    /// First index that is still needed.
    pub index: u64,
}

impl FirstLive {
    /// The slot's bytes.
    pub fn encode(&self) -> [u8; FIRST_LIVE_BYTES] {
        let mut slot = [0; FIRST_LIVE_BYTES];
        slot[..8].copy_from_slice(&FIRST_LIVE_MAGIC);
        slot[12..16].copy_from_slice(&FORMAT.to_le_bytes());
        slot[16..24].copy_from_slice(&self.counter.to_le_bytes());
        slot[24..32].copy_from_slice(&self.index.to_le_bytes());
        let sum = crc(0, &slot[12..]);
        slot[8..12].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    /// Reads a slot, if it is valid.
    pub fn decode(slot: &[u8]) -> Option<Self> {
        let mut fields = Fields(slot.get(..FIRST_LIVE_BYTES)?);
        if fields.bytes(8)? != FIRST_LIVE_MAGIC || fields.u32()? != crc(0, fields.0) {
            return None;
        }
        (fields.u32()? == FORMAT).then_some(Self {
            counter: fields.u64()?,
            index: fields.u64()?,
        })
    }
}
