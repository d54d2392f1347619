"""Transactions: publishes and acks that count when they are committed."""

from __future__ import annotations

import pika
import pytest
from broker import fresh
from deliveries import bodies, enqueue, get, wait_until
from refusals import channel_refused


@pytest.fixture
def tx(connection):
    channel = connection.channel()
    channel.tx_select()
    return channel


def test_publish_counts_when_committed(tx, channel, queue):
    tx.basic_publish("", queue, b"1")
    tx.basic_publish("", queue, b"2")
    # A round trip of the channel, so that what it published has been handled.
    tx.queue_declare(queue, passive=True)
    assert get(channel, queue) is None
    tx.tx_commit()
    assert bodies(channel, queue) == [b"1", b"2"]


def test_rollback_forgets_publishes(tx, channel, queue):
    tx.basic_publish("", queue, b"forgotten")
    tx.tx_rollback()
    tx.tx_commit()
    assert get(channel, queue) is None
    tx.basic_publish("", queue, b"kept")
    tx.tx_commit()
    assert bodies(channel, queue) == [b"kept"]


def test_closing_the_channel_is_rolling_back(tx, channel, queue):
    tx.basic_publish("", queue, b"forgotten")
    tx.close()
    assert get(channel, queue) is None


def test_acks_count_when_committed(tx, channel, queue):
    enqueue(channel, queue, b"1", b"2", b"3")
    first, second = get(tx, queue, auto_ack=False), get(tx, queue, auto_ack=False)
    tx.basic_ack(first.tag)
    tx.tx_commit()
    tx.basic_ack(second.tag)
    tx.close()  # without a commit
    assert bodies(channel, queue) == [b"2", b"3"]


def test_rolled_back_acks_may_be_given_again(tx, channel, queue):
    enqueue(channel, queue, b"1")
    got = get(tx, queue, auto_ack=False)
    tx.basic_ack(got.tag)
    tx.tx_rollback()
    tx.basic_ack(got.tag)
    tx.tx_commit()
    tx.close()
    assert get(channel, queue) is None


def test_rejects_count_when_committed(tx, channel, queue):
    enqueue(channel, queue, b"1")
    tx.basic_reject(get(tx, queue, auto_ack=False).tag, requeue=True)
    tx.queue_declare(queue, passive=True)
    assert get(channel, queue) is None
    tx.tx_commit()
    assert bodies(channel, queue) == [b"1"]


def test_commit_of_nothing(tx):
    tx.tx_commit()
    tx.tx_rollback()
    tx.tx_commit()


def test_select_twice(tx, channel, queue):
    tx.tx_select()
    tx.basic_publish("", queue, b"x")
    tx.tx_commit()
    assert bodies(channel, queue) == [b"x"]


def test_mandatory_returns_on_commit(connection, tx):
    returned = []
    tx.add_on_return_callback(lambda *args: returned.append(args[1:]))
    key = fresh("key")
    tx.basic_publish("", key, b"x", mandatory=True)
    tx.tx_commit()
    wait_until(connection, lambda: returned != [], "the message comes back")
    assert (returned[0][0].reply_code, returned[0][0].routing_key, returned[0][2]) == (312, key, b"x")


def test_publish_to_an_exchange_that_is_not(broker, tx):
    name = fresh("exchange")
    with channel_refused(404, f"NOT_FOUND - no exchange '{name}' in vhost '{broker.vhost}'"):
        tx.basic_publish(name, "key", b"x")
        tx.tx_commit()


def test_unknown_delivery_tag(tx, queue):
    tx.basic_ack(9)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 9"):
        tx.tx_commit()


@pytest.mark.parametrize("method", ["tx_commit", "tx_rollback"])
def test_without_select(channel, method):
    with channel_refused(406, "PRECONDITION_FAILED - channel is not transactional"):
        getattr(channel, method)()


def test_confirms_after_tx(tx):
    with channel_refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
        tx.confirm_delivery()


def test_tx_after_confirms(channel):
    channel.confirm_delivery()
    with channel_refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
        channel.tx_select()


def test_big_transaction(tx, channel, queue):
    for number in range(1000):
        tx.basic_publish("", queue, str(number).encode(), pika.BasicProperties(delivery_mode=2))
    tx.tx_commit()
    assert bodies(channel, queue) == [str(number).encode() for number in range(1000)]
