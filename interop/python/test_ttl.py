"""Time to live: of a queue's messages, of one message, of a queue."""

from __future__ import annotations

import time

import pika
import pika.exceptions
import pytest
from broker import DEADLINE_SECONDS
from deliveries import Inbox, bodies, enqueue, get, ready, take, wait_ready, wait_until


def expiring(milliseconds):
    return pika.BasicProperties(expiration=str(milliseconds))


@pytest.fixture
def graveyard(make_queue):
    """A queue for the expired, and the arguments that lead there."""
    dead = make_queue()
    return dead, {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": dead}


def test_queue_ttl(channel, make_queue):
    queue = make_queue(x_message_ttl=20)
    enqueue(channel, queue, b"x")
    wait_ready(channel, queue, 0)
    assert get(channel, queue) is None


def test_queue_ttl_leaves_time_to_consume(channel, make_queue):
    queue = make_queue(x_message_ttl=60_000)
    channel.basic_publish("", queue, b"x")
    assert bodies(channel, queue) == [b"x"]


def test_message_ttl(channel, queue):
    enqueue(channel, queue, b"x", expiration="20")
    wait_ready(channel, queue, 0)
    assert get(channel, queue) is None


def test_message_ttl_leaves_time_to_consume(channel, queue):
    channel.basic_publish("", queue, b"x", expiring(60_000))
    got = get(channel, queue)
    assert (got.body, got.properties.expiration) == (b"x", "60000")


def test_the_shorter_of_the_two_counts(channel, make_queue, graveyard):
    dead, arguments = graveyard
    long_queue, short_queue = make_queue(x_message_ttl=60_000, **arguments), make_queue(x_message_ttl=1, **arguments)
    channel.basic_publish("", long_queue, b"short message", expiring(1))
    channel.basic_publish("", short_queue, b"short queue", expiring(60_000))
    assert {each.body for each in take(channel, dead, 2)} == {b"short message", b"short queue"}


def test_ttl_of_nought_is_now_or_never(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(x_message_ttl=0, **arguments)
    channel.basic_publish("", queue, b"nobody there")
    assert take(channel, dead, 1)[0].body == b"nobody there"
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_publish("", queue, b"somebody there")
    assert inbox.wait(1)[0].body == b"somebody there"


def test_expiration_of_nought_is_now_or_never(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(**arguments)
    channel.basic_publish("", queue, b"nobody there", expiring(0))
    assert take(channel, dead, 1)[0].body == b"nobody there"
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_publish("", queue, b"somebody there", expiring(0))
    assert inbox.wait(1)[0].body == b"somebody there"


def test_ttl_of_nought_and_a_full_prefetch(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(x_message_ttl=0, **arguments)
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, queue)
    channel.basic_publish("", queue, b"1")
    channel.basic_publish("", queue, b"2")
    inbox.wait(1)
    assert take(channel, dead, 1)[0].body == b"2"


def test_ttl_of_nought_confirms(channel, make_queue):
    queue = make_queue(x_message_ttl=0)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x", mandatory=True)


def test_expired_in_order(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(x_message_ttl=10, **arguments)
    for number in range(50):
        channel.basic_publish("", queue, str(number).encode())
    assert [each.body for each in take(channel, dead, 50)] == [str(number).encode() for number in range(50)]


def test_a_message_expires_at_the_head(channel, make_queue, graveyard):
    """A short-lived message behind a long-lived one waits for it."""
    dead, arguments = graveyard
    queue = make_queue(**arguments)
    enqueue(channel, queue, b"long", expiration="60000")
    enqueue(channel, queue, b"short", expiration="1")
    wait_ready(channel, queue, 2)
    held = get(channel, queue, auto_ack=False)
    assert held.body == b"long"
    # Now it is at the head.
    assert take(channel, dead, 1)[0].body == b"short"
    channel.basic_ack(held.tag)


def test_what_has_expired_behind_a_message_does_not_count(channel, queue):
    enqueue(channel, queue, b"long", expiration="60000")
    enqueue(channel, queue, b"gone", b"gone too", expiration="0")
    assert ready(channel, queue) == 3
    got = get(channel, queue)
    assert (got.body, got.method.message_count) == (b"long", 0)


def test_what_has_expired_behind_a_message_is_not_delivered(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(**arguments)
    enqueue(channel, queue, b"first", expiration="60000")
    enqueue(channel, queue, b"gone", expiration="0")
    enqueue(channel, queue, b"second")
    inbox = Inbox(channel, queue, auto_ack=True)
    inbox.wait(2)
    assert inbox.bodies == [b"first", b"second"]
    assert take(channel, dead, 1)[0].body == b"gone"


def test_expired_is_not_delivered_to_a_late_consumer(channel, make_queue, graveyard):
    dead, arguments = graveyard
    queue = make_queue(x_message_ttl=1, **arguments)
    channel.basic_publish("", queue, b"too late")
    take(channel, dead, 1)
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_publish("", queue, b"in time")
    assert inbox.wait(1)[0].body == b"in time"


def exists(connection, queue):
    """Asks in a way that is no use of the queue: a passive declare would be one."""
    probe = connection.channel()
    try:
        probe.queue_bind(queue, "amq.direct", "probe")
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404
        return False
    probe.close()
    return True


def test_expires(connection, channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-expires": 100})
    wait_until(connection, lambda: not exists(connection, name), "the queue expires")


def test_expires_takes_the_messages_along(connection, channel, make_queue, names, graveyard):
    dead, _ = graveyard
    name = names.queue()
    arguments = {"x-expires": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    channel.queue_declare(name, arguments=arguments)
    channel.basic_publish("", name, b"goes too")
    wait_until(connection, lambda: not exists(connection, name), "the queue expires")
    assert get(channel, dead) is None


def test_expires_waits_for_consumers(connection, channel, names):
    consumed, unused = names.queue(), names.queue()
    for name in (consumed, unused):
        channel.queue_declare(name, arguments={"x-expires": 100})
    inbox = Inbox(channel, consumed, auto_ack=True)
    wait_until(connection, lambda: not exists(connection, unused), "the unused queue expires")
    assert exists(connection, consumed)
    inbox.cancel()
    wait_until(connection, lambda: not exists(connection, consumed), "the other expires when nobody consumes")


def test_expires_is_put_off_by_use(connection, channel, names):
    """Each get and each declare starts its time anew."""
    got, declared, unused = names.queue(), names.queue(), names.queue()
    for name in (got, declared, unused):
        channel.queue_declare(name, arguments={"x-expires": 500})
    deadline = time.monotonic() + DEADLINE_SECONDS
    while exists(connection, unused):
        assert time.monotonic() < deadline
        channel.basic_get(got)
        channel.queue_declare(declared, arguments={"x-expires": 500})
    assert exists(connection, got) and exists(connection, declared)
