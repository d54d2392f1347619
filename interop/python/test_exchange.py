"""Exchanges: declaring, equivalence, deleting, bindings, alternate and internal exchanges."""

from __future__ import annotations

import pytest
from broker import fresh
from deliveries import bodies, get
from refusals import channel_refused, connection_refused


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ],
)
def test_predeclared(channel, name, kind):
    channel.exchange_declare(name, passive=True)
    channel.exchange_declare(name, kind, durable=True)


def test_predeclared_internal(channel):
    channel.exchange_declare("amq.rabbitmq.trace", "topic", durable=True, internal=True)


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers"])
@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
def test_declare_again(channel, names, kind, durable):
    name = names.exchange()
    for _ in range(2):
        channel.exchange_declare(name, kind, durable=durable)
    channel.exchange_declare(name, passive=True)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"exchange_type": "fanout"},
            "'type' for exchange '{}' in vhost '{}': received 'fanout' but current is 'direct'",
        ),
        ({"durable": True}, "'durable' for exchange '{}' in vhost '{}': received 'true' but current is 'false'"),
        (
            {"auto_delete": True},
            "'auto_delete' for exchange '{}' in vhost '{}': received 'true' but current is 'false'",
        ),
        ({"internal": True}, "'internal' for exchange '{}' in vhost '{}': received 'true' but current is 'false'"),
        (
            {"arguments": {"alternate-exchange": "other"}},
            "'alternate-exchange' for exchange '{}' in vhost '{}': "
            "received the value 'other' of type 'longstr' but current is none",
        ),
    ],
    ids=["type", "durable", "auto_delete", "internal", "alternate-exchange"],
)
def test_declare_differently(broker, channel, make_exchange, changed, text):
    name = make_exchange("direct")
    with channel_refused(406, "PRECONDITION_FAILED - inequivalent arg " + text.format(name, broker.vhost)):
        channel.exchange_declare(name, **{"exchange_type": "direct", **changed})


def test_passive_declare_looks_at_the_name_alone(channel, make_exchange):
    name = make_exchange("direct")
    channel.exchange_declare(name, "fanout", passive=True, durable=True)


def test_passive_declare_of_none(broker, channel):
    name = fresh("exchange")
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.exchange_declare(name, passive=True)


def test_reserved_prefix(channel):
    with channel_refused(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"):
        channel.exchange_declare("amq.mine", "direct")


def test_unknown_type(channel):
    with connection_refused(503, "COMMAND_INVALID - unknown exchange type 'x-nonesuch'"):
        channel.exchange_declare(fresh("exchange"), "x-nonesuch")


@pytest.mark.parametrize("name", ["ünïcode-λ-交換", "with space", "a" * 255, "*.#"])
def test_names(channel, names, name):
    names.exchanges.append(name)
    names.queues.append(name)
    channel.exchange_declare(name, "fanout")
    channel.queue_declare(name)
    channel.queue_bind(name, name, "κλειδί")
    channel.basic_publish(name, "ключ", b"x")
    message = get(channel, name)
    assert (message.method.exchange, message.method.routing_key) == (name, "ключ")


def test_delete(broker, channel, make_exchange):
    name = make_exchange("direct")
    channel.exchange_delete(name)
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.exchange_declare(name, passive=True)


def test_delete_of_none(channel):
    channel.exchange_delete(fresh("exchange"))


def test_delete_if_unused(broker, channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "key")
    with channel_refused(406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '{broker.vhost}' in use"):
        channel.exchange_delete(name, if_unused=True)


def test_delete_if_unused_when_unused(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "key")
    channel.queue_unbind(queue, name, "key")
    channel.exchange_delete(name, if_unused=True)


def test_delete_of_a_predeclared_one(broker, channel):
    with channel_refused(
        403, f"ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '{broker.vhost}' not allowed"
    ):
        channel.exchange_delete("amq.direct")


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel, queue: channel.exchange_delete(""),
        lambda channel, queue: channel.exchange_declare("", "direct"),
        lambda channel, queue: channel.queue_bind(queue, "", "key"),
        lambda channel, queue: channel.queue_unbind(queue, "", "key"),
        lambda channel, queue: channel.exchange_bind("", "amq.direct", "key"),
        lambda channel, queue: channel.exchange_bind("amq.direct", "", "key"),
    ],
    ids=["delete", "declare", "bind", "unbind", "bind destination", "bind source"],
)
def test_the_default_exchange_is_not_to_be_touched(channel, queue, attempt):
    with channel_refused(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
        attempt(channel, queue)


def test_publish_to_none(broker, channel):
    name = fresh("exchange")
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.basic_publish(name, "key", b"x")
        channel.queue_declare("", exclusive=True)


def test_bind_to_an_exchange_that_is_not(broker, channel, queue):
    name = fresh("exchange")
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.queue_bind(queue, name, "key")


def test_bind_of_a_queue_that_is_not(broker, channel):
    name = fresh("queue")
    with channel_refused(404, f"NOT_FOUND - no queue '{name}' in vhost '{broker.vhost}'"):
        channel.queue_bind(name, "amq.direct", "key")


def test_bind_of_a_destination_exchange_that_is_not(broker, channel):
    name = fresh("exchange")
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.exchange_bind(name, "amq.direct", "key")


def test_unbind_of_what_is_not_bound(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_unbind(queue, name, "never bound")
    channel.exchange_unbind(name, "amq.direct", "never bound")


def test_binding_twice_is_binding_once(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "key")
    channel.queue_bind(queue, name, "key")
    channel.basic_publish(name, "key", b"one")
    assert bodies(channel, queue) == [b"one"]
    channel.queue_unbind(queue, name, "key")
    channel.basic_publish(name, "key", b"two")
    assert bodies(channel, queue) == []


def test_bindings_differ_by_arguments(channel, queue, make_exchange):
    name = make_exchange("direct")
    channel.queue_bind(queue, name, "key", arguments={"which": 1})
    channel.queue_bind(queue, name, "key", arguments={"which": 2})
    channel.queue_unbind(queue, name, "key", arguments={"which": 1})
    channel.basic_publish(name, "key", b"still bound")
    assert bodies(channel, queue) == [b"still bound"]
    channel.queue_unbind(queue, name, "key", arguments={"which": 2})
    channel.basic_publish(name, "key", b"no more")
    assert bodies(channel, queue) == []


def test_auto_delete_goes_with_its_last_binding(broker, channel, queue, make_queue, make_exchange):
    name = make_exchange("direct", auto_delete=True)
    other = make_queue()
    channel.queue_bind(queue, name, "a")
    channel.queue_bind(other, name, "b")
    channel.queue_unbind(queue, name, "a")
    channel.exchange_declare(name, passive=True)
    channel.queue_delete(other)
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        channel.exchange_declare(name, passive=True)


def test_auto_delete_stays_until_something_was_bound(channel, make_exchange):
    name = make_exchange("direct", auto_delete=True)
    channel.basic_publish(name, "key", b"x")
    channel.exchange_declare(name, passive=True)


def test_auto_delete_source_goes_with_its_destination(broker, channel, make_exchange):
    source = make_exchange("direct", auto_delete=True)
    destination = make_exchange("fanout")
    channel.exchange_bind(destination, source, "key")
    channel.exchange_delete(destination)
    with channel_refused(404, f"NOT_FOUND - no exchange '{source}' in vhost '{broker.vhost}'"):
        channel.exchange_declare(source, passive=True)


def test_internal(broker, channel, make_exchange):
    name = make_exchange("fanout", internal=True)
    with channel_refused(
        403, f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '{broker.vhost}'"
    ):
        channel.basic_publish(name, "key", b"x")
        channel.queue_declare("", exclusive=True)


def test_internal_is_reached_through_another(channel, queue, make_exchange):
    inner = make_exchange("fanout", internal=True)
    outer = make_exchange("direct")
    channel.exchange_bind(inner, outer, "key")
    channel.queue_bind(queue, inner)
    channel.basic_publish(outer, "key", b"x")
    message = get(channel, queue)
    assert (message.method.exchange, message.method.routing_key) == (outer, "key")


def test_exchange_to_exchange(channel, make_queue, make_exchange):
    source, middle, last = make_exchange("topic"), make_exchange("direct"), make_exchange("fanout")
    at_middle, at_last = make_queue(), make_queue()
    channel.exchange_bind(middle, source, "a.#")
    channel.exchange_bind(last, middle, "a.b")
    channel.queue_bind(at_middle, middle, "a.c")
    channel.queue_bind(at_last, last)
    for key in ("a.b", "a.c", "b.a"):
        channel.basic_publish(source, key, key.encode())
    assert bodies(channel, at_middle) == [b"a.c"]
    assert bodies(channel, at_last) == [b"a.b"]
    channel.exchange_unbind(middle, source, "a.#")
    channel.basic_publish(source, "a.b", b"unbound")
    assert bodies(channel, at_last) == []


def test_exchange_to_exchange_in_a_circle(channel, queue, make_exchange):
    first, second = make_exchange("fanout"), make_exchange("fanout")
    channel.exchange_bind(second, first)
    channel.exchange_bind(first, second)
    channel.exchange_bind(first, first)
    channel.queue_bind(queue, first)
    channel.queue_bind(queue, second)
    channel.basic_publish(first, "", b"once")
    assert bodies(channel, queue) == [b"once"]


def test_alternate_exchange(channel, make_queue, make_exchange):
    alternate = make_exchange("fanout")
    name = make_exchange("direct", arguments={"alternate-exchange": alternate})
    routed, unrouted = make_queue(), make_queue()
    channel.queue_bind(routed, name, "known")
    channel.queue_bind(unrouted, alternate)
    channel.basic_publish(name, "known", b"known")
    channel.basic_publish(name, "unknown", b"unknown")
    assert bodies(channel, routed) == [b"known"]
    message = get(channel, unrouted)
    assert (message.body, message.method.exchange, message.method.routing_key) == (b"unknown", name, "unknown")
    assert get(channel, unrouted) is None


def test_alternate_exchange_of_an_alternate_exchange(channel, queue, make_exchange):
    last = make_exchange("fanout")
    middle = make_exchange("direct", arguments={"alternate-exchange": last})
    first = make_exchange("topic", arguments={"alternate-exchange": middle})
    channel.queue_bind(queue, last)
    channel.confirm_delivery()
    channel.basic_publish(first, "nothing.matches", b"x", mandatory=True)
    assert bodies(channel, queue) == [b"x"]


def test_alternate_exchanges_in_a_circle(channel, names, queue):
    one, two = names.exchange(), names.exchange()
    channel.exchange_declare(one, "direct", arguments={"alternate-exchange": two})
    channel.exchange_declare(two, "direct", arguments={"alternate-exchange": one})
    channel.basic_publish(one, "key", b"nowhere")
    channel.queue_bind(queue, two, "key")
    channel.basic_publish(one, "key", b"somewhere")
    assert bodies(channel, queue) == [b"somewhere"]


def test_alternate_exchange_that_is_not_there(channel, queue, make_exchange):
    name = make_exchange("direct", arguments={"alternate-exchange": fresh("exchange")})
    channel.basic_publish(name, "key", b"lost")
    channel.queue_bind(queue, name, "key")
    channel.basic_publish(name, "key", b"kept")
    assert bodies(channel, queue) == [b"kept"]


def test_alternate_exchange_must_be_a_name(broker, channel):
    name = fresh("exchange")
    with channel_refused(
        406,
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' "
        f"in exchange '{name}' in vhost '{broker.vhost}'",
    ):
        channel.exchange_declare(name, "direct", arguments={"alternate-exchange": 1})
