//! Topic exchanges: patterns against keys.

use proptest::prelude::*;

use super::*;

/// What RabbitMQ answered.
const FROM_RABBITMQ: &str = include_str!("from_rabbitmq/topic.txt");

#[test]
fn match_what_rabbitmq_matches() {
    let vhost = vhost();
    let (mut patterns, mut keys) = (0, 0);
    for line in FROM_RABBITMQ.lines() {
        let mut parts = line.split('|');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("pattern"), Some(pattern), None) => {
                let queue = patterns.to_string();
                declare(&vhost, &queue);
                bind(&vhost, &queue, "amq.topic", pattern);
                patterns += 1;
            }
            (Some("key"), Some(key), Some(matched)) => {
                let matched = matched.split_whitespace().map(str::to_owned).collect();
                assert_eq!(routed(&vhost, "amq.topic", key), matched, "key '{key}'");
                keys += 1;
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
    }
    assert!(patterns > 50 && keys > 100);
}

/// Whether a pattern matches, straight from the definition.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), _) => (0..=key.len()).any(|taken| matches(rest, &key[taken..])),
        (Some((&"*", rest)), Some((_, key_rest))) => matches(rest, key_rest),
        (Some((word, rest)), Some((key_word, key_rest))) => {
            word == key_word && matches(rest, key_rest)
        }
        _ => false,
    }
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() {
        Vec::new()
    } else {
        key.split('.').collect()
    }
}

fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "", "*", "#", "ab"]),
        0..6,
    )
    .prop_map(|words| words.join("."))
}

fn key() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "", "ab"]), 0..7)
        .prop_map(|words| words.join("."))
}

proptest! {
    #[test]
    fn match_by_definition_while_patterns_come_and_go(
        steps in prop::collection::vec((0..4usize, pattern(), any::<bool>()), 1..60),
        keys in prop::collection::vec(key(), 1..20),
    ) {
        let vhost = vhost();
        for queue in 0..4 {
            declare(&vhost, &queue.to_string());
        }
        let mut bound: BTreeSet<(usize, String)> = BTreeSet::new();
        for (queue, pattern, binds) in steps {
            let name = queue.to_string();
            // Unbind what is bound as often as what is not.
            let oldest = bound.first().cloned();
            match (binds, oldest) {
                (true, _) => {
                    bind(&vhost, &name, "amq.topic", &pattern);
                    bound.insert((queue, pattern));
                }
                (false, Some(oldest)) if queue > 1 => {
                    let name = oldest.0.to_string();
                    vhost.unbind_queue(&name, "amq.topic", &oldest.1, FieldTable::new(), ME).expect("unbound");
                    bound.remove(&oldest);
                }
                (false, _) => {
                    vhost.unbind_queue(&name, "amq.topic", &pattern, FieldTable::new(), ME).expect("unbound");
                    bound.remove(&(queue, pattern));
                }
            }
            for key in &keys {
                let expected: BTreeSet<String> = bound
                    .iter()
                    .filter(|(_, pattern)| matches(&words(pattern), &words(key)))
                    .map(|(queue, _)| queue.to_string())
                    .collect();
                prop_assert_eq!(routed(&vhost, "amq.topic", key), expected, "key '{}'", key);
            }
        }
    }
}

#[test]
fn many_hashes_are_no_trap() {
    // Matched by trying every way to share out the words, this would not end.
    let vhost = vhost();
    declare(&vhost, "q");
    declare(&vhost, "none");
    let hashes = vec!["#"; 120].join(".");
    bind(&vhost, "q", "amq.topic", &hashes);
    bind(&vhost, "q", "amq.topic", &vec!["#.a"; 60].join("."));
    bind(&vhost, "none", "amq.topic", &format!("{hashes}.b"));
    assert_eq!(
        routed(&vhost, "amq.topic", &vec!["a"; 127].join(".")),
        names(&["q"])
    );
    assert_eq!(routed(&vhost, "amq.topic", ""), names(&["q"]));
}
