"""What each exchange type sends where."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pika
import pytest
from deliveries import bodies, get
from refusals import channel_refused


def publish_headers(channel, exchange, headers, body=b"x"):
    channel.basic_publish(exchange, "ignored", body, pika.BasicProperties(headers=headers))


def test_default_exchange_routes_by_queue_name(channel, queue, make_queue):
    other = make_queue()
    channel.basic_publish("", queue, b"first")
    channel.basic_publish("", other, b"second")
    message = get(channel, queue)
    assert (message.body, message.method.exchange, message.method.routing_key) == (b"first", "", queue)
    assert bodies(channel, other) == [b"second"]


def test_direct(channel, make_queue, make_exchange):
    name, one, two = make_exchange("direct"), make_queue(), make_queue()
    channel.queue_bind(one, name, "a")
    channel.queue_bind(one, name, "b")
    channel.queue_bind(two, name, "b")
    channel.queue_bind(two, name, "")
    for key in ("a", "b", "c", "", "a.b", "*", "#"):
        channel.basic_publish(name, key, key.encode() or b"empty")
    assert bodies(channel, one) == [b"a", b"b"]
    assert bodies(channel, two) == [b"b", b"empty"]


def test_direct_does_not_know_wildcards(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "#")
    channel.queue_bind(queue, name, "a.*")
    channel.basic_publish(name, "a.b", b"no")
    channel.basic_publish(name, "a.*", b"yes")
    assert bodies(channel, queue) == [b"yes"]


def test_fanout(channel, make_queue, make_exchange):
    name, queues = make_exchange("fanout"), [make_queue() for _ in range(5)]
    for number, each in enumerate(queues):
        channel.queue_bind(each, name, f"key {number}")
        channel.queue_bind(each, name, "another key")
    channel.basic_publish(name, "whatever", b"x")
    assert [bodies(channel, each) for each in queues] == [[b"x"]] * 5


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a.b.c", ["a.b.c"], ["a.b", "a.b.c.d", "a.b.", "", "A.B.C"]),
        ("*", ["a", "abc"], ["", "a.b", ".", "a."]),
        ("#", ["", "a", "a.b.c", ".", "a..b"], []),
        ("a.*", ["a.b", "a."], ["a", "a.b.c", "b.a", ""]),
        ("*.b", ["a.b", ".b"], ["b", "a.b.c", "b.a"]),
        ("a.*.c", ["a.b.c", "a..c"], ["a.c", "a.b.b.c"]),
        ("a.#", ["a", "a.b", "a.b.c", "a."], ["b", "b.a", "", "ab"]),
        ("#.c", ["c", "b.c", "a.b.c", ".c"], ["c.d", "a.c.b", ""]),
        ("a.#.c", ["a.c", "a.b.c", "a.b.b.c"], ["a", "c", "a.b", "a.c.b"]),
        ("#.b.#", ["b", "a.b", "b.c", "a.b.c", "a.a.b.c.c"], ["a", "", "ab.c"]),
        ("*.#", ["a", "a.b", "a.b.c"], [""]),
        ("#.*", ["a", "a.b", "a.b.c"], [""]),
        ("*.*", ["a.b", "."], ["a", "a.b.c", ""]),
        ("#.#", ["", "a", "a.b"], []),
        ("*.#.*", ["a.b", "a.b.c", "."], ["a", ""]),
        ("", [""], ["a", "."]),
        ("a*", ["a*"], ["ab", "a", "a.b"]),
        ("a.b#", ["a.b#"], ["a.b", "a.bc", "a.b.c"]),
        ("ключ.*", ["ключ.λ"], ["ключ", "key.λ"]),
    ],
)
def test_topic(channel, queue, make_exchange, pattern, matching, others):
    name = make_exchange("topic")
    channel.queue_bind(queue, name, pattern)
    for key in [*matching, *others]:
        channel.basic_publish(name, key, b"key:" + key.encode())
    assert bodies(channel, queue) == [b"key:" + key.encode() for key in matching]


def test_topic_delivers_once_however_many_patterns_match(channel, queue, make_exchange):
    name = make_exchange("topic")
    patterns = ["#", "a.#", "a.*", "a.b", "*.b", "#.b"]
    for pattern in patterns:
        channel.queue_bind(queue, name, pattern)
    channel.basic_publish(name, "a.b", b"x")
    assert bodies(channel, queue) == [b"x"]
    for pattern in patterns[:-1]:
        channel.queue_unbind(queue, name, pattern)
    for key in ("a.b", "a.c"):
        channel.basic_publish(name, key, key.encode())
    assert bodies(channel, queue) == [b"a.b"]


def test_topic_with_many_queues(channel, make_queue, make_exchange):
    name = make_exchange("topic")
    queues = {f"shop.{number}.*": make_queue() for number in range(20)}
    everything = make_queue()
    for pattern, each in queues.items():
        channel.queue_bind(each, name, pattern)
    channel.queue_bind(everything, name, "shop.#")
    for number in range(20):
        channel.basic_publish(name, f"shop.{number}.sold", str(number).encode())
    for number, each in enumerate(queues.values()):
        assert bodies(channel, each) == [str(number).encode()]
    assert len(bodies(channel, everything)) == 20


@pytest.mark.parametrize(
    ("arguments", "matching", "others"),
    [
        ({"x-match": "all", "a": 1, "b": "x"}, [{"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 2}], [{"a": 1}, {}, None]),
        ({"a": 1, "b": "x"}, [{"a": 1, "b": "x"}], [{"a": 1}, {"b": "x"}, {}]),
        ({"x-match": "any", "a": 1, "b": "x"}, [{"a": 1}, {"b": "x", "a": 2}], [{"a": 2}, {"c": 1}, {}, None]),
        ({"x-match": "all", "a": None}, [{"a": 1}, {"a": "anything"}, {"a": None}], [{"b": 1}, {}]),
        ({"x-match": "any", "a": None, "b": 2}, [{"a": "x"}, {"b": 2}], [{"b": 3}]),
        ({"x-match": "all", "a": 1, "x-b": 2}, [{"a": 1}, {"a": 1, "x-b": 3}], [{"x-b": 2}]),
        ({"x-match": "any", "x-a": 1, "b": 2}, [{"b": 2}], [{"x-a": 1}]),
        ({"x-match": "all-with-x", "a": 1, "x-b": 2}, [{"a": 1, "x-b": 2}], [{"a": 1}, {"a": 1, "x-b": 3}]),
        ({"x-match": "any-with-x", "a": 1, "x-b": 2}, [{"x-b": 2}, {"a": 1}], [{"a": 2}, {}]),
        ({"x-match": "all"}, [{}, {"a": 1}, None], []),
        ({}, [{}, {"a": 1}, None], []),
        ({"x-match": "any"}, [], [{}, {"a": 1}, None]),
        ({"a": "1"}, [{"a": "1"}], [{"a": 1}, {"a": True}]),
        ({"a": True}, [{"a": True}], [{"a": False}, {"a": 1}, {"a": "true"}]),
        ({"a": 2**40}, [{"a": 2**40}], [{"a": 2**40 + 1}]),
        ({"a": {"b": [1, "c"]}}, [{"a": {"b": [1, "c"]}}], [{"a": {"b": [1]}}, {"a": {}}]),
        (
            {"a": datetime(2020, 1, 1, tzinfo=timezone.utc)},
            # Only values are compared, not types.
            [{"a": datetime(2020, 1, 1, tzinfo=timezone.utc)}, {"a": 1577836800}],
            [{"a": datetime(2021, 1, 1, tzinfo=timezone.utc)}],
        ),
    ],
    ids=[
        "all",
        "all by default",
        "any",
        "all, presence",
        "any, presence",
        "all leaves x- out",
        "any leaves x- out",
        "all-with-x",
        "any-with-x",
        "all of nothing",
        "nothing at all",
        "any of nothing",
        "string is not number",
        "bool",
        "long number",
        "nested",
        "timestamp",
    ],
)
def test_headers(channel, queue, make_exchange, arguments, matching, others):
    name = make_exchange("headers")
    channel.queue_bind(queue, name, "", arguments=arguments)
    for headers in [*matching, *others]:
        publish_headers(channel, name, headers, repr(headers).encode())
    assert bodies(channel, queue) == [repr(headers).encode() for headers in matching]


def test_headers_delivers_once(channel, queue, make_exchange):
    name = make_exchange("headers")
    channel.queue_bind(queue, name, "", arguments={"a": 1})
    channel.queue_bind(queue, name, "", arguments={"x-match": "any", "a": 1, "b": 1})
    channel.queue_bind(queue, name, "key", arguments={"a": 1})
    publish_headers(channel, name, {"a": 1})
    assert bodies(channel, queue) == [b"x"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "most",
            r'PRECONDITION_FAILED - Invalid x-match field value <<"most">>; expected all, any, all-with-x, or any-with-x',
        ),
        (1, r"PRECONDITION_FAILED - Invalid x-match field type .*; expected longstr"),
    ],
    ids=["value", "type"],
)
def test_headers_refuses_what_it_does_not_know(channel, queue, make_exchange, value, text):
    name = make_exchange("headers")
    with channel_refused(406, re.compile(text)):
        channel.queue_bind(queue, name, "", arguments={"x-match": value})


def test_amq_match_is_a_headers_exchange(channel, queue):
    channel.queue_bind(queue, "amq.match", "", arguments={"interop": queue})
    publish_headers(channel, "amq.match", {"interop": queue})
    publish_headers(channel, "amq.match", {"interop": "another"})
    assert len(bodies(channel, queue)) == 1


def test_cc_and_bcc(channel, make_queue, make_exchange):
    name, queues = make_exchange("direct"), [make_queue() for _ in range(4)]
    for number, each in enumerate(queues):
        channel.queue_bind(each, name, f"key {number}")
    publish = pika.BasicProperties(headers={"CC": ["key 1", "key 2"], "BCC": ["key 3"], "kept": 1})
    channel.basic_publish(name, "key 0", b"x", publish)
    for each in queues:
        message = get(channel, each)
        assert message.headers == {"CC": ["key 1", "key 2"], "kept": 1}
        assert message.method.routing_key == "key 0"


def test_cc_asks_an_alternate_exchange_only_if_no_key_leads_anywhere(channel, make_queue, make_exchange):
    alternate, routed, unrouted = make_exchange("fanout"), make_queue(), make_queue()
    exchange = make_exchange("direct", arguments={"alternate-exchange": alternate})
    channel.queue_bind(routed, exchange, "known")
    channel.queue_bind(unrouted, alternate)
    for number, (key, headers) in enumerate(
        [
            ("known", {"CC": ["unknown"]}),
            ("unknown", {"BCC": ["known", "unknown too"]}),
            ("unknown", {"CC": ["unknown too"]}),
        ]
    ):
        channel.basic_publish(exchange, key, str(number).encode(), pika.BasicProperties(headers=headers))
    assert bodies(channel, routed) == [b"0", b"1"]
    assert bodies(channel, unrouted) == [b"2"]


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_cc_must_be_a_list(channel, queue, header):
    with channel_refused(
        406, f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",longstr}}'
    ):
        channel.basic_publish("", queue, b"x", pika.BasicProperties(headers={header: "not a list"}))
        channel.queue_declare(queue, passive=True)


def test_a_new_binding_counts_at_once(channel, make_queue, make_exchange):
    name, one, two = make_exchange("direct"), make_queue(), make_queue()
    channel.queue_bind(one, name, "key")
    channel.basic_publish(name, "key", b"1")
    channel.queue_bind(two, name, "key")
    channel.basic_publish(name, "key", b"2")
    channel.queue_unbind(one, name, "key")
    channel.basic_publish(name, "key", b"3")
    channel.queue_delete(two)
    channel.basic_publish(name, "key", b"4")
    channel.queue_bind(one, name, "key")
    channel.basic_publish(name, "key", b"5")
    assert bodies(channel, one) == [b"1", b"2", b"5"]


def test_an_exchange_deleted_and_made_again_has_no_bindings(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "key")
    channel.basic_publish(name, "key", b"1")
    channel.exchange_delete(name)
    channel.exchange_declare(name, "fanout")
    channel.basic_publish(name, "key", b"2")
    channel.queue_bind(queue, name)
    channel.basic_publish(name, "other", b"3")
    assert bodies(channel, queue) == [b"1", b"3"]
