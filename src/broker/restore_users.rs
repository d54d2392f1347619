//! Users, permissions and runtime parameters as the last run left them. See `restore`.
//!
//! What configuration says of a user holds, whatever the catalog has of it.

use std::fmt;
use std::sync::Arc;

use super::Broker;
use super::accounts::DEFAULT_USER_MADE;
use super::restore::RestoreError;
use crate::auth::{Account, GUEST, PasswordHash, Permissions, TopicPermissions};
use crate::store::catalog::{
    Contents, ParameterRecord, PermissionRecord, TopicPermissionRecord, UserRecord,
};

/// Puts parameters back, before what they apply to.
pub(super) fn parameters(broker: &Broker, contents: &Contents) -> Result<(), RestoreError> {
    for (key, record) in &contents.parameters {
        if *key != DEFAULT_USER_MADE {
            parameter(broker, key, record)?;
        }
    }
    Ok(())
}

/// Whether the user `guest` was made at an earlier start, be it there still or not.
pub(super) fn had_default_user(contents: &Contents) -> bool {
    let mut keys = contents.parameters.iter().map(|(key, _)| key);
    keys.any(|key| *key == DEFAULT_USER_MADE)
}

fn parameter(
    broker: &Broker,
    key: &[String; 3],
    record: &ParameterRecord,
) -> Result<(), RestoreError> {
    let [vhost, component, name] = key;
    let what = format_args!("parameter '{name}' of '{component}' in vhost '{vhost}'");
    let wrong = |why: &dyn fmt::Display| RestoreError::new(&what, &why);
    let value = serde_json::from_str(&record.value).map_err(|error| wrong(&error))?;
    match broker.restore_parameter(key, value) {
        true => Ok(()),
        false => Err(wrong(&"there is no such vhost")),
    }
}

/// Puts users and their permissions back.
pub(super) fn users(broker: &Broker, contents: &Contents) -> Result<(), RestoreError> {
    for (name, record) in &contents.users {
        user(broker, name, record)?;
    }
    for (key, record) in &contents.permissions {
        permission(broker, key, record)?;
    }
    for (key, record) in &contents.topic_permissions {
        topic_permission(broker, key, record)?;
    }
    Ok(())
}

fn user(broker: &Broker, name: &str, record: &UserRecord) -> Result<(), RestoreError> {
    let limits = record.limits.iter().cloned().collect();
    if let Some(user) = broker.users.get(name) {
        let mut account = (*user.account()).clone();
        account.limits = limits;
        broker.users.put(name, account);
        return Ok(());
    }
    // What was added to a user whom configuration does not name any more.
    if record.hashing_algorithm.is_empty() {
        return Ok(());
    }
    let what = format_args!("user '{name}'");
    let password = match record.password_hash.as_str() {
        "" => None,
        hash => {
            let hash = PasswordHash::from_base64(hash);
            Some(hash.map_err(|error| RestoreError::new(&what, &error))?)
        }
    };
    broker.users.put(
        name,
        Account {
            password,
            tags: record.tags.clone(),
            limits,
            loopback_only: name == GUEST,
            ..Account::default()
        },
    );
    Ok(())
}

fn permission(
    broker: &Broker,
    [vhost, name]: &[String; 2],
    record: &PermissionRecord,
) -> Result<(), RestoreError> {
    let what = format_args!("permission of user '{name}' in vhost '{vhost}'");
    let permissions = Permissions::new(&record.configure, &record.write, &record.read);
    let permissions = permissions.map_err(|error| RestoreError::new(&what, &error))?;
    let Some(user) = broker.users.get(name) else {
        return Ok(());
    };
    let mut account = (*user.account()).clone();
    if !account.configured_vhosts.iter().any(|own| **own == **vhost) {
        account
            .vhosts
            .insert(Arc::from(vhost.as_str()), permissions);
        broker.users.put(name, account);
    }
    Ok(())
}

fn topic_permission(
    broker: &Broker,
    [vhost, name, exchange]: &[String; 3],
    record: &TopicPermissionRecord,
) -> Result<(), RestoreError> {
    let what = format_args!("topic permission of user '{name}' in vhost '{vhost}'");
    let permissions = TopicPermissions::new(&record.write, &record.read);
    let permissions = permissions.map_err(|error| RestoreError::new(&what, &error))?;
    if let Some(user) = broker.users.get(name) {
        let mut account = (*user.account()).clone();
        let key = (Arc::from(vhost.as_str()), exchange.clone());
        account.topics.insert(key, permissions);
        broker.users.put(name, account);
    }
    Ok(())
}
