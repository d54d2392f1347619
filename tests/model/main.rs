//! Random conversations about one queue, held against a simple model of it: order with requeue
//! to the original position, the redelivered flag, delivery tags, counts, prefetch.
//!
//! A failure names its seed; `WARREN_TEST_SEED=N` runs that one alone.

#[path = "../support/mod.rs"]
mod support;

mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use queue::{Kind, Message, Model};
use support::*;

/// Publishes with confirms, purges.
const CONTROL: u16 = 1;
/// Gets.
const GETTING: u16 = 2;
/// Consumes, and counts: an unexpected delivery would be in the answer's way.
const CONSUMING: u16 = 3;

const STEPS: usize = 250;
const SEEDS: u64 = 12;

struct Conversation {
    client: Client,
    queue: String,
    model: Model,
    kind: Kind,
    random: Random,
    confirmed: u64,
    said: Vec<String>,
}

impl Conversation {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut client = Broker::shared().client();
        client.call(method!("confirm.select"));
        client.open_channel(GETTING);
        client.open_channel(CONSUMING);
        let mut arguments = Table::default();
        if let Some(max) = kind.max_length {
            arguments
                .0
                .push(("x-max-length".into(), Value::from(max as i32)));
        }
        if let Some(max) = kind.max_length_bytes {
            arguments
                .0
                .push(("x-max-length-bytes".into(), Value::from(max as i32)));
        }
        if kind.max_priority > 0 {
            arguments.0.push((
                "x-max-priority".into(),
                Value::from(i32::from(kind.max_priority)),
            ));
        }
        let queue = client.queue_with(arguments);
        let random = Random(seed);
        Conversation {
            client,
            queue,
            model: Model::new(kind),
            kind,
            random,
            confirmed: 0,
            said: vec![],
        }
    }

    fn say(&mut self, what: String) {
        self.said.push(what);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.publish(),
            30..50 => self.get(),
            50..60 => self.settle(true),
            60..82 => self.settle(false),
            82..88 => self.consume_or_cancel(),
            88..92 => self.purge(),
            92..96 => self.recover(),
            _ => self.reopen(),
        }
        self.check();
    }

    fn publish(&mut self) {
        let count = 1 + self.random.below(4);
        self.say(format!("publish {count}"));
        for _ in 0..count {
            let priority = self.random.below(usize::from(self.kind.max_priority) + 1) as u8;
            let message = self.model.publish(priority);
            let properties = properties!(priority: i32::from(priority));
            self.client
                .on(CONTROL)
                .publish_with("", &self.queue, &properties, &message.body());
            self.confirmed += 1;
            self.client
                .on(CONTROL)
                .expect(method!("basic.ack", delivery_tag: self.confirmed));
            self.expect_deliveries();
            self.model.shorten();
        }
    }

    fn get(&mut self) {
        let no_ack = self.random.chance(20);
        self.say(format!("get no_ack={no_ack}"));
        let expected = self.model.get(no_ack);
        let ready = self.model.ready();
        let came = self.client.on(GETTING).get(&self.queue, no_ack);
        let came = came.map(|message| (seen(&message), message.method.number("message-count")));
        let expected = expected.map(|(tag, message)| (expect(tag, &message), ready));
        assert_eq!(came, expected, "basic.get");
    }

    /// RabbitMQ gives back one consumer's messages (and each that was got) at a time, and a waiting
    /// consumer may have the first of them before the next is back. Where the order is not simply
    /// that of publishing, what then comes is not defined.
    fn may_give_back_many(&self) -> bool {
        let is_limited = self.kind.max_length.is_some() || self.kind.max_length_bytes.is_some();
        let plain = !is_limited && self.kind.max_priority == 0;
        plain || self.model.consumer.is_none()
    }

    /// Acks, rejects or gives back something that a channel holds.
    fn settle(&mut self, consuming: bool) {
        let (number, channel) = match consuming {
            true => (CONSUMING, &self.model.consuming),
            false => (GETTING, &self.model.getting),
        };
        let tags: Vec<u64> = channel.unacked.keys().copied().collect();
        let multiple = self.random.chance(30) && self.may_give_back_many();
        let picked = if multiple && self.random.chance(20) {
            Some(0)
        } else {
            self.random.pick(&tags)
        };
        let Some(tag) = picked else { return };
        let method = match self.random.below(4) {
            0 => method!("basic.ack", delivery_tag: tag, multiple: multiple),
            1 => method!("basic.nack", delivery_tag: tag, multiple: multiple),
            2 => method!("basic.nack", delivery_tag: tag, multiple: multiple, requeue: true),
            _ => {
                let Some(tag) = self.random.pick(&tags) else {
                    return;
                };
                method!("basic.reject", delivery_tag: tag, requeue: self.random.chance(70))
            }
        };
        self.say(format!("{number}: {method:?}"));
        let tag = method.number("delivery-tag");
        let multiple = method.name != "basic.reject" && multiple;
        if method.name != "basic.ack" && method.bit("requeue") {
            self.model.requeue(consuming, tag, multiple);
        } else {
            self.model.drop_unacked(consuming, tag, multiple);
        }
        self.client.on(number).send(method);
        self.expect_deliveries();
    }

    fn consume_or_cancel(&mut self) {
        if let Some(consumer) = self.model.consumer.take() {
            self.say(format!("cancel {}", consumer.id));
            let cancel = method!("basic.cancel", consumer_tag: consumer.id.to_string());
            self.client.on(CONSUMING).call(cancel);
            return;
        }
        let (prefetch, no_ack) = (self.random.below(5), self.random.chance(15));
        let id = self.model.consume(prefetch, no_ack).to_string();
        self.say(format!("consume {id} prefetch={prefetch} no_ack={no_ack}"));
        self.client.on(CONSUMING).prefetch(prefetch as u16);
        let consume =
            method!("basic.consume", queue: &self.queue, consumer_tag: &id, no_ack: no_ack);
        self.client.on(CONSUMING).call(consume);
        self.expect_deliveries();
    }

    fn purge(&mut self) {
        self.say("purge".into());
        let purged = self
            .client
            .on(CONTROL)
            .call(method!("queue.purge", queue: &self.queue));
        assert_eq!(purged.number("message-count"), self.model.purge());
    }

    fn recover(&mut self) {
        if !self.may_give_back_many() {
            return;
        }
        self.say("recover".into());
        self.client
            .on(GETTING)
            .call(method!("basic.recover", requeue: true));
        self.model.requeue(false, 0, true);
        self.expect_deliveries();
    }

    fn reopen(&mut self) {
        let consuming = self.random.chance(50) || !self.may_give_back_many();
        let number = if consuming { CONSUMING } else { GETTING };
        self.say(format!("{number}: close and open"));
        self.client
            .on(number)
            .call(method!("channel.close", reply_code: 200));
        self.model.reopen(consuming);
        self.client.open_channel(number);
        self.expect_deliveries();
    }

    fn expect_deliveries(&mut self) {
        for (tag, message) in self.model.deliveries() {
            let came = self.client.on(CONSUMING).delivery();
            assert_eq!(seen(&came), expect(tag, &message), "basic.deliver");
        }
    }

    fn check(&mut self) {
        let expected = (self.model.ready(), u64::from(self.model.consumer.is_some()));
        if Broker::shared().is_warren() {
            assert_eq!(
                self.client.on(CONSUMING).counts(&self.queue),
                expected,
                "counts"
            );
        } else {
            // RabbitMQ's queues answer this before they have done what they were told before.
            self.client
                .on(CONSUMING)
                .await_ready(&self.queue, expected.0);
        }
    }
}

fn seen(message: &support::Message) -> (u64, String, bool) {
    (message.tag(), message.text(), message.redelivered())
}

fn expect(tag: u64, message: &Message) -> (u64, String, bool) {
    (tag, message.body(), message.redelivered)
}

fn run(kind: Kind) {
    let only = std::env::var("WARREN_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let mut conversation = Conversation::new(kind, seed);
        for _ in 0..STEPS {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| conversation.step())) {
                let last = conversation.said.len().saturating_sub(40);
                eprintln!(
                    "seed {seed}, {kind:?}, the last steps: {:#?}",
                    &conversation.said[last..]
                );
                resume_unwind(panic);
            }
        }
    }
}

#[test]
fn a_plain_queue_is_as_the_model_says() {
    run(Kind::default());
}

#[test]
fn a_limited_queue_is_as_the_model_says() {
    run(Kind {
        max_length: Some(5),
        ..Kind::default()
    });
}

#[test]
fn a_priority_queue_is_as_the_model_says() {
    run(Kind {
        max_priority: 3,
        ..Kind::default()
    });
}

#[test]
fn a_limited_priority_queue_is_as_the_model_says() {
    run(Kind {
        max_priority: 3,
        max_length: Some(5),
        ..Kind::default()
    });
}

/// Bodies have three bytes and more, so that now one more goes and now two.
#[test]
fn a_queue_limited_in_bytes_is_as_the_model_says() {
    run(Kind {
        max_length_bytes: Some(30),
        ..Kind::default()
    });
}
