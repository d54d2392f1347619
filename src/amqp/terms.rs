//! How RabbitMQ prints bytes in its error texts: as Erlang terms.

use std::fmt::{self, Write as _};

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
/// numbers otherwise, and those in lines of 80 columns.
pub struct PrettyBinary<'a> {
    /// What is printed.
    pub bytes: &'a [u8],
    /// How many columns of its first line are taken already.
    pub column: usize,
}

/// The last column in which `~p` ends a number, with its comma.
const LAST_COLUMN: usize = 79;

impl PrettyBinary<'_> {
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<<{}>>", Quoted(self.bytes))
    }

    fn numbers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = self.column + 2;
        let mut column = margin;
        let shown = self.bytes.len().min(SHOWN_MAX_BYTES);
        f.write_str("<<")?;
        for (index, byte) in self.bytes.iter().take(shown).enumerate() {
            let comma = if index + 1 < shown { "," } else { "" };
            let number = format!("{byte}{comma}");
            if index > 0 && column + number.len() > LAST_COLUMN {
                write!(f, "\n{:margin$}", "")?;
                column = margin;
            }
            f.write_str(&number)?;
            column += number.len();
        }
        f.write_str(">>")
    }
}

impl fmt::Display for PrettyBinary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.bytes.is_empty() && is_printable(self.bytes) {
            self.text(f)
        } else {
            self.numbers(f)
        }
    }
}

/// Appends a tuple of two words as Erlang's `~p` prints it: on two lines where it would reach the last
/// column.
pub fn push_pair(text: &mut String, first: &str, second: u32) {
    let line_start = text.rfind('\n').map_or(0, |at| at + 1);
    let column = text[line_start..].chars().count();
    let pair = format!("{{{first},{second}}}");
    if column + pair.len() < LAST_COLUMN {
        text.push_str(&pair);
        return;
    }
    let margin = column + 1;
    let _ = write!(text, "{{{first},\n{:margin$}{second}}}", "");
}

/// Bytes as Erlang's `~p` prints a list of them: as a string where all are printable in Latin-1, as
/// numbers otherwise, on one line.
pub struct PrettyList<'a>(pub &'a [u8]);

impl fmt::Display for PrettyList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && is_printable(self.0) {
            return Quoted(self.0).fmt(f);
        }
        f.write_char('[')?;
        for (index, byte) in self.0.iter().take(SHOWN_MAX_BYTES).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{byte}")?;
        }
        f.write_char(']')
    }
}

fn is_printable(bytes: &[u8]) -> bool {
    let is_printable = |byte: &u8| matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255);
    bytes.iter().all(is_printable)
}

/// Printable bytes between quotes.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RabbitMQ sends the bytes as they are, so that what is UTF-8 arrives as that.
        let shown = &self.0[..self.0.len().min(SHOWN_MAX_BYTES)];
        let text = match std::str::from_utf8(shown) {
            Ok(text) => text.to_owned(),
            Err(_) => shown.iter().copied().map(char::from).collect(),
        };
        f.write_char('"')?;
        for char in text.chars() {
            match char {
                '\x08' => f.write_str("\\b")?,
                '\t' => f.write_str("\\t")?,
                '\n' => f.write_str("\\n")?,
                '\x0b' => f.write_str("\\v")?,
                '\x0c' => f.write_str("\\f")?,
                '\r' => f.write_str("\\r")?,
                '\x1b' => f.write_str("\\e")?,
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                _ => f.write_char(char)?,
            }
        }
        f.write_char('"')
    }
}
