//! Arguments of queues, exchanges and bindings in JSON: field tables without their types.
//!
//! Source: RabbitMQ's `rabbit_misc` (`to_amqp_table`, `amqp_table`).

use serde_json::{Map, Number, Value};

use crate::amqp::table::{FieldTable, FieldValue, ShortStr};

/// The longest name in a field table.
const MAX_NAME_BYTES: usize = 255;

/// Reads arguments: whole numbers become 64-bit ones, texts long strings.
///
/// # Errors
/// RabbitMQ's word for a value that there is not in field tables.
pub fn from_json(arguments: &Map<String, Value>) -> Result<FieldTable, String> {
    let entries = arguments.iter().map(|(name, value)| {
        if name.len() > MAX_NAME_BYTES {
            return Err("name_too_long".to_owned());
        }
        Ok((ShortStr::from(name.as_str()), field(value)?))
    });
    entries.collect::<Result<Vec<_>, String>>().map(FieldTable)
}

fn field(value: &Value) -> Result<FieldValue, String> {
    Ok(match value {
        Value::Null => return Err("null_not_allowed".into()),
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => FieldValue::I64(integer),
            (None, Some(_)) if number.is_u64() => return Err("number_too_large".into()),
            (None, float) => FieldValue::F64(float.unwrap_or_default()),
        },
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Array(values) => {
            let values = values.iter().map(field);
            FieldValue::Array(values.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => FieldValue::Table(from_json(map)?),
    })
}

/// Arguments as JSON. Bytes that are no text are shown as such as far as possible.
pub fn to_json(arguments: &FieldTable) -> Map<String, Value> {
    arguments
        .iter()
        .map(|(name, value)| (name.to_owned(), json(value)))
        .collect()
}

fn json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(value) => Value::Bool(*value),
        FieldValue::F32(value) => float((*value).into()),
        FieldValue::F64(value) => float(*value),
        FieldValue::Decimal { scale, value } => {
            float(f64::from(*value) / 10_f64.powi((*scale).into()))
        }
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => {
            String::from_utf8_lossy(bytes).into_owned().into()
        }
        FieldValue::Array(values) => values.iter().map(json).collect(),
        FieldValue::Timestamp(seconds) => (*seconds).into(),
        FieldValue::Table(table) => to_json(table).into(),
        FieldValue::Void => Value::Null,
        other => other.as_i64().map_or(Value::Null, Value::from),
    }
}

fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_come_back() {
        let arguments = json!({
            "x-max-length": 5, "a": {"b": [true, 1.5, "text"]}, "x-match": "all",
        });
        let arguments = arguments.as_object().expect("an object");
        let table = from_json(arguments).expect("arguments");
        assert_eq!(table.get("x-max-length"), Some(&FieldValue::I64(5)));
        assert_eq!(to_json(&table), *arguments);
    }

    #[test]
    fn null_is_none() {
        let arguments = json!({"a": [null]});
        let refused = from_json(arguments.as_object().expect("an object"));
        assert_eq!(refused, Err("null_not_allowed".to_owned()));
    }
}
