"""Length limits: by messages, by bytes, and what happens to what is too much."""

from __future__ import annotations

import pytest
from deliveries import Inbox, bodies, enqueue, get, wait_ready


def numbered(count):
    return [str(number).encode() for number in range(count)]


def test_drop_head(channel, make_queue):
    queue = make_queue(x_max_length=3)
    assert enqueue(channel, queue, *numbered(10)) == [True] * 10
    assert bodies(channel, queue) == [b"7", b"8", b"9"]


def test_drop_head_said_aloud(channel, make_queue):
    queue = make_queue(x_max_length=3, x_overflow="drop-head")
    enqueue(channel, queue, *numbered(5))
    assert bodies(channel, queue) == [b"2", b"3", b"4"]


def test_max_length_of_nought_keeps_nothing(channel, make_queue):
    queue = make_queue(x_max_length=0)
    assert enqueue(channel, queue, *numbered(3)) == [True] * 3
    assert get(channel, queue) is None


def test_max_length_of_nought_hands_on(channel, make_queue):
    queue = make_queue(x_max_length=0)
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_publish("", queue, b"x")
    assert inbox.wait(1)[0].body == b"x"


def test_unacked_do_not_count(channel, make_queue):
    queue = make_queue(x_max_length=2)
    enqueue(channel, queue, *numbered(2))
    held = [get(channel, queue, auto_ack=False) for _ in range(2)]
    enqueue(channel, queue, b"2", b"3")
    wait_ready(channel, queue, 2)
    # Put back, they are too many again, and the oldest go.
    channel.basic_nack(held[1].tag, multiple=True)
    enqueue(channel, queue, b"4")
    assert bodies(channel, queue) == [b"3", b"4"]


def test_max_length_bytes(channel, make_queue):
    queue = make_queue(x_max_length_bytes=100)
    enqueue(channel, queue, b"a" * 40, b"b" * 40, b"c" * 40)
    assert bodies(channel, queue) == [b"b" * 40, b"c" * 40]


def test_max_length_bytes_exactly(channel, make_queue):
    queue = make_queue(x_max_length_bytes=80)
    enqueue(channel, queue, b"a" * 40, b"b" * 40)
    wait_ready(channel, queue, 2)
    enqueue(channel, queue, b"c")
    assert bodies(channel, queue) == [b"b" * 40, b"c"]


def test_max_length_bytes_smaller_than_a_message(channel, make_queue):
    queue = make_queue(x_max_length_bytes=10)
    enqueue(channel, queue, b"fits", b"far too much for it")
    assert get(channel, queue) is None


def test_empty_bodies_weigh_nothing(channel, make_queue):
    queue = make_queue(x_max_length_bytes=0)
    enqueue(channel, queue, b"", b"", b"x", b"")
    assert bodies(channel, queue) == [b""]


def test_both_limits(channel, make_queue):
    queue = make_queue(x_max_length=3, x_max_length_bytes=10)
    enqueue(channel, queue, b"a", b"b", b"c", b"d", b"eeeeeeee")
    assert bodies(channel, queue) == [b"c", b"d", b"eeeeeeee"]
    enqueue(channel, queue, b"ffffffff", b"ggg")
    assert bodies(channel, queue) == [b"ggg"]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_reject_publish(channel, make_queue, overflow):
    queue = make_queue(x_max_length=2, x_overflow=overflow)
    assert enqueue(channel, queue, *numbered(4)) == [True, True, False, False]
    assert get(channel, queue).body == b"0"
    assert enqueue(channel, queue, b"4", b"5") == [True, False]
    assert bodies(channel, queue) == [b"1", b"4"]


def test_reject_publish_by_bytes(channel, make_queue):
    """What would go past the limit is refused; what is smaller and fits is taken."""
    queue = make_queue(x_max_length_bytes=10, x_overflow="reject-publish")
    taken = enqueue(channel, queue, b"a" * 6, b"b" * 6, b"c")
    assert taken == [True, False, True]
    assert bodies(channel, queue) == [b"a" * 6, b"c"]


def test_reject_publish_without_confirms_drops(channel, make_queue):
    queue = make_queue(x_max_length=1, x_overflow="reject-publish")
    for body in numbered(3):
        channel.basic_publish("", queue, body)
    assert bodies(channel, queue) == [b"0"]


def test_limit_of_a_big_queue(channel, make_queue):
    queue = make_queue(x_max_length=1000)
    for number in range(5000):
        channel.basic_publish("", queue, str(number).encode())
    assert bodies(channel, queue) == [str(number).encode() for number in range(4000, 5000)]
