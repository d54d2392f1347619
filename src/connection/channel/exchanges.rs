//! exchange.declare, delete, bind and unbind: the checks that RabbitMQ's channel makes, in its
//! order, before the vhost does the work.

use super::Channel;
use crate::amqp::method::exchange;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldValue;
use crate::auth::Permission;
use crate::broker::ExchangeKind;
use crate::broker::names::{self, Resource, check_not_default_exchange, without_line_ends};
use crate::broker::vhost::ExchangeDeclare;

impl Channel {
    pub(super) fn declare_exchange(&mut self, declare: exchange::Declare) -> Result<(), Exception> {
        let name = without_line_ends(&declare.exchange);
        if !declare.passive {
            ExchangeKind::from_name(&declare.kind)?;
        }
        check_not_default_exchange(&name)?;
        if !declare.passive {
            self.check_may_declare(&name, &declare)?;
        }
        let durability = self.shared.vhost.declare_exchange(ExchangeDeclare {
            name: &name,
            kind: &declare.kind,
            passive: declare.passive,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments,
        })?;
        self.reply_when_stored(declare.no_wait, durability, exchange::DeclareOk);
        Ok(())
    }

    fn check_may_declare(&self, name: &str, declare: &exchange::Declare) -> Result<(), Exception> {
        self.check_permission(Permission::Configure, self.exchange(name))?;
        if self.shared.vhost.has_exchange(name) {
            return Ok(());
        }
        names::check_not_reserved("exchange", name)?;
        self.check_may_route_on(
            self.exchange(name),
            "alternate-exchange",
            declare.arguments.get("alternate-exchange"),
        )
    }

    /// Whoever makes something that sends messages on to another exchange must be allowed to read
    /// from the one and write to the other.
    pub(super) fn check_may_route_on(
        &self,
        from: Resource<'_>,
        argument: &str,
        to: Option<&FieldValue>,
    ) -> Result<(), Exception> {
        match to {
            None => Ok(()),
            Some(FieldValue::LongStr(to)) => {
                self.check_permission(Permission::Read, from)?;
                let to = String::from_utf8_lossy(to);
                self.check_permission(Permission::Write, self.exchange(&to))
            }
            Some(other) => {
                let kind = other.type_name();
                let text = format!("invalid type '{kind}' for arg '{argument}' in {from}");
                Err(Exception::new(ReplyCode::PreconditionFailed, text))
            }
        }
    }

    pub(super) fn delete_exchange(&mut self, delete: exchange::Delete) -> Result<(), Exception> {
        let name = without_line_ends(&delete.exchange);
        let exchange = self.exchange(&name);
        check_not_default_exchange(&name)?;
        names::check_may_be_deleted(exchange)?;
        self.check_permission(Permission::Configure, exchange)?;
        let durability = self.shared.vhost.delete_exchange(&name, delete.if_unused)?;
        self.reply_when_stored(delete.no_wait, durability, exchange::DeleteOk);
        Ok(())
    }

    pub(super) fn bind_exchange(&mut self, bind: exchange::Bind) -> Result<(), Exception> {
        let (destination, source) =
            self.check_exchange_binding(&bind.destination, &bind.source, &bind.routing_key)?;
        let durability = self.shared.vhost.bind_exchange(
            &destination,
            &source,
            &bind.routing_key,
            bind.arguments,
        )?;
        self.reply_when_stored(bind.no_wait, durability, exchange::BindOk);
        Ok(())
    }

    pub(super) fn unbind_exchange(&mut self, unbind: exchange::Unbind) -> Result<(), Exception> {
        let (destination, source) =
            self.check_exchange_binding(&unbind.destination, &unbind.source, &unbind.routing_key)?;
        let durability = self.shared.vhost.unbind_exchange(
            &destination,
            &source,
            &unbind.routing_key,
            unbind.arguments,
        )?;
        self.reply_when_stored(unbind.no_wait, durability, exchange::UnbindOk);
        Ok(())
    }

    fn check_exchange_binding(
        &self,
        destination: &str,
        source: &str,
        routing_key: &str,
    ) -> Result<(String, String), Exception> {
        let (destination, source) = (without_line_ends(destination), without_line_ends(source));
        self.check_permission(Permission::Write, self.exchange(&destination))?;
        check_not_default_exchange(&destination)?;
        check_not_default_exchange(&source)?;
        self.check_permission(Permission::Read, self.exchange(&source))?;
        self.check_topic_permission(Permission::Read, &source, routing_key)?;
        Ok((destination.into_owned(), source.into_owned()))
    }
}
