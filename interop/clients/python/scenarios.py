"""What every Python client does, once: a function for each feature of ../features.py. What a client
can be seen to do beyond the others (recovering by itself) is asked of its adapter, `place.client`."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from place import WAIT_SECONDS, NotThere, Place, Refused, Skipped

TRANSIENT = {"delivery_mode": 1}
PERSISTENT = {"delivery_mode": 2}


def refused(code: int, text: str, action: Any, *arguments: Any, **more: Any) -> None:
    """The action has to end with this code and a text with this in it."""
    try:
        action(*arguments, **more)
    except Refused as why:
        assert (why.code, text in why.text) == (code, True), f"{why}, not {code} {text}"
    else:
        raise AssertionError(f"not refused with {code} {text}")


def round_trip(connection: Any, queue: str) -> None:
    channel = connection.channel()
    channel.declare_queue(queue, exclusive=True)
    assert channel.publish("", queue, b"hello", TRANSIENT) == "ack"
    assert channel.get(queue, no_ack=True).body == b"hello"


def connect(place: Place) -> str:
    round_trip(place.connect(), place.name("queue"))
    refused(403, "ACCESS_REFUSED - Login was refused", place.connect, place.url.replace(":guest@", ":wrong@"))
    no_such = place.url.replace("%2F", "no%20such")
    if not place.client.tells_why_not_opened:
        not_connected(place, no_such)
        return "does not say why it could not open a vhost"
    refused(530, "NOT_ALLOWED - vhost no such not found", place.connect, no_such)
    return "" if place.client.takes_uris else "takes the parts of a URI"


def tls(place: Place) -> None:
    url = place.tls_url("AMQPS_URL")
    round_trip(place.connect(url, ca=f"{place.certs}/ca.pem"), place.name("queue"))
    not_connected(place, url, ca=f"{place.certs}/stranger.pem")


def mutual_tls(place: Place) -> None:
    url = place.tls_url("AMQPS_REQUIRED_URL")
    certificate = (f"{place.certs}/client.pem", f"{place.certs}/client.key")
    round_trip(place.connect(url, ca=f"{place.certs}/ca.pem", certificate=certificate), place.name("queue"))
    not_connected(place, url, ca=f"{place.certs}/ca.pem")


def not_connected(place: Place, url: str, **more: Any) -> None:
    try:
        place.connect(url, **more)
    except Exception:
        return
    raise AssertionError("connected")


def topology(place: Place) -> None:
    connection = place.connect()
    channel = connection.channel()
    queue, source = place.name("queue"), place.name("source")
    assert channel.declare_queue(queue, exclusive=True, arguments={"x-max-length": 10}) == (queue, 0)
    channel.declare_exchange(source, "fanout")
    matching = {
        "direct": ("a.b", {}, "a.b", {}),
        "fanout": ("", {}, "whatever", {}),
        "topic": ("a.*.#", {}, "a.b.c.d", {}),
        "headers": ("", {"x-match": "all", "n": 1, "s": "x"}, "", {"n": 1, "s": "x"}),
    }
    for kind, (binding_key, arguments, key, headers) in matching.items():
        exchange = place.name(kind)
        channel.declare_exchange(exchange, kind, auto_delete=True)
        channel.bind_queue(queue, exchange, binding_key, arguments)
        channel.bind_exchange(exchange, source, "")
        for publish_to in (exchange, source):
            channel.publish(publish_to, key, kind.encode(), {**TRANSIENT, "headers": headers})
            assert channel.get(queue, no_ack=True).body == kind.encode()
        channel.unbind_queue(queue, exchange, binding_key, arguments)
        assert channel.get(queue, no_ack=True) is None
    channel.delete_exchange(source)
    channel.publish("", queue, b"left", TRANSIENT)
    assert channel.declare_queue(queue, passive=True) == (queue, 1)
    assert channel.purge(queue) == 1
    refused(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': "
        "received '11' but current is '10'",
        connection.channel().declare_queue, queue, exclusive=True, arguments={"x-max-length": 11},
    )  # fmt: skip
    channel.delete_queue(queue)
    refused(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'", connection.channel().declare_queue, queue, passive=True)
    assert channel.declare_queue("", exclusive=True)[0], "the connection is as good as before"


def confirms(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    outcomes = channel.publish_many("", queue, [b"%d" % i for i in range(200)], TRANSIENT)
    assert outcomes == ["ack"] * 200, outcomes
    assert channel.declare_queue(queue, passive=True)[1] == 200


def confirm_nack(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    outcomes = [channel.publish("", queue, b"x", TRANSIENT) for _ in range(4)]
    assert outcomes == ["ack", "ack", "nack", "nack"], outcomes
    channel.get(queue, no_ack=True)
    assert channel.publish("", queue, b"x", TRANSIENT) == "ack"


def returns(place: Place) -> None:
    channel = place.connect().channel()
    assert channel.publish("", place.name("nowhere"), b"x", TRANSIENT, mandatory=True) == "returned 312 NO_ROUTE"
    assert channel.publish("", place.name("nowhere"), b"x", TRANSIENT) == "ack"


def consume(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    bodies = [b"%d" % i for i in range(20)]
    channel.publish_many("", queue, bodies[:10], TRANSIENT)
    channel.consume(queue)
    channel.publish_many("", queue, bodies[10:], TRANSIENT)
    for body in bodies:
        delivery = channel.next()
        assert (delivery.body, delivery.redelivered, delivery.routing_key) == (body, False, queue)
        channel.ack(delivery)
    channel.close()
    assert place.opened[0].channel().declare_queue(queue, passive=True)[1] == 0


def requeue(place: Place) -> str:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    channel.publish("", queue, b"x", TRANSIENT)
    channel.consume(queue)
    channel.nack(channel.next(), requeue=True)
    again = channel.next()
    assert again.redelivered
    channel.reject(again, requeue=True)
    channel.nack(channel.next(), requeue=False)
    channel.publish("", queue, b"y", TRANSIENT)
    last = channel.next()
    assert (last.body, last.redelivered) == (b"y", False)
    channel.reject(last, requeue=False)
    channel.close()
    assert place.opened[0].channel().declare_queue(queue, passive=True)[1] == 0
    return "" if place.client.nacks else "by reject alone, has no nack"


def prefetch(place: Place) -> None:
    connection = place.connect()
    channel, other = connection.channel(), connection.channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    channel.publish_many("", queue, [b"%d" % i for i in range(10)], TRANSIENT)
    channel.qos(3)
    channel.consume(queue)
    held = [channel.next() for _ in range(3)]
    assert other.declare_queue(queue, passive=True)[1] == 7
    channel.ack(held[0])
    held.append(channel.next())
    assert other.declare_queue(queue, passive=True)[1] == 6
    assert [delivery.body for delivery in held] == [b"0", b"1", b"2", b"3"]


def dead_letter(place: Place) -> None:
    channel = place.connect().channel()
    queue, dead = place.name("queue"), place.name("dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    channel.declare_queue(queue, exclusive=True, arguments=arguments)
    channel.declare_queue(dead, exclusive=True)
    channel.consume(dead)
    channel.publish("", queue, b"rejected", {**TRANSIENT, "headers": {"mine": 1}})
    channel.reject(channel.get(queue), requeue=False)
    channel.publish("", queue, b"expired", {**TRANSIENT, "expiration": "1"})
    for reason in ("rejected", "expired"):
        delivery = channel.next()
        channel.ack(delivery)
        headers = delivery.headers
        (death,) = headers["x-death"]
        assert delivery.body == reason.encode()
        assert isinstance(death.pop("time"), datetime)
        assert death.pop("original-expiration", None) == ("1" if reason == "expired" else None)
        assert death == {"count": 1, "reason": reason, "queue": queue, "exchange": "", "routing-keys": [queue]}, death
        first = [headers[f"x-first-death-{what}"] for what in ("reason", "queue", "exchange")]
        assert first == [reason, queue, ""]
        assert ("mine" in headers) == (reason == "rejected")


def cancel(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    tag = channel.consume(queue)
    place.opened[0].channel().delete_queue(queue)
    assert channel.cancelled() == tag


def bodies(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    channel.consume(queue)
    frames = [4096, 8192, 131072]
    for size in [0, 1, *(frame - 8 + more for frame in frames for more in (0, 1))]:
        body = bytes(i * 7 % 251 for i in range(size))
        assert channel.publish("", queue, body, TRANSIENT) == "ack"
        delivery = channel.next()
        assert delivery.body == body, f"{size} bytes came as {len(delivery.body)}"
        channel.ack(delivery)


def body_64_mib(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    channel.consume(queue)
    body = bytes(range(256)) * (64 * 4096)
    assert channel.publish("", queue, body, TRANSIENT) == "ack"
    delivery = channel.next()
    channel.ack(delivery)
    assert delivery.body == body


def headers(place: Place) -> str:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue, exclusive=True)
    values = {
        "true": True,
        "false": False,
        "8 bits": -100,
        "16 bits": -30_000,
        "32 bits": -2_000_000_000,
        "64 bits": -(2**62),
        "beyond 32 bits": 2**40,
        "double": 0.1,
        "single": 0.5,
        "decimal": Decimal("-3.14"),
        "string": "text",
        "long string": "x" * 10_000,
        "bytes": b"\x00\xff\xfe",
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        "nothing": None,
        "list": [1, "two", [3, None], {"four": True}],
        "table": {"a": {"b": {"c": [1]}}, "empty": {}},
        "empty list": [],
    }
    left_out = place.client.cannot_write
    sent = {name: value for name, value in values.items() if name not in left_out}
    properties = {
        "content_type": "text/plain", "content_encoding": "utf-8", "priority": 3, "correlation_id": "c", "reply_to": "r",
        "expiration": "60000", "message_id": "m", "type": "t", "user_id": "guest", "app_id": "a", "delivery_mode": 1,
    }  # fmt: skip
    channel.publish("", queue, b"", {**properties, "headers": sent})
    delivery = channel.get(queue, no_ack=True)
    for name, value in sent.items():
        assert delivery.headers.get(name) == value, f"{name}: {value!r} came as {delivery.headers.get(name)!r}"
    assert {name: delivery.properties.get(name) for name in properties} == properties
    return f"without {', '.join(left_out)}" if left_out else ""


def unicode(place: Place) -> str:
    channel = place.connect().channel()
    name = place.name("plain" if place.client.plain_names else "Grüße-κόσμε-世界-🐇")
    channel.declare_exchange(name, "direct", auto_delete=True)
    assert channel.declare_queue(name, exclusive=True) == (name, 0)
    channel.bind_queue(name, name, "schlüssel.世界", {})
    properties = {**TRANSIENT, "headers": {"ключ": "значение 🐇"}, "message_id": "ñ"}
    assert channel.publish(name, "schlüssel.世界", "тело".encode(), properties, mandatory=True) == "ack"
    delivery = channel.get(name, no_ack=True)
    assert (delivery.exchange, delivery.routing_key, delivery.body.decode()) == (name, "schlüssel.世界", "тело")
    assert (delivery.headers, delivery.properties["message_id"]) == ({"ключ": "значение 🐇"}, "ñ")
    return "but for names of exchanges and queues" if place.client.plain_names else ""


def channels(place: Place) -> None:
    connection = place.connect()
    queue = place.name("queue")
    many = [connection.channel() for _ in range(1000)]
    many[0].declare_queue(queue, exclusive=True)
    for index, channel in enumerate(many):
        assert channel.publish("", queue, b"%d" % index, TRANSIENT) == "ack"
    assert many[0].declare_queue(queue, passive=True)[1] == 1000
    for channel in many[1:]:
        channel.close()
    assert connection.channel().get(queue, no_ack=True).body == b"0"


def heartbeat(place: Place) -> None:
    connection = place.connect(heartbeat=2)
    idle_until = time.monotonic() + 7
    while time.monotonic() < idle_until:
        connection.idle(0.3)
    round_trip(connection, place.name("queue"))


def frozen(place: Place) -> None:
    channel = place.connect().channel()
    queue = place.name("queue")
    channel.declare_queue(queue)
    channel.publish("", queue, b"held", TRANSIENT)
    place.ask(f"freeze {queue}")
    channel.consume(queue)
    delivery = channel.next()
    assert (delivery.body, delivery.redelivered) == (b"held", True)
    channel.ack(delivery)
    channel.delete_queue(queue)


def killed(place: Place) -> str:
    return after_a_restart(place, "kill")


def closed(place: Place) -> str:
    return after_a_restart(place, "stop")


def after_a_restart(place: Place, how: str) -> str:
    connection = place.connect()
    channel = connection.channel()
    kept, exchange = place.name("kept"), place.name("exchange")
    channel.declare_queue(kept, durable=True)
    channel.declare_exchange(exchange, "direct", durable=True)
    for i in range(10):
        assert channel.publish("", kept, b"%d" % i, PERSISTENT) == "ack"
    recovers = place.client.recovers
    if recovers:
        recovers_by_itself(place, connection, exchange, how)
    else:
        place.ask(how)
        notices(channel, kept, how)
    channel = place.connect().channel()
    assert [channel.get(kept, no_ack=True).body for _ in range(10)] == [b"%d" % i for i in range(10)]
    assert channel.get(kept, no_ack=True) is None
    channel.delete_queue(kept)
    channel.delete_exchange(exchange)
    return "by itself" if recovers else "connecting anew"


def recovers_by_itself(place: Place, connection: Any, exchange: str, how: str) -> None:
    """An exclusive queue, its binding and its consumer come back without a word of ours."""
    channel, publisher = connection.channel(), connection.channel()
    queue = place.name("mine")
    channel.declare_queue(queue, exclusive=True)
    channel.bind_queue(queue, exchange, "key", {})
    channel.consume(queue)
    assert publisher.publish(exchange, "key", b"before", TRANSIENT) == "ack"
    channel.ack(channel.next())
    place.ask(how)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            # While it recovers, publishing fails or finds no queue yet.
            if publisher.publish(exchange, "key", b"after", TRANSIENT, mandatory=True) == "ack":
                break
        except Exception:
            pass
        connection.idle(0.1)
    # "before" may come again: its ack may have been on its way.
    while (delivery := channel.next()).body == b"before":
        channel.ack(delivery)
    assert delivery.body == b"after"
    channel.ack(delivery)


def notices(channel: Any, queue: str, how: str) -> None:
    """The old connection is of no more use, and if the broker could say so, it did."""
    try:
        channel.declare_queue(queue, passive=True)
    except Refused as why:
        assert how == "stop" and why.code == 320 and "CONNECTION_FORCED" in why.text, why
    except (NotThere, AssertionError, Skipped):
        raise
    except Exception as lost:
        assert how == "kill" or not hasattr(lost, "reply_code"), lost
    else:
        raise AssertionError("the connection lived on")
