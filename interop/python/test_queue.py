"""Queues: declaring, names, equivalence, exclusive and auto-delete, purge, delete."""

from __future__ import annotations

import re

import pytest
from broker import fresh
from deliveries import Inbox, bodies, get, get_all, wait_until
from pika.compat import long
from refusals import channel_refused

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '{}'. "
    "It could be originally declared on another connection or the exclusive property value "
    "does not match that of the original declaration."
)


def gone(broker, channel, name):
    """The queue is not there (this costs the channel)."""
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"):
        channel.queue_declare(name, passive=True)


def test_server_named(channel):
    names = {channel.queue_declare("", exclusive=True).method.queue for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)


def test_the_empty_name_is_the_one_declared_last(channel, make_exchange):
    name = make_exchange("direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", name)  # and the empty key is its name too
    channel.basic_publish(name, queue, b"x")
    assert get(channel, "").body == b"x"
    channel.basic_publish(name, queue, b"y")
    assert Inbox(channel, "", auto_ack=True).wait(1)[0].body == b"y"
    assert channel.queue_purge("").method.message_count == 0
    channel.queue_delete("")


def test_the_empty_name_is_no_name_to_a_passive_declare(broker, channel, queue):
    gone(broker, channel, "")


def test_the_empty_name_before_anything_was_declared(channel):
    with channel_refused(404, "NOT_FOUND - no previously declared queue"):
        channel.basic_get("")


def test_declare_counts(channel, queue):
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", queue, b"x")
    Inbox(channel, queue)
    channel.basic_qos(prefetch_count=1)
    declared = channel.queue_declare(queue, exclusive=True).method
    assert declared.queue == queue
    assert declared.consumer_count == 1
    assert declared.message_count in (0, 1, 2, 3)  # some are being delivered


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
@pytest.mark.parametrize("auto_delete", [False, True], ids=["kept", "auto-delete"])
@pytest.mark.parametrize("exclusive", [False, True], ids=["shared", "exclusive"])
def test_declare_again(channel, names, durable, auto_delete, exclusive):
    name = names.queue() if not exclusive else fresh("queue")
    for _ in range(2):
        declared = channel.queue_declare(name, durable=durable, auto_delete=auto_delete, exclusive=exclusive)
        assert (declared.method.queue, declared.method.message_count, declared.method.consumer_count) == (name, 0, 0)
    channel.queue_declare(name, passive=True)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"durable": True}, "'durable' for queue '{}' in vhost '{}': received 'true' but current is 'false'"),
        ({"auto_delete": True}, "'auto_delete' for queue '{}' in vhost '{}': received 'true' but current is 'false'"),
        (
            {"arguments": {"x-message-ttl": 1000}},
            "'x-message-ttl' for queue '{}' in vhost '{}': "
            "received the value '1000' of type 'signedint' but current is none",
        ),
        (
            {"arguments": {"x-max-length": 10}},
            "'x-max-length' for queue '{}' in vhost '{}': "
            "received the value '10' of type 'signedint' but current is none",
        ),
        (
            {"arguments": {"x-dead-letter-exchange": "amq.direct"}},
            "'x-dead-letter-exchange' for queue '{}' in vhost '{}': "
            "received the value 'amq.direct' of type 'longstr' but current is none",
        ),
    ],
    ids=["durable", "auto_delete", "x-message-ttl", "x-max-length", "x-dead-letter-exchange"],
)
def test_declare_differently(broker, channel, names, changed, text):
    name = names.queue()
    channel.queue_declare(name)
    with channel_refused(406, "PRECONDITION_FAILED - inequivalent arg " + text.format(name, broker.vhost)):
        channel.queue_declare(name, **changed)


def test_declare_without_an_argument_that_it_has(broker, channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-expires": 600000})
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue '{name}' in vhost '{broker.vhost}': "
        "received none but current is the value '600000' of type 'signedint'",
    ):
        channel.queue_declare(name)


def test_declare_with_another_value(broker, channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-max-length": 1})
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{name}' in vhost '{broker.vhost}': "
        "received '2' but current is '1'",
    ):
        channel.queue_declare(name, arguments={"x-max-length": 2})


def test_unknown_arguments_do_not_matter(channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"unknown": 1, "another": {"a": [1]}})
    channel.queue_declare(name, arguments={"unknown": 2})
    channel.queue_declare(name)


def test_number_types_do_not_matter(channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-max-length": 10})
    channel.queue_declare(name, arguments={"x-max-length": long(10)})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"x-message-ttl": -1}, "{value_negative,-1}"),
        ({"x-message-ttl": "1000"}, '"expected integer, got longstr"'),
        ({"x-message-ttl": 2**32 * 1000}, "{value_too_large,4294967296000}"),
        ({"x-expires": 0}, "{value_zero,0}"),
        ({"x-expires": -1}, "{value_negative,-1}"),
        ({"x-max-length": -1}, "{value_negative,-1}"),
        ({"x-max-length": True}, '"expected integer, got bool"'),
        ({"x-max-length-bytes": -5}, "{value_negative,-5}"),
        ({"x-overflow": "explode"}, "invalid_overflow"),
        ({"x-overflow": 1}, "{unacceptable_type,signedint}"),
        ({"x-max-priority": 256}, "{max_value_exceeded,256}"),
        ({"x-max-priority": -1}, "{value_negative,-1}"),
        ({"x-single-active-consumer": "yes"}, "{unacceptable_type,longstr}"),
        ({"x-dead-letter-routing-key": "key"}, "routing_key_but_no_dlx_defined"),
        ({"x-dead-letter-routing-key": 1, "x-dead-letter-exchange": "e"}, "{unacceptable_type,signedint}"),
        ({"x-queue-mode": "strange"}, "\"unsupported queue mode 'strange'\""),
        ({"x-queue-type": 1}, "{unacceptable_type,signedint}"),
    ],
    ids=lambda value: "+".join(f"{key}={value[key]}" for key in value) if isinstance(value, dict) else "refused",
)
def test_invalid_argument(broker, channel, arguments, problem):
    name, argument = fresh("queue"), next(iter(arguments))
    with channel_refused(
        406, f"PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '{broker.vhost}': {problem}"
    ):
        channel.queue_declare(name, exclusive=True, arguments=arguments)


def test_dead_letter_exchange_must_be_a_name(broker, channel):
    name = fresh("queue")
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{name}' "
        f"in vhost '{broker.vhost}'",
    ):
        channel.queue_declare(name, exclusive=True, arguments={"x-dead-letter-exchange": 1})


def test_queue_type_classic_may_be_said(channel, names):
    name = names.queue()
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic"})
    channel.queue_declare(name, durable=True)


@pytest.mark.parametrize("mode", ["default", "lazy"])
def test_queue_mode(channel, make_queue, mode):
    queue = make_queue(x_queue_mode=mode)
    channel.basic_publish("", queue, b"x")
    assert bodies(channel, queue) == [b"x"]


def test_passive_declare_of_none(broker, channel):
    gone(broker, channel, fresh("queue"))


def test_reserved_prefix(channel):
    with channel_refused(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"):
        channel.queue_declare("amq.mine", exclusive=True)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel, queue: channel.queue_declare(queue, exclusive=True),
        lambda channel, queue: channel.queue_declare(queue),
        lambda channel, queue: channel.queue_declare(queue, passive=True),
        lambda channel, queue: channel.basic_get(queue),
        lambda channel, queue: channel.basic_consume(queue, print),
        lambda channel, queue: channel.queue_purge(queue),
        lambda channel, queue: channel.queue_delete(queue),
        lambda channel, queue: channel.queue_bind(queue, "amq.direct", "key"),
        lambda channel, queue: channel.queue_unbind(queue, "amq.direct", queue),
    ],
    ids=["declare", "declare shared", "declare passive", "get", "consume", "purge", "delete", "bind", "unbind"],
)
def test_exclusive_is_locked_to_others(broker, channel, other_channel, queue, attempt):
    channel.queue_bind(queue, "amq.direct", queue)
    with channel_refused(405, LOCKED.format(queue, broker.vhost)):
        attempt(other_channel, queue)
    assert channel.queue_declare(queue, exclusive=True).method.queue == queue


def test_exclusive_takes_messages_from_others(channel, other_channel, queue):
    other_channel.confirm_delivery()
    other_channel.basic_publish("", queue, b"from outside", mandatory=True)
    assert bodies(channel, queue) == [b"from outside"]


def test_exclusive_is_shared_by_channels_of_one_connection(connection, channel, queue):
    connection.channel().queue_declare(queue, exclusive=True)
    channel.close()
    assert connection.channel().queue_declare(queue, exclusive=True).method.queue == queue


def test_declaring_a_shared_queue_as_exclusive(broker, channel, names):
    name = names.queue()
    channel.queue_declare(name)
    with channel_refused(405, LOCKED.format(name, broker.vhost)):
        channel.queue_declare(name, exclusive=True)


def test_auto_delete_goes_with_its_last_consumer(broker, connection, channel, names):
    name = names.queue()
    channel.queue_declare(name, auto_delete=True)
    other = connection.channel()
    first, second = Inbox(channel, name), Inbox(other, name)
    first.cancel()
    assert other.queue_declare(name, passive=True).method.consumer_count == 1
    second.cancel()
    gone(broker, channel, name)


def test_auto_delete_goes_with_the_channel(broker, connection, channel, names):
    name = names.queue()
    channel.queue_declare(name, auto_delete=True)
    consumer = connection.channel()
    Inbox(consumer, name)
    consumer.close()
    gone(broker, channel, name)


def test_auto_delete_goes_with_the_connection(broker, connect, connection, channel, names):
    name = names.queue()
    channel.queue_declare(name, auto_delete=True)
    channel.basic_publish("", name, b"goes too")
    consumer = connect()
    Inbox(consumer.channel(), name)
    consumer.close()

    def is_gone():
        probe = connection.channel()
        try:
            probe.queue_declare(name, passive=True)
        except Exception as error:
            assert error.reply_code == 404
            return True
        probe.close()
        return False

    wait_until(connection, is_gone, "the queue goes")


def test_auto_delete_stays_until_it_was_consumed_from(channel, names):
    name = names.queue()
    channel.queue_declare(name, auto_delete=True)
    channel.basic_publish("", name, b"x")
    assert bodies(channel, name) == [b"x"]
    channel.queue_declare(name, passive=True)


def test_auto_delete_counts_a_get_as_nothing(channel, names):
    name = names.queue()
    channel.queue_declare(name, auto_delete=True)
    assert get(channel, name) is None
    channel.queue_declare(name, passive=True)


def test_purge(channel, queue):
    for number in range(5):
        channel.basic_publish("", queue, str(number).encode())
    held = get(channel, queue, auto_ack=False)
    assert channel.queue_purge(queue).method.message_count == 4
    assert get(channel, queue) is None
    channel.basic_nack(held.tag, requeue=True)
    assert bodies(channel, queue) == [b"0"]


def test_purge_of_none(broker, channel):
    name = fresh("queue")
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"):
        channel.queue_purge(name)


def test_delete_says_how_many_messages_went(broker, channel, queue):
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", queue, b"x")
    get(channel, queue, auto_ack=False)
    assert channel.queue_delete(queue).method.message_count == 2
    gone(broker, channel, queue)


def test_delete_of_none(channel):
    assert channel.queue_delete(fresh("queue")).method.message_count == 0


def test_delete_if_empty(broker, channel, queue):
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x")
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '{broker.vhost}' not empty"):
        channel.queue_delete(queue, if_empty=True)


def test_delete_if_unused(broker, channel, queue):
    Inbox(channel, queue)
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '{broker.vhost}' in use"):
        channel.queue_delete(queue, if_unused=True)


def test_delete_if_empty_and_unused_when_it_is(broker, channel, queue):
    inbox = Inbox(channel, queue)
    inbox.cancel()
    channel.queue_delete(queue, if_empty=True, if_unused=True)
    gone(broker, channel, queue)


def test_delete_removes_bindings(channel, names, make_exchange):
    name, exchange = names.queue(), make_exchange("fanout")
    channel.queue_declare(name)
    channel.queue_bind(name, exchange)
    channel.queue_delete(name)
    channel.queue_declare(name)
    channel.basic_publish(exchange, "", b"not bound any more")
    assert get_all(channel, name) == []
    channel.exchange_delete(exchange, if_unused=True)


def test_get_from_none(broker, channel):
    name = fresh("queue")
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"):
        channel.basic_get(name)


def test_consume_from_none(broker, channel):
    name = fresh("queue")
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"):
        channel.basic_consume(name, print)
