//! JSON values as RabbitMQ's error texts show them: as Erlang terms, printed as `~p` does.

use std::fmt;

use serde_json::{Map, Value};

use crate::amqp::terms::PrettyBinary;
use crate::broker::term::float;

/// `~p` starts a new line for each part of what does not fit into so many columns.
const LINE_COLUMNS: usize = 80;

/// A value as `~p` prints it.
pub struct PrettyJson<'a>(pub &'a Value);

impl fmt::Display for PrettyJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(value) => f.write_str(&float(value)),
                None => write!(f, "{number}"),
            },
            Value::String(text) => f.write_str(&binary(text)),
            Value::Array(values) => {
                let values = values.iter().map(|value| PrettyJson(value).to_string());
                enclosed(f, "[", values.collect(), "]")
            }
            Value::Object(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| format!("{} => {}", binary(key), PrettyJson(value)));
                enclosed(f, "#{", entries.collect(), "}")
            }
        }
    }
}

/// An object as a list of pairs, which is what RabbitMQ makes of some.
pub struct PrettyPairs<'a>(pub &'a Map<String, Value>);

impl fmt::Display for PrettyPairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self
            .0
            .iter()
            .map(|(key, value)| format!("{{{},{}}}", binary(key), PrettyJson(value)));
        enclosed(f, "[", pairs.collect(), "]")
    }
}

fn binary(text: &str) -> String {
    let bytes = text.as_bytes();
    PrettyBinary { bytes, column: 0 }.to_string()
}

fn enclosed(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    parts: Vec<String>,
    close: &str,
) -> fmt::Result {
    let one_line = parts.join(",");
    let is_long = open.len() + one_line.len() + close.len() > LINE_COLUMNS;
    if is_long && parts.len() > 1 {
        let indent = " ".repeat(open.len());
        let lines = parts.join(&format!(",\n{indent}"));
        return write!(f, "{open}{lines}{close}");
    }
    write!(f, "{open}{one_line}{close}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_rabbitmq_prints_them() {
        let text = |value: Value| PrettyJson(&value).to_string();
        assert_eq!(text(json!("x")), "<<\"x\">>");
        assert_eq!(text(json!(1.5)), "1.5");
        assert_eq!(text(json!(1e3)), "1.0e3");
        assert_eq!(text(json!(1e300)), "1.0e300");
        assert_eq!(text(json!({"a": 1})), "#{<<\"a\">> => 1}");
        assert_eq!(text(json!([true, null, []])), "[true,null,[]]");
    }

    #[test]
    fn long_lists_take_a_line_for_each_pair() {
        let object = json!({"bar": "b", "baz": [1, "x", {"a": null}], "foo": 1, "q": true});
        let pairs = PrettyPairs(object.as_object().expect("an object")).to_string();
        assert_eq!(
            pairs,
            "[{<<\"bar\">>,<<\"b\">>},\n {<<\"baz\">>,[1,<<\"x\">>,#{<<\"a\">> => null}]},\n \
             {<<\"foo\">>,1},\n {<<\"q\">>,true}]"
        );
    }
}
