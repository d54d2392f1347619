"""Connecting: handshake, login, vhosts, tuning, heartbeats, closing."""

from __future__ import annotations

import socket

import pika
import pika.credentials
import pika.data
import pika.exceptions
import pytest
from broker import DEADLINE_SECONDS
from deliveries import get, wait_until
from refusals import connection_refused

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. "
    "For details see the broker logfile."
)  # fmt: skip


def server_properties(connection):
    return connection._impl.server_properties


def test_server_properties(connection):
    properties = server_properties(connection)
    assert {"product", "version", "platform", "copyright", "information", "cluster_name"} <= properties.keys()
    assert all(isinstance(properties[key], str) for key in ("product", "version", "platform"))


@pytest.mark.parametrize(
    "capability",
    [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ],
)
def test_capability(connection, capability):
    assert server_properties(connection)["capabilities"][capability] is True


def test_locale_and_mechanisms(broker):
    with socket.create_connection((broker.parameters().host, broker.parameters().port), DEADLINE_SECONDS) as raw:
        raw.sendall(b"AMQP\x00\x00\x09\x01")
        stream = raw.makefile("rb")
        kind, channel, size = stream.read(1), stream.read(2), int.from_bytes(stream.read(4), "big")
        payload = stream.read(size)
        assert (kind, channel, stream.read(1)) == (b"\x01", b"\x00\x00", b"\xce")
        assert payload[:6] == b"\x00\x0a\x00\x0a\x00\x09"
        _, offset = pika.data.decode_table(payload, 6)
        length = int.from_bytes(payload[offset : offset + 4], "big")
        mechanisms = payload[offset + 4 : offset + 4 + length].split()
        assert {b"PLAIN", b"AMQPLAIN"} <= set(mechanisms)
        assert payload[offset + 4 + length :] == b"\x00\x00\x00\x05en_US"


def test_wrong_protocol_header_is_answered_with_ours(broker):
    with socket.create_connection((broker.parameters().host, broker.parameters().port), DEADLINE_SECONDS) as raw:
        raw.sendall(b"AMQP\x00\x00\x08\x00")
        stream = raw.makefile("rb")
        assert stream.read(8) == b"AMQP\x00\x00\x09\x01"
        try:
            assert stream.read() == b""
        except ConnectionResetError:
            pass  # closed all the same


def test_wrong_password(broker):
    credentials = pika.PlainCredentials(broker.user, "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        broker.connect(credentials=credentials)
    assert LOGIN_REFUSED.format("PLAIN") in str(caught.value)
    assert "403" in str(caught.value)


def test_unknown_user(broker):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        broker.connect(credentials=pika.PlainCredentials("nobody-of-that-name", "guest"))
    assert LOGIN_REFUSED.format("PLAIN") in str(caught.value)


class AmqPlain(pika.PlainCredentials):
    """AMQPLAIN, which pika does not have: a table in place of NUL-separated strings."""

    TYPE = "AMQPLAIN"

    def response_for(self, _start):
        pieces = []
        pika.data.encode_table(pieces, {"LOGIN": self.username, "PASSWORD": self.password})
        return "AMQPLAIN", b"".join(pieces)[4:]


@pytest.fixture
def amqplain(monkeypatch):
    monkeypatch.setattr(pika.credentials, "VALID_TYPES", [*pika.credentials.VALID_TYPES, AmqPlain])


def test_amqplain(broker, connect, amqplain):
    given = broker.parameters().credentials
    assert connect(credentials=AmqPlain(given.username, given.password)).is_open


def test_amqplain_wrong_password(broker, amqplain):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        broker.connect(credentials=AmqPlain(broker.user, "wrong"))
    assert LOGIN_REFUSED.format("AMQPLAIN") in str(caught.value)


class Unheard(pika.PlainCredentials):
    TYPE = "UNHEARD"

    def response_for(self, _start):
        return "UNHEARD", b"x"


def test_unknown_mechanism(broker, monkeypatch):
    monkeypatch.setattr(pika.credentials, "VALID_TYPES", [*pika.credentials.VALID_TYPES, Unheard])
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        broker.connect(credentials=Unheard("guest", "guest"))


def test_wrong_vhost(broker):
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as caught:
        broker.connect(virtual_host="no-such-vhost")
    assert "530" in str(caught.value)
    assert "NOT_ALLOWED - vhost no-such-vhost not found" in str(caught.value)


def test_frame_max_is_negotiated_down(connect):
    connection = connect(frame_max=4096)
    assert connection._impl.params.frame_max == 4096
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = bytes(range(256)) * 200
    channel.basic_publish("", queue, body)
    assert get(channel, queue).body == body


def test_frame_max_offered(connection):
    assert connection._impl.params.frame_max == 131072


def test_channel_max_is_negotiated_down(connect):
    connection = connect(channel_max=3)
    for _ in range(3):
        connection.channel()
    with pytest.raises(pika.exceptions.NoFreeChannels):
        connection.channel()


def test_channel_max_offered(connection):
    assert connection._impl.params.channel_max == 2047


def test_more_channels_than_the_negotiated_maximum(connect):
    connection = connect(channel_max=3)
    connection._impl.params._channel_max = 9  # so that pika lets us try
    for _ in range(3):
        connection.channel()
    with connection_refused(
        530, "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)"
    ):
        connection.channel()


def test_heartbeat_offered(connect):
    offered = []
    connect(heartbeat=lambda _connection, server: offered.append(server) or server)
    assert offered == [60]


def test_heartbeats_keep_an_idle_connection_open(connect):
    connection = connect(heartbeat=1)
    assert connection._impl.params.heartbeat == 1
    # Idle for longer than two intervals: whichever side sent none would be cut off by the other.
    connection.process_data_events(time_limit=3)
    channel = connection.channel()
    assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_heartbeat_of_nought_turns_them_off(connect):
    connection = connect(heartbeat=0)
    assert connection._impl.params.heartbeat == 0
    assert connection.channel().is_open


def test_a_client_without_heartbeats_is_cut_off(connect, monkeypatch):
    monkeypatch.setattr(pika.connection.Connection, "_create_heartbeat_checker", lambda _self: None)
    connection = connect(heartbeat=1)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        wait_until(connection, lambda: connection.is_closed, "the broker closes the connection")
        connection.process_data_events()


def test_close_and_connect_again(connect):
    for _ in range(3):
        connection = connect()
        connection.channel()
        connection.close(200, "done")
        assert connection.is_closed


def test_connections_are_independent(connect):
    first, second = connect(), connect()
    channel = second.channel()
    first.close()
    assert channel.queue_declare("", exclusive=True).method.consumer_count == 0


def test_client_properties_may_hold_anything(connect):
    properties = {
        "connection_name": "interop ünïcode",
        "nested": {"list": [1, "two", {"three": 3}], "none": None, "flag": True},
    }
    assert connect(client_properties=properties).is_open


def test_update_secret(connection, channel):
    connection.update_secret("a new secret", "it was time")
    assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_exclusive_queues_go_with_their_connection(connect, other_channel):
    connection = connect()
    queue = connection.channel().queue_declare("", exclusive=True).method.queue
    connection.close()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        other_channel.queue_declare(queue, passive=True)
    assert caught.value.reply_code == 404


def test_method_of_a_channel_that_is_not_open(connection):
    channel = pika.channel.Channel(connection._impl, 9, lambda _channel: None)
    connection._impl._channels[9] = channel
    channel._send_method(pika.spec.Basic.Qos(prefetch_count=1))
    with connection_refused(504, "CHANNEL_ERROR - expected 'channel.open'"):
        wait_until(connection, lambda: connection.is_closed, "closed")
        connection.process_data_events()


def test_a_second_open_of_a_channel(connection, channel):
    channel._impl._send_method(pika.spec.Channel.Open())
    with connection_refused(504, "CHANNEL_ERROR - second 'channel.open' seen"):
        wait_until(connection, lambda: connection.is_closed, "closed")
        connection.process_data_events()
