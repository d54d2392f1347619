"""Knows whether the machine had time for us: of whoever was kept waiting for seconds nothing can be said
that hangs on time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

TICK_SECONDS = 0.1
LATE_SECONDS = 1.0
"""A tick that is so late was kept waiting; half of the shortest heartbeat that any feature has."""

BUSY_SHARE = 0.5
"""The share of the time in which somebody waited for a processor, past which everybody may have."""

PRESSURE = Path("/proc/pressure/cpu")
"""Linux's own account of that; not there on other systems, nor on every Linux."""


class Stalls:
    """Counts from its making on."""

    def __init__(self) -> None:
        self.latest, self.ticked = 0.0, time.monotonic()
        self.since, self.waited = time.monotonic(), _waited_seconds()
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.latest = max(self.latest, now - self.ticked)
            self.ticked = now

    def since_last(self) -> str:
        """How the machine stalled since this was asked before; empty if it did not."""
        now, waited = time.monotonic(), _waited_seconds()
        share = (waited - self.waited) / max(now - self.since, TICK_SECONDS)
        # The tick that is due may come after us.
        late, self.latest = max(self.latest, now - self.ticked), 0.0
        self.since, self.waited = now, waited
        if late >= LATE_SECONDS:
            return f"the machine stood still for {late:.1f} s"
        return f"the machine was busy {share:.0%} of the time" if share >= BUSY_SHARE else ""


def _waited_seconds() -> float:
    """For how long, so far, anybody waited for a processor."""
    try:
        some = PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
