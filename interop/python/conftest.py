"""Fixtures: the broker, a connection and channels that go with the test, and a clean place."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pika
import pytest
from broker import Broker, fresh, from_environment
from pika.adapters.blocking_connection import BlockingChannel


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("broker", "the broker under test (each also as an environment variable)")
    group.addoption("--amqp-url", help="plain AMQP (AMQP_URL)")
    group.addoption("--amqps-url", help="TLS, client certificate optional (AMQPS_URL)")
    group.addoption("--amqps-required-url", help="TLS, client certificate demanded (AMQPS_REQUIRED_URL)")
    group.addoption("--certs", help="folder with ca.pem, client.pem, ... (CERTS)")


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    names = ("amqp_url", "amqps_url", "amqps_required_url", "certs")
    return from_environment({name: request.config.getoption(name) for name in names})


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[..., pika.BlockingConnection]]:
    """Opens connections that are closed when the test ends."""
    opened: list[pika.BlockingConnection] = []

    def open_connection(**changes: Any) -> pika.BlockingConnection:
        opened.append(broker.connect(**changes))
        return opened[-1]

    yield open_connection
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def connection(connect: Callable[..., pika.BlockingConnection]) -> pika.BlockingConnection:
    return connect()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> BlockingChannel:
    return connection.channel()


@pytest.fixture
def other_channel(connect: Callable[..., pika.BlockingConnection]) -> BlockingChannel:
    """A channel of another connection."""
    return connect().channel()


class Names:
    """Hands out fresh names and deletes what has them when the test ends."""

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.exchanges: list[str] = []

    def queue(self) -> str:
        self.queues.append(fresh("queue"))
        return self.queues[-1]

    def exchange(self) -> str:
        self.exchanges.append(fresh("exchange"))
        return self.exchanges[-1]


@pytest.fixture
def names(broker: Broker) -> Iterator[Names]:
    """For what outlives its connection. What is exclusive needs no name kept."""
    names = Names()
    yield names
    if names.queues or names.exchanges:
        connection = broker.connect()
        channel = connection.channel()
        for queue in names.queues:
            channel.queue_delete(queue)
        for exchange in names.exchanges:
            channel.exchange_delete(exchange)
        connection.close()


@pytest.fixture
def queue(channel: BlockingChannel) -> str:
    """An exclusive queue of the test's connection."""
    return channel.queue_declare(fresh("queue"), exclusive=True).method.queue


@pytest.fixture
def make_queue(channel: BlockingChannel) -> Callable[..., str]:
    """Declares exclusive queues with arguments, given as x_message_ttl=1 for x-message-ttl."""

    def declare(name: str | None = None, **arguments: Any) -> str:
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        return channel.queue_declare(name or fresh("queue"), exclusive=True, arguments=arguments).method.queue

    return declare


@pytest.fixture
def make_exchange(channel: BlockingChannel, names: Names) -> Callable[..., str]:
    """Declares exchanges that are deleted when the test ends."""

    def declare(kind: str, **more: Any) -> str:
        name = names.exchange()
        channel.exchange_declare(name, kind, **more)
        return name

    return declare
