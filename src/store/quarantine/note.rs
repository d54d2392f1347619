//! What is known of a damaged place, as a text beside the copy of its bytes.
//!
//! In: what was found. Out: `quarantine/PLACE.note`, which the broker reads again at every start and
//! goes on to tell of, until somebody deletes it.

use std::io;

use serde::{Deserialize, Serialize};

use super::{DamagedChunks, FOLDER};
use crate::store::disk::Disk;

const SUFFIX: &str = ".note";
/// A note is never longer, so one that is was not written by us.
const MOST_BYTES: u64 = 256 << 10;
const NEW: &str = "note.new";

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The journal.
    Journal,
    /// The queues' segments.
    Segments,
}

/// A queue that damage concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Concerned {
    /// Its vhost.
    pub vhost: String,
    /// Its name.
    pub name: String,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where it is.
    pub part: Part,
    /// What it is, for people.
    pub what: String,
    /// How many records of the journal, or messages of a segment, are missing, where that is known.
    #[serde(default)]
    pub missing_records: u64,
    /// Whether queues may be concerned of which nothing is known.
    #[serde(default)]
    pub unknown_queue: bool,
    /// Queues that are concerned, as far as that is known.
    #[serde(default)]
    pub queues: Vec<Concerned>,
    /// The chunks of a segment that it is about, if it is about such.
    #[serde(default)]
    pub chunks: Option<DamagedChunks>,
}

impl Note {
    /// Of damaged chunks of one segment, which belongs to that queue.
    pub fn of_chunks(chunks: DamagedChunks, queue: Option<Concerned>) -> Self {
        Self {
            part: Part::Segments,
            what: match &queue {
                Some(Concerned { vhost, name }) => {
                    format!("queue {name:?} in vhost {vhost:?}: {chunks}")
                }
                None => chunks.to_string(),
            },
            missing_records: chunks.lost,
            unknown_queue: false,
            queues: queue.into_iter().collect(),
            chunks: Some(chunks),
        }
    }

    /// How many damaged places it tells of.
    pub fn places(&self) -> u64 {
        self.chunks.as_ref().map_or(1, |chunks| chunks.chunks)
    }
}

/// Writes a note durably, unless there is one for that place. One at a time.
pub(in crate::store) fn write_note(disk: &dyn Disk, place: &str, note: &Note) -> io::Result<()> {
    match is_there(disk, place)? {
        true => Ok(()),
        false => put_note(disk, place, note),
    }
}

/// Whether there is a note of that place.
pub(in crate::store) fn is_there(disk: &dyn Disk, place: &str) -> io::Result<bool> {
    let name = format!("{place}{SUFFIX}");
    Ok(disk.list(FOLDER)?.contains(&name))
}

/// Writes a note durably, in the place of the one that there may be. One at a time.
pub(in crate::store) fn put_note(disk: &dyn Disk, place: &str, note: &Note) -> io::Result<()> {
    let name = format!("{place}{SUFFIX}");
    let fields = toml::to_string(note).map_err(io::Error::other)?;
    let text = format!(
        "# Something stored was found damaged. The broker tells of it until this file is deleted.\n{fields}"
    );
    disk.create_dir(FOLDER)?;
    let new = format!("{FOLDER}/{NEW}");
    let file = disk.create(&new)?;
    file.write_at(text.as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&new, &format!("{FOLDER}/{name}"))?;
    disk.sync_dir(FOLDER)
}

/// All places that there are notes of.
pub(in crate::store) fn places(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let names = disk.list(FOLDER)?.into_iter();
    let places = names.filter_map(|name| name.strip_suffix(SUFFIX).map(str::to_owned));
    Ok(places.collect())
}

/// All notes, at most so many, by place. One that cannot be understood is a note nevertheless.
pub(in crate::store) fn notes(disk: &dyn Disk, most: usize) -> io::Result<Vec<(String, Note)>> {
    let places = places(disk)?.into_iter().take(most);
    places
        .map(|place| {
            let note = read(disk, &place)?.unwrap_or_else(|| unreadable(&place));
            Ok((place, note))
        })
        .collect()
}

fn read(disk: &dyn Disk, place: &str) -> io::Result<Option<Note>> {
    let file = disk.open(&format!("{FOLDER}/{place}{SUFFIX}"))?;
    let mut bytes = vec![0; file.len()?.min(MOST_BYTES) as usize];
    file.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(toml::from_str(&text).ok())
}

fn unreadable(place: &str) -> Note {
    Note {
        part: Part::Journal,
        what: format!("{FOLDER}/{place}{SUFFIX} tells of damage and cannot be understood"),
        missing_records: 0,
        unknown_queue: true,
        queues: Vec::new(),
        chunks: None,
    }
}
