"""aio-pika as the scenarios want it: its robust connection, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
import time
from collections.abc import Coroutine
from typing import Any

import aio_pika
import aiormq.channel
import aiormq.connection
import aiormq.exceptions as errors
from place import WAIT_SECONDS, Delivery, NotThere, Refused

PROPERTIES = (
    "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration",
    "message_id", "type", "user_id", "app_id",
)  # fmt: skip


CODES = {kind: code for mapping in (aiormq.channel, aiormq.connection) for code, kind in mapping.EXCEPTION_MAPPING.items()}
"""aiormq turns most codes into classes and forgets them."""


class Client:
    recovers = True
    cannot_write = ("double",)
    plain_names = True
    tells_why_not_opened = False
    takes_uris = True
    nacks = True

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def connect(
        self, url: str, heartbeat: int = 60, ca: str | None = None, certificate: tuple[str, str] | None = None
    ) -> Connection:
        context = None
        if ca:
            context = ssl.create_default_context(cafile=ca)
            if certificate:
                context.load_cert_chain(*certificate)
        connecting = aio_pika.connect_robust(
            f"{url}?heartbeat={heartbeat}&reconnect_interval=0.2", ssl_context=context, timeout=WAIT_SECONDS
        )
        return Connection(self, self.wait(connecting))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Has the loop do it; what the broker refuses, it refuses in everybody's words."""
        try:
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, WAIT_SECONDS), self.loop).result()
        except (errors.ChannelClosed, errors.ConnectionClosed) as why:
            raise Refused(CODES.get(type(why)) or why.args[0], why.args[-1]) from why
        except errors.ProbableAuthenticationError as why:
            raise Refused(403, str(why)) from why


class Connection:
    def __init__(self, client: Client, connection: aio_pika.abc.AbstractRobustConnection) -> None:
        self.client, self.connection = client, connection

    def channel(self) -> Channel:
        async def opened() -> aio_pika.abc.AbstractChannel:
            return await self.connection.channel(publisher_confirms=True, on_return_raises=True)

        return Channel(self.client, self.client.wait(opened()))

    def idle(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self.client.wait(self.connection.close())


class Channel:
    def __init__(self, client: Client, channel: aio_pika.abc.AbstractChannel) -> None:
        self.client, self.channel = client, channel
        self.queues: dict[str, Any] = {}
        self.came: queue.Queue[Any] = queue.Queue()
        self.cancels: queue.Queue[str] = queue.Queue()

    def declare_queue(self, name: str, arguments: Any = None, **flags: Any) -> tuple[str, int]:
        if flags.get("passive") and name in self.queues:
            # What is robust is remembered: asking for it passively asks nobody.
            return name, self.client.wait(self.queues[name].declare()).message_count
        declared = self.client.wait(self.channel.declare_queue(name or None, arguments=arguments, **flags))
        self.queues[declared.name] = declared
        return declared.name, declared.declaration_result.message_count

    def declare_exchange(self, name: str, kind: str, **flags: Any) -> None:
        self.client.wait(self.channel.declare_exchange(name, kind, **flags))

    def _queue(self, name: str) -> Any:
        if name in self.queues:
            return self.queues[name]
        return self.client.wait(self.channel.get_queue(name, ensure=False))

    def _exchange(self, name: str) -> Any:
        if not name:
            return self.channel.default_exchange
        return self.client.wait(self.channel.get_exchange(name, ensure=False))

    def bind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.client.wait(self._queue(queue).bind(exchange, key, arguments=arguments))

    def unbind_queue(self, queue: str, exchange: str, key: str, arguments: Any) -> None:
        self.client.wait(self._queue(queue).unbind(exchange, key, arguments=arguments))

    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        self.client.wait(self._exchange(destination).bind(source, key))

    def delete_queue(self, name: str) -> None:
        self.client.wait(self.channel.queue_delete(name))

    def delete_exchange(self, name: str) -> None:
        self.client.wait(self.channel.exchange_delete(name))

    def purge(self, name: str) -> int:
        return self.client.wait(self._queue(name).purge()).message_count

    def publish(self, exchange: str, key: str, body: bytes, properties: dict[str, Any], mandatory: bool = False) -> str:
        return self._publish(exchange, key, [body], properties, mandatory)[0]

    def publish_many(self, exchange: str, key: str, bodies: list[bytes], properties: dict[str, Any]) -> list[str]:
        return self._publish(exchange, key, bodies, properties, False)

    def _publish(
        self, exchange: str, key: str, bodies: list[bytes], properties: dict[str, Any], mandatory: bool
    ) -> list[str]:
        properties = dict(properties)
        if "expiration" in properties:
            properties["expiration"] = int(properties["expiration"]) / 1000
        headers = {
            # pamqp knows bytes in a table as a bytearray.
            name: bytearray(value) if isinstance(value, bytes) else value
            for name, value in properties.pop("headers", {}).items()
        }
        to = self._exchange(exchange)

        async def one(body: bytes) -> str:
            try:
                message = aio_pika.Message(body, headers=headers, **properties)
                await to.publish(message, key, mandatory=mandatory)
                return "ack"
            except errors.PublishError as why:
                back = why.message.delivery
                return f"returned {back.reply_code} {back.reply_text}"
            except errors.DeliveryError:
                return "nack"

        async def all_at_once() -> list[str]:
            return await asyncio.gather(*(one(body) for body in bodies))

        return self.client.wait(all_at_once())

    def get(self, queue: str, no_ack: bool = False) -> Delivery | None:
        message = self.client.wait(self._queue(queue).get(no_ack=no_ack, fail=False))
        return delivery_of(message) if message else None

    def consume(self, queue: str) -> str:
        async def put(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self.came.put(message)

        async def start() -> str:
            underlay = await self.channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda frame: self.cancels.put(frame.consumer_tag))
            return await of.consume(put)

        of = self._queue(queue)
        return self.client.wait(start())

    def next(self) -> Delivery:
        return delivery_of(self._taken(self.came))

    def cancelled(self) -> str:
        return self._taken(self.cancels)

    def _taken(self, source: queue.Queue[Any]) -> Any:
        try:
            return source.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise NotThere from None

    def qos(self, count: int) -> None:
        self.client.wait(self.channel.set_qos(count))

    def ack(self, delivery: Delivery) -> None:
        self.client.wait(delivery.tag.ack())

    def nack(self, delivery: Delivery, requeue: bool) -> None:
        self.client.wait(delivery.tag.nack(requeue=requeue))

    def reject(self, delivery: Delivery, requeue: bool) -> None:
        self.client.wait(delivery.tag.reject(requeue=requeue))

    def close(self) -> None:
        self.client.wait(self.channel.close())


def delivery_of(message: aio_pika.abc.AbstractIncomingMessage) -> Delivery:
    properties = {name: getattr(message, name) for name in PROPERTIES}
    if properties["expiration"] is not None:
        properties["expiration"] = str(int(properties["expiration"] * 1000))
    if properties["delivery_mode"] is not None:
        properties["delivery_mode"] = int(properties["delivery_mode"])
    return Delivery(
        message.body, dict(message.headers), bool(message.redelivered), message.exchange or "",
        message.routing_key or "", properties, message,
    )  # fmt: skip
