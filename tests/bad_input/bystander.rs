//! Somebody who works while others misbehave, and who must not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::support::client::Silence;
use crate::support::*;

/// Does `mischief` while a well-behaved client publishes, confirms, consumes and acks; says what
/// came of it. The client's every answer has its deadline; it works at least once before, once
/// during and once after the mischief.
pub fn undisturbed<T>(broker: &Broker, mischief: impl FnOnce() -> T) -> T {
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut bystander = Bystander::new(broker);
        bystander.work();
        let working = scope.spawn(move || {
            loop {
                let last = over.load(Ordering::Acquire);
                bystander.work();
                if last {
                    return;
                }
            }
        });
        // The bystander ends even if the mischief panics.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(mischief));
        over.store(true, Ordering::Release);
        working.join().expect("the bystander was disturbed");
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

struct Bystander {
    client: Client,
    queue: String,
    published: u64,
}

impl Bystander {
    fn new(broker: &Broker) -> Self {
        let mut client = broker.client();
        client.open_channel(2);
        client.call(method!("confirm.select"));
        let queue = client.queue();
        client.on(2).consume(&queue, "bystander");
        Bystander {
            client,
            queue,
            published: 0,
        }
    }

    fn work(&mut self) {
        self.published += 1;
        let body = self.published.to_string();
        self.client.publish("", &self.queue, &body);
        self.client
            .expect(method!("basic.ack", delivery_tag: self.published));
        let message = self.client.on(2).delivery();
        assert_eq!((message.text(), message.tag()), (body, self.published));
        self.client.on(2).ack(self.published);
    }
}

/// The broker closes the connection with a hard error, whichever, or just ends it. Where RabbitMQ
/// crashes over its input, what it then says is no model.
pub fn expect_hard_close(client: &mut Client) {
    let deadline = Instant::now() + client.patience;
    let frame = match client.raw_frame(deadline) {
        Ok(frame) => frame,
        Err(Silence::Closed) => return,
        Err(Silence::Deadline) => panic!("the connection stays open"),
    };
    let close = Method::decode(&frame.payload);
    assert_eq!(
        (close.name, frame.channel),
        ("connection.close", 0),
        "{close:?}"
    );
    assert!(
        (500..=541).contains(&close.number("reply-code")),
        "{close:?}"
    );
    client.on(0).send(method!("connection.close-ok"));
    client.expect_end();
}

/// The broker still takes a fresh client in, and serves it.
pub fn assert_serves(broker: &Broker) {
    let mut client = broker.client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.publish("", &queue, "hello");
    client.expect_bodies(&["hello"]);
    client.close();
}
