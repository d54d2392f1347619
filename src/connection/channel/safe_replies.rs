//! Replies that wait until the log has what they say.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Channel;
use crate::amqp::method::Method;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::Effects;
use crate::broker::catalog::NotStored;
use crate::broker::log::{SafeListener, Safety};
use crate::connection::pause::{Resume, Then};

/// A reply that waits.
struct Waiting(Mutex<Option<Resume>>);

impl Channel {
    /// Completes the effects, and answers when everything is safe that durable queues were told with
    /// them; the connection is paused until then. Says whether the answer is out.
    ///
    /// # Errors
    /// INTERNAL_ERROR if the log has failed.
    pub(super) fn reply_when_safe(
        &self,
        effects: &mut Effects,
        answer: impl Into<Method>,
    ) -> Result<bool, Exception> {
        effects.complete();
        let logged = effects.take_logged().map_err(|_| not_safe())?;
        let queues_stored_by = effects.take_queues_stored_by();
        let engine = &self.shared.broker.engine;
        let (Some(index), Some(log)) = (logged, engine.log()) else {
            self.reply_unless(false, answer);
            return Ok(true);
        };
        if let Some(revision) = self.shared.unstored(queues_stored_by) {
            let resume = self.shared.pause(self.number, Then::GoOn);
            let then = Box::new(move |stored: Result<(), NotStored>| match stored {
                Ok(()) => resume.go_on(),
                Err(error) => resume.fail(error.into()),
            });
            self.shared.vhost.catalog().when_stored(revision, then);
        }
        let reply = Then::Reply(Box::new(answer.into()));
        let resume = self.shared.pause(self.number, reply);
        let waiting = Arc::new(Waiting(Mutex::new(Some(resume))));
        let listener: Arc<dyn SafeListener> = Arc::clone(&waiting) as _;
        match log.notify_when_safe(index, listener) {
            Safety::Safe => waiting.safe(index),
            Safety::Waiting => log.hurry(),
            Safety::Failed => waiting.failed(),
        }
        Ok(false)
    }
}

impl SafeListener for Waiting {
    fn safe(&self, _safe_index: u64) {
        if let Some(resume) = self.0.lock().take() {
            resume.go_on();
        }
    }

    fn failed(&self) {
        if let Some(resume) = self.0.lock().take() {
            resume.fail(not_safe());
        }
    }
}

/// What cannot be stored is not pretended to be.
pub(super) fn not_safe() -> Exception {
    Exception::new(ReplyCode::InternalError, "messages can't be stored")
}
