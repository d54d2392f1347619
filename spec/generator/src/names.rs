//! Names with dashes in Rust's cases.

/// `recover-ok` as `recover_ok`.
pub fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `recover-ok` as `RECOVER_OK`.
pub fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

/// `recover-ok` as `RecoverOk`.
pub fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
    };
    name.split('-').filter_map(capital).collect()
}
