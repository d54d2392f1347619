"""The broker under test: where it is, how to connect, and how a test names what it makes there."""

from __future__ import annotations

import os
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

# Long enough for a slow machine; only a test that fails ever waits so long.
DEADLINE_SECONDS = 20


@dataclass(frozen=True)
class Broker:
    """URLs of one broker. The TLS ones may be missing; then what needs them is skipped."""

    amqp_url: str
    amqps_url: str | None
    amqps_required_url: str | None
    certs: Path

    @property
    def vhost(self) -> str:
        return pika.URLParameters(self.amqp_url).virtual_host

    @property
    def user(self) -> str:
        return pika.URLParameters(self.amqp_url).credentials.username

    def parameters(self, **changes: Any) -> pika.URLParameters:
        """Connection parameters, with some of pika's settings changed."""
        parameters = pika.URLParameters(self.amqp_url)
        parameters.socket_timeout = DEADLINE_SECONDS
        parameters.blocked_connection_timeout = DEADLINE_SECONDS
        for name, value in changes.items():
            assert hasattr(parameters, name), name
            setattr(parameters, name, value)
        return parameters

    def tls_parameters(self, url: str, context: ssl.SSLContext) -> pika.URLParameters:
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = DEADLINE_SECONDS
        parameters.ssl_options = pika.SSLOptions(context, parameters.host)
        return parameters

    def tls_context(self, certificate: str | None = None) -> ssl.SSLContext:
        """Trusts the development CA and, if named, shows that client certificate."""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        if certificate:
            context.load_cert_chain(self.certs / f"{certificate}.pem", self.certs / f"{certificate}.key")
        return context

    def connect(self, **changes: Any) -> pika.BlockingConnection:
        return pika.BlockingConnection(self.parameters(**changes))


def from_environment(option: dict[str, str | None]) -> Broker:
    """Command line first, then environment, then a broker on the usual port."""

    def value(name: str, variable: str) -> str | None:
        return option.get(name) or os.environ.get(variable) or None

    here = Path(__file__).resolve().parent
    return Broker(
        amqp_url=value("amqp_url", "AMQP_URL") or "amqp://guest:guest@127.0.0.1:5672/%2F",
        amqps_url=value("amqps_url", "AMQPS_URL"),
        amqps_required_url=value("amqps_required_url", "AMQPS_REQUIRED_URL"),
        certs=Path(value("certs", "CERTS") or here.parent.parent / "certs" / "out"),
    )


def fresh(kind: str) -> str:
    """A name that nobody else uses."""
    return f"interop.{kind}.{uuid.uuid4().hex[:12]}"
