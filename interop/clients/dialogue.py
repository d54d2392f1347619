"""Runs one driver and hears what it has to say: a line for each feature, and what it asks for.

A driver that falls silent or ends early fails at the feature where it did; the others are run by
starting it again. So drivers need no time-outs of their own.

What fails while the machine has no time for anybody (a heartbeat is missed then by whoever was kept
waiting) says nothing of client or broker: it is run again, and fails for good after the third time.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brokers import ROOT, Broker
from clients.features import RESTARTING
from clients.stalls import Stalls

SILENCE_SECONDS = 90
"""Longer than any feature takes, a RabbitMQ's restart included."""

TRIES = 3
"""How often a feature is tried, if it fails while the machine is busy elsewhere."""

MACHINE = Stalls()

MOST_SAID = 500
"""Characters of a driver's remark that are kept."""


@dataclass
class Outcome:
    """What became of one feature: "ok", "skip" or "fail", and the driver's remark."""

    result: str
    text: str = ""


class Driver:
    """A running driver."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.command, self.environment, self.log = command, environment, log
        self.frozen: list[Driver] = []
        self.finished = False
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def next(self) -> dict[str, str] | None:
        """The next line that is one of ours; nothing once the driver ended or fell silent."""
        while True:
            try:
                line = self.lines.get(timeout=SILENCE_SECONDS)
            except queue.Empty:
                return None
            if line is None:
                return None
            try:
                said = json.loads(line)
            except ValueError:
                said = None
            if isinstance(said, dict):
                return said

    def answer(self, text: str) -> None:
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended; next() will tell

    def freeze(self, queue_name: str) -> str:
        """Starts a second one that holds a message, and stops it in its tracks."""
        other = Driver([*self.command, "frozen", queue_name], self.environment, self.log)
        self.frozen.append(other)
        if other.next() != {"ready": queue_name}:
            return "the client that should stand still did not start"
        os.killpg(other.process.pid, signal.SIGSTOP)
        return "done"

    def end(self) -> None:
        for each in [*self.frozen, self]:
            try:
                os.killpg(each.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            each.process.wait()


def run(
    command: list[str],
    broker: Broker | None,
    environment: dict[str, str],
    features: list[str],
    log: Path,
    told: Callable[[str, Outcome], None],
) -> None:
    """Runs all the features, calling `told` for each. Without a broker nothing can be restarted."""
    left, tries = list(features), dict.fromkeys(features, 0)
    if not broker:
        for feature in [each for each in features if each in RESTARTING]:
            left.remove(feature)
            told(feature, Outcome("skip", "nobody here who can restart the broker"))

    def done(outcome: Outcome) -> None:
        """What became of the first of those that are left."""
        feature = left.pop(0)
        tries[feature] += 1
        stalled = MACHINE.since_last()
        if outcome.result == "fail" and stalled and tries[feature] < TRIES:
            print(f"{feature} ... {stalled}, again: {outcome.text}", flush=True)
            left.append(feature)
        else:
            told(feature, outcome)

    while left:
        driver = Driver(command, {**environment, "FLEET_ASKS": "1", "FEATURES": ",".join(left)}, log)
        try:
            _listen(driver, broker, list(left), done)
        finally:
            driver.end()
        if left and not driver.finished:
            done(Outcome("fail", f"the driver ended or fell silent (exit code {driver.process.poll()})"))


def _listen(
    driver: Driver, broker: Broker | None, given: list[str], done: Callable[[Outcome], None]
) -> None:
    """Until the driver has said what became of all that it was given, or has fallen silent."""
    for feature in given:
        while True:
            said = driver.next()
            if said is None:
                return
            asked = said.get("ask", "").split(" ")
            if asked[0] in ("kill", "stop") and broker:
                broker.restart(kill=asked[0] == "kill")
                driver.answer("done")
            elif asked[0] == "freeze":
                driver.answer(driver.freeze(asked[1]))
            elif "ask" in said:
                driver.answer(f"no such wish: {said['ask']}")
            elif said.get("feature") == feature:
                text = " ".join(said.get("text", "").split())
                done(Outcome(said["result"], text[:MOST_SAID]))
                break
    driver.finished = True
