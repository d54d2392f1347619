"""TLS: the server's certificate, client certificates optional and demanded, versions."""

from __future__ import annotations

import ssl

import pika
import pika.exceptions
import pytest
from deliveries import get


@pytest.fixture
def amqps(broker):
    if not broker.amqps_url:
        pytest.skip("no --amqps-url")
    return broker.amqps_url


@pytest.fixture
def amqps_required(broker):
    if not broker.amqps_required_url:
        pytest.skip("no --amqps-required-url")
    return broker.amqps_required_url


def daily_work(broker, url, context):
    """Publishes and gets something bigger than one TLS record."""
    with pika.BlockingConnection(broker.tls_parameters(url, context)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        body = bytes(range(256)) * 1024
        channel.basic_publish("", queue, body, mandatory=True)
        assert get(channel, queue).body == body


def refused(broker, url, context):
    with pytest.raises((pika.exceptions.AMQPConnectionError, ssl.SSLError, ConnectionError)):
        pika.BlockingConnection(broker.tls_parameters(url, context))


def test_without_a_client_certificate(broker, amqps):
    daily_work(broker, amqps, broker.tls_context())


def test_with_a_client_certificate(broker, amqps):
    daily_work(broker, amqps, broker.tls_context("client"))


def test_a_stranger_is_refused_where_certificates_are_optional(broker, amqps):
    refused(broker, amqps, broker.tls_context("stranger"))


def test_required_with_a_client_certificate(broker, amqps_required):
    daily_work(broker, amqps_required, broker.tls_context("client"))


def test_required_without_a_client_certificate(broker, amqps_required):
    refused(broker, amqps_required, broker.tls_context())


def test_required_with_a_stranger(broker, amqps_required):
    refused(broker, amqps_required, broker.tls_context("stranger"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_version(broker, amqps, version):
    context = broker.tls_context()
    context.minimum_version = context.maximum_version = version
    daily_work(broker, amqps, context)


def test_a_client_that_does_not_trust_the_ca(broker, amqps):
    refused(broker, amqps, ssl.create_default_context())


def test_wrong_password_over_tls(broker, amqps):
    parameters = broker.tls_parameters(amqps, broker.tls_context())
    parameters.credentials = pika.PlainCredentials(broker.user, "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        pika.BlockingConnection(parameters)
    assert "ACCESS_REFUSED" in str(caught.value)
