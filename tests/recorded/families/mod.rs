//! The conversations, a file a family.

mod arguments;
mod binary;
mod bindings;
mod channels;
mod consuming;
mod content;
mod exchanges;
mod handshake;
mod letters;
mod limits;
mod permissions;
mod plugins;
mod publishing;
mod queues;
mod redeclare;
mod settling;
mod streams;
mod tables;

use crate::script::Script;

/// Every family with its conversations. The recording of each is a file of its name.
pub fn all() -> Vec<(&'static str, Vec<Script>)> {
    vec![
        ("arguments", arguments::scripts()),
        ("binary", binary::scripts()),
        ("bindings", bindings::scripts()),
        ("channels", channels::scripts()),
        ("consuming", consuming::scripts()),
        ("content", content::scripts()),
        ("exchanges", exchanges::scripts()),
        ("handshake", handshake::scripts()),
        ("letters", letters::scripts()),
        ("limits", limits::scripts()),
        ("permissions", permissions::scripts()),
        ("plugins", plugins::scripts()),
        ("publishing", publishing::scripts()),
        ("queues", queues::scripts()),
        ("redeclare", redeclare::scripts()),
        ("settling", settling::scripts()),
        ("streams", streams::scripts()),
        ("tables", tables::scripts()),
    ]
}
