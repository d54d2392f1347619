"""Consuming: tags, cancelling, exclusive and single active consumers, priorities, prefetch."""

from __future__ import annotations

import re

import pika
from broker import fresh
from deliveries import Inbox, bodies, enqueue, get, wait_ready, wait_until
from refusals import channel_refused, connection_refused


def publish(channel, queue, count, first=1):
    """That many messages, all enqueued when it returns."""
    enqueue(channel, queue, *numbers(first, first + count - 1))


def numbers(first, last):
    return [str(number).encode() for number in range(first, last + 1)]


def settle(inbox):
    """A round trip through the connection: what was on its way has arrived after it."""
    inbox.channel.queue_declare("", exclusive=True)
    inbox.channel.connection.process_data_events()


def test_delivery_says_what_it_is(channel, queue, make_exchange):
    exchange = make_exchange("direct")
    channel.queue_bind(queue, exchange, "key")
    inbox = Inbox(channel, queue, consumer_tag="me")
    channel.basic_publish(exchange, "key", b"x")
    method = inbox.wait(1)[0].method
    assert (method.consumer_tag, method.delivery_tag, method.redelivered) == ("me", 1, False)
    assert (method.exchange, method.routing_key) == (exchange, "key")


def test_order(channel, queue):
    publish(channel, queue, 500)
    inbox = Inbox(channel, queue, auto_ack=True)
    inbox.wait(500)
    assert inbox.bodies == numbers(1, 500)
    assert [each.tag for each in inbox.received] == list(range(1, 501))


def test_consumer_tag_made_by_the_server(channel, queue):
    made = []
    # pika makes one of its own; the wire allows the empty one.
    channel._impl._rpc(
        pika.spec.Basic.Consume(queue=queue, consumer_tag="", no_ack=True),
        lambda frame: made.append(frame.method.consumer_tag),
        [pika.spec.Basic.ConsumeOk],
    )
    wait_until(channel.connection, lambda: made != [], "consume-ok")
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", made[0])


def test_consumer_tag_twice(channel, queue):
    channel.basic_consume(queue, print, consumer_tag="twice")
    channel._impl._send_method(pika.spec.Basic.Consume(queue=queue, consumer_tag="twice"))
    with connection_refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"):
        channel.queue_declare(queue, passive=True)


def test_consumer_tags_belong_to_the_channel(connection, channel, queue):
    Inbox(channel, queue, consumer_tag="same")
    Inbox(connection.channel(), queue, consumer_tag="same")
    assert channel.queue_declare(queue, passive=True).method.consumer_count == 2


def test_consumer_takes_turns(connection, channel, queue):
    inboxes = [Inbox(connection.channel(), queue, auto_ack=True) for _ in range(3)]
    publish(channel, queue, 30)
    wait_until(connection, lambda: sum(len(each.received) for each in inboxes) == 30, "30 deliveries")
    assert [len(each.received) for each in inboxes] == [10, 10, 10]


def test_cancel(channel, queue):
    inbox = Inbox(channel, queue)
    publish(channel, queue, 2)
    inbox.wait(2)
    inbox.cancel()
    publish(channel, queue, 2, first=3)
    settle(inbox)
    assert inbox.bodies == [b"1", b"2"]
    # What it holds it keeps until it settles it.
    assert bodies(channel, queue) == [b"3", b"4"]
    channel.basic_nack(0, multiple=True)
    assert bodies(channel, queue) == [b"1", b"2"]


def test_cancel_of_an_unknown_tag(channel):
    answered = []
    channel._impl._rpc(
        pika.spec.Basic.Cancel(consumer_tag="nobody"),
        lambda frame: answered.append(frame.method.consumer_tag),
        [pika.spec.Basic.CancelOk],
    )
    wait_until(channel.connection, lambda: answered == ["nobody"], "cancel-ok")


def test_cancelled_tag_may_be_used_again(channel, queue):
    for _ in range(3):
        Inbox(channel, queue, consumer_tag="again").cancel()
    publish(channel, queue, 1)
    assert Inbox(channel, queue, consumer_tag="again").wait(1)[0].body == b"1"


def test_cancel_notification(connection, channel, names):
    name = names.queue()
    channel.queue_declare(name)
    consumer = connection.channel()
    cancelled = []
    consumer.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    inbox = Inbox(consumer, name)
    channel.queue_delete(name)
    wait_until(connection, lambda: cancelled == [inbox.tag], "basic.cancel from the broker")
    assert consumer.is_open


def test_cancel_notification_to_another_connection(channel, other_channel, names):
    name = names.queue()
    channel.queue_declare(name)
    cancelled = []
    other_channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    inbox = Inbox(other_channel, name)
    channel.queue_delete(name)
    wait_until(other_channel.connection, lambda: cancelled == [inbox.tag], "basic.cancel from the broker")


def test_exclusive_consumer(broker, connection, channel, queue):
    Inbox(connection.channel(), queue, exclusive=True)
    with channel_refused(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{broker.vhost}' in exclusive use"):
        channel.basic_consume(queue, print)


def test_exclusive_consumer_where_another_is(broker, connection, channel, queue):
    Inbox(connection.channel(), queue)
    with channel_refused(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{broker.vhost}' in exclusive use"):
        channel.basic_consume(queue, print, exclusive=True)


def test_exclusive_consumer_makes_room_when_it_goes(channel, queue):
    Inbox(channel, queue, exclusive=True).cancel()
    publish(channel, queue, 1)
    assert Inbox(channel, queue, exclusive=True).wait(1)[0].body == b"1"


def test_exclusive_consumer_forbids_no_get(connection, channel, queue):
    Inbox(connection.channel(), queue, exclusive=True)
    assert get(channel, queue) is None


def test_single_active_consumer(connection, channel, make_queue):
    queue = make_queue(x_single_active_consumer=True)
    first, second = Inbox(connection.channel(), queue), Inbox(connection.channel(), queue)
    publish(channel, queue, 10)
    first.wait(10)
    settle(second)
    assert second.bodies == []
    # The second takes over; what the first held stays with it until it is settled.
    first.cancel()
    publish(channel, queue, 2, first=11)
    second.wait(2)
    assert second.bodies == numbers(11, 12)
    first.channel.basic_nack(0, multiple=True)
    second.wait(12)
    assert second.bodies[2:] == numbers(1, 10)


def test_single_active_consumer_takes_over_when_a_connection_goes(connect, channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    active = connect()
    first = Inbox(active.channel(), name)
    second = Inbox(channel, name)
    publish(channel, name, 3)
    first.wait(3)
    active.close()
    second.wait(3)
    assert [(each.body, each.method.redelivered) for each in second.received] == [
        (b"1", True),
        (b"2", True),
        (b"3", True),
    ]


def test_single_active_consumer_refuses_exclusive_ones(broker, channel, make_queue):
    queue = make_queue(x_single_active_consumer=True)
    with channel_refused(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{broker.vhost}' in exclusive use"):
        channel.basic_consume(queue, print, exclusive=True)


def test_consumer_priorities(connection, channel, queue):
    """The higher one is served until its prefetch is full, then the lower one."""
    low_channel, high_channel = connection.channel(), connection.channel()
    high_channel.basic_qos(prefetch_count=3)
    low = Inbox(low_channel, queue, arguments={"x-priority": 1})
    high = Inbox(high_channel, queue, arguments={"x-priority": 10})
    publish(channel, queue, 5)
    low.wait(2)
    assert (high.bodies, low.bodies) == (numbers(1, 3), numbers(4, 5))
    high_channel.basic_ack(0, multiple=True)
    high_channel.queue_declare(queue, passive=True)
    publish(channel, queue, 2, first=6)
    high.wait(5)
    assert high.bodies[3:] == numbers(6, 7)


def test_consumer_without_a_priority_has_nought(connection, channel, queue):
    lower = Inbox(connection.channel(), queue, arguments={"x-priority": -1})
    usual = Inbox(connection.channel(), queue)
    publish(channel, queue, 5)
    usual.wait(5)
    settle(lower)
    assert lower.bodies == []


def test_consumer_priority_must_be_a_number(broker, channel, queue):
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '{broker.vhost}': "
        '"expected integer, got longstr"',
    ):
        channel.basic_consume(queue, print, arguments={"x-priority": "high"})


def test_prefetch(channel, queue):
    publish(channel, queue, 10)
    channel.basic_qos(prefetch_count=3)
    inbox = Inbox(channel, queue)
    inbox.wait(3)
    wait_ready(channel, queue, 7)
    channel.basic_ack(inbox.received[0].tag)
    inbox.wait(4)
    channel.basic_ack(inbox.received[3].tag, multiple=True)
    inbox.wait(7)
    channel.basic_nack(inbox.received[6].tag, requeue=False)
    inbox.wait(8)
    wait_ready(channel, queue, 2)
    assert inbox.bodies == numbers(1, 8)


def test_prefetch_of_one_is_one_at_a_time(channel, queue):
    publish(channel, queue, 5)
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, queue)
    for number in range(1, 6):
        inbox.wait(number)
        wait_ready(channel, queue, 5 - number)
        channel.basic_ack(inbox.received[-1].tag)


def test_prefetch_is_each_consumers_own(connection, channel, queue):
    publish(channel, queue, 10)
    worker = connection.channel()
    worker.basic_qos(prefetch_count=2)
    first, second = Inbox(worker, queue), Inbox(worker, queue)
    first.wait(2)
    second.wait(2)
    wait_ready(channel, queue, 6)


def test_prefetch_counts_for_consumers_to_come(connection, channel, queue):
    publish(channel, queue, 10)
    worker = connection.channel()
    worker.basic_qos(prefetch_count=2)
    first = Inbox(worker, queue)
    first.wait(2)
    worker.basic_qos(prefetch_count=5)
    second = Inbox(worker, queue)
    second.wait(5)
    wait_ready(channel, queue, 3)
    assert len(first.received) == 2


def test_global_prefetch_is_the_channels(connection, channel, queue):
    publish(channel, queue, 10)
    worker = connection.channel()
    worker.basic_qos(prefetch_count=3, global_qos=True)
    first, second = Inbox(worker, queue), Inbox(worker, queue)

    def held():
        return len(first.received) + len(second.received)

    wait_until(connection, lambda: held() == 3, "three deliveries")
    wait_ready(channel, queue, 7)
    worker.basic_ack(0, multiple=True)
    wait_until(connection, lambda: held() == 6, "three more")
    wait_ready(channel, queue, 4)


def test_global_prefetch_and_each_ones_own(connection, channel, queue):
    publish(channel, queue, 10)
    worker = connection.channel()
    worker.basic_qos(prefetch_count=2)
    worker.basic_qos(prefetch_count=3, global_qos=True)
    first = Inbox(worker, queue)
    first.wait(2)
    second = Inbox(worker, queue)
    second.wait(1)
    wait_ready(channel, queue, 7)


def test_global_prefetch_changed_while_consuming(connection, channel, queue):
    publish(channel, queue, 10)
    worker = connection.channel()
    worker.basic_qos(prefetch_count=2, global_qos=True)
    inbox = Inbox(worker, queue)
    inbox.wait(2)
    wait_ready(channel, queue, 8)
    worker.basic_qos(prefetch_count=5, global_qos=True)
    inbox.wait(5)
    wait_ready(channel, queue, 5)
    worker.basic_qos(prefetch_count=0, global_qos=True)
    inbox.wait(10)


def test_prefetch_of_nought_is_no_limit(channel, queue):
    publish(channel, queue, 300)
    channel.basic_qos(prefetch_count=1)
    channel.basic_qos(prefetch_count=0)
    Inbox(channel, queue).wait(300)


def test_prefetch_does_not_hold_auto_ack_back(channel, queue):
    publish(channel, queue, 50)
    channel.basic_qos(prefetch_count=1)
    Inbox(channel, queue, auto_ack=True).wait(50)


def test_prefetch_does_not_hold_get_back(channel, queue):
    publish(channel, queue, 5)
    channel.basic_qos(prefetch_count=1)
    assert [get(channel, queue, auto_ack=False).body for _ in range(5)] == numbers(1, 5)


def test_prefetch_is_given_back_by_requeue(channel, queue):
    publish(channel, queue, 4)
    channel.basic_qos(prefetch_count=2)
    inbox = Inbox(channel, queue)
    inbox.wait(2)
    channel.basic_nack(inbox.received[1].tag, multiple=True)
    inbox.wait(4)
    assert inbox.bodies == [b"1", b"2", b"1", b"2"]


def test_prefetch_size(channel):
    with connection_refused(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"):
        channel.basic_qos(prefetch_size=10)


def test_messages_wait_for_a_consumer(channel, queue):
    publish(channel, queue, 100)
    inbox = Inbox(channel, queue)
    inbox.wait(100)
    channel.basic_ack(0, multiple=True)
    inbox.cancel()
    wait_ready(channel, queue, 0)


def test_consumer_count(connection, channel, queue):
    inboxes = [Inbox(connection.channel(), queue) for _ in range(4)]
    assert channel.queue_declare(queue, passive=True).method.consumer_count == 4
    inboxes[0].cancel()
    inboxes[1].channel.close()
    assert channel.queue_declare(queue, passive=True).method.consumer_count == 2


def test_unknown_consume_arguments_do_not_matter(channel, queue):
    publish(channel, queue, 1)
    assert Inbox(channel, queue, arguments={"x-unknown": fresh("value")}).wait(1)[0].body == b"1"


def test_no_deliveries_after_the_channel_closed(connection, channel, queue):
    consumer = connection.channel()
    inbox = Inbox(consumer, queue)
    publish(channel, queue, 5)
    inbox.wait(5)
    consumer.close()
    wait_ready(channel, queue, 5)
    assert bodies(channel, queue) == numbers(1, 5)
