"""kombu as the scenarios want it: its Connection, Exchange, Queue, Producer and Consumer, over py-amqp."""

from __future__ import annotations

import collections
import socket
import ssl
import time
from typing import Any

import kombu
import kombu.exceptions
from amqp.exceptions import MessageNacked
from client_py_amqp import PROPERTIES, aware, in_everybodys_words
from place import WAIT_SECONDS, Delivery, NotThere


class Client:
    recovers = False
    """ConsumerMixin and ensure() do it for those who use them: Celery's driver does."""
    cannot_write: tuple[str, ...] = ()
    plain_names = False
    tells_why_not_opened = True
    takes_uris = True
    nacks = False

    def connect(
        self, url: str, heartbeat: int = 60, ca: str | None = None, certificate: tuple[str, str] | None = None
    ) -> Connection:
        options: Any = False
        if ca:
            options = {"ca_certs": ca, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
            if certificate:
                options |= {"certfile": certificate[0], "keyfile": certificate[1]}
        connection = kombu.Connection(
            url.replace("amqps://", "amqp://"),
            heartbeat=heartbeat,
            connect_timeout=WAIT_SECONDS,
            ssl=options,
            transport_options={"confirm_publish": True},
        )
        with in_everybodys_words():
            connection.connect()
        return Connection(connection)


class Connection:
    def __init__(self, connection: kombu.Connection) -> None:
        self.connection = connection

    def channel(self) -> Channel:
        return Channel(self, self.connection.channel())

    def idle(self, seconds: float) -> None:
        """As with py-amqp: whoever uses kombu has to call heartbeat_check."""
        try:
            self.connection.drain_events(timeout=seconds)
        except socket.timeout:
            pass
        self.connection.heartbeat_check()

    def close(self) -> None:
        self.connection.release()


class Channel:
    def __init__(self, connection: Connection, channel: Any) -> None:
        self.connection, self.channel = connection, channel
        self.came: collections.deque[kombu.Message] = collections.deque()
        self.cancels: collections.deque[str] = collections.deque()
        self.returned: list[str] = []
        self.producer = kombu.Producer(channel, on_return=self._came_back)

    def _came_back(self, why: Any, *_: Any) -> None:
        self.returned.append(f"returned {why.reply_code} {why.reply_text}")

    def _queue(self, name: str, **more: Any) -> kombu.Queue:
        return kombu.Queue(name, channel=self.channel, **more)

    def declare_queue(
        self, name: str, durable: bool = False, exclusive: bool = False, passive: bool = False, arguments: Any = None
    ) -> tuple[str, int]:
        queue = kombu.Queue(name, durable=durable, exclusive=exclusive, auto_delete=False, queue_arguments=arguments)
        with in_everybodys_words():
            bound = queue.bind(self.channel)
            bound.auto_delete = False  # kombu takes it for granted with exclusive
            declared = bound.queue_declare(passive=passive)
            return declared.queue, declared.message_count

    def declare_exchange(self, name: str, kind: str, durable: bool = False, auto_delete: bool = False) -> None:
        with in_everybodys_words():
            kombu.Exchange(name, kind, durable=durable, auto_delete=auto_delete, channel=self.channel).declare()

    def bind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self._queue(queue).bind_to(exchange, key, arguments)

    def unbind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self._queue(queue).unbind_from(kombu.Exchange(exchange), key, arguments)

    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        kombu.Exchange(destination, channel=self.channel).bind_to(source, key)

    def delete_queue(self, name: str) -> None:
        self._queue(name).delete()

    def delete_exchange(self, name: str) -> None:
        kombu.Exchange(name, channel=self.channel).delete()

    def purge(self, name: str) -> int:
        return self._queue(name).purge()

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any], mandatory: bool = False) -> str:
        properties = dict(properties)
        if "expiration" in properties:
            properties["expiration"] = int(properties["expiration"]) / 1000
        properties.setdefault("content_type", "application/octet-stream")
        properties.setdefault("content_encoding", "binary")
        self.returned.clear()
        try:
            with in_everybodys_words():
                self.producer.publish(body, routing_key=key, exchange=exchange, mandatory=mandatory, **properties)
        except MessageNacked:
            return "nack"
        return self.returned.pop() if self.returned else "ack"

    def publish_many(self, exchange: str, key: str, bodies: list[bytes], properties: dict[str, Any]) -> list[str]:
        return [self.publish(exchange, key, body, properties) for body in bodies]

    def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        with in_everybodys_words():
            message = self._queue(queue).get(no_ack=no_ack, accept=None)
        return delivery_of(message) if message else None

    def consume(self, queue: str) -> str:
        tag = f"consumer of {queue}"
        self._queue(queue).consume(tag, self._received, no_ack=False, on_cancel=self.cancels.append)
        return tag

    def _received(self, raw: Any) -> None:
        self.came.append(self.channel.message_to_python(raw))

    def next(self) -> Delivery:
        return delivery_of(self._taken(self.came))

    def cancelled(self) -> str:
        return self._taken(self.cancels)

    def _taken(self, source: collections.deque[Any]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        while not source:
            try:
                self.connection.connection.drain_events(timeout=max(0.01, deadline - time.monotonic()))
            except socket.timeout:
                raise NotThere from None
        return source.popleft()

    def qos(self, count: int) -> None:
        self.channel.basic_qos(0, count, False)

    def ack(self, delivery: Delivery) -> None:
        delivery.tag.ack()

    def nack(self, delivery: Delivery, requeue: bool) -> None:
        """kombu has no basic.nack; basic.reject is the same for one message."""
        self.reject(delivery, requeue)

    def reject(self, delivery: Delivery, requeue: bool) -> None:
        if requeue:
            delivery.tag.requeue()
        else:
            delivery.tag.reject()

    def close(self) -> None:
        self.channel.close()


def delivery_of(message: kombu.Message) -> Delivery:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    info = message.delivery_info
    properties = {name: message.properties.get(name) for name in PROPERTIES}
    properties |= {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return Delivery(
        body, aware(message.headers), bool(info["redelivered"]), info["exchange"], info["routing_key"], properties,
        message,
    )  # fmt: skip
