//! Publishing: from a basic.publish to gathered messages with their queues.
//!
//! ```text
//! whole publish ──▶ checks ──▶ route cache ──▶ read batch ──▶ (finish) queues ──▶ confirms
//!                                  │ miss
//!                                  └─▶ permission, vhost
//! ```
//!
//! The order of checks, and thus which error wins, is RabbitMQ's: size, permission, exchange,
//! properties. What a message costs here is budgeted (45 ns with a remembered route): everything
//! that is not the same for most messages is in a function of its own.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Channel;
use super::confirmer::{self, Confirmer};
use super::content::{Assembled, check_size};
use super::message_checks::{self, Checked};
use super::read_batch::{Gathering, HandedOver, Kept, ReadBatch};
use super::reply_to::ReplyConsumer;
use super::route_cache::Targets;
use super::sender_selected;
use super::tx;
use crate::amqp::frame::{self, Like, WholePublish};
use crate::amqp::method::{basic, confirm};
use crate::amqp::properties::Properties;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::ShortStr;
use crate::auth::Permission;
use crate::broker::message::SHARED_BODY_BYTES;
use crate::broker::{Body, Message, Queue, blind_copies};
use crate::connection::Shared;

/// Where a message goes.
enum Route {
    /// As remembered.
    Remembered(usize),
    /// There this time; it must not be remembered.
    Once(Targets),
    /// Through exchanges with a memory.
    Passage,
}

/// A publish that was checked.
struct Accepted {
    checked: Checked,
    route: Route,
}

/// A message's properties as they are kept.
struct Rewritten {
    properties: Bytes,
    has_bcc: bool,
    /// What it was published with beside its own routing key.
    routing_keys: Vec<Bytes>,
    /// Whether those lead through exchanges with a memory; None if there are none.
    is_passage: Option<bool>,
}

/// Bodies that are shorter need no check of their own; none is where something is written into each message.
pub(super) fn usual_body_bytes(shared: &Shared) -> usize {
    if shared.interceptors.intercept_publishes() {
        return 0;
    }
    let most_bytes = usize::try_from(shared.max_message_bytes).unwrap_or(usize::MAX);
    SHARED_BODY_BYTES.min(most_bytes.saturating_add(1))
}

impl Channel {
    /// As many whole publishes on this channel as follow each other at the start of `input`: the hot
    /// path. Says how many bytes they took. An exception concerns the last of them alone: what was
    /// gathered before is still to be handed over, by [`Channel::finish`].
    pub fn publishes<'a>(
        &mut self,
        input: &'a [u8],
        frame_max: u32,
        batch: &mut ReadBatch<'a>,
    ) -> (usize, Result<(), Exception>) {
        let mut at = 0;
        let mut like: Option<Like<'a>> = None;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if let Some((publish, used)) = like.as_ref().and_then(|like| like.next(rest))
                && self.publish_alike(publish.body, batch)
            {
                at += used;
                continue;
            }
            let whole = frame::whole_publish(rest, frame_max);
            let Some((publish, used)) = whole.filter(|(next, _)| next.channel == self.number)
            else {
                return (at, Ok(()));
            };
            at += used;
            like = match self.publish(publish, batch) {
                Ok(true) => Like::of(publish, rest, used),
                Ok(false) => None,
                Err(exception) => return (at, Err(exception)),
            };
        }
    }

    /// Says whether there was nothing special about it.
    #[inline(always)]
    fn publish<'a>(
        &mut self,
        publish: WholePublish<'a>,
        batch: &mut ReadBatch<'a>,
    ) -> Result<bool, Exception> {
        let batch = &mut batch.0;
        if batch.is_empty() {
            self.routes.renew(self.shared.vhost.epoch());
        }
        if self.takes_usual(&publish)
            && let Some(facts) = message_checks::usual(publish.properties)
            && let Some(targets) = self.routes.known(publish.exchange, publish.routing_key)
        {
            let message = Message {
                exchange: publish.exchange,
                routing_key: publish.routing_key,
                properties: publish.properties,
                body: Body::Slice(publish.body),
                facts,
            };
            batch.push_usual(message, targets);
            self.published(true, batch);
            return Ok(true);
        }
        self.publish_checked(publish, batch).map(|()| false)
    }

    /// A publish that differs from the one before in its body's bytes alone. Says whether that is all
    /// there is to it; if not, it is to be given to [`Channel::publish`].
    #[inline(always)]
    fn publish_alike<'a>(&mut self, body: &'a [u8], batch: &mut ReadBatch<'a>) -> bool {
        let is_usual = batch.0.push_alike(body);
        if is_usual {
            self.published(true, &mut batch.0);
        }
        is_usual
    }

    /// Whether a message with a remembered route and usual properties needs no further check.
    #[inline(always)]
    fn takes_usual(&self, publish: &WholePublish<'_>) -> bool {
        !publish.immediate
            && publish.body.len() < self.usual_body_bytes
            && self.transaction.is_none()
            && self.assembly.is_idle()
    }

    #[inline(never)]
    fn publish_checked<'a>(
        &mut self,
        publish: WholePublish<'a>,
        batch: &mut Gathering<'a>,
    ) -> Result<(), Exception> {
        if let Some(properties) = self.intercepted(publish.properties) {
            let short = |bytes| ShortStr::from_bytes(bytes).unwrap_or_default();
            let method = basic::Publish {
                exchange: short(publish.exchange),
                routing_key: short(publish.routing_key),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
            };
            let body = Bytes::copy_from_slice(publish.body);
            let assembled = Assembled {
                publish: method,
                properties,
                body,
            };
            return self.publish_whole(assembled, batch);
        }
        self.assembly.method()?;
        let Accepted { checked, route } = self.accept(&publish, batch)?;
        let WholePublish {
            exchange,
            routing_key,
            properties,
            body,
            mandatory,
            ..
        } = publish;
        let body_slice = Body::Slice(body);
        let message = Message {
            exchange,
            routing_key,
            properties,
            body: body_slice,
            facts: checked.facts,
        };
        let targets = match &route {
            Route::Remembered(route) => Some(self.routes.targets(*route)),
            Route::Once(targets) => Some(&targets[..]),
            Route::Passage => None,
        };
        if checked.is_plain()
            && body.len() < SHARED_BODY_BYTES
            && self.transaction.is_none()
            && let Some(targets) = targets
        {
            if let Route::Once(targets) = &route {
                self.trace_publish(&message, self.queues_of(targets).iter());
            }
            let is_routed = !targets.is_empty();
            if is_routed {
                batch.push(message, targets);
                self.published(true, batch);
            } else {
                self.nowhere(mandatory, &message, batch);
            }
            return Ok(());
        }
        let kept = Kept {
            body: (body.len() >= SHARED_BODY_BYTES).then(|| Bytes::copy_from_slice(body)),
            ..Kept::default()
        };
        self.publish_specially(message, kept, mandatory, &checked, &route, batch)
    }

    /// A publish that arrived in pieces.
    pub(super) fn publish_assembled(
        &mut self,
        mut assembled: Assembled,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        if let Some(properties) = self.intercepted(&assembled.properties) {
            assembled.properties = properties;
        }
        self.publish_whole(assembled, batch)
    }

    /// What becomes of a message's properties where settings want something written there.
    fn intercepted(&self, properties: &[u8]) -> Option<Bytes> {
        let interceptors = &self.shared.interceptors;
        if !interceptors.intercept_publishes() {
            return None;
        }
        let now_ms = self.shared.broker.engine.clock.now_ms();
        interceptors.received(properties, now_ms)
    }

    /// A publish of which nothing lies in the read buffer.
    fn publish_whole(
        &mut self,
        assembled: Assembled,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let Assembled {
            publish,
            properties,
            body,
        } = assembled;
        let Accepted { checked, route } = self.accept(
            &WholePublish {
                channel: self.number,
                exchange: publish.exchange.as_bytes(),
                routing_key: publish.routing_key.as_bytes(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
                properties: &properties,
                body: &body,
            },
            batch,
        )?;
        // Nothing of it lies in the read buffer.
        let message = Message {
            exchange: &[],
            routing_key: &[],
            properties: &[],
            body: Body::Slice(&[]),
            facts: checked.facts,
        };
        let kept = Kept {
            names: Some((publish.exchange, publish.routing_key)),
            properties: Some(properties),
            body: Some(body),
        };
        self.publish_specially(message, kept, publish.mandatory, &checked, &route, batch)
    }

    #[inline]
    fn accept(
        &mut self,
        publish: &WholePublish<'_>,
        batch: &mut Gathering<'_>,
    ) -> Result<Accepted, Exception> {
        if publish.immediate {
            return Err(Exception::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        check_size(publish.body.len() as u64, self.shared.max_message_bytes)?;
        if batch.is_empty() {
            self.routes.renew(self.shared.vhost.epoch());
        }
        let WholePublish {
            exchange,
            routing_key,
            properties,
            ..
        } = *publish;
        let route = match self.routes.find(exchange, routing_key) {
            Some(route) => Route::Remembered(route),
            None => self.look_up(exchange, routing_key, properties, batch)?,
        };
        let checked =
            message_checks::check(properties, &self.shared.user, self.has_reply_consumer)?;
        Ok(Accepted { checked, route })
    }

    /// Asks the vhost for a route, and whether the user may use it. (Routing keys need not be
    /// text; one that is none can only match where the key does not matter.)
    #[cold]
    fn look_up(
        &mut self,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        batch: &mut Gathering<'_>,
    ) -> Result<Route, Exception> {
        let (name, key) = (
            String::from_utf8_lossy(exchange),
            String::from_utf8_lossy(routing_key),
        );
        self.check_permission(Permission::Write, self.exchange(&name))?;
        let found = self.shared.vhost.route(&name, &key, properties, false)?;
        self.check_topic_permission(Permission::Write, &name, &key)?;
        if found.has_memory {
            return Ok(Route::Passage);
        }
        let takes_once = self.settle_before(&found.queues, batch);
        let targets = self.number_queues(&found.queues, batch);
        let is_remembered = found.cacheable && !takes_once && !self.shared.vhost.is_traced();
        Ok(match is_remembered {
            true => Route::Remembered(self.routes.insert(exchange, routing_key, targets)),
            false => Route::Once(targets),
        })
    }

    /// A queue that takes no message twice takes one whose other was acked before, in the same read or
    /// not: so what was gathered is to be done first. Says whether there is such a queue; routes to one
    /// are not remembered.
    fn settle_before(&mut self, queues: &[Arc<Queue>], batch: &mut Gathering<'_>) -> bool {
        let takes_once = queues.iter().any(|queue| queue.takes_once());
        if takes_once {
            self.hand_over(batch);
            self.settle_gathered(batch);
        }
        takes_once
    }

    /// Numbers for queues; those of queues that the batch has messages for stay valid, or the
    /// batch is handed over first.
    fn number_queues(&mut self, queues: &[Arc<Queue>], batch: &mut Gathering<'_>) -> Targets {
        if self.routes.is_full() {
            self.hand_over(batch);
            self.routes.clear();
        }
        queues
            .iter()
            .map(|queue| self.routes.number(queue.id(), || Arc::clone(queue)))
            .collect()
    }

    /// A publish that is not as most are: large, in pieces, in a transaction, with CC or BCC, or
    /// asking for a direct reply. `kept` completes `message`.
    fn publish_specially<'a>(
        &mut self,
        mut message: Message<'a>,
        mut kept: Kept,
        mandatory: bool,
        checked: &Checked,
        route: &Route,
        batch: &mut Gathering<'a>,
    ) -> Result<(), Exception> {
        let targets: Targets = match route {
            Route::Remembered(route) => self.routes.targets(*route).into(),
            Route::Once(targets) => targets.clone(),
            Route::Passage => Targets::new(),
        };
        let mut is_passage = matches!(route, Route::Passage);
        let mut routing_keys = Vec::new();
        let mut queues = self.queues_of(&targets);
        if !checked.is_plain() {
            let rewritten = self.rewrite(&message, &kept, checked, &mut queues, batch)?;
            kept.properties = Some(rewritten.properties);
            message.facts.has_bcc = rewritten.has_bcc;
            is_passage = rewritten.is_passage.unwrap_or(is_passage);
            routing_keys = rewritten.routing_keys;
        }
        let mut whole = message;
        kept.complete(&mut whole);
        if is_passage {
            return self.publish_through(&whole, routing_keys, mandatory, batch);
        }
        self.trace_publish(&whole, queues.iter());
        if whole.exchange.is_empty() {
            self.answer(&whole, &routing_keys, batch);
        }
        if let Some(transaction) = &mut self.transaction {
            batch.published += 1;
            return transaction.publish(tx::Publish::of(&whole, queues, mandatory));
        }
        if !queues.is_empty() {
            let targets = self.number_queues(&queues, batch);
            batch.push_kept(message, kept, &targets);
            self.published(true, batch);
        } else {
            self.publish_unroutable(mandatory, &whole, batch);
        }
        Ok(())
    }

    fn queues_of(&self, targets: &[u32]) -> SmallVec<[Arc<Queue>; 2]> {
        targets
            .iter()
            .filter_map(|target| self.routes.queues().get(*target as usize))
            .cloned()
            .collect()
    }

    /// Does what the properties ask for: routes by CC and BCC as well; puts this channel's address
    /// in as reply-to.
    fn rewrite(
        &mut self,
        message: &Message<'_>,
        kept: &Kept,
        checked: &Checked,
        queues: &mut SmallVec<[Arc<Queue>; 2]>,
        batch: &mut Gathering<'_>,
    ) -> Result<Rewritten, Exception> {
        let mut whole = *message;
        kept.complete(&mut whole);
        let mut properties = Properties::decode(whole.properties)
            .map_err(|_| Exception::new(ReplyCode::InternalError, ""))?;
        if checked.wants_reply_address {
            let address = self
                .deliveries
                .lock()
                .reply_consumer
                .as_ref()
                .map(ReplyConsumer::address);
            properties.reply_to = address;
        }
        let mut is_passage = None;
        let mut selected_keys = Vec::new();
        let mut bcc = None;
        if checked.is_sender_selected
            && let Some(headers) = &mut properties.headers
        {
            selected_keys = sender_selected::routing_keys(headers)?;
            bcc = blind_copies::take(headers);
        }
        let mut visible = Vec::with_capacity(whole.properties.len());
        properties.encode(&mut visible);
        let visible = Bytes::from(visible);
        if !selected_keys.is_empty() {
            let exchange = String::from_utf8_lossy(whole.exchange);
            let keys: Vec<_> = std::iter::once(whole.routing_key)
                .chain(selected_keys.iter().map(|key| key.as_ref()))
                .map(String::from_utf8_lossy)
                .collect();
            let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
            let found = self
                .shared
                .vhost
                .route_by(&exchange, &keys, &visible, false)?;
            queues.clear();
            queues.extend(found.queues.iter().cloned());
            self.settle_before(queues, batch);
            is_passage = Some(found.has_memory);
        }
        let has_bcc = bcc.is_some();
        let properties = match (&mut properties.headers, bcc) {
            (Some(headers), Some(bcc)) => {
                blind_copies::put(headers, bcc);
                let mut kept = Vec::with_capacity(whole.properties.len());
                properties.encode(&mut kept);
                kept.into()
            }
            _ => visible,
        };
        Ok(Rewritten {
            properties,
            has_bcc,
            routing_keys: selected_keys,
            is_passage,
        })
    }

    /// A message with no queue to go to: an answer to an address, or unroutable. As in RabbitMQ
    /// an answer, too, is returned if it is mandatory, though it arrives.
    #[cold]
    fn nowhere(&mut self, mandatory: bool, message: &Message<'_>, batch: &mut Gathering<'_>) {
        if message.exchange.is_empty() {
            self.answer(message, &[], batch);
        }
        self.publish_unroutable(mandatory, message, batch);
    }

    /// Sends a message for the default exchange to those of its routing keys that are addresses for
    /// direct replies.
    fn answer(&self, message: &Message<'_>, more_keys: &[Bytes], batch: &mut Gathering<'_>) {
        let keys = std::iter::once(message.routing_key).chain(more_keys.iter().map(Bytes::as_ref));
        let addresses = &self.shared.broker.engine.reply_addresses;
        addresses.deliver(keys, message, &mut batch.effects);
    }

    /// A message that reaches no queue is returned if it is mandatory, or dropped. On a channel with
    /// confirms it counts as confirmed; one that is returned is confirmed at once, whatever was
    /// published before it and is not safe yet.
    pub(super) fn publish_unroutable(
        &mut self,
        mandatory: bool,
        message: &Message<'_>,
        batch: &mut Gathering<'_>,
    ) {
        if !mandatory || self.confirmer.is_none() {
            self.unroutable(mandatory, message);
            self.published(false, batch);
            return;
        }
        self.hand_over(batch);
        self.send_confirms();
        batch.published += 1;
        let tag = self.take_publish_tag();
        if let Some(confirmer) = &self.confirmer {
            confirmer.return_and_confirm(tag, message);
            let metrics = self.shared.broker.metrics();
            metrics.messages_unroutable_returned.add(1);
        }
    }

    /// Returns a message that reaches no queue if it is mandatory, or drops it.
    pub(super) fn unroutable(&self, mandatory: bool, message: &Message<'_>) {
        let metrics = self.shared.broker.metrics();
        if !mandatory {
            metrics.messages_unroutable_dropped.add(1);
            return;
        }
        metrics.messages_unroutable_returned.add(1);
        let mut pending = self.shared.outgoing.lock();
        confirmer::write_return(&mut pending, &self.shared, self.number, message);
    }

    #[inline]
    pub(super) fn take_publish_tag(&mut self) -> u64 {
        let tag = self.next_publish_tag;
        self.next_publish_tag += 1;
        tag
    }

    /// Counts a publish, and hands over when enough has gathered.
    #[inline]
    fn published(&mut self, is_routed: bool, batch: &mut Gathering<'_>) {
        batch.published += 1;
        if self.confirmer.is_some() {
            batch.used_tag(self.take_publish_tag(), is_routed);
        }
        if batch.is_full() {
            self.hand_over(batch);
        }
    }

    /// Gives what was gathered to the queues.
    pub(super) fn hand_over(&mut self, batch: &mut Gathering<'_>) {
        let engine = &self.shared.broker.engine;
        let HandedOver { refused, logged } = batch.hand_over(self.routes.queues(), engine);
        let published = std::mem::take(&mut batch.published);
        batch.has_published |= published > 0;
        let metrics = self.shared.broker.metrics();
        metrics.messages_published.add(published);
        if self.confirmer.is_none() && logged.is_err() {
            batch.is_unsafe = true;
        }
        if let (Some(confirmer), Some((first, last))) = (&self.confirmer, batch.confirms.take()) {
            if let Ok(Some(_)) = logged {
                batch.awaiting_log += last - first + 1;
            }
            let queues_stored_by = batch.effects.take_queues_stored_by();
            match logged {
                Ok(log_index) => {
                    confirmer.handed_over(first, last, refused, log_index, queues_stored_by);
                }
                // The log has failed: nothing can be promised any more.
                Err(_) => {
                    let refused = (first..=last).collect();
                    confirmer.handed_over(first, last, refused, None, queues_stored_by);
                }
            }
        }
    }

    pub(super) fn confirm_select(&mut self, select: confirm::Select) -> Result<(), Exception> {
        if self.transaction.is_some() {
            let text = "cannot switch from tx to confirm mode";
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        let (number, shared) = (self.number, &self.shared);
        self.confirmer
            .get_or_insert_with(|| Confirmer::new(number, shared));
        self.reply_unless(select.no_wait, confirm::SelectOk);
        Ok(())
    }

    /// Confirms what is safe.
    pub(super) fn send_confirms(&mut self) {
        if let Some(confirmer) = &self.confirmer {
            confirmer.send();
        }
    }
}
