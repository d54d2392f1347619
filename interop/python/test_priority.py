"""Priority queues: what is more urgent comes first, what is as urgent in order."""

from __future__ import annotations

import pika
import pytest
from deliveries import Inbox, bodies, enqueue, get, take


def publish(channel, queue, *pairs):
    """(priority, body) pairs, all enqueued when it returns."""
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    for priority, body in pairs:
        publisher.basic_publish("", queue, body, pika.BasicProperties(priority=priority), mandatory=True)
    publisher.close()


def test_the_more_urgent_comes_first(channel, make_queue):
    queue = make_queue(x_max_priority=5)
    publish(channel, queue, (1, b"a"), (5, b"b"), (None, b"c"), (3, b"d"), (5, b"e"), (0, b"f"), (1, b"g"))
    assert bodies(channel, queue) == [b"b", b"e", b"d", b"a", b"g", b"c", b"f"]


def test_more_than_the_most_is_the_most(channel, make_queue):
    queue = make_queue(x_max_priority=2)
    publish(channel, queue, (2, b"a"), (200, b"b"), (1, b"c"), (3, b"d"))
    assert bodies(channel, queue) == [b"a", b"b", b"d", b"c"]


def test_the_property_stays_as_it_was(channel, make_queue):
    queue = make_queue(x_max_priority=2)
    publish(channel, queue, (200, b"a"))
    assert get(channel, queue).properties.priority == 200


def test_a_queue_without_priorities_does_not_care(channel, queue):
    publish(channel, queue, (1, b"a"), (9, b"b"))
    assert bodies(channel, queue) == [b"a", b"b"]


def test_requeued_goes_to_its_place_among_its_like(channel, make_queue):
    queue = make_queue(x_max_priority=5)
    publish(channel, queue, (5, b"a"), (5, b"b"), (1, b"c"), (5, b"d"))
    held = [get(channel, queue, auto_ack=False) for _ in range(4)]
    assert [each.body for each in held] == [b"a", b"b", b"d", b"c"]
    publish(channel, queue, (5, b"e"), (1, b"f"))
    channel.basic_nack(held[1].tag)
    channel.basic_nack(held[3].tag)
    assert bodies(channel, queue) == [b"b", b"e", b"c", b"f"]


def test_urgent_messages_overtake_a_waiting_backlog(channel, make_queue):
    queue = make_queue(x_max_priority=9)
    publish(channel, queue, *[(0, str(number).encode()) for number in range(20)])
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, queue)
    inbox.wait(1)
    publish(channel, queue, (9, b"urgent"))
    channel.basic_ack(inbox.received[0].tag)
    assert inbox.wait(2)[1].body == b"urgent"


def test_purge_and_count_cover_every_priority(channel, make_queue):
    queue = make_queue(x_max_priority=3)
    publish(channel, queue, (0, b"a"), (1, b"b"), (3, b"c"))
    assert channel.queue_declare(queue, passive=True).method.message_count == 3
    assert channel.queue_purge(queue).method.message_count == 3


@pytest.mark.parametrize("priority", [0, 3])
def test_expired_of_any_priority_is_dead_lettered(channel, make_queue, priority):
    dead = make_queue()
    queue = make_queue(x_max_priority=3, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    enqueue(channel, queue, b"x", priority=priority, expiration="1")
    message = take(channel, dead, 1)[0]
    assert message.headers["x-first-death-reason"] == "expired"
    assert message.properties.priority == priority
