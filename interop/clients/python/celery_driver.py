"""The Celery driver: an application, a worker process of its own, and what clients do with them.

In come AMQP_URL and FEATURES from the environment (see ../README.md), out go JSON lines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WAIT_SECONDS = 30

os.environ["CELERY_URL"] = os.environ["AMQP_URL"]
os.environ["CELERY_QUEUE"] = f"fleet-celery-{os.getpid()}"
sys.path.insert(0, str(HERE))

from celery import chain, group, states  # noqa: E402
from celery_application import add, app, fail, note, survives, third_time, total, wait_for  # noqa: E402
from place import Place, Skipped  # noqa: E402


class Works:
    """The folder, the workers and what they may be asked."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-celery-"))
        self.place = Place(client=None)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.files = 0

    def worker(self) -> str:
        """Starts a worker of one process, waits until it answers, and gives its name."""
        name = f"worker{len(self.workers)}@{os.getpid()}"
        command = [sys.executable, "-m", "celery", "-A", "celery_application", "worker", "-n", name, "-c", "1", "-E"]
        self.workers.append(
            subprocess.Popen([*command, "--loglevel=INFO"], cwd=HERE, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        )
        until(lambda: app.control.ping(destination=[name], timeout=0.5), f"{name} answers")
        return name

    def file(self) -> Path:
        self.files += 1
        return self.folder / str(self.files)

    def end(self) -> None:
        """The workers, and what would stay in the broker."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(app.conf.task_default_queue)


def until(there: Callable[[], Any], what: str) -> Any:
    """Asks again and again until something is there."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (it := there()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
    return it


def inspected(what: str) -> list[Any]:
    """What the workers answer."""
    return list((getattr(app.control.inspect(timeout=0.5), what)() or {}).values())


def task(works: Works) -> None:
    assert add.delay(2, 3).get(timeout=WAIT_SECONDS) == 5
    many = [add.delay(i, i) for i in range(50)]
    assert [each.get(timeout=WAIT_SECONDS) for each in many] == [2 * i for i in range(50)]


def task_failure(works: Works) -> None:
    result = fail.delay("so it is")
    try:
        result.get(timeout=WAIT_SECONDS)
    except ValueError as error:
        assert str(error) == "so it is"
    else:
        raise AssertionError("no exception")
    assert result.state == states.FAILURE


def retry(works: Works) -> None:
    assert third_time.delay().get(timeout=WAIT_SECONDS) == 2


def countdown(works: Works) -> None:
    asked = time.time()
    result = add.apply_async((1, 1), countdown=1)
    assert result.get(timeout=WAIT_SECONDS) == 2
    assert time.time() - asked >= 1


def canvas(works: Works) -> str:
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=WAIT_SECONDS) == 10
    results = group(add.s(i, i) for i in range(10))()
    assert results.get(timeout=WAIT_SECONDS) == [2 * i for i in range(10)]
    return "chords need another result backend than RPC"


def revoke(works: Works) -> None:
    blocked, noted = works.file(), works.file()
    waiting = wait_for.delay(str(blocked))
    revoked = note.delay(str(noted), "revoked")
    revoked.revoke()
    until(lambda: any(revoked.id in ids for ids in inspected("revoked")), "the worker knows of it")
    blocked.touch()
    waiting.get(timeout=WAIT_SECONDS)
    assert add.delay(1, 1).get(timeout=WAIT_SECONDS) == 2
    assert not noted.exists()


def control(works: Works) -> None:
    (pong,) = app.control.ping(timeout=5, limit=1)
    (name,) = pong
    assert pong[name] == {"ok": "pong"}
    inspect = app.control.inspect(destination=[name], limit=1, timeout=5)
    assert "celery_application.add" in inspect.registered()[name]
    assert inspect.stats()[name]["broker"]["transport"] == "amqp"
    (queue,) = inspect.active_queues()[name]
    assert queue["name"] == app.conf.task_default_queue


def events(works: Works) -> None:
    seen: list[str] = []
    ready, done = threading.Event(), threading.Event()

    def note_event(event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            seen.append(event["type"])
            if event["type"] == "task-succeeded":
                done.set()
                receiver.should_stop = True

    connection = app.connection_for_read()
    receiver = app.events.Receiver(connection, handlers={"*": note_event})
    receiver.on_consume_ready = lambda *_, **__: ready.set()  # type: ignore[method-assign]
    listening = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=WAIT_SECONDS), daemon=True)
    listening.start()
    assert ready.wait(WAIT_SECONDS)
    add.delay(1, 1)
    assert done.wait(WAIT_SECONDS), seen
    assert [kind for kind in seen if kind != "task-sent"] == ["task-received", "task-started", "task-succeeded"], seen


def priorities(works: Works) -> None:
    blocked, order = works.file(), works.file()
    waiting = wait_for.delay(str(blocked))
    until(lambda: any(inspected("active")), "the worker is occupied")
    # One more is prefetched by the occupied worker; it runs first whatever its priority.
    results = [note.apply_async((str(order), "prefetched"), priority=0)]
    until(lambda: any(inspected("reserved")), "one is prefetched")
    for priority in (1, 9, 5, 9, 3):
        results.append(note.apply_async((str(order), str(priority)), priority=priority))
    blocked.touch()
    for result in results:
        result.get(timeout=WAIT_SECONDS)
    assert order.read_text().split() == ["prefetched", "9", "9", "5", "3", "1"], order.read_text()


def acks_late(works: Works) -> None:
    running = works.file()
    result = survives.delay(str(running))
    until(running.exists, "the task runs")
    # The worker and the process that runs the task, at once, as a machine's end would.
    worker = works.workers[-1]
    (stats,) = inspected("stats")
    for pid in [worker.pid, *stats["pool"]["processes"]]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    works.worker()
    assert result.get(timeout=WAIT_SECONDS) is True


def worker_restart(works: Works) -> None:
    assert add.delay(1, 2).get(timeout=WAIT_SECONDS) == 3
    works.place.ask("kill")
    noted = works.file()
    # The RPC backend's queue of results went with the broker: a file tells that the task ran.
    until(lambda: accepted(noted), "the broker takes a task")
    until(noted.exists, "the worker is back")


def accepted(noted: Path) -> bool:
    try:
        note.delay(str(noted), "back")
        return True
    except Exception:
        return False


def main() -> None:
    works = Works()
    try:
        works.worker()
        for feature in os.environ["FEATURES"].split(","):
            print(json.dumps({"feature": feature, **outcome(works, feature)}), flush=True)
    finally:
        works.end()


def outcome(works: Works, feature: str) -> dict[str, str]:
    try:
        return {"result": "ok", "text": globals()[feature.replace("-", "_")](works) or ""}
    except Skipped as why:
        return {"result": "skip", "text": str(why)}
    except Exception as error:
        traceback.print_exc()
        return {"result": "fail", "text": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
