//! Short strings: names, keys and tags of at most 255 bytes.
//!
//! RabbitMQ asserts UTF-8 in the short strings of methods without content, and nowhere else: the
//! routing key of a message, a header's name or a reply-to may be any bytes, and come out as they
//! went in. A [`ShortStr`] therefore is text that, in the rare case of bytes that are none, keeps
//! the bytes beside it: text for whoever compares names, the bytes for whoever writes them.
//! Cloning one counts a reference.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The longest short string in bytes: its length is one octet on the wire.
pub const SHORT_STR_MAX_BYTES: usize = 255;

/// See the module.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortStr {
    text: Arc<str>,
    /// What came on the wire, where that is no UTF-8 and `text` thus only an approximation.
    raw: Option<Arc<Vec<u8>>>,
}

impl ShortStr {
    /// A short string; None if it is too long to be one.
    pub fn new(text: impl Into<Arc<str>>) -> Option<Self> {
        let text = text.into();
        (text.len() <= SHORT_STR_MAX_BYTES).then_some(Self { text, raw: None })
    }

    /// As much of `text` as fits, cut between characters.
    pub fn truncated(text: &str) -> Self {
        let end = text.floor_char_boundary(SHORT_STR_MAX_BYTES);
        Self {
            text: Arc::from(&text[..end]),
            raw: None,
        }
    }

    /// Text from the wire; None if it is too long or no UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        std::str::from_utf8(bytes).ok().and_then(Self::new)
    }

    /// Bytes from the wire, kept as they are where they are no UTF-8; None if there are too many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > SHORT_STR_MAX_BYTES {
            return None;
        }
        Self::from_utf8(bytes).or_else(|| {
            let text = String::from_utf8_lossy(bytes).into();
            Some(Self {
                text,
                raw: Some(Arc::new(bytes.to_vec())),
            })
        })
    }

    /// The text: with U+FFFD in it where the bytes are no UTF-8.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, shared.
    pub fn as_arc(&self) -> &Arc<str> {
        &self.text
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.raw {
            None => self.text.as_bytes(),
            Some(raw) => raw,
        }
    }
}

impl Deref for ShortStr {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for ShortStr {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Cuts what is too long.
impl From<&str> for ShortStr {
    fn from(text: &str) -> Self {
        Self::truncated(text)
    }
}

/// Cuts what is too long.
impl From<String> for ShortStr {
    fn from(text: String) -> Self {
        Self::truncated(&text)
    }
}

/// Cuts what is too long.
impl From<Arc<str>> for ShortStr {
    fn from(text: Arc<str>) -> Self {
        if text.len() <= SHORT_STR_MAX_BYTES {
            Self { text, raw: None }
        } else {
            Self::truncated(&text)
        }
    }
}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            None => fmt::Debug::fmt(&self.text, f),
            Some(raw) => write!(f, "b\"{}\"", raw.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_keeps_its_bytes() {
        let odd = ShortStr::from_bytes(b"caf\xe9").expect("short enough");
        assert_eq!(odd.as_bytes(), b"caf\xe9");
        assert_eq!(&*odd, "caf\u{fffd}");
        assert_ne!(odd, ShortStr::from("caf\u{fffd}"));
        assert_eq!(format!("{odd:?}"), "b\"caf\\xe9\"");
        assert_eq!(ShortStr::from_utf8(b"caf\xe9"), None);
    }

    #[test]
    fn what_is_too_long_is_refused_or_cut_between_characters() {
        let text = "é".repeat(200);
        assert_eq!(ShortStr::new(text.as_str()), None);
        assert_eq!(ShortStr::from_bytes(text.as_bytes()), None);
        assert_eq!(ShortStr::from(text.as_str()).as_str(), "é".repeat(127));
        assert_eq!(ShortStr::from(Arc::<str>::from(text)).len(), 254);
    }
}
