//! Every file that fuzzing left behind, through what it was found with.

use std::fs;
use std::path::Path;

use crate::checks;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let input = fs::read(&path).expect("a file");
        println!("{}", path.display());
        check(&input);
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn frames() {
    run("frames", checks::frames);
}

#[test]
fn methods() {
    run("methods", checks::methods);
}

#[test]
fn headers() {
    run("headers", checks::headers);
}

#[test]
fn tables() {
    run("tables", checks::tables);
}
