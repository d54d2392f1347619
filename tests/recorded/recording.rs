//! Recordings: a text file a family, in the order of the scripts.
//!
//! ```text
//! # Recorded from RabbitMQ 3.10.8.
//!
//! == name of the conversation
//! > what was said
//! < what was heard
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A family's conversations by name.
pub type Recording = BTreeMap<String, Vec<String>>;

fn path(family: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/recordings");
    folder.join(format!("{family}.txt"))
}

/// What was recorded; nothing where nothing was.
pub fn read(family: &str) -> Recording {
    let text = std::fs::read_to_string(path(family)).unwrap_or_default();
    let mut recording = Recording::new();
    let mut current: Option<&mut Vec<String>> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            current = Some(recording.entry(name.to_string()).or_default());
        } else if let (Some(lines), false) = (&mut current, line.is_empty()) {
            lines.push(line.to_string());
        }
    }
    recording
}

/// Writes a family anew.
pub fn write(family: &str, version: &str, conversations: &[(String, Vec<String>)]) {
    let mut text = format!("# Recorded from {version}.\n");
    for (name, lines) in conversations {
        text.push_str(&format!("\n== {name}\n"));
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    let path = path(family);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the recordings' folder");
    std::fs::write(path, text).expect("the recording is written");
}
