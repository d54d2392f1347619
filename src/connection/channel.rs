//! The channel machine (skeleton; grows into a folder).

use std::sync::Arc;

use super::Shared;
use crate::amqp::frame::WholePublish;
use crate::amqp::method::Method;
use crate::amqp::reply::Exception;

/// What was gathered from one read of the socket and not yet handed to the engine. Borrows the
/// read buffer; made anew for each read from recycled allocations.
pub struct ReadBatch<'a> {
    _read: std::marker::PhantomData<&'a [u8]>,
}

/// One channel.
pub struct Channel {}

#[allow(unused_variables, missing_docs)]
impl Channel {
    pub fn open(number: u16, shared: &Arc<Shared>) -> Self {
        todo!()
    }
    /// A method other than those of class connection and channel.open/close/close-ok. An error's
    /// code decides what the connection closes; the connection knows class and method ids.
    pub fn method<'a>(&mut self, method: Method, batch: &mut ReadBatch<'a>) -> Result<(), Exception> {
        todo!()
    }
    /// A content header frame's payload.
    pub fn content_header<'a>(&mut self, payload: &'a [u8], batch: &mut ReadBatch<'a>) -> Result<(), Exception> {
        todo!()
    }
    /// A content body frame's payload.
    pub fn content_body<'a>(&mut self, payload: &'a [u8], batch: &mut ReadBatch<'a>) -> Result<(), Exception> {
        todo!()
    }
    /// A basic.publish that lay whole in the read buffer: the hot path.
    pub fn publish<'a>(&mut self, publish: WholePublish<'a>, batch: &mut ReadBatch<'a>) -> Result<(), Exception> {
        todo!()
    }
    /// The read is used up (or another channel's frames follow): hand over what was gathered.
    pub fn finish(&mut self, batch: &mut ReadBatch<'_>) -> Result<(), Exception> {
        todo!()
    }
    /// The channel closes, for whatever reason: consumers go, what is unacked is requeued, an
    /// open transaction is dropped.
    pub fn close(&mut self) {
        todo!()
    }
    /// Milliseconds until the oldest unacked delivery times out; None: nothing to wait for.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        todo!()
    }
}
