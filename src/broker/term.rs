//! Field values as RabbitMQ sees them: as Erlang terms, which it compares and prints.
//!
//! Types do not count where RabbitMQ compares two values, but they do within arrays and tables,
//! which are lists of values with their types there.

use std::fmt;

use crate::amqp::table::{FieldTable, FieldValue};
use crate::amqp::terms::PrettyBinary;

/// Prints a value as Erlang's `~p` does, on one line.
pub struct Pretty<'a>(pub &'a FieldValue);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FieldValue::Bool(value) => write!(f, "{value}"),
            FieldValue::F32(value) => f.write_str(&float(f64::from(*value))),
            FieldValue::F64(value) => f.write_str(&float(*value)),
            FieldValue::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => {
                write!(f, "{}", binary(bytes))
            }
            FieldValue::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{{{},{}}}", value.type_name(), Pretty(value))?;
                }
                f.write_str("]")
            }
            FieldValue::Table(table) => {
                f.write_str("[")?;
                for (index, (name, value)) in table.0.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let name = binary(name.as_bytes());
                    write!(
                        f,
                        "{comma}{{{name},{},{}}}",
                        value.type_name(),
                        Pretty(value)
                    )?;
                }
                f.write_str("]")
            }
            FieldValue::Void => f.write_str("undefined"),
            other => match integer(other) {
                Some(integer) => write!(f, "{integer}"),
                None => Ok(()),
            },
        }
    }
}

fn binary(bytes: &[u8]) -> PrettyBinary<'_> {
    PrettyBinary { bytes, column: 0 }
}

/// A float as Erlang prints it: the fewest digits that tell it apart, with an exponent where that
/// is shorter.
pub(super) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The point stands before the digit at `place`.
    let place = exponent + 1;
    let length = digits.len() as i32;
    let with_exponent = || {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        format!("{sign}{first}.{rest}e{exponent}")
    };
    let exponent_cost = exponent.to_string().len() as i32 + 1 + if length == 1 { 2 } else { 1 };
    let is_beyond_integers = value.abs() >= 9_007_199_254_740_992.0;
    if value == 0.0 {
        format!("{sign}0.0")
    } else if place == 0 {
        format!("{sign}0.{digits}")
    } else if place < 0 {
        if 2 - place <= exponent_cost {
            format!(
                "{sign}0.{}{digits}",
                "0".repeat(place.unsigned_abs() as usize)
            )
        } else {
            with_exponent()
        }
    } else if place < length && !is_beyond_integers {
        let (whole, fraction) = digits.split_at(place as usize);
        format!("{sign}{whole}.{fraction}")
    } else if place - length + 2 <= exponent_cost && !is_beyond_integers {
        format!("{sign}{digits}{}.0", "0".repeat((place - length) as usize))
    } else {
        with_exponent()
    }
}

/// The value of all types that are integers in Erlang; a timestamp is one.
fn integer(value: &FieldValue) -> Option<i128> {
    match *value {
        FieldValue::Timestamp(seconds) => Some(seconds.into()),
        _ => value.as_i64().map(i128::from),
    }
}

fn floating(value: &FieldValue) -> Option<f64> {
    match *value {
        FieldValue::F32(value) => Some(value.into()),
        FieldValue::F64(value) => Some(value),
        _ => None,
    }
}

/// The integer that equals a float, if there is one that could come in a table.
fn float_as_integer(value: f64) -> Option<i128> {
    // Every 64-bit integer, signed or not, lies within.
    const BOUND: f64 = 18_446_744_073_709_551_616.0;
    (value.fract() == 0.0 && value.abs() <= BOUND).then_some(value as i128)
}

/// Whether two values are the same term, whatever their types: 1 of type `signedint` and of type
/// `long` are, 1 and 1.0 are not.
pub fn is_same(one: &FieldValue, other: &FieldValue) -> bool {
    if let (Some(one), Some(other)) = (integer(one), integer(other)) {
        return one == other;
    }
    if let (Some(one), Some(other)) = (floating(one), floating(other)) {
        return one == other;
    }
    if let (Some(one), Some(other)) = (one.as_bytes(), other.as_bytes()) {
        return one == other;
    }
    match (one, other) {
        (FieldValue::Array(one), FieldValue::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same_typed(one, other))
        }
        (FieldValue::Table(one), FieldValue::Table(other)) => is_same_table(one, other),
        // An empty list is an empty list.
        (FieldValue::Array(array), FieldValue::Table(table))
        | (FieldValue::Table(table), FieldValue::Array(array)) => {
            array.is_empty() && table.is_empty()
        }
        (FieldValue::Bool(_) | FieldValue::Decimal { .. } | FieldValue::Void, _) => one == other,
        _ => false,
    }
}

fn is_same_typed(one: &FieldValue, other: &FieldValue) -> bool {
    one.type_name() == other.type_name() && is_same(one, other)
}

fn is_same_table(one: &FieldTable, other: &FieldTable) -> bool {
    one.len() == other.len()
        && one
            .0
            .iter()
            .zip(&other.0)
            .all(|((name, value), (other_name, other_value))| {
                name == other_name && is_same_typed(value, other_value)
            })
}

/// Whether two values are equal, whatever their types: as [`is_same`], and 1 equals 1.0.
pub fn is_equal(one: &FieldValue, other: &FieldValue) -> bool {
    match (floating(one), floating(other)) {
        (Some(one), None) => float_as_integer(one).is_some_and(|one| integer(other) == Some(one)),
        (None, Some(other)) => {
            float_as_integer(other).is_some_and(|other| integer(one) == Some(other))
        }
        _ => is_same(one, other),
    }
}

/// Appends bytes that are the same for values that are equal. (What is not equal mostly, but not
/// always, gives different bytes.)
pub fn put_equality_key(value: &FieldValue, out: &mut Vec<u8>) {
    let number = integer(value).or_else(|| floating(value).and_then(float_as_integer));
    if let Some(number) = number {
        out.push(b'i');
        out.extend_from_slice(&number.to_be_bytes());
        return;
    }
    match value {
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => {
            out.push(b's');
            out.extend_from_slice(bytes);
        }
        FieldValue::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
        FieldValue::Void => out.push(b'v'),
        FieldValue::Decimal { scale, value } => {
            out.extend_from_slice(&[b'D', *scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::Array(values) => out.extend_from_slice(&[b'l', values.len() as u8]),
        FieldValue::Table(table) => out.extend_from_slice(&[b'l', table.len() as u8]),
        other => {
            out.push(b'f');
            let bits = floating(other).unwrap_or_default().to_bits();
            out.extend_from_slice(&bits.to_be_bytes());
        }
    }
}
