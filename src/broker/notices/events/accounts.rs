//! Users, and what they may do, change.

use super::{by_whom, push_by_whom};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::notices::Notices;

impl Notices {
    /// Something happened to a user, of whom there is no more to say.
    fn user(&self, key: &'static str, name: &str) {
        self.event(key, || {
            let mut headers = by_whom();
            headers.push("name", name);
            headers
        });
    }

    pub(in crate::broker) fn user_created(&self, name: &str) {
        self.user("user.created", name);
    }

    pub(in crate::broker) fn user_deleted(&self, name: &str) {
        self.user("user.deleted", name);
    }

    pub(in crate::broker) fn password_changed(&self, name: &str) {
        self.user("user.password.changed", name);
    }

    pub(in crate::broker) fn password_cleared(&self, name: &str) {
        self.user("user.password.cleared", name);
    }

    pub(in crate::broker) fn tags_set(&self, name: &str, tags: &[String]) {
        self.event("user.tags.set", || {
            let mut headers = by_whom();
            let tags = tags.iter().map(|tag| FieldValue::from(tag.as_str()));
            headers.push("tags", tags.collect::<Vec<_>>());
            headers.push("name", name);
            headers
        });
    }

    /// These limits of a user were set.
    pub(in crate::broker) fn user_limits_set<'a>(
        &self,
        name: &str,
        limits: impl Iterator<Item = (&'a String, &'a i64)>,
    ) {
        self.event("user.limits.set", || {
            let mut headers = FieldTable::new();
            let mut limits: Vec<_> = limits.collect();
            limits.reverse();
            for (limit, most) in limits {
                headers.push(limit.as_str(), *most);
            }
            of_user(&mut headers, name);
            headers
        });
    }

    pub(in crate::broker) fn user_limits_cleared(&self, name: &str) {
        self.event("user.limits.cleared", || {
            let mut headers = FieldTable::new();
            of_user(&mut headers, name);
            headers
        });
    }

    /// A user may do so much in a vhost.
    pub(in crate::broker) fn permission_created(
        &self,
        vhost: &str,
        user: &str,
        [configure, write, read]: [&str; 3],
    ) {
        self.event("permission.created", || {
            let mut headers = by_whom();
            headers.push("read", read);
            headers.push("write", write);
            headers.push("configure", configure);
            in_vhost(&mut headers, vhost, user);
            headers
        });
    }

    /// It may do nothing there any more.
    pub(in crate::broker) fn permission_deleted(&self, vhost: &str, user: &str) {
        self.event("permission.deleted", || {
            let mut headers = by_whom();
            in_vhost(&mut headers, vhost, user);
            headers
        });
    }

    pub(in crate::broker) fn topic_permission_created(
        &self,
        vhost: &str,
        user: &str,
        exchange: &str,
        [write, read]: [&str; 2],
    ) {
        self.event("topic.permission.created", || {
            let mut headers = by_whom();
            headers.push("read", read);
            headers.push("write", write);
            headers.push("exchange", exchange);
            in_vhost(&mut headers, vhost, user);
            headers
        });
    }

    /// Of all exchanges of the vhost. Of one alone RabbitMQ says `permission.deleted`.
    pub(in crate::broker) fn topic_permission_deleted(&self, vhost: &str, user: &str) {
        self.event("topic.permission.deleted", || {
            let mut headers = by_whom();
            in_vhost(&mut headers, vhost, user);
            headers
        });
    }
}

/// What is told of limits besides which they are.
fn of_user(headers: &mut FieldTable, name: &str) {
    headers.push("username", name);
    push_by_whom(headers);
    headers.push("name", "limits");
}

fn in_vhost(headers: &mut FieldTable, vhost: &str, user: &str) {
    headers.push("vhost", vhost);
    headers.push("user", user);
}
