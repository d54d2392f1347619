//! Reads that fail: once, or as long as a sector is bad. What limits take from a queue by themselves is read
//! as well, and would be late; so only the others' segments get bad sectors.

use std::collections::BTreeSet;

use super::{History, gives_up};

impl History {
    /// Reads that fail in a life.
    pub(super) fn failing_reads(&self) -> BTreeSet<u64> {
        let now = self.0.disk.reads();
        let count = self.random(0..4);
        let reads = (0..count).map(|_| now + self.random(0..200) as u64);
        reads.collect()
    }

    /// Now and then a sector goes bad, or all are repaired.
    pub(super) fn break_or_repair(&self) {
        match self.random(0..100) {
            0..5 => self.break_a_sector(),
            5..8 => self.repair(),
            _ => {}
        }
    }

    /// All that there is can be read again.
    pub(super) fn repair(&self) {
        if self.0.disk.has_bad_sectors() {
            self.note(|| "the disk is repaired".to_owned());
            self.0.disk.repair();
            let world = self.0.world.borrow().clone();
            if let Some(world) = world.filter(|_| !self.0.is_between.get()) {
                world.load_all();
            }
        }
    }

    fn break_a_sector(&self) {
        let world = self.world();
        let queues = world.vhost.queues().into_iter();
        let queues = queues.filter(|queue| !gives_up(queue.name()));
        let folders: Vec<String> = queues
            .map(|queue| format!("segments/{:016x}/", queue.id().0))
            .collect();
        let is_concerned = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.0.disk.files();
        let files = files.iter();
        let files: Vec<_> = files
            .filter(|(path, bytes)| *bytes > 0 && is_concerned(path))
            .collect();
        if files.is_empty() {
            return;
        }
        let (path, bytes) = files[self.random(0..files.len())];
        let at = self.random(0..*bytes as usize) as u64;
        self.note(|| format!("the sector at {at} of {path} is bad"));
        self.0.disk.break_sector(path, at);
    }
}
