//! What can be said and heard on a channel: the words that conversations are written in.
//!
//! Everything that is heard has a deadline and must be exactly what was expected.

use std::time::Instant;

use super::client::Client;
use super::frame::{BODY, CONTENT_HEADER, Frame, METHOD, Message};
use super::method;
use super::value::Reader;
use super::{Method, Properties, Table};

/// One channel of a client.
pub struct Channel<'a> {
    pub(super) client: &'a mut Client,
    pub(super) number: u16,
}

impl Talk for Channel<'_> {
    fn client(&mut self) -> &mut Client {
        self.client
    }

    fn number(&self) -> u16 {
        self.number
    }
}

impl Talk for Client {
    fn client(&mut self) -> &mut Client {
        self
    }

    fn number(&self) -> u16 {
        1
    }
}

/// What can be said and heard on a channel.
pub trait Talk {
    fn client(&mut self) -> &mut Client;
    fn number(&self) -> u16;

    #[track_caller]
    fn send(&mut self, method: Method) {
        let frame = Frame::method(self.number(), &method);
        self.client().send_frame(&frame);
    }

    /// Sends a method with its content, the body cut by frame-max.
    #[track_caller]
    fn send_content(&mut self, method: Method, properties: &Properties, body: &[u8]) {
        let number = self.number();
        let mut bytes = Frame::method(number, &method).encode();
        bytes.extend(Frame::content_header(number, body.len() as u64, properties).encode());
        for part in body.chunks(self.client().frame_max - 8) {
            bytes.extend(Frame::body(number, part).encode());
        }
        self.client().send_bytes(&bytes);
    }

    #[track_caller]
    fn publish(&mut self, exchange: &str, routing_key: &str, body: &str) {
        self.publish_with(exchange, routing_key, &Properties::default(), body);
    }

    #[track_caller]
    fn publish_with(&mut self, exchange: &str, key: &str, properties: &Properties, body: &str) {
        let method = method!("basic.publish", exchange: exchange, routing_key: key);
        self.send_content(method, properties, body.as_bytes());
    }

    /// The next frame of this channel.
    #[track_caller]
    fn frame(&mut self) -> Frame {
        let number = self.number();
        let client = self.client();
        let deadline = Instant::now() + client.patience;
        match client.frame_of(number, deadline) {
            Ok(frame) => frame,
            Err(silence) => {
                let on_0 = client.inbox.remove(&0).unwrap_or_default();
                let on_0: Vec<Method> = on_0.iter().map(|f| Method::decode(&f.payload)).collect();
                panic!("no frame on channel {number}: {silence:?}; on channel 0: {on_0:?}")
            }
        }
    }

    #[track_caller]
    fn receive(&mut self) -> Method {
        let frame = self.frame();
        assert_eq!(frame.kind, METHOD, "a method is due: {frame:?}");
        Method::decode(&frame.payload)
    }

    #[track_caller]
    fn expect(&mut self, method: Method) {
        assert_eq!(self.receive(), method);
    }

    #[track_caller]
    fn expect_name(&mut self, name: &str) -> Method {
        let method = self.receive();
        assert_eq!(method.name, name, "{method:?}");
        method
    }

    /// Sends a method and takes its `-ok`.
    #[track_caller]
    fn call(&mut self, method: Method) -> Method {
        let answer = format!("{}-ok", method.name);
        self.send(method);
        self.expect_name(&answer)
    }

    /// The content that follows a method that has been received.
    #[track_caller]
    fn content(&mut self, method: Method) -> Message {
        let frame = self.frame();
        assert_eq!(
            frame.kind, CONTENT_HEADER,
            "a content header is due: {frame:?}"
        );
        let mut reader = Reader(&frame.payload);
        assert_eq!((reader.u16(), reader.u16()), (60, 0), "class and weight");
        let size = reader.u64() as usize;
        let properties = Properties::decode(reader.0);
        let mut body = Vec::new();
        while body.len() < size {
            let frame = self.frame();
            assert_eq!(frame.kind, BODY, "a body is due: {frame:?}");
            assert!(!frame.payload.is_empty(), "an empty body frame");
            body.extend(frame.payload);
        }
        assert_eq!(body.len(), size, "body size");
        Message {
            method,
            properties,
            body,
        }
    }

    #[track_caller]
    fn message(&mut self, name: &str) -> Message {
        let method = self.expect_name(name);
        self.content(method)
    }

    #[track_caller]
    fn delivery(&mut self) -> Message {
        self.message("basic.deliver")
    }

    /// Deliveries with these bodies, in this order.
    #[track_caller]
    fn expect_bodies(&mut self, bodies: &[&str]) -> Vec<Message> {
        let messages: Vec<Message> = bodies.iter().map(|_| self.delivery()).collect();
        let came: Vec<String> = messages.iter().map(Message::text).collect();
        assert_eq!(came, bodies);
        messages
    }

    #[track_caller]
    fn get(&mut self, queue: &str, no_ack: bool) -> Option<Message> {
        self.send(method!("basic.get", queue: queue, no_ack: no_ack));
        let method = self.receive();
        match method.name {
            "basic.get-ok" => Some(self.content(method)),
            "basic.get-empty" => None,
            _ => panic!("{method:?}"),
        }
    }

    /// The text of the first message, which is gone then.
    #[track_caller]
    fn take(&mut self, queue: &str) -> Option<String> {
        self.get(queue, true).map(|message| message.text())
    }

    /// Everything that is in the queue, which is empty then.
    #[track_caller]
    fn take_all(&mut self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.take(queue)).collect()
    }

    #[track_caller]
    fn consume(&mut self, queue: &str, tag: &str) {
        self.call(method!("basic.consume", queue: queue, consumer_tag: tag));
    }

    #[track_caller]
    fn ack(&mut self, tag: u64) {
        self.send(method!("basic.ack", delivery_tag: tag));
    }

    #[track_caller]
    fn nack(&mut self, tag: u64, multiple: bool, requeue: bool) {
        let nack = method!("basic.nack", delivery_tag: tag, multiple: multiple, requeue: requeue);
        self.send(nack);
    }

    /// The broker refuses a publish. (`multiple` may be set where nothing before it is open.)
    #[track_caller]
    fn expect_nack(&mut self, tag: u64) {
        assert_eq!(self.expect_name("basic.nack").number("delivery-tag"), tag);
    }

    #[track_caller]
    fn prefetch(&mut self, count: u16) {
        self.call(method!("basic.qos", prefetch_count: count));
    }

    /// An exclusive queue of the broker's naming.
    #[track_caller]
    fn queue(&mut self) -> String {
        self.queue_with(Table::default())
    }

    #[track_caller]
    fn queue_with(&mut self, arguments: Table) -> String {
        let declare = method!("queue.declare", exclusive: true, arguments: arguments);
        self.call(declare).text("queue")
    }

    /// An auto-delete exchange of a new name.
    #[track_caller]
    fn exchange(&mut self, kind: &str) -> String {
        let name = super::unique(kind);
        self.call(method!("exchange.declare", exchange: &name, type: kind, auto_delete: true));
        name
    }

    #[track_caller]
    fn bind(&mut self, queue: &str, exchange: &str, key: &str) {
        self.call(method!("queue.bind", queue: queue, exchange: exchange, routing_key: key));
    }

    /// Ready messages and consumers. The queue answers after what it did before, so that by then
    /// anything it had to say to this channel has been said.
    #[track_caller]
    fn counts(&mut self, queue: &str) -> (u64, u64) {
        let ok = self.call(method!("queue.declare", queue: queue, passive: true));
        (ok.number("message-count"), ok.number("consumer-count"))
    }

    /// Waits until the queue has so many ready messages; what others do reaches it in its time.
    #[track_caller]
    fn await_ready(&mut self, queue: &str, ready: u64) {
        super::broker::eventually(&format!("{ready} messages ready"), || {
            self.counts(queue).0 == ready
        });
    }

    /// Nothing has come, and nothing of what the broker has been told so far makes it come.
    #[track_caller]
    fn expect_nothing(&mut self, queue: &str) {
        self.counts(queue);
    }

    /// The broker closes this channel for this reason, and takes our answer.
    #[track_caller]
    fn expect_close(&mut self, code: u16, text: &str, method: &str) {
        let (class, id) = Method::ids(method);
        self.expect(method!("channel.close",
            reply_code: code, reply_text: text, class_id: class, method_id: id));
        self.send(method!("channel.close-ok"));
    }

    /// The broker closes this channel for what is sent here; the channel is opened again.
    #[track_caller]
    fn refused(&mut self, sent: Method, code: u16, text: &str) {
        let name = sent.name;
        self.send(sent);
        self.expect_close(code, text, name);
        let number = self.number();
        self.client().open_channel(number);
    }
}
