//! queue.declare, bind, unbind, purge and delete: the checks that RabbitMQ's channel makes, in its
//! order, before the vhost does the work.

use super::Channel;
use super::read_batch::Gathering;
use super::reply_to;
use crate::amqp::method::queue;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::ShortStr;
use crate::auth::Permission;
use crate::broker::catalog::Durability;
use crate::broker::names::{self, check_not_default_exchange, without_line_ends};
use crate::broker::queue::QueueType;
use crate::broker::vhost::QueueDeclare;

/// A message count as methods carry it.
fn count(messages: u64) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

impl Channel {
    pub(super) fn declare_queue(&mut self, declare: queue::Declare) -> Result<(), Exception> {
        let name = without_line_ends(&declare.queue);
        if name.starts_with(reply_to::REPLY_TO) {
            return self.declare_reply_queue(&name, declare.no_wait);
        }
        let is_server_named = name.is_empty() && !declare.passive;
        let name = match is_server_named {
            true => names::made_up("amq.gen"),
            false => name.into_owned(),
        };
        if !declare.passive {
            if !is_server_named {
                names::check_not_reserved("queue", &name)?;
            }
            self.check_may_declare_queue(&name, &declare)?;
        }
        let (vhost, connection) = (&self.shared.vhost, self.shared.id);
        let declaration = QueueDeclare {
            name: &name,
            passive: declare.passive,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: declare.arguments,
        };
        let queue = match is_server_named {
            true => vhost.declare_server_named_queue(&name, declaration, connection),
            false => vhost.declare_queue(declaration, connection),
        }?;
        let counts = queue.counts();
        let durability = queue.durability();
        self.declared(
            queue::DeclareOk {
                queue: ShortStr::from(queue.name().clone()),
                message_count: count(counts.ready),
                // RabbitMQ does not count a stream's.
                consumer_count: match queue.queue_type() {
                    QueueType::Stream => 0,
                    QueueType::Classic | QueueType::Quorum => counts.consumers,
                },
            },
            durability,
            declare.no_wait,
        );
        Ok(())
    }

    fn check_may_declare_queue(
        &self,
        name: &str,
        declare: &queue::Declare,
    ) -> Result<(), Exception> {
        let queue = self.queue(name);
        self.check_permission(Permission::Configure, queue)?;
        if self.shared.vhost.has_queue(name) {
            return Ok(());
        }
        let argument = "x-dead-letter-exchange";
        self.check_may_route_on(queue, argument, declare.arguments.get(argument))
    }

    /// Direct reply-to's pseudo-queue, or an address of it: there or not, whatever is declared.
    fn declare_reply_queue(&mut self, name: &str, no_wait: bool) -> Result<(), Exception> {
        if !reply_to::exists(&self.shared.broker, name) {
            return Err(self.queue(name).not_found());
        }
        self.declared(
            queue::DeclareOk {
                queue: name.into(),
                message_count: 0,
                consumer_count: 1,
            },
            Durability::Transient,
            no_wait,
        );
        Ok(())
    }

    fn declared(&mut self, ok: queue::DeclareOk, durability: Durability, no_wait: bool) {
        self.last_declared = ok.queue.clone();
        self.reply_when_stored(no_wait, durability, ok);
    }

    /// The queue's name, or that of the queue declared last where it is empty.
    pub(super) fn or_last_declared(&self, name: ShortStr) -> Result<ShortStr, Exception> {
        if !name.is_empty() {
            return Ok(name);
        }
        if self.last_declared.is_empty() {
            return Err(Exception::new(
                ReplyCode::NotFound,
                "no previously declared queue",
            ));
        }
        Ok(self.last_declared.clone())
    }

    pub(super) fn bind_queue(&mut self, bind: queue::Bind) -> Result<(), Exception> {
        let binding = self.check_queue_binding(bind.queue, &bind.exchange, bind.routing_key)?;
        let QueueBinding {
            queue,
            exchange,
            routing_key,
        } = binding;
        let durability = self.shared.vhost.bind_queue(
            &queue,
            &exchange,
            &routing_key,
            bind.arguments,
            self.shared.id,
        )?;
        self.reply_when_stored(bind.no_wait, durability, queue::BindOk);
        Ok(())
    }

    pub(super) fn unbind_queue(&mut self, unbind: queue::Unbind) -> Result<(), Exception> {
        let binding =
            self.check_queue_binding(unbind.queue, &unbind.exchange, unbind.routing_key)?;
        let QueueBinding {
            queue,
            exchange,
            routing_key,
        } = binding;
        let durability = self.shared.vhost.unbind_queue(
            &queue,
            &exchange,
            &routing_key,
            unbind.arguments,
            self.shared.id,
        )?;
        self.reply_when_stored(false, durability, queue::UnbindOk);
        Ok(())
    }

    fn check_queue_binding(
        &self,
        queue: ShortStr,
        exchange: &str,
        routing_key: ShortStr,
    ) -> Result<QueueBinding, Exception> {
        // Where neither is named, the last queue's name is the routing key, too.
        let routing_key = match queue.is_empty() && routing_key.is_empty() {
            true => self.or_last_declared(ShortStr::default())?,
            false => routing_key,
        };
        let queue = without_line_ends(&self.or_last_declared(queue)?).into_owned();
        let exchange = without_line_ends(exchange).into_owned();
        self.check_permission(Permission::Write, self.queue(&queue))?;
        check_not_default_exchange(&exchange)?;
        self.check_permission(Permission::Read, self.exchange(&exchange))?;
        self.check_topic_permission(Permission::Read, &exchange, &routing_key)?;
        Ok(QueueBinding {
            queue,
            exchange,
            routing_key,
        })
    }

    pub(super) fn purge_queue(
        &mut self,
        purge: queue::Purge,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let name = self.or_last_declared(purge.queue)?;
        self.check_permission(Permission::Read, self.queue(&name))?;
        let queue = self.shared.vhost.queue(&name, self.shared.id)?;
        queue.check_purge()?;
        let purged = queue.purge(&mut batch.effects);
        if purge.no_wait {
            return Ok(());
        }
        let purged = queue::PurgeOk {
            message_count: count(purged),
        };
        self.reply_when_safe(&mut batch.effects, purged).map(|_| ())
    }

    pub(super) fn delete_queue(
        &mut self,
        delete: queue::Delete,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let name = self.or_last_declared(delete.queue)?;
        let name = without_line_ends(&name);
        self.check_permission(Permission::Configure, self.queue(&name))?;
        let (if_unused, if_empty) = (delete.if_unused, delete.if_empty);
        // As in RabbitMQ the channel's own consumers are cancelled behind the reply.
        self.deliveries.keep_cancels();
        let vhost = &self.shared.vhost;
        let deleted = vhost.delete_queue(
            &name,
            if_unused,
            if_empty,
            self.shared.id,
            &mut batch.effects,
        );
        let cancels = self.deliveries.take_cancels();
        let deleted = deleted?;
        self.reply_when_stored(
            delete.no_wait,
            deleted.durability,
            queue::DeleteOk {
                message_count: count(deleted.messages),
            },
        );
        for cancel in cancels {
            self.send_behind_replies(cancel);
        }
        Ok(())
    }
}

/// What queue.bind and unbind name, once it is clear what that is.
struct QueueBinding {
    queue: String,
    exchange: String,
    routing_key: ShortStr,
}
