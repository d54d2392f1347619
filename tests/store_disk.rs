//! Files of the operating system: what is written past its cache and what is not are one file.

use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use warren::store::disk::{AlignedBuffer, Disk, DiskFile, RealDisk};

const FILE_BYTES: usize = 256 << 10;
const BLOCK: usize = 4096;

fn check(file: &dyn DiskFile, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    file.read_at(&mut found, 0).expect("it can be read");
    let wrong = found.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "the first byte that is wrong");
}

fn mixed_writes(root: &Path, seed: u64) {
    let dice = &mut SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir_in(root).expect("a folder");
    let disk = RealDisk::new(folder.path()).expect("a disk");
    let mut file = disk.create("before").expect("it is made");
    let mut expected = vec![0; FILE_BYTES];
    file.write_at(&expected, 0).expect("it is written");
    for step in 0..200 {
        let mut bytes = AlignedBuffer::zeroed(BLOCK * dice.random_range(1..8));
        dice.fill_bytes(&mut bytes);
        let at = BLOCK * dice.random_range(0..(FILE_BYTES - bytes.len()) / BLOCK);
        // Aligned in every way, or not in memory, or not in the file, or not in length.
        let (from, to, at) = match dice.random_range(0..6) {
            0..3 => (0, bytes.len(), at),
            3 => (1, bytes.len(), at),
            4 => (0, bytes.len(), at + 512),
            _ => (0, bytes.len() - 100, at),
        };
        let part = &bytes[from..to];
        if dice.random() {
            file.write_blocks_at(part, at as u64)
                .expect("it is written");
        } else {
            file.write_at(part, at as u64).expect("it is written");
        }
        expected[at..at + part.len()].copy_from_slice(part);
        match dice.random_range(0..20) {
            0..5 => check(&*file, &expected),
            5 => file.sync_data().expect("it is synced"),
            _ => {}
        }
        if step == 100 {
            disk.rename("before", "after").expect("it is renamed");
            if seed.is_multiple_of(2) {
                file = disk.open("after").expect("it is there");
            }
        }
    }
    check(&*file, &expected);
    assert_eq!(file.len().expect("it is there"), FILE_BYTES as u64);
}

#[test]
fn writes_of_all_kinds_end_up_in_one_file() {
    for seed in 0..6 {
        mixed_writes(&std::env::temp_dir(), seed);
    }
}

/// Where the file system may not know how to write past the cache.
#[test]
fn a_disk_in_memory_will_do() {
    let shared = Path::new("/dev/shm");
    if !shared.is_dir() {
        eprintln!("SKIPPED: there is no /dev/shm");
        return;
    }
    mixed_writes(shared, 1);
}

#[test]
fn a_write_of_blocks_lengthens_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = RealDisk::new(folder.path()).expect("a disk");
    let file = disk.create("file").expect("it is made");
    let mut bytes = AlignedBuffer::zeroed(3 * BLOCK);
    bytes.fill(7);
    for part in 0..4 {
        file.write_blocks_at(&bytes, part * bytes.len() as u64)
            .expect("it is written");
    }
    assert_eq!(file.len().expect("it is there"), 12 * BLOCK as u64);
    check(&*file, &[7; 12 * BLOCK]);
}
