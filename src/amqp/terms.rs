//! How RabbitMQ prints bytes in its error texts: as Erlang terms.

use std::fmt;

/// More bytes than fit into a reply text, however they are printed.
const SHOWN_MAX_BYTES: usize = 256;

/// Bytes as Erlang's `~w` prints a binary: `<<1,2,3>>`. Only as many as a reply text can hold.
pub struct Binary<'a>(pub &'a [u8]);

impl fmt::Display for Binary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<")?;
        for (index, byte) in self.0.iter().take(SHOWN_MAX_BYTES).enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{byte}")?;
        }
        f.write_str(">>")
    }
}

/// Bytes as Erlang's `~p` prints a binary: as a string where all are printable in Latin-1, as
/// numbers otherwise.
pub struct PrettyBinary<'a>(pub &'a [u8]);

impl fmt::Display for PrettyBinary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_printable = |byte: &u8| matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255);
        if self.0.is_empty() || !self.0.iter().all(is_printable) {
            return Binary(self.0).fmt(f);
        }
        f.write_str("<<\"")?;
        for &byte in self.0.iter().take(SHOWN_MAX_BYTES) {
            match byte {
                8 => f.write_str("\\b")?,
                9 => f.write_str("\\t")?,
                10 => f.write_str("\\n")?,
                11 => f.write_str("\\v")?,
                12 => f.write_str("\\f")?,
                13 => f.write_str("\\r")?,
                27 => f.write_str("\\e")?,
                b'"' => f.write_str("\\\"")?,
                b'\\' => f.write_str("\\\\")?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        f.write_str("\">>")
    }
}
