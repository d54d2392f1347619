//! Somebody who works while others misbehave, and who must not notice.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// The broker still takes a fresh client in, and serves it.
pub fn assert_serves(broker: &Broker) {
    let mut client = broker.client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.publish("", &queue, "hello");
    client.expect_bodies(&["hello"]);
    client.close();
}
