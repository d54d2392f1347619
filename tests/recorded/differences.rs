//! What may differ: `differences.toml`, each entry with its reason.
//!
//! An entry turns what RabbitMQ said into what Warren says. What is left must be equal, and an entry
//! that turns nothing is a mistake.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::{Captures, Regex};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mask: Vec<MaskEntry>,
    difference: Vec<Entry>,
}

/// What is not compared, nor recorded.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskEntry {
    /// A regular expression for a part of a line.
    what: String,
    /// What is written instead.
    mask: String,
    reason: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Matches `family/conversation` as a whole; every conversation if it is not there.
    conversations: Option<String>,
    /// A regular expression for some of the recording's lines; `^` and `$` are a line's.
    rabbitmq: String,
    /// What Warren says instead; `$1` is what the first group matched, `{version}` Warren's version.
    warren: String,
    reason: String,
}

/// See the module.
pub struct Differences {
    masks: Vec<(Regex, String)>,
    differences: Vec<Difference>,
}

struct Difference {
    conversations: Option<Regex>,
    rabbitmq: Regex,
    warren: String,
    used: AtomicBool,
}

impl Differences {
    pub fn read() -> Self {
        let file: File =
            toml::from_str(include_str!("differences.toml")).expect("differences.toml");
        let difference = |entry: Entry| {
            assert!(
                !entry.reason.trim().is_empty(),
                "no reason: {}",
                entry.rabbitmq
            );
            let whole =
                |pattern: &String| Regex::new(&format!("^(?:{pattern})$")).expect("a regex");
            Difference {
                conversations: entry.conversations.as_ref().map(whole),
                rabbitmq: Regex::new(&format!("(?m){}", entry.rabbitmq)).expect("a regex"),
                warren: entry.warren.replace("{version}", env!("CARGO_PKG_VERSION")),
                used: AtomicBool::new(false),
            }
        };
        let mask = |entry: MaskEntry| {
            assert!(!entry.reason.trim().is_empty(), "no reason: {}", entry.what);
            (Regex::new(&entry.what).expect("a regex"), entry.mask)
        };
        Differences {
            masks: file.mask.into_iter().map(mask).collect(),
            differences: file.difference.into_iter().map(difference).collect(),
        }
    }

    /// Without what is new each time or another on each machine.
    pub fn masked(&self, lines: &mut [String]) {
        for line in lines.iter_mut() {
            for (what, mask) in &self.masks {
                *line = what.replace_all(line, mask.as_str()).into_owned();
            }
        }
        without_made_up_names(lines);
    }

    /// What Warren should say where RabbitMQ said this.
    pub fn expected(&self, conversation: &str, recorded: &[String]) -> Vec<String> {
        let mut text = recorded.join("\n");
        for difference in &self.differences {
            let of_it = difference.conversations.as_ref();
            if of_it.is_some_and(|conversations| !conversations.is_match(conversation)) {
                continue;
            }
            let turned = difference
                .rabbitmq
                .replace_all(&text, difference.warren.as_str());
            if turned != text {
                difference.used.store(true, Ordering::Relaxed);
                text = turned.into_owned();
            }
        }
        text.lines().map(str::to_string).collect()
    }

    /// Entries that have turned nothing.
    pub fn unused(&self) -> Vec<&str> {
        let unused = self
            .differences
            .iter()
            .filter(|entry| !entry.used.load(Ordering::Relaxed));
        unused.map(|entry| entry.rabbitmq.as_str()).collect()
    }
}

/// Names that the broker makes up, by the order in which they appear in the conversation: they are
/// new each time, with RabbitMQ as well.
fn without_made_up_names(lines: &mut [String]) {
    static MADE_UP: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"amq\.(gen|ctag|rabbitmq\.reply-to)[.-][-_A-Za-z0-9+/=.]{16,}")
            .expect("a regex")
    });
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        let named = MADE_UP.replace_all(line, |found: &Captures<'_>| {
            let number = seen
                .iter()
                .position(|name| name == &found[0])
                .unwrap_or_else(|| {
                    seen.push(found[0].to_string());
                    seen.len() - 1
                });
            format!("amq.{}-#{}", &found[1], number + 1)
        });
        *line = named.into_owned();
    }
}
