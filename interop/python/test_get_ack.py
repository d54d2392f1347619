"""Getting, and settling what was got: ack, nack, reject, recover, order after requeue."""

from __future__ import annotations

import pika
import pytest
from deliveries import Inbox, bodies, enqueue, get, get_all, ready, wait_ready
from refusals import channel_refused, connection_refused


@pytest.fixture
def five(channel, queue):
    """A queue of five messages, 1 to 5, all enqueued."""
    enqueue(channel, queue, b"1", b"2", b"3", b"4", b"5")
    return queue


def hold(channel, queue, count):
    """Gets that many without acking."""
    return [get(channel, queue, auto_ack=False) for _ in range(count)]


def rest(channel, queue):
    """What is in the queue as (body, redelivered)."""
    return [(each.body, each.method.redelivered) for each in get_all(channel, queue)]


def test_get_from_an_empty_queue(channel, queue):
    assert channel.basic_get(queue) == (None, None, None)


def test_get_says_what_it_is(channel, five):
    for number in range(1, 6):
        got = get(channel, five)
        assert got.body == str(number).encode()
        assert got.method.delivery_tag == number
        assert got.method.message_count == 5 - number
        assert (got.method.exchange, got.method.routing_key, got.method.redelivered) == ("", five, False)


def test_get_with_auto_ack_is_gone(connection, channel, five):
    getter = connection.channel()
    assert get(getter, five).body == b"1"
    getter.close()
    assert rest(channel, five) == [(b"2", False), (b"3", False), (b"4", False), (b"5", False)]


def test_unacked_come_back_when_the_channel_closes(connection, channel, five):
    getter = connection.channel()
    hold(getter, five, 3)
    assert ready(channel, five) == 2
    getter.close()
    assert rest(channel, five) == [(b"1", True), (b"2", True), (b"3", True), (b"4", False), (b"5", False)]


def test_unacked_come_back_when_the_connection_closes(connect, channel, names):
    name = names.queue()
    channel.queue_declare(name)
    enqueue(channel, name, b"0", b"1", b"2")
    getter = connect()
    hold(getter.channel(), name, 2)
    getter.close()
    wait_ready(channel, name, 3)
    assert rest(channel, name) == [(b"0", True), (b"1", True), (b"2", False)]


def test_ack_one(connection, channel, five):
    getter = connection.channel()
    held = hold(getter, five, 3)
    getter.basic_ack(held[1].tag)
    getter.close()
    assert rest(channel, five) == [(b"1", True), (b"3", True), (b"4", False), (b"5", False)]


def test_ack_multiple(connection, channel, five):
    getter = connection.channel()
    held = hold(getter, five, 4)
    getter.basic_ack(held[2].tag, multiple=True)
    getter.close()
    assert rest(channel, five) == [(b"4", True), (b"5", False)]


def test_ack_multiple_of_nought_is_all(connection, channel, five):
    getter = connection.channel()
    hold(getter, five, 4)
    getter.basic_ack(0, multiple=True)
    getter.close()
    assert rest(channel, five) == [(b"5", False)]


def test_ack_out_of_order(connection, channel, five):
    getter = connection.channel()
    held = hold(getter, five, 5)
    for index in (4, 0, 2):
        getter.basic_ack(held[index].tag)
    getter.basic_ack(held[3].tag, multiple=True)
    getter.close()
    assert rest(channel, five) == []


@pytest.mark.parametrize("settle", ["ack", "nack", "reject"])
def test_unknown_delivery_tag(channel, five, settle):
    get(channel, five, auto_ack=False)
    getattr(channel, f"basic_{settle}")(99)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 99"):
        channel.basic_get(five)


def test_ack_twice(channel, five):
    got = get(channel, five, auto_ack=False)
    channel.basic_ack(got.tag)
    channel.basic_ack(got.tag)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        channel.basic_get(five)


def test_ack_of_what_was_auto_acked(channel, five):
    channel.basic_ack(get(channel, five).tag)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        channel.basic_get(five)


def test_ack_multiple_of_an_unknown_tag(channel, five):
    get(channel, five, auto_ack=False)
    channel.basic_ack(50, multiple=True)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 50"):
        channel.basic_get(five)


def test_ack_multiple_of_nought_when_nothing_is_unacked(channel, queue):
    channel.basic_ack(0, multiple=True)
    assert get(channel, queue) is None


def test_delivery_tags_belong_to_the_channel(connection, channel, five):
    other = connection.channel()
    first, second = get(channel, five, auto_ack=False), get(other, five, auto_ack=False)
    assert (first.tag, second.tag) == (1, 1)
    other.basic_ack(second.tag)
    channel.basic_nack(first.tag)
    assert rest(channel, five) == [(b"1", True), (b"3", False), (b"4", False), (b"5", False)]


def test_a_channel_that_failed_gives_its_messages_back(connection, channel, five):
    failing = connection.channel()
    hold(failing, five, 2)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 77"):
        failing.basic_ack(77)
        failing.basic_get(five)
    wait_ready(channel, five, 5)
    assert rest(channel, five)[:3] == [(b"1", True), (b"2", True), (b"3", False)]


def test_reject_drops(channel, five):
    channel.basic_reject(hold(channel, five, 2)[0].tag, requeue=False)
    assert bodies(channel, five) == [b"3", b"4", b"5"]


def test_reject_requeues_to_its_place(channel, five):
    held = hold(channel, five, 3)
    channel.basic_reject(held[1].tag, requeue=True)
    assert rest(channel, five) == [(b"2", True), (b"4", False), (b"5", False)]


def test_nack_requeues_to_its_place(channel, five):
    held = hold(channel, five, 4)
    channel.basic_nack(held[2].tag)
    channel.basic_nack(held[0].tag)
    assert rest(channel, five) == [(b"1", True), (b"3", True), (b"5", False)]


def test_nack_multiple_requeues_in_order(channel, five):
    held = hold(channel, five, 5)
    channel.basic_nack(held[3].tag, multiple=True)
    assert rest(channel, five) == [(b"1", True), (b"2", True), (b"3", True), (b"4", True)]
    channel.basic_nack(held[4].tag)
    assert rest(channel, five) == [(b"5", True)]


def test_nack_multiple_of_nought_is_all(channel, five):
    hold(channel, five, 3)
    channel.basic_nack(0, multiple=True)
    assert rest(channel, five) == [(b"1", True), (b"2", True), (b"3", True), (b"4", False), (b"5", False)]


def test_nack_drops(channel, five):
    held = hold(channel, five, 3)
    channel.basic_nack(held[1].tag, multiple=True, requeue=False)
    channel.basic_nack(held[2].tag, requeue=True)
    assert rest(channel, five) == [(b"3", True), (b"4", False), (b"5", False)]


def test_requeued_stands_before_what_came_later(channel, five):
    held = hold(channel, five, 5)
    enqueue(channel, five, b"6")
    channel.basic_nack(held[4].tag)
    channel.basic_nack(held[1].tag)
    assert bodies(channel, five) == [b"2", b"5", b"6"]


def test_requeue_again_and_again(channel, five):
    for _ in range(20):
        channel.basic_nack(hold(channel, five, 3)[-1].tag, multiple=True)
    assert bodies(channel, five) == [b"1", b"2", b"3", b"4", b"5"]


def test_redelivered_is_said_to_a_consumer_too(connection, channel, five):
    getter = connection.channel()
    hold(getter, five, 2)
    getter.close()
    inbox = Inbox(channel, five)
    assert [each.method.redelivered for each in inbox.wait(5)] == [True, True, False, False, False]


def test_recover_requeues(channel, five):
    hold(channel, five, 3)
    channel.basic_recover(requeue=True)
    assert rest(channel, five) == [(b"1", True), (b"2", True), (b"3", True), (b"4", False), (b"5", False)]


def test_recover_to_the_same_consumer(channel, five):
    inbox = Inbox(channel, five)
    inbox.wait(5)
    channel.basic_recover(requeue=True)
    inbox.wait(10)
    assert inbox.bodies == [b"1", b"2", b"3", b"4", b"5"] * 2
    assert [each.method.redelivered for each in inbox.received] == [False] * 5 + [True] * 5


def test_recover_async(channel, five):
    hold(channel, five, 2)
    channel._impl._send_method(pika.spec.Basic.RecoverAsync(requeue=True))
    assert rest(channel, five)[:3] == [(b"1", True), (b"2", True), (b"3", False)]


def test_recover_without_requeue(channel, five):
    with connection_refused(540, "NOT_IMPLEMENTED - requeue=false"):
        channel.basic_recover(requeue=False)
