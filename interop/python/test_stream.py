"""Streams: readers from each kind of offset, beside each other, with acks as credit."""

from __future__ import annotations

import datetime

import pytest
from deliveries import Inbox, enqueue, wait_until
from refusals import channel_refused, connection_refused

NUMBERS = [str(number).encode() for number in range(10)]


@pytest.fixture
def stream(channel, names):
    """A stream with the messages 0 to 9."""
    name = names.queue()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
    assert all(enqueue(channel, name, *NUMBERS))
    return name


def read(connection, stream, offset=None, prefetch=100, **consume):
    """A reader on a channel of its own."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=prefetch)
    arguments = {} if offset is None else {"x-stream-offset": offset}
    return Inbox(channel, stream, arguments=arguments, **consume)


def expect(inbox, first):
    """Everything from that number on, each with its offset."""
    received = inbox.wait(10 - first)
    assert [each.body for each in received] == NUMBERS[first:]
    assert [each.headers["x-stream-offset"] for each in received] == list(range(first, 10))
    assert not any(each.method.redelivered for each in received)


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        ("first", 0),
        ("last", 9),
        (0, 0),
        (7, 7),
        ("1h", 0),
        ("7D", 0),
        (datetime.datetime(2020, 1, 1), 0),
    ],
)
def test_reading_from(connection, stream, offset, first):
    expect(read(connection, stream, offset), first)


@pytest.mark.parametrize("offset", [None, "next", 10, datetime.datetime(2037, 1, 1)])
def test_reading_what_comes(connection, channel, stream, offset):
    inbox = read(connection, stream, offset)
    enqueue(channel, stream, b"new")
    received = inbox.wait(1)
    assert (received[0].body, received[0].headers["x-stream-offset"]) == (b"new", 10)


def test_readers_beside_each_other(connection, stream):
    readers = [read(connection, stream, "first"), read(connection, stream, 5), read(connection, stream, "first")]
    for inbox, first in zip(readers, [0, 5, 0]):
        expect(inbox, first)


def test_acks_are_credit(connection, stream):
    inbox = read(connection, stream, "first", prefetch=1)
    for count in range(1, 11):
        inbox.wait(count)
        inbox.channel.basic_ack(inbox.received[-1].tag)
    expect(inbox, 0)


def test_going_on_behind_the_last_offset(connection, stream):
    inbox = read(connection, stream, "first", prefetch=4)
    wait_until(connection, lambda: len(inbox.received) >= 4, "four messages")
    last = inbox.received[3].headers["x-stream-offset"]
    inbox.channel.close()
    expect(read(connection, stream, last + 1), 4)


def test_what_streams_do_not_do(connect, stream):
    where = f"queue '{stream}' in vhost '/'"
    prefetch = f"PRECONDITION_FAILED - consumer prefetch count is not set for '{where}'"
    with channel_refused(406, prefetch):
        connect().channel().basic_consume(stream, print)
    with connection_refused(540, f"NOT_IMPLEMENTED - basic.get not supported by stream queues {where}"):
        connect().channel().basic_get(stream)
    with connection_refused(540, f"NOT_IMPLEMENTED - queue.purge not supported by stream queues {where}"):
        connect().channel().queue_purge(stream)
