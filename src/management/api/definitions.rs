//! `/api/definitions`.

use hyper::Method;
use serde_json::{Map, Value};

use super::reply::escaped;
use super::{Call, Reply};
use crate::definitions;

pub(super) fn page(call: &Call, vhost: Option<&str>) -> Result<Reply, Reply> {
    match call.method {
        Method::GET => get(call, vhost),
        _ => post(call, vhost),
    }
}

fn get(call: &Call, vhost: Option<&str>) -> Result<Reply, Reply> {
    let broker = &call.broker;
    let definitions = match vhost {
        None => definitions::export(broker),
        Some(name) => {
            let vhost = call.vhost(name);
            let vhost = vhost.ok_or_else(|| Reply::bad_request("vhost_not_found"))?;
            definitions::export_vhost(broker, &vhost)
        }
    };
    let mut reply = Reply::json(definitions);
    if let Some(file) = call.query.get("download") {
        // No header is to be made of it but this one.
        let file: String = file.chars().filter(|char| !char.is_control()).collect();
        let value = format!("attachment; filename={file}");
        reply.headers.push(("content-disposition", value));
    }
    Ok(reply)
}

fn post(call: &Call, vhost: Option<&str>) -> Result<Reply, Reply> {
    let document: Map<String, Value> = match &call.body[..] {
        b"" => Map::new(),
        body => {
            serde_json::from_slice(body).map_err(|_| Reply::bad_request("failed_to_parse_json"))?
        }
    };
    let imported = match vhost {
        None => definitions::import(&call.broker, &document, Some(call.user.name())),
        Some(name) => {
            let vhost = call.vhost(name).ok_or_else(Reply::no_vhost)?;
            definitions::import_vhost(&call.broker, &vhost, &document)
        }
    };
    match imported {
        Ok(counts) => {
            tracing::info!(user = ?call.user.name(), ?counts, "took definitions over");
            Ok(Reply::done())
        }
        Err(error) => {
            tracing::error!(user = ?call.user.name(), %error, "definitions are refused");
            if error.is_not_stored {
                return Err(Reply::not_stored());
            }
            Err(Reply::bad_request(match error.reason {
                Value::String(text) => Value::String(escaped(&text)),
                other => other,
            }))
        }
    }
}
