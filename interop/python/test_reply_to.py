"""Direct reply-to: remote calls without a queue for the answers."""

from __future__ import annotations

import pika
import pika.exceptions
import pytest
from deliveries import Inbox, wait_until
from refusals import channel_refused

REPLY_TO = "amq.rabbitmq.reply-to"


def serve(channel, queue):
    """Answers every request with its body in capitals."""

    def answer(_channel, method, properties, body):
        channel.basic_publish(
            "", properties.reply_to, body.upper(), pika.BasicProperties(correlation_id=properties.correlation_id)
        )
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, answer)


def request(channel, queue, body, number):
    channel.basic_publish("", queue, body, pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(number)))


def test_call(connection, channel, queue):
    serve(connection.channel(), queue)
    replies = Inbox(channel, REPLY_TO, auto_ack=True)
    for number, word in enumerate([b"one", b"two", b"three"]):
        request(channel, queue, word, number)
    replies.wait(3)
    assert [(each.properties.correlation_id, each.body) for each in replies.received] == [
        ("0", b"ONE"),
        ("1", b"TWO"),
        ("2", b"THREE"),
    ]
    method = replies.received[0].method
    assert (method.consumer_tag, method.exchange, method.redelivered) == (replies.tag, "", False)


def test_call_between_connections(channel, connect, names):
    name = names.queue()
    channel.queue_declare(name)
    server, client = connect(), connect().channel()
    serve(server.channel(), name)
    replies = Inbox(client, REPLY_TO, auto_ack=True)
    request(client, name, b"ping", 1)

    def answered():
        server.process_data_events()
        return replies.received != []

    wait_until(client.connection, answered, "the answer")
    assert replies.bodies == [b"PING"]


def test_each_channel_has_an_address_of_its_own(connection, channel, queue):
    seen = Inbox(connection.channel(), queue, auto_ack=True)
    for _ in range(2):
        asking = connection.channel()
        Inbox(asking, REPLY_TO, auto_ack=True)
        request(asking, queue, b"x", 0)
    addresses = [each.properties.reply_to for each in seen.wait(2)]
    assert all(address.startswith(REPLY_TO + ".") for address in addresses)
    assert len(set(addresses)) == 2


def test_an_address_can_be_looked_up(connection, channel, queue):
    """A server may ask by a passive declare whether the client still waits."""
    seen = Inbox(channel, queue, auto_ack=True)
    asking = connection.channel()
    Inbox(asking, REPLY_TO, auto_ack=True)
    request(asking, queue, b"x", 0)
    address = seen.wait(1)[0].properties.reply_to
    assert channel.queue_declare(address, passive=True).method.queue == address
    asking.close()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        channel.queue_declare(address, passive=True)
    assert caught.value.reply_code == 404


def test_an_answer_to_nobody_comes_back_if_mandatory(connection, channel, queue):
    seen = Inbox(channel, queue, auto_ack=True)
    asking = connection.channel()
    Inbox(asking, REPLY_TO, auto_ack=True)
    request(asking, queue, b"x", 0)
    address = seen.wait(1)[0].properties.reply_to
    asking.close()
    channel.confirm_delivery()
    channel.basic_publish("", address, b"dropped")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", address, b"returned", mandatory=True)


def test_declaring_the_pseudo_queue(channel):
    declared = channel.queue_declare(REPLY_TO, passive=True).method
    assert (declared.queue, declared.message_count, declared.consumer_count) == (REPLY_TO, 0, 1)


def test_reply_consumer_must_not_ack(channel):
    with channel_refused(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
        channel.basic_consume(REPLY_TO, print)


def test_one_reply_consumer_a_channel(channel):
    Inbox(channel, REPLY_TO, auto_ack=True)
    with channel_refused(406, "PRECONDITION_FAILED - reply consumer already set"):
        channel.basic_consume(REPLY_TO, print, auto_ack=True)


def test_request_without_a_reply_consumer(channel, queue):
    with channel_refused(406, "PRECONDITION_FAILED - fast reply consumer does not exist"):
        request(channel, queue, b"x", 0)
        channel.basic_get(queue)


def test_cancelled_reply_consumer_may_be_set_again(connection, channel, queue):
    serve(connection.channel(), queue)
    Inbox(channel, REPLY_TO, auto_ack=True).cancel()
    replies = Inbox(channel, REPLY_TO, auto_ack=True)
    request(channel, queue, b"again", 0)
    assert replies.wait(1)[0].body == b"AGAIN"
