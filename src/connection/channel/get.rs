//! basic.get: one message on demand.

use std::sync::Arc;

use super::Channel;
use super::read_batch::Gathering;
use crate::amqp::method::basic;
use crate::amqp::reply::Exception;
use crate::auth::Permission;
use crate::broker::queue::{ConsumerTimeout, Got};
use crate::connection::pause::Then;

impl Channel {
    pub(super) fn get(
        &mut self,
        get: basic::Get,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let name = self.or_last_declared(get.queue)?;
        self.check_permission(Permission::Read, self.queue(&name))?;
        let queue = self.shared.vhost.queue(&name, self.shared.id)?;
        queue.check_get()?;
        let deliveries = Arc::clone(&self.deliveries);
        let got = queue.get(
            get.no_ack,
            &mut batch.effects,
            &mut |delivery, remaining| {
                deliveries.get_ok(&queue, get.no_ack, delivery, remaining);
            },
        );
        match got {
            Got::Message => {
                self.shared.broker.metrics().messages_got.add(1);
                if !get.no_ack {
                    let own = ConsumerTimeout::default();
                    self.shared.watch_timeouts(own, &queue);
                }
            }
            Got::Nothing => self.reply_unless(false, basic::GetEmpty),
            Got::NotLoaded => {
                let resume = self.shared.pause(self.number, Then::Again);
                queue.when_head_is_loaded(Box::new(move || resume.go_on()));
            }
            Got::Unreadable => return Err(queue.refuse_unreadable()),
        }
        Ok(())
    }
}
