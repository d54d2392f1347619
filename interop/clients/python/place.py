"""Where a scenario runs: a client, a broker's URLs, fresh names, and whoever can restart the broker.

`Delivery`, `Refused` and `Skipped` are what the scenarios and the clients' adapters speak of.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any

WAIT_SECONDS = 20
"""How long anything that must come is waited for."""


class Skipped(Exception):
    """The client or the broker at hand cannot do it; the text says why."""


class Refused(Exception):
    """The broker's channel.close or connection.close."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


class NotThere(Exception):
    """What was waited for did not come in time."""


@dataclass
class Delivery:
    """A message, however it came."""

    body: bytes
    headers: dict[str, Any]
    redelivered: bool
    exchange: str
    routing_key: str
    properties: dict[str, Any] = field(default_factory=dict)
    tag: Any = None


class Place:
    """Opens connections and hands out names for one scenario after the other."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.url = os.environ["AMQP_URL"]
        self.certs = os.environ.get("CERTS", "")
        self.opened: list[Any] = []
        self.made = 0

    def connect(self, url: str | None = None, **more: Any) -> Any:
        self.opened.append(self.client.connect(url or self.url, **more))
        return self.opened[-1]

    def name(self, what: str) -> str:
        self.made += 1
        return f"fleet-{what}-{os.getpid()}-{self.made}"

    def tls_url(self, variable: str) -> str:
        url = os.environ.get(variable)
        if not url:
            raise Skipped(f"no {variable}")
        return url

    def ask(self, what: str) -> None:
        """Has the broker killed or stopped and started again, or a second client frozen."""
        if not os.environ.get("FLEET_ASKS"):
            raise Skipped("nobody here who can restart the broker or freeze a client")
        print(json.dumps({"ask": what}), flush=True)
        answer = sys.stdin.readline().strip()
        if answer != "done":
            raise Skipped(answer or "nobody answered")

    def tidy(self) -> None:
        """Closes what the scenario left open, whatever state it is in."""
        for connection in self.opened:
            try:
                connection.close()
            except Exception:
                pass  # it was the scenario's business to fail
        self.opened.clear()
