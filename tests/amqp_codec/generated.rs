//! What is checked in is what `spec/` says.

use std::fs;
use std::path::Path;

#[test]
fn generated_code_is_up_to_date() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in spec_generator::generate(repository).expect("spec/ can be read") {
        let checked_in = fs::read_to_string(repository.join(&file.path)).unwrap_or_default();
        assert!(
            checked_in == file.text,
            "{} is stale: run `cargo run -p spec-generator`",
            file.path.display()
        );
    }
}

/// A class file that nothing generates any more would go unnoticed otherwise.
#[test]
fn nothing_else_claims_to_be_generated() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated: Vec<_> = spec_generator::generate(repository)
        .expect("spec/ can be read")
        .into_iter()
        .map(|file| file.path)
        .collect();
    for folder in ["src/amqp", "src/amqp/method"] {
        for entry in fs::read_dir(repository.join(folder)).expect("folder") {
            let path = entry.expect("entry").path();
            if !path.is_file() {
                continue;
            }
            let marked = fs::read_to_string(&path)
                .expect("text")
                .contains(spec_generator::MARK);
            let relative = path.strip_prefix(repository).expect("inside").to_path_buf();
            assert_eq!(
                marked,
                generated.contains(&relative),
                "{}",
                relative.display()
            );
        }
    }
}
