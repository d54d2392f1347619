//! Lists: in which order, which columns, which page of them. As RabbitMQ's `sort`, `sort_reverse`,
//! `columns`, `page`, `page_size`, `name` and `use_regex` ask.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::{Call, Reply};
use crate::auth::expression::{Expression, literal};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;

/// The list as the call wants it, in the order of `keys` if it does not say.
pub(super) fn reply(call: &Call, mut list: Vec<Value>, keys: &[&str]) -> Result<Reply, Reply> {
    arrange(call, &mut list, keys);
    Ok(Reply::json(columns(call, list)))
}

/// The same, and only a page of it if the call says which.
pub(super) fn paged(call: &Call, mut list: Vec<Value>, keys: &[&str]) -> Result<Reply, Reply> {
    arrange(call, &mut list, keys);
    let number = |name: &str| match call.query.get(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<usize>()
            .map(Some)
            .map_err(|_| Reply::bad_request("Pagination parameters are invalid")),
    };
    let Some(page) = number("page")? else {
        return Ok(Reply::json(columns(call, list)));
    };
    let size = number("page_size")?.unwrap_or(DEFAULT_PAGE_SIZE);
    if page == 0 || size == 0 || size > MAX_PAGE_SIZE {
        let text = format!("Invalid pagination parameters: page number {page}, page size {size}");
        return Err(Reply::error(
            hyper::StatusCode::BAD_REQUEST,
            "invalid_pagination_parameters",
            text,
        ));
    }
    let total = list.len();
    filter(call, &mut list)?;
    let filtered = list.len();
    let from = (page - 1).saturating_mul(size);
    if from > filtered {
        let text = format!("Page out of range, page: {page} page size: {size}, len: {filtered}");
        let status = hyper::StatusCode::BAD_REQUEST;
        return Err(Reply::error(status, "page_out_of_range", text));
    }
    let items: Vec<Value> = list.into_iter().skip(from).take(size).collect();
    Ok(Reply::json(json!({
        "total_count": total,
        "item_count": items.len(),
        "filtered_count": filtered,
        "page": page,
        "page_size": size,
        "page_count": filtered.div_ceil(size),
        "items": columns(call, items),
    })))
}

fn filter(call: &Call, list: &mut Vec<Value>) -> Result<(), Reply> {
    let Some(wanted) = call.query.get("name").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let use_regex = call
        .query
        .get("use_regex")
        .is_some_and(|text| text == "true");
    let pattern = match use_regex {
        true => wanted.clone(),
        false => literal(wanted),
    };
    let expression = Expression::in_any_case(&pattern);
    let expression = expression.map_err(|error| Reply::bad_request(error.to_string()))?;
    list.retain(|one| {
        one["name"]
            .as_str()
            .is_some_and(|name| expression.is_match(name))
    });
    Ok(())
}

fn arrange(call: &Call, list: &mut [Value], keys: &[&str]) {
    let mut all = keys.to_vec();
    if let Some(first) = call.query.get("sort").filter(|text| !text.is_empty()) {
        all.insert(0, first);
    }
    list.sort_by(|one, other| {
        let orders = all.iter().map(|key| compare(at(one, key), at(other, key)));
        orders.fold(Ordering::Equal, Ordering::then)
    });
    if call
        .query
        .get("sort_reverse")
        .is_some_and(|text| text == "true")
    {
        list.reverse();
    }
}

/// What is at a key with dots.
fn at<'a>(one: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(one, |value, part| &value[part])
}

/// Numbers before texts, as Erlang has it.
fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::String(_) => 5,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let float = |number: &serde_json::Number| number.as_f64().unwrap_or_default();
            float(one).total_cmp(&float(other))
        }
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}

/// Only the columns that the call wants.
fn columns(call: &Call, list: Vec<Value>) -> Vec<Value> {
    let Some(wanted) = call.query.get("columns") else {
        return list;
    };
    let wanted: Vec<Vec<&str>> = wanted
        .split(',')
        .map(|key| key.split('.').collect())
        .collect();
    list.iter().map(|one| picked(one, &wanted)).collect()
}

fn picked(one: &Value, wanted: &[Vec<&str>]) -> Value {
    let Value::Object(map) = one else {
        return one.clone();
    };
    let mut out = Map::new();
    for (key, value) in map {
        let below: Vec<Vec<&str>> = wanted
            .iter()
            .filter(|path| path.first() == Some(&key.as_str()))
            .map(|path| path[1..].to_vec())
            .collect();
        if below.is_empty() {
            continue;
        }
        let is_whole = below.iter().any(Vec::is_empty);
        let value = match is_whole {
            true => value.clone(),
            false => picked(value, &below),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}
