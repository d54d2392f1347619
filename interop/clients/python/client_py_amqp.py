"""py-amqp as the scenarios want it: one thread that drains events while it waits."""

from __future__ import annotations

import collections
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
from place import WAIT_SECONDS, Delivery, NotThere, Refused

PROPERTIES = (
    "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration",
    "message_id", "type", "user_id", "app_id",
)  # fmt: skip


@contextmanager
def in_everybodys_words() -> Any:
    """What the broker refuses is `Refused`."""
    try:
        yield
    except amqp.exceptions.AMQPError as why:
        if why.reply_code and why.reply_text:
            raise Refused(why.reply_code, why.reply_text) from why
        raise


class Client:
    recovers = False
    cannot_write: tuple[str, ...] = ()
    plain_names = False
    tells_why_not_opened = True
    takes_uris = False
    nacks = False

    def connect(
        self, url: str, heartbeat: int = 60, ca: str | None = None, certificate: tuple[str, str] | None = None
    ) -> Connection:
        parts = urlsplit(url)
        options: dict[str, Any] = {}
        if ca:
            options = {"ca_certs": ca, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
            if certificate:
                options |= {"certfile": certificate[0], "keyfile": certificate[1]}
        connection = amqp.Connection(
            f"{parts.hostname}:{parts.port}",
            userid=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            virtual_host=unquote(parts.path[1:]),
            heartbeat=heartbeat,
            connect_timeout=WAIT_SECONDS,
            ssl=options,
        )
        with in_everybodys_words():
            connection.connect()
        return Connection(connection)


class Connection:
    def __init__(self, connection: amqp.Connection) -> None:
        self.connection = connection

    def channel(self) -> Channel:
        return Channel(self, self.connection.channel())

    def idle(self, seconds: float) -> None:
        """Nobody beats for py-amqp: whoever uses it has to call heartbeat_tick now and then."""
        try:
            self.connection.drain_events(timeout=seconds)
        except socket.timeout:
            pass
        self.connection.heartbeat_tick()

    def close(self) -> None:
        self.connection.close()


class Channel:
    def __init__(self, connection: Connection, channel: amqp.Channel) -> None:
        self.connection, self.channel = connection, channel
        self.came: collections.deque[Any] = collections.deque()
        self.cancels: collections.deque[str] = collections.deque()
        self.returned: list[str] = []
        channel.events["basic_return"].add(
            lambda why, *_: self.returned.append(f"returned {why.reply_code} {why.reply_text}")
        )

    def declare_queue(self, name: str, arguments: Any = None, **flags: Any) -> tuple[str, int]:
        with in_everybodys_words():
            declared = self.channel.queue_declare(name, arguments=arguments, **{"auto_delete": False, **flags})
            return declared.queue, declared.message_count

    def declare_exchange(self, name: str, kind: str, **flags: Any) -> None:
        with in_everybodys_words():
            self.channel.exchange_declare(name, kind, **{"auto_delete": False, **flags})

    def bind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.channel.queue_bind(queue, exchange, key, arguments=arguments)

    def unbind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.channel.queue_unbind(queue, exchange, key, arguments=arguments)

    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        self.channel.exchange_bind(destination, source, key)

    def delete_queue(self, name: str) -> None:
        self.channel.queue_delete(name)

    def delete_exchange(self, name: str) -> None:
        self.channel.exchange_delete(name)

    def purge(self, name: str) -> int:
        return self.channel.queue_purge(name)

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any], mandatory: bool = False) -> str:
        properties = dict(properties)
        message = amqp.Message(body, application_headers=properties.pop("headers", {}), **properties)
        self.returned.clear()
        try:
            with in_everybodys_words():
                self.channel.basic_publish_confirm(
                    message, exchange, key, mandatory=mandatory, confirm_timeout=WAIT_SECONDS
                )
        except amqp.exceptions.MessageNacked:
            return "nack"
        return self.returned.pop() if self.returned else "ack"

    def publish_many(self, exchange: str, key: str, bodies: list[bytes], properties: dict[str, Any]) -> list[str]:
        return [self.publish(exchange, key, body, properties) for body in bodies]

    def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        with in_everybodys_words():
            message = self.channel.basic_get(queue, no_ack=no_ack)
        return delivery_of(message) if message else None

    def consume(self, queue: str) -> str:
        return self.channel.basic_consume(queue, callback=self.came.append, on_cancel=self.cancels.append)

    def next(self) -> Delivery:
        return delivery_of(self._taken(self.came))

    def cancelled(self) -> str:
        return self._taken(self.cancels)

    def _taken(self, source: collections.deque[Any]) -> Any:
        self._drain_until(lambda: bool(source))
        return source.popleft()

    def _drain_until(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not enough():
            try:
                self.connection.connection.drain_events(timeout=max(0.01, deadline - time.monotonic()))
            except socket.timeout:
                raise NotThere from None

    def qos(self, count: int) -> None:
        self.channel.basic_qos(0, count, False)

    def ack(self, delivery: Delivery) -> None:
        self.channel.basic_ack(delivery.tag)

    def nack(self, delivery: Delivery, requeue: bool) -> None:
        """py-amqp has no basic.nack for consumers; basic.reject is the same for one message."""
        self.channel.basic_reject(delivery.tag, requeue)

    def reject(self, delivery: Delivery, requeue: bool) -> None:
        self.channel.basic_reject(delivery.tag, requeue)

    def close(self) -> None:
        self.channel.close()


def delivery_of(message: amqp.Message) -> Delivery:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    info = message.delivery_info
    properties = {name: message.properties.get(name) for name in PROPERTIES}
    return Delivery(
        body, aware(message.properties.get("application_headers", {})), bool(info["redelivered"]), info["exchange"],
        info["routing_key"], properties, info["delivery_tag"],
    )  # fmt: skip


def aware(headers: dict[str, Any]) -> dict[str, Any]:
    """py-amqp gives times of UTC without saying so."""
    return {
        name: value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value
        for name, value in headers.items()
    }
