//! Spans of time as streams are told of them: "7D", "1h", as in x-max-age and x-stream-offset.

/// What is wrong with a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpan {
    /// It is zero or has no known unit.
    Invalid,
    /// It does not begin with a number, over which RabbitMQ's channel crashes.
    NoNumber,
}

/// A number and a unit (Y, M, D, h, m or s; a year has 365 days, a month 30), in milliseconds. As in
/// RabbitMQ a line end and what follows it are not looked at.
pub fn parse(text: &[u8]) -> Result<u64, NoSpan> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(NoSpan::NoNumber);
    }
    let unit = unit.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let unit_ms: u64 = match unit {
        b"s" => 1_000,
        b"m" => 60_000,
        b"h" => 3_600_000,
        b"D" => 24 * 3_600_000,
        b"M" => 30 * 24 * 3_600_000,
        b"Y" => 365 * 24 * 3_600_000,
        _ => return Err(NoSpan::Invalid),
    };
    if number.iter().all(|digit| *digit == b'0') {
        return Err(NoSpan::Invalid);
    }
    let number = number.iter().fold(0u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add((digit - b'0').into())
    });
    Ok(number.saturating_mul(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What RabbitMQ 3.10.8 takes and refuses.
    #[test]
    fn spans_are_read_as_rabbitmq_reads_them() {
        for (text, ms) in [
            ("1s", 1_000),
            ("007m", 420_000),
            ("1h", 3_600_000),
            ("7D", 604_800_000),
            ("2M", 5_184_000_000),
            ("1Y", 31_536_000_000),
            ("5s\n", 5_000),
            ("5s\nand more", 5_000),
            ("99999999999999999999Y", u64::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(ms), "{text}");
        }
        for text in ["0s", "5", "5x", "5S", "5ss", "5 s"] {
            assert_eq!(parse(text.as_bytes()), Err(NoSpan::Invalid), "{text}");
        }
        for text in ["", "foo", "-5s", " 5s", "s"] {
            assert_eq!(parse(text.as_bytes()), Err(NoSpan::NoNumber), "{text}");
        }
    }
}
