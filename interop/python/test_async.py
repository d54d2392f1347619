"""pika's asynchronous adapters: asyncio and its own select loop. What counts here is what only they
show: callbacks in order, many things under way at once, confirms as they come on the wire."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pika
import pika.exceptions
import pytest
from broker import DEADLINE_SECONDS, fresh
from pika.adapters.asyncio_connection import AsyncioConnection


class Client:
    """An AsyncioConnection whose callbacks are awaitable."""

    def __init__(self, broker) -> None:
        self.broker = broker
        self.closed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.connection: AsyncioConnection | None = None

    async def connect(self, **changes: Any) -> "Client":
        opened = asyncio.get_running_loop().create_future()
        self.connection = AsyncioConnection(
            self.broker.parameters(**changes),
            on_open_callback=lambda _connection: opened.set_result(None),
            on_open_error_callback=lambda _connection, error: opened.set_exception(error),
            on_close_callback=lambda _connection, reason: self.closed.set_result(reason),
        )
        await opened
        return self

    async def channel(self, number: int | None = None) -> pika.channel.Channel:
        opened = asyncio.get_running_loop().create_future()
        self.connection.channel(number, on_open_callback=opened.set_result)
        return await opened

    async def close(self) -> Exception:
        self.connection.close()
        return await self.closed


async def call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a pika method that answers by callback and awaits the answer."""
    done = asyncio.get_running_loop().create_future()
    method(*args, callback=done.set_result, **kwargs)
    return (await done).method


def closing(channel) -> asyncio.Future[Exception]:
    """Why the channel will close."""
    closed = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda _channel, reason: closed.set_result(reason))
    return closed


@pytest.fixture
def run(broker):
    """Runs a conversation with a client of its own, within the deadline."""

    def runner(conversation, **changes):
        async def whole():
            client = await Client(broker).connect(**changes)
            try:
                return await conversation(client)
            finally:
                if client.connection.is_open:
                    await client.close()

        async def bounded():
            return await asyncio.wait_for(whole(), DEADLINE_SECONDS)

        return asyncio.run(bounded())

    return runner


def test_publish_and_consume(run):
    async def conversation(client):
        channel = await client.channel()
        queue = (await call(channel.queue_declare, "", exclusive=True)).queue
        await call(channel.basic_qos, prefetch_count=10)
        received, all_there = [], asyncio.get_running_loop().create_future()

        def on_message(channel, method, properties, body):
            received.append((method.delivery_tag, properties.message_id, body))
            channel.basic_ack(method.delivery_tag)
            if len(received) == 200:
                all_there.set_result(None)

        await call(channel.basic_consume, queue, on_message)
        for number in range(200):
            channel.basic_publish("", queue, b"x" * number, pika.BasicProperties(message_id=str(number)))
        await all_there
        assert received == [(number + 1, str(number), b"x" * number) for number in range(200)]

    run(conversation)


def test_confirms_cover_every_publish_once(run):
    """However the broker sums them up, each tag is confirmed exactly once."""

    async def conversation(client):
        channel = await client.channel()
        queue = (await call(channel.queue_declare, "", exclusive=True)).queue
        confirmed, all_there = [], asyncio.get_running_loop().create_future()

        def on_confirm(frame):
            assert isinstance(frame.method, pika.spec.Basic.Ack)
            tag, highest = frame.method.delivery_tag, max(confirmed, default=0)
            if frame.method.multiple:
                confirmed.extend(each for each in range(1, tag + 1) if each not in confirmed)
            else:
                assert tag not in confirmed
                confirmed.append(tag)
            assert max(confirmed) >= highest
            if len(confirmed) == 500:
                all_there.set_result(None)

        selected = asyncio.get_running_loop().create_future()
        channel.confirm_delivery(on_confirm, callback=selected.set_result)
        await selected
        for number in range(500):
            channel.basic_publish("", queue, str(number).encode())
        await all_there
        assert sorted(confirmed) == list(range(1, 501))
        assert (await call(channel.queue_declare, queue, passive=True)).message_count == 500

    run(conversation)


def test_a_return_comes_before_its_confirm(run):
    async def conversation(client):
        channel = await client.channel()
        events, done = [], asyncio.get_running_loop().create_future()

        def on_confirm(frame):
            events.append(type(frame.method).__name__)
            done.set_result(None)

        selected = asyncio.get_running_loop().create_future()
        channel.add_on_return_callback(lambda *_: events.append("Return"))
        channel.confirm_delivery(on_confirm, callback=selected.set_result)
        await selected
        channel.basic_publish("", fresh("key"), b"x", mandatory=True)
        await done
        assert events == ["Return", "Ack"]

    run(conversation)


def test_nacks_and_acks_as_they_come(run):
    async def conversation(client):
        channel = await client.channel()
        arguments = {"x-max-length": 3, "x-overflow": "reject-publish"}
        queue = (await call(channel.queue_declare, "", exclusive=True, arguments=arguments)).queue
        outcome, done = {}, asyncio.get_running_loop().create_future()

        def on_confirm(frame):
            tag = frame.method.delivery_tag
            tags = [each for each in range(1, tag + 1) if each not in outcome] if frame.method.multiple else [tag]
            outcome.update({each: type(frame.method).__name__ for each in tags})
            if len(outcome) == 6:
                done.set_result(None)

        selected = asyncio.get_running_loop().create_future()
        channel.confirm_delivery(on_confirm, callback=selected.set_result)
        await selected
        for number in range(6):
            channel.basic_publish("", queue, str(number).encode())
        await done
        assert [outcome[tag] for tag in range(1, 7)] == ["Ack"] * 3 + ["Nack"] * 3

    run(conversation)


def test_declares_without_waiting(run):
    """No-wait methods are done in order, without answers."""

    async def conversation(client):
        channel = await client.channel()
        queue, exchange = fresh("queue"), fresh("exchange")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        channel.queue_declare(queue, exclusive=True)
        channel.queue_bind(queue, exchange, "key")
        channel.basic_publish(exchange, "key", b"1")
        got = asyncio.get_running_loop().create_future()
        channel.basic_get(queue, lambda *args: got.set_result(args), auto_ack=True)
        assert (await got)[3] == b"1"
        channel.queue_purge(queue)
        channel.queue_delete(queue)
        gone = closing(channel)
        channel.queue_declare(queue, passive=True, callback=lambda _: None)
        assert (await gone).reply_code == 404

    run(conversation)


def test_no_wait_errors_close_the_channel_all_the_same(run, broker):
    async def conversation(client):
        channel = await client.channel()
        gone, queue = closing(channel), fresh("queue")
        channel.queue_bind(queue, "amq.direct", "key")
        reason = await gone
        assert isinstance(reason, pika.exceptions.ChannelClosedByBroker)
        assert (reason.reply_code, reason.reply_text) == (
            404,
            f"NOT_FOUND - no queue '{queue}' in vhost '{broker.vhost}'",
        )

    run(conversation)


def test_methods_in_flight_when_a_channel_fails(run):
    """What was sent after the failing method is passed over, and the number can be used again."""

    async def conversation(client):
        channel = await client.channel(3)
        gone, queue = closing(channel), fresh("queue")
        channel.queue_declare(fresh("nonesuch"), passive=True)
        for _ in range(50):
            channel.basic_publish("", "nobody", b"x" * 1000)
        channel.queue_declare(queue, exclusive=True)
        assert (await gone).reply_code == 404
        again = await client.channel(3)
        declared = await call(again.queue_declare, queue, exclusive=True)
        assert (declared.queue, declared.message_count) == (queue, 0)

    run(conversation)


def test_consumer_cancel_notification(run):
    async def conversation(client):
        consuming, other = await client.channel(), await client.channel()
        queue = (await call(consuming.queue_declare, fresh("queue"), exclusive=True)).queue
        cancelled = asyncio.get_running_loop().create_future()
        consuming.add_on_cancel_callback(lambda frame: cancelled.set_result(frame.method.consumer_tag))
        tag = (await call(consuming.basic_consume, queue, lambda *_: None)).consumer_tag
        await call(other.queue_delete, queue)
        assert await cancelled == tag
        assert consuming.is_open

    run(conversation)


def test_consume_without_waiting(run):
    """consume with no-wait: deliveries come without a consume-ok."""

    async def conversation(client):
        channel = await client.channel()
        queue = (await call(channel.queue_declare, "", exclusive=True)).queue
        got = asyncio.get_running_loop().create_future()
        channel._consumers["quiet"] = lambda _channel, method, _properties, body: got.set_result((method, body))
        channel._send_method(pika.spec.Basic.Consume(queue=queue, consumer_tag="quiet", no_ack=True, nowait=True))
        channel.basic_publish("", queue, b"x")
        method, body = await got
        assert (method.consumer_tag, body) == ("quiet", b"x")

    run(conversation)


def test_connection_closed_by_the_broker(run):
    async def conversation(client):
        channel = await client.channel()
        channel.exchange_declare(fresh("exchange"), "nonesuch")
        reason = await client.closed
        assert isinstance(reason, pika.exceptions.ConnectionClosedByBroker)
        assert (reason.reply_code, reason.reply_text) == (503, "COMMAND_INVALID - unknown exchange type 'nonesuch'")

    run(conversation)


def test_connection_closed_by_the_client(run):
    async def conversation(client):
        await client.channel()
        assert isinstance(await client.close(), pika.exceptions.ConnectionClosedByClient)

    run(conversation)


def test_wrong_password(run, broker):
    async def conversation(_client):
        raise AssertionError("connected")

    with pytest.raises(pika.exceptions.AMQPConnectionError) as caught:
        run(conversation, credentials=pika.PlainCredentials(broker.user, "wrong"))
    assert "ACCESS_REFUSED" in repr(caught.value)


def test_many_channels_at_once(run):
    async def conversation(client):
        channels = await asyncio.gather(*(client.channel() for _ in range(100)))
        declared = await asyncio.gather(*(call(each.queue_declare, "", exclusive=True) for each in channels))
        assert len({each.queue for each in declared}) == 100

    run(conversation)


def test_a_big_message_does_not_hold_other_channels_up(run):
    """Frames of two channels interleave; each message is put together on its own."""

    async def conversation(client):
        one, two = await client.channel(), await client.channel()
        queues = [(await call(each.queue_declare, "", exclusive=True)).queue for each in (one, two)]
        received, done = {}, asyncio.get_running_loop().create_future()

        def on_message(channel, method, _properties, body):
            received.setdefault(method.routing_key, []).append(body)
            if sum(map(len, received.values())) == 40:
                done.set_result(None)

        for channel, queue in zip((one, two), queues):
            await call(channel.basic_consume, queue, on_message, auto_ack=True)
        sent = {queue: [bytes([number]) * (300_000 + number) for number in range(20)] for queue in queues}
        for number in range(20):
            one.basic_publish("", queues[1], sent[queues[1]][number])
            two.basic_publish("", queues[0], sent[queues[0]][number])
        await done
        assert received == sent

    run(conversation)


def test_select_connection(broker):
    """The whole way once on pika's own loop: connect, declare, publish, consume, ack, close."""
    seen = []

    def on_open(connection):
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel):
        channel.queue_declare("", exclusive=True, callback=lambda frame: on_queue(channel, frame.method.queue))

    def on_queue(channel, queue):
        channel.basic_consume(queue, on_message)
        for number in range(3):
            channel.basic_publish("", queue, str(number).encode())

    def on_message(channel, method, _properties, body):
        seen.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 3:
            channel.connection.close()

    def on_close(connection, reason):
        seen.append(type(reason))
        connection.ioloop.stop()

    connection = pika.SelectConnection(
        broker.parameters(),
        on_open_callback=on_open,
        on_open_error_callback=on_close,
        on_close_callback=on_close,
    )
    overdue = connection.ioloop.call_later(DEADLINE_SECONDS, connection.ioloop.stop)
    connection.ioloop.start()
    connection.ioloop.remove_timeout(overdue)
    assert seen == [b"0", b"1", b"2", pika.exceptions.ConnectionClosedByClient]
