"""pika as the scenarios want it: its blocking connection, whose events come while somebody waits."""

from __future__ import annotations

import collections
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pika
import pika.exceptions as errors
from place import WAIT_SECONDS, Delivery, NotThere, Refused

PROPERTIES = (
    "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration",
    "message_id", "type", "user_id", "app_id",
)  # fmt: skip


@contextmanager
def in_everybodys_words() -> Iterator[None]:
    """What the broker refuses is `Refused`."""
    try:
        yield
    except (errors.ChannelClosedByBroker, errors.ConnectionClosedByBroker) as why:
        raise Refused(why.reply_code, why.reply_text) from why
    except (errors.ProbableAuthenticationError, errors.ProbableAccessDeniedError) as why:
        # What the broker said is a part of the text.
        said = re.search(r"\((\d+)\) ['\"](.*)['\"]", str(why))
        if not said:
            raise
        raise Refused(int(said[1]), said[2]) from why


class Client:
    recovers = False
    cannot_write = ("double", "single")
    plain_names = False
    tells_why_not_opened = True
    takes_uris = True
    nacks = True

    def connect(
        self, url: str, heartbeat: int = 60, ca: str | None = None, certificate: tuple[str, str] | None = None
    ) -> Connection:
        parameters = pika.URLParameters(url)
        parameters.heartbeat = heartbeat
        parameters.socket_timeout = parameters.stack_timeout = WAIT_SECONDS
        if ca:
            context = ssl.create_default_context(cafile=ca)
            if certificate:
                context.load_cert_chain(*certificate)
            parameters.ssl_options = pika.SSLOptions(context, parameters.host)
        with in_everybodys_words():
            return Connection(pika.BlockingConnection(parameters))


class Connection:
    def __init__(self, connection: pika.BlockingConnection) -> None:
        self.connection = connection

    def channel(self) -> Channel:
        return Channel(self.connection, self.connection.channel())

    def idle(self, seconds: float) -> None:
        """Nobody beats for a blocking connection that is not used: its user has to let it."""
        self.connection.process_data_events(seconds)

    def close(self) -> None:
        self.connection.close()


class Channel:
    def __init__(self, connection: pika.BlockingConnection, channel: Any) -> None:
        self.connection, self.channel = connection, channel
        self.came: collections.deque[Delivery] = collections.deque()
        self.cancels: collections.deque[str] = collections.deque()
        channel.confirm_delivery()
        channel.add_on_cancel_callback(lambda frame: self.cancels.append(frame.method.consumer_tag))

    def declare_queue(self, name: str, arguments: Any = None, **flags: Any) -> tuple[str, int]:
        with in_everybodys_words():
            declared = self.channel.queue_declare(name, arguments=arguments, **flags).method
            return declared.queue, declared.message_count

    def declare_exchange(self, name: str, kind: str, **flags: Any) -> None:
        with in_everybodys_words():
            self.channel.exchange_declare(name, kind, **flags)

    def bind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.channel.queue_bind(queue, exchange, key, arguments)

    def unbind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.channel.queue_unbind(queue, exchange, key, arguments)

    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        self.channel.exchange_bind(destination, source, key)

    def delete_queue(self, name: str) -> None:
        self.channel.queue_delete(name)

    def delete_exchange(self, name: str) -> None:
        self.channel.exchange_delete(name)

    def purge(self, name: str) -> int:
        return self.channel.queue_purge(name).method.message_count

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any], mandatory: bool = False) -> str:
        try:
            with in_everybodys_words():
                self.channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory)
        except errors.NackError:
            return "nack"
        except errors.UnroutableError as why:
            back = why.messages[0].method
            return f"returned {back.reply_code} {back.reply_text}"
        return "ack"

    def publish_many(self, exchange: str, key: str, bodies: list[bytes], properties: dict[str, Any]) -> list[str]:
        return [self.publish(exchange, key, body, properties) for body in bodies]

    def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        with in_everybodys_words():
            method, properties, body = self.channel.basic_get(queue, auto_ack=no_ack)
        return delivery_of(method, properties, body) if method else None

    def consume(self, queue: str) -> str:
        def put(_: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self.came.append(delivery_of(method, properties, body))

        return self.channel.basic_consume(queue, put)

    def next(self) -> Delivery:
        return self._taken(self.came)

    def cancelled(self) -> str:
        return self._taken(self.cancels)

    def _taken(self, source: collections.deque[Any]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        while not source:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotThere
            self.connection.process_data_events(left)
        return source.popleft()

    def qos(self, count: int) -> None:
        self.channel.basic_qos(prefetch_count=count)

    def ack(self, delivery: Delivery) -> None:
        self.channel.basic_ack(delivery.tag)

    def nack(self, delivery: Delivery, requeue: bool) -> None:
        self.channel.basic_nack(delivery.tag, requeue=requeue)

    def reject(self, delivery: Delivery, requeue: bool) -> None:
        self.channel.basic_reject(delivery.tag, requeue)

    def close(self) -> None:
        self.channel.close()


def delivery_of(method: Any, properties: pika.BasicProperties, body: bytes) -> Delivery:
    return Delivery(
        body, aware(properties.headers or {}), method.redelivered, method.exchange, method.routing_key,
        {name: getattr(properties, name) for name in PROPERTIES}, method.delivery_tag,
    )  # fmt: skip


def aware(value: Any) -> Any:
    """pika gives times of UTC without saying so."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc)
    return {name: aware(inner) for name, inner in value.items()} if isinstance(value, dict) else value
