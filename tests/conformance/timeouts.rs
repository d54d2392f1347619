//! Deliveries that nobody acks.

use crate::support::*;

#[test]
fn a_delivery_that_is_not_acked_in_time_closes_its_channel_and_goes_back() {
    let setup = Setup::default().env("WARREN_LIMITS_CONSUMER_TIMEOUT_MS", 1000);
    // In RabbitMQ `consumer_timeout = 1000`, and a `channel_tick_interval` of less than its minute.
    let Some(broker) = setup.start_or_as("WARREN_TEST_CONSUMER_TIMEOUT_1S") else {
        return;
    };
    let mut client = broker.client();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).consume(&queue, "c");
    client.publish("", &queue, "x");
    client.on(2).expect_bodies(&["x"]);
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 2 timed out. Timeout value used: 1000 ms. \
        This timeout value can be configured, see consumers doc guide to learn more";
    client.on(2).expect_close(406, text, "");
    client.await_ready(&queue, 1);
    assert!(client.get(&queue, true).expect("a message").redelivered());
}
