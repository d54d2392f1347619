"""Publishing: bodies, properties, header tables, mandatory, confirms, what is refused."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from decimal import Decimal

import pika
import pika.data
import pika.exceptions
import pytest
from broker import fresh
from deliveries import Inbox, bodies, get, take_one, wait_until
from refusals import channel_refused, connection_refused

FRAME_MAX = 131072
FRAME_OVERHEAD = 8
ONE_FRAME = FRAME_MAX - FRAME_OVERHEAD


def pattern(size: int) -> bytes:
    """A body in which every part differs from every other, so that a swap would be seen."""
    return b"".join(struct.pack(">I", number) for number in range(size // 4 + 1))[:size]


SIZES = [0, 1, 4095, 4096, ONE_FRAME - 1, ONE_FRAME, ONE_FRAME + 1, 2 * ONE_FRAME, 2 * ONE_FRAME + 1, 5_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_body_got(channel, queue, size):
    channel.basic_publish("", queue, pattern(size))
    assert get(channel, queue).body == pattern(size)


@pytest.mark.parametrize("size", SIZES)
def test_body_delivered(channel, queue, size):
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_publish("", queue, pattern(size))
    assert inbox.wait(1)[0].body == pattern(size)


def test_bodies_of_many_sizes_in_turn(channel, queue):
    sent = [pattern(size % 70_000) for size in range(0, 1_000_000, 9973)]
    inbox = Inbox(channel, queue, auto_ack=True)
    for body in sent:
        channel.basic_publish("", queue, body)
    inbox.wait(len(sent))
    assert inbox.bodies == sent


@pytest.mark.parametrize("frame_max", [4096, 10_000, 131072])
def test_a_message_is_cut_to_the_receivers_frames(connect, channel, queue, frame_max):
    """The publisher has frames of 128 KiB, the receiver smaller ones."""
    receiver = connect(frame_max=frame_max).channel()
    shared = receiver.queue_declare(fresh("queue"), exclusive=True).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", shared, pattern(300_001), mandatory=True)
    assert get(receiver, shared).body == pattern(300_001)


ALL_PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "gzip",
    "headers": {"key": "value"},
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "correlation",
    "reply_to": "reply.queue",
    "expiration": "60000",
    "message_id": "message ünïque",
    "timestamp": 1_700_000_000,
    "type": "kind",
    "app_id": "interop",
    "cluster_id": "cluster",
}


def test_all_properties(broker, channel, queue):
    properties = {**ALL_PROPERTIES, "user_id": broker.user}
    channel.basic_publish("", queue, b"x", pika.BasicProperties(**properties))
    got = get(channel, queue).properties
    assert {name: getattr(got, name) for name in properties} == properties


@pytest.mark.parametrize("name", ALL_PROPERTIES)
def test_one_property(channel, queue, name):
    channel.basic_publish("", queue, b"x", pika.BasicProperties(**{name: ALL_PROPERTIES[name]}))
    assert get(channel, queue).properties == pika.BasicProperties(**{name: ALL_PROPERTIES[name]})


def test_no_properties(channel, queue):
    channel.basic_publish("", queue, b"x")
    assert get(channel, queue).properties == pika.BasicProperties()


HEADERS = {
    "string": "ünïcode λ",
    "empty": "",
    "bytes": b"\x00\x01\xff",
    "number": 123456,
    "negative": -5,
    "long": 2**40,
    "true": True,
    "false": False,
    "none": None,
    "decimal": Decimal("-12.345"),
    "time": datetime(2020, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
    "table": {"inner": {"deeper": [1, "two", None, {"three": 3}]}},
    "list": [True, 1, "x", [], {}],
    "empty table": {},
    "empty list": [],
    "k" * 128: "a long key",
}


def test_header_types(channel, queue):
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers=HEADERS))
    assert get(channel, queue).headers == HEADERS


def test_header_types_after_dead_lettering(channel, make_queue):
    """Dead-lettering writes the headers anew, so that every type has to be understood."""
    dead = make_queue()
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers=HEADERS))
    channel.basic_reject(get(channel, queue, auto_ack=False).tag, requeue=False)
    headers = take_one(channel, dead).headers
    assert {name: value for name, value in headers.items() if not name.startswith("x-")} == HEADERS


RAW = {
    "signed 8": b"b\x80",
    "signed 16": b"s\x80\x01",
    "signed 32": b"I\x80\x00\x00\x01",
    "signed 64": b"l\x80\x00\x00\x00\x00\x00\x00\x01",
    "float": b"f\x3f\xc0\x00\x00",
    "double": b"d\x3f\xf8\x00\x00\x00\x00\x00\x00",
    "unsigned 8": b"B\xff",
    "unsigned 16": b"u\xff\xfe",
    "unsigned 32": b"i\xff\xff\xff\xfe",
}


@pytest.fixture
def raw_values(monkeypatch):
    """Lets bytearrays go out as they are and every value come in as its bytes."""
    encode, decode = pika.data.encode_value, pika.data.decode_value

    def encode_value(pieces, value):
        if isinstance(value, bytearray):
            pieces.append(bytes(value))
            return len(value)
        return encode(pieces, value)

    def decode_value(encoded, offset):
        _, end = decode(encoded, offset)
        return bytes(encoded[offset:end]), end

    monkeypatch.setattr(pika.data, "encode_value", encode_value)

    def read_raw():
        monkeypatch.setattr(pika.data, "decode_value", decode_value)

    return read_raw


@pytest.mark.parametrize("kind", RAW)
def test_header_value_on_the_wire(channel, make_queue, raw_values, kind):
    """Each type tag comes back as the same bytes, also after the headers were written anew."""
    dead = make_queue()
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers={"value": bytearray(RAW[kind])}))
    raw_values()
    first = get(channel, queue, auto_ack=False)
    assert first.headers["value"] == RAW[kind]
    channel.basic_reject(first.tag, requeue=False)
    assert take_one(channel, dead).headers["value"] == RAW[kind]


def test_mandatory_return(connection, channel):
    returned = []
    channel.add_on_return_callback(lambda *args: returned.append(args[1:]))
    key = fresh("key")
    properties = pika.BasicProperties(message_id="one", headers={"a": [1]}, delivery_mode=2)
    channel.basic_publish("amq.direct", key, pattern(200_000), properties, mandatory=True)
    wait_until(connection, lambda: returned != [], "the message comes back")
    method, got, body = returned[0]
    assert (method.reply_code, method.reply_text) == (312, "NO_ROUTE")
    assert (method.exchange, method.routing_key) == ("amq.direct", key)
    assert (got, body) == (properties, pattern(200_000))


def test_mandatory_return_of_the_default_exchange(connection, channel):
    returned = []
    channel.add_on_return_callback(lambda *args: returned.append(args[1:]))
    key = fresh("key")
    channel.basic_publish("", key, b"", mandatory=True)
    wait_until(connection, lambda: returned != [], "the message comes back")
    assert (returned[0][0].exchange, returned[0][0].routing_key, returned[0][2]) == ("", key, b"")


def test_mandatory_that_is_routed_does_not_return(connection, channel, queue):
    returned = []
    channel.add_on_return_callback(lambda *args: returned.append(args))
    channel.basic_publish("", queue, b"x", mandatory=True)
    channel.basic_publish("", fresh("key"), b"x", mandatory=True)
    wait_until(connection, lambda: returned != [], "the second comes back")
    assert len(returned) == 1
    assert bodies(channel, queue) == [b"x"]


def test_unroutable_without_mandatory_is_dropped(channel):
    channel.confirm_delivery()
    channel.basic_publish("amq.direct", fresh("key"), b"x")
    channel.basic_publish("", fresh("key"), b"x")


def test_confirm(channel, queue):
    channel.confirm_delivery()
    for number in range(20):
        channel.basic_publish("", queue, str(number).encode(), mandatory=True)
    assert len(bodies(channel, queue)) == 20


def test_confirm_of_persistent_messages_in_a_durable_queue(channel, names):
    name = names.queue()
    channel.queue_declare(name, durable=True)
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish("", name, str(number).encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
    assert len(bodies(channel, name)) == 10


def test_confirm_and_return_of_the_unroutable(channel):
    channel.confirm_delivery()
    key = fresh("key")
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("amq.direct", key, b"x", mandatory=True)
    assert [(each.method.reply_code, each.method.routing_key) for each in caught.value.messages] == [(312, key)]
    channel.basic_publish("amq.direct", key, b"and the next is fine")


def test_confirm_select_twice(channel, queue):
    channel.confirm_delivery()
    channel._impl._send_method(pika.spec.Confirm.Select(nowait=True))
    channel.basic_publish("", queue, b"x", mandatory=True)


def test_nack_by_a_full_queue(channel, make_queue):
    queue = make_queue(x_max_length=1, x_overflow="reject-publish")
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"fits")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", queue, b"does not")
    assert bodies(channel, queue) == [b"fits"]
    channel.basic_publish("", queue, b"fits again")


def test_nack_when_one_of_several_queues_is_full(channel, make_queue, make_exchange):
    exchange, full, roomy = (
        make_exchange("fanout"),
        make_queue(x_max_length=0, x_overflow="reject-publish"),
        make_queue(),
    )
    channel.queue_bind(full, exchange)
    channel.queue_bind(roomy, exchange)
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish(exchange, "", b"x")
    assert bodies(channel, roomy) == [b"x"]


def test_immediate(channel, queue):
    channel._impl._send_method(
        pika.spec.Basic.Publish(exchange="", routing_key=queue, immediate=True), (pika.BasicProperties(), b"x")
    )
    with connection_refused(540, "NOT_IMPLEMENTED - immediate=true"):
        channel.queue_declare(queue, passive=True)


@pytest.mark.parametrize(
    ("expiration", "problem"),
    [
        ("soon", "no_integer"),
        ("", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("12x", '{leftover_string,"x"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("99999999999999", "{value_too_large,99999999999999}"),
    ],
)
def test_invalid_expiration(channel, queue, expiration, problem):
    with channel_refused(406, f"PRECONDITION_FAILED - invalid expiration '{expiration}': {problem}"):
        channel.basic_publish("", queue, b"x", pika.BasicProperties(expiration=expiration))
        channel.basic_get(queue)


def test_user_id_of_another(broker, channel, queue):
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was '{broker.user}'",
    ):
        channel.basic_publish("", queue, b"x", pika.BasicProperties(user_id="somebody"))
        channel.basic_get(queue)


def test_publisher_and_consumer_on_one_channel(channel, queue):
    inbox = Inbox(channel, queue)
    channel.confirm_delivery()
    for number in range(50):
        channel.basic_publish("", queue, str(number).encode(), mandatory=True)
    assert [each.body for each in inbox.wait(50)] == [str(number).encode() for number in range(50)]
    channel.basic_ack(0, multiple=True)
    channel.close()


def test_order_of_one_channel_is_kept(channel, other_channel, names):
    name = names.queue()
    channel.queue_declare(name)
    inbox = Inbox(other_channel, name, auto_ack=True)
    for number in range(3000):
        channel.basic_publish("", name, struct.pack(">I", number))
    inbox.wait(3000)
    assert inbox.bodies == [struct.pack(">I", number) for number in range(3000)]
