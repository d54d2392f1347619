"""Putting messages into queues and waiting for what comes out, until it is there or a deadline
has passed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable

import pika
import pika.exceptions
from broker import DEADLINE_SECONDS
from pika.adapters.blocking_connection import BlockingChannel


@dataclass
class Received:
    """One message as it came, by deliver or get."""

    method: Any
    properties: pika.BasicProperties
    body: bytes

    @property
    def tag(self) -> int:
        return self.method.delivery_tag

    @property
    def headers(self) -> dict[str, Any]:
        return self.properties.headers or {}


def wait_until(connection: pika.BlockingConnection, condition: Callable[[], bool], what: str) -> None:
    """Lets the connection work until the condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_SECONDS} s"
        connection.process_data_events(time_limit=0.05)


class Inbox:
    """A consumer that keeps what it is sent."""

    def __init__(self, channel: BlockingChannel, queue: str, **consume: Any) -> None:
        self.channel = channel
        self.received: list[Received] = []
        self.tag = channel.basic_consume(queue, self._on_message, **consume)

    def _on_message(self, _channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self.received.append(Received(method, properties, body))

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.received]

    def wait(self, count: int) -> list[Received]:
        """Waits until that many messages came."""
        wait_until(
            self.channel.connection,
            lambda: len(self.received) >= count,
            f"{count} deliveries (so far {self.bodies!r})",
        )
        assert len(self.received) == count, self.bodies
        return self.received

    def cancel(self) -> None:
        self.channel.basic_cancel(self.tag)


def enqueue(channel: BlockingChannel, queue: str, *messages: bytes, **properties: Any) -> list[bool]:
    """Publishes on a channel of its own with confirms: when it returns, the messages are in the
    queue. Says which were taken."""
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    taken = []
    for body in messages:
        try:
            publisher.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=True)
            taken.append(True)
        except pika.exceptions.NackError:
            taken.append(False)
    publisher.close()
    return taken


def get(channel: BlockingChannel, queue: str, auto_ack: bool = True) -> Received | None:
    """basic.get"""
    method, properties, body = channel.basic_get(queue, auto_ack=auto_ack)
    return Received(method, properties, body) if method else None


def get_all(channel: BlockingChannel, queue: str, auto_ack: bool = True) -> list[Received]:
    """basic.get until the queue is empty."""
    return list(iter(lambda: get(channel, queue, auto_ack), None))


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Takes all that is in the queue now."""
    return [each.body for each in get_all(channel, queue)]


def ready(channel: BlockingChannel, queue: str) -> int:
    """How many messages are ready in the queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def take(channel: BlockingChannel, queue: str, count: int) -> list[Received]:
    """Waits until the queue has delivered that many messages, then stops consuming."""
    inbox = Inbox(channel, queue, auto_ack=True)
    received = list(inbox.wait(count))
    inbox.cancel()
    return received


def take_one(channel: BlockingChannel, queue: str) -> Received:
    return take(channel, queue, 1)[0]


def wait_ready(channel: BlockingChannel, queue: str, count: int) -> None:
    """Waits until that many messages are ready."""
    wait_until(channel.connection, lambda: ready(channel, queue) == count, f"{count} messages ready in {queue}")
