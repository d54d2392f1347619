//! Properties and tables in the words of amqprs.

use amqprs::{BasicProperties, DecimalValue, FieldTable, FieldValue};

use crate::words::{Properties, Table, Value};

/// As amqprs wants them.
pub fn said(properties: Properties) -> BasicProperties {
    let mut all = BasicProperties::default();
    if !properties.headers.is_empty() {
        all.with_headers(written(properties.headers));
    }
    macro_rules! set {
        ($($field:ident $with:ident),*) => {
            $(if let Some(value) = &properties.$field { all.$with(value); })*
        };
    }
    set!(
        content_type with_content_type, content_encoding with_content_encoding,
        correlation_id with_correlation_id, reply_to with_reply_to, expiration with_expiration,
        message_id with_message_id, kind with_message_type, user_id with_user_id,
        app_id with_app_id
    );
    if let Some(mode) = properties.delivery_mode {
        all.with_delivery_mode(mode);
    }
    if let Some(priority) = properties.priority {
        all.with_priority(priority);
    }
    if let Some(seconds) = properties.timestamp {
        all.with_timestamp(seconds);
    }
    all
}

/// As amqprs has them.
pub fn heard(properties: &BasicProperties) -> Properties {
    Properties {
        headers: properties.headers().map(read).unwrap_or_default(),
        delivery_mode: properties.delivery_mode(),
        priority: properties.priority(),
        timestamp: properties.timestamp(),
        content_type: properties.content_type().cloned(),
        content_encoding: properties.content_encoding().cloned(),
        correlation_id: properties.correlation_id().cloned(),
        reply_to: properties.reply_to().cloned(),
        expiration: properties.expiration().cloned(),
        message_id: properties.message_id().cloned(),
        kind: properties.message_type().cloned(),
        user_id: properties.user_id().cloned(),
        app_id: properties.app_id().cloned(),
    }
}

/// As amqprs wants it.
pub fn written(table: Table) -> FieldTable {
    let mut fields = FieldTable::new();
    for (name, value) in table {
        fields.insert(name.try_into().expect("short"), written_value(value));
    }
    fields
}

fn written_value(value: Value) -> FieldValue {
    match value {
        Value::Bool(is) => FieldValue::t(is),
        Value::I8(number) => FieldValue::b(number),
        Value::U8(number) => FieldValue::B(number),
        Value::I16(number) => FieldValue::s(number),
        Value::U16(number) => FieldValue::u(number),
        Value::I32(number) => FieldValue::I(number),
        Value::U32(number) => FieldValue::i(number),
        Value::I64(number) => FieldValue::l(number),
        Value::F32(number) => FieldValue::f(number),
        Value::F64(number) => FieldValue::d(number),
        Value::Decimal(scale, number) => FieldValue::D(DecimalValue::new(scale, number)),
        Value::Text(text) => FieldValue::S(text.try_into().expect("fits")),
        Value::Bytes(bytes) => FieldValue::x(bytes.try_into().expect("fits")),
        Value::List(list) => {
            let values: Vec<_> = list.into_iter().map(written_value).collect();
            FieldValue::A(values.try_into().expect("fits"))
        }
        Value::Time(seconds) => FieldValue::T(seconds),
        Value::Table(table) => FieldValue::F(written(table)),
        Value::Nothing => FieldValue::V,
    }
}

fn read(table: &FieldTable) -> Table {
    let entries = table.as_ref().iter();
    entries
        .map(|(name, value)| (name.to_string(), read_value(value)))
        .collect()
}

fn read_value(value: &FieldValue) -> Value {
    match value {
        FieldValue::t(is) => Value::Bool(*is),
        FieldValue::b(number) => Value::I8(*number),
        FieldValue::B(number) => Value::U8(*number),
        FieldValue::s(number) => Value::I16(*number),
        FieldValue::u(number) => Value::U16(*number),
        FieldValue::I(number) => Value::I32(*number),
        FieldValue::i(number) => Value::U32(*number),
        FieldValue::l(number) => Value::I64(*number),
        FieldValue::f(number) => Value::F32(*number),
        FieldValue::d(number) => Value::F64(*number),
        FieldValue::D(number) => decimal(number),
        FieldValue::S(text) => Value::Text(text.to_string()),
        FieldValue::x(bytes) => Value::Bytes(bytes.clone().into()),
        FieldValue::A(list) => {
            let values: Vec<FieldValue> = list.clone().into();
            Value::List(values.iter().map(read_value).collect())
        }
        FieldValue::T(seconds) => Value::Time(*seconds),
        FieldValue::F(table) => Value::Table(read(table)),
        FieldValue::V => Value::Nothing,
    }
}

/// amqprs prints a decimal's parts and does not give them.
fn decimal(number: &DecimalValue) -> Value {
    let printed = number.to_string();
    let parts = printed.trim_start_matches("Decimal(").trim_end_matches(')');
    let (scale, value) = parts.split_once(", ").expect("two parts");
    Value::Decimal(
        scale.parse().expect("a scale"),
        value.parse().expect("a number"),
    )
}
