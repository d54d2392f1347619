"""Channels: many of them, closing and opening, errors that cost one and errors that cost all."""

from __future__ import annotations

import pika
import pytest
from broker import fresh
from deliveries import Inbox, bodies, get, wait_until
from refusals import channel_refused, connection_refused


def test_many_channels(connection):
    channels = [connection.channel() for _ in range(200)]
    queues = [each.queue_declare("", exclusive=True).method.queue for each in channels]
    for number, (each, queue) in enumerate(zip(channels, reversed(queues))):
        each.basic_publish("", queue, str(number).encode())
    for number, (each, queue) in enumerate(zip(channels, reversed(queues))):
        assert get(each, queue).body == str(number).encode()


def test_a_number_may_be_used_again(connection):
    for _ in range(20):
        channel = connection.channel(5)
        assert channel.queue_declare("", exclusive=True).method.message_count == 0
        channel.close()


def test_a_number_may_be_used_again_after_an_error(connection):
    for _ in range(10):
        with channel_refused(404, f"NOT_FOUND - no queue 'nonesuch' in vhost '{connection._impl.params.virtual_host}'"):
            connection.channel(5).queue_declare("nonesuch", passive=True)


def test_the_highest_number(connection):
    channel = connection.channel(2047)
    assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_an_error_costs_one_channel(connection, channel, queue):
    failing = connection.channel()
    inbox = Inbox(channel, queue)
    with channel_refused(404, f"NOT_FOUND - no queue 'nonesuch' in vhost '{connection._impl.params.virtual_host}'"):
        failing.queue_declare("nonesuch", passive=True)
    channel.basic_publish("", queue, b"x")
    assert inbox.wait(1)[0].body == b"x"


def test_what_was_published_before_an_error_counts(connection, channel, queue):
    failing = connection.channel()
    failing.basic_publish("", queue, b"before")
    with channel_refused(404, f"NOT_FOUND - no queue 'nonesuch' in vhost '{connection._impl.params.virtual_host}'"):
        failing.queue_declare("nonesuch", passive=True)
    assert bodies(channel, queue) == [b"before"]


def test_what_was_published_before_a_close_counts(connection, channel, queue):
    publisher = connection.channel()
    for number in range(100):
        publisher.basic_publish("", queue, str(number).encode())
    publisher.close()
    assert len(bodies(channel, queue)) == 100


def test_what_was_published_before_the_connection_closed_counts(connect, channel, queue):
    publisher = connect()
    publishing = publisher.channel()
    for number in range(100):
        publishing.basic_publish("", queue, str(number).encode())
    publisher.close()
    inbox = Inbox(channel, queue, auto_ack=True)
    inbox.wait(100)
    assert inbox.bodies == [str(number).encode() for number in range(100)]


def test_a_connection_error_costs_all_channels(connection, channel):
    others = [connection.channel() for _ in range(3)]
    with connection_refused(503, "COMMAND_INVALID - unknown exchange type 'nonesuch'"):
        channel.exchange_declare(fresh("exchange"), "nonesuch")
    assert [each.is_closed for each in [channel, *others]] == [True] * 4


def test_flow_on(channel, queue):
    assert channel.flow(True) is True
    channel.basic_publish("", queue, b"x")
    assert bodies(channel, queue) == [b"x"]


def test_flow_off(channel):
    with connection_refused(540, "NOT_IMPLEMENTED - active=false"):
        channel.flow(False)


def test_access_request_is_granted(connection, channel):
    granted = []
    channel._impl._rpc(
        pika.spec.Access.Request(realm="/data", active=True),
        lambda frame: granted.append(frame.method.ticket),
        [pika.spec.Access.RequestOk],
    )
    wait_until(connection, lambda: granted == [1], "access.request-ok")


@pytest.mark.parametrize("count", [1, 10])
def test_reply_text_of_a_long_name(broker, channel, count):
    """What does not fit into the 255 bytes of a reply text is cut."""
    name = "n" * (25 * count)
    text = f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"
    if len(text) > 255:
        text = text[:252] + "..."
    with channel_refused(404, text):
        channel.queue_declare(name, passive=True)
