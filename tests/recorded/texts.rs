//! `texts.toml`: every text with which RabbitMQ refuses something, and a recording that has it.

use regex::Regex;

use crate::recording::Recording;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    text: Vec<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// A part of what was heard; `~` stands for whatever is put in.
    says: String,
    /// The conversation, `family/name`.
    r#in: Option<String>,
    /// Why there is none.
    not: Option<String>,
}

/// What is wrong with the list.
pub fn check(recording: impl Fn(&str) -> Recording) -> Vec<String> {
    let file: File = toml::from_str(include_str!("texts.toml")).expect("texts.toml");
    let wrong = |text: &Text| {
        let conversation = match (&text.r#in, &text.not) {
            (Some(conversation), None) => conversation,
            (None, Some(_)) => return None,
            _ => return Some("has to have one of `in` and `not`".to_string()),
        };
        let parts: Vec<String> = text.says.split('~').map(regex::escape).collect();
        let pattern = parts.join(".*");
        let pattern = Regex::new(&format!("^([A-Z] )?< .*{pattern}")).expect("a regex");
        let (family, name) = conversation.split_once('/').expect("family/name");
        let lines = recording(family).remove(name).unwrap_or_default();
        match lines.iter().any(|line| pattern.is_match(line)) {
            true => None,
            false => Some(format!("is not said in {conversation}")),
        }
    };
    let told = |text: &Text| Some(format!("texts.toml: {:?} {}", text.says, wrong(text)?));
    file.text.iter().filter_map(told).collect()
}
