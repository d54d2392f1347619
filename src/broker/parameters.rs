//! Runtime parameters: JSON documents by vhost, component and name, and global ones by name alone.
//! Policies and vhost limits are such.
//!
//! In: documents, which are checked as RabbitMQ checks them, with its words. What is set is in
//! effect when the call returns, and stored when the catalog says so.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::catalog::{Change, NotStored};
use super::json_term::{PrettyJson, PrettyPairs};
use super::policy::Policy;
use super::vhost::{OPERATOR_POLICY, POLICY, VHOST_LIMITS};
use super::{Broker, Effects, Vhost};

/// A vhost's limits by name.
const LIMITS: [&str; 2] = ["max-connections", "max-queues"];

/// Where global parameters are in the catalog, which knows vhosts and components alone.
const GLOBAL: &str = "";

/// A parameter that is set.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Parameter {
    pub vhost: Arc<str>,
    pub component: String,
    pub name: String,
    pub value: Value,
}

/// Why a parameter is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// There is no such vhost.
    NoVhost(String),
    /// It is not what it has to be; RabbitMQ's text.
    Invalid(String),
    /// It could not be stored, so nothing was done.
    NotStored(NotStored),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVhost(vhost) => write!(f, "no such vhost '{vhost}'"),
            Self::Invalid(text) => f.write_str(text),
            Self::NotStored(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ParameterError {}

impl From<NotStored> for ParameterError {
    fn from(error: NotStored) -> Self {
        Self::NotStored(error)
    }
}

impl ParameterError {
    fn validation(errors: &[String]) -> Self {
        let lines: String = errors.iter().map(|error| format!("{error}\n")).collect();
        Self::Invalid(format!("Validation failed\n\n{lines}"))
    }
}

/// Whether something was made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none.
    Created,
    /// There was one.
    Changed,
}

impl Put {
    /// As of whether there was one before.
    pub fn over<T>(before: Option<T>) -> Self {
        match before {
            None => Self::Created,
            Some(_) => Self::Changed,
        }
    }
}

impl Broker {
    /// Sets a parameter, and does what it asks for.
    ///
    /// # Errors
    /// See [`ParameterError`].
    pub fn set_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        value: Value,
        effects: &mut Effects,
    ) -> Result<Put, ParameterError> {
        let value = checked(component, name, value)?;
        let changing = self.changing.lock();
        let vhost = self
            .vhost(vhost)
            .ok_or_else(|| ParameterError::NoVhost(vhost.to_owned()))?;
        if vhost.parameter(component, name).as_ref() == Some(&value) {
            return Ok(Put::Changed);
        }
        self.catalog.check()?;
        let before = vhost.change_parameter(component, name, Some(value.clone()));
        let key = [Arc::clone(vhost.name()), component.into(), name.into()];
        self.catalog
            .submit(vec![Change::PutParameter(key, value.to_string())]);
        drop(changing);
        let notices = &self.engine.notices;
        notices.parameter_set(vhost.name(), component, name, &value);
        vhost.heed_parameter(component, Some(&value), effects);
        notices.what_it_is_is_set(vhost.name(), component, name, &value);
        Ok(Put::over(before))
    }

    /// Clears a parameter; says whether there was one.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn clear_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        effects: &mut Effects,
    ) -> Result<bool, NotStored> {
        let changing = self.changing.lock();
        let Some(vhost) = self.vhost(vhost) else {
            return Ok(false);
        };
        if vhost.parameter(component, name).is_none() {
            return Ok(false);
        }
        self.catalog.check()?;
        vhost.change_parameter(component, name, None);
        let key = [Arc::clone(vhost.name()), component.into(), name.into()];
        self.catalog.submit(vec![Change::DeleteParameter(key)]);
        drop(changing);
        let notices = &self.engine.notices;
        notices.parameter_cleared(vhost.name(), component, name);
        vhost.heed_parameter(component, None, effects);
        notices.what_it_is_is_cleared(vhost.name(), component, name);
        Ok(true)
    }

    /// All parameters of a vhost and component, or of all.
    pub fn parameters(&self, vhost: Option<&str>, component: Option<&str>) -> Vec<Parameter> {
        let mut all: Vec<_> = self
            .all_vhosts()
            .iter()
            .filter(|own| vhost.is_none_or(|vhost| **own.name() == *vhost))
            .flat_map(parameters_of)
            .filter(|own| component.is_none_or(|component| own.component == component))
            .collect();
        all.sort_by(|one, other| {
            let key = |parameter: &Parameter| {
                let Parameter {
                    vhost,
                    component,
                    name,
                    ..
                } = parameter.clone();
                (vhost, component, name)
            };
            key(one).cmp(&key(other))
        });
        all
    }

    /// Sets a global parameter.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn set_global_parameter(&self, name: &str, value: Value) -> Result<Put, NotStored> {
        let _changing = self.changing.lock();
        self.catalog.check()?;
        let change = Change::PutParameter(global(name), value.to_string());
        self.engine.notices.global_parameter_set(name, Some(&value));
        let before = self.global_parameters.lock().insert(name.to_owned(), value);
        self.catalog.submit(vec![change]);
        Ok(Put::over(before))
    }

    /// Clears a global parameter; says whether there was one.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn clear_global_parameter(&self, name: &str) -> Result<bool, NotStored> {
        let _changing = self.changing.lock();
        if !self.global_parameters.lock().contains_key(name) {
            return Ok(false);
        }
        self.catalog.check()?;
        self.global_parameters.lock().remove(name);
        let change = Change::DeleteParameter(global(name));
        self.catalog.submit(vec![change]);
        self.engine.notices.global_parameter_set(name, None);
        Ok(true)
    }

    /// All global parameters, by name.
    pub fn global_parameters(&self) -> Map<String, Value> {
        self.global_parameters.lock().clone().into_iter().collect()
    }

    /// Puts back what the catalog holds; says whether there is such a vhost.
    pub(super) fn restore_parameter(&self, key: &[String; 3], value: Value) -> bool {
        let [vhost, component, name] = key;
        if vhost == GLOBAL {
            self.global_parameters.lock().insert(name.clone(), value);
            return true;
        }
        let Some(vhost) = self.vhost(vhost) else {
            return false;
        };
        vhost.change_parameter(component, name, Some(value));
        vhost.heed_parameter(component, None, &mut Effects::new());
        true
    }
}

fn parameters_of(vhost: &Arc<Vhost>) -> Vec<Parameter> {
    let parameters = vhost.parameters().into_iter();
    parameters
        .map(|((component, name), value)| Parameter {
            vhost: Arc::clone(vhost.name()),
            component,
            name,
            value,
        })
        .collect()
}

fn global(name: &str) -> [Arc<str>; 3] {
    [GLOBAL.into(), GLOBAL.into(), name.into()]
}

/// A document as it is kept, if it is one that its component takes.
fn checked(component: &str, name: &str, value: Value) -> Result<Value, ParameterError> {
    let invalid = |errors: Vec<String>| ParameterError::validation(&errors);
    match component {
        POLICY | OPERATOR_POLICY => {
            let policy = Policy::parse(name, &value, component == OPERATOR_POLICY);
            Ok(policy.map_err(invalid)?.document())
        }
        VHOST_LIMITS => {
            check_limits(name, &value, &LIMITS).map_err(invalid)?;
            Ok(value)
        }
        _ => Err(invalid(vec![format!("component {component} not found")])),
    }
}

/// Refuses what is no object of limits with these names. A negative one is none.
pub(crate) fn check_limits(name: &str, value: &Value, known: &[&str]) -> Result<(), Vec<String>> {
    let empty = Map::new();
    let limits = match value {
        Value::Object(limits) => limits,
        // As RabbitMQ writes an empty object in some places.
        Value::Array(none) if none.is_empty() => &empty,
        other => return Err(vec![format!("{name} not a list {}", PrettyJson(other))]),
    };
    let mut errors = Vec::new();
    for limit in known {
        match limits.get(*limit) {
            Some(value) if value.as_i64().is_none() => {
                let value = PrettyJson(value);
                errors.insert(
                    0,
                    format!("{limit} should be a number, actually was {value}"),
                );
            }
            _ => {}
        }
    }
    let unknown: Map<String, Value> = limits
        .iter()
        .filter(|(limit, _)| !known.contains(&limit.as_str()))
        .map(|(limit, value)| (limit.clone(), value.clone()))
        .collect();
    if !unknown.is_empty() {
        let unknown = PrettyPairs(&unknown);
        errors.insert(0, format!("Unrecognised terms {unknown} in {name}"));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}
