//! Turns `spec/` into the generated part of `src/amqp/`.
//!
//! In: constants, domains and one file per class, in TOML; out: Rust source, formatted as
//! `cargo fmt` formats it, so that a test can compare it with what is checked in.

mod codes;
mod method;
mod names;
pub mod spec;

use std::fs;
use std::path::{Path, PathBuf};

use spec::Spec;

/// The head of every generated file, after its `//!` lines.
pub const MARK: &str = "// Generated from spec/ by `cargo run -p spec-generator`; do not edit.\n";

/// A generated file: its path in the repository and its text.
pub struct Generated {
    /// Relative to the repository.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// The repository that this crate was built in.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All generated files, for the specification in `repository`.
pub fn generate(repository: &Path) -> Result<Vec<Generated>, String> {
    let spec = Spec::read(&repository.join("spec"))?;
    let mut files = vec![
        ("constants.rs".to_owned(), codes::constants(&spec)),
        ("reply_code.rs".to_owned(), codes::reply_code(&spec)),
        ("method/all.rs".to_owned(), method::all(&spec)),
    ];
    for class in &spec.classes {
        files.push((
            format!("method/{}.rs", names::snake(&class.name)),
            method::class(&spec, class)?,
        ));
    }
    let folder = Path::new("src/amqp");
    Ok(files
        .into_iter()
        .map(|(name, text)| Generated {
            path: folder.join(name),
            text,
        })
        .collect())
}

/// Writes all generated files and says how many.
pub fn write(repository: &Path) -> Result<usize, String> {
    let files = generate(repository)?;
    for file in &files {
        let path = repository.join(&file.path);
        fs::write(&path, &file.text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(files.len())
}
