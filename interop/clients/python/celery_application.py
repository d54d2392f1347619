"""The Celery application that celery_driver.py works with: what its workers run."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.app.task import Task

app = Celery("fleet", broker=os.environ.get("CELERY_URL"), backend="rpc://")
app.conf.update(
    task_default_queue=os.environ.get("CELERY_QUEUE", "fleet-celery"),
    task_queue_max_priority=10,
    task_default_priority=5,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_send_sent_event=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
)


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(bind=True, max_retries=5)
def third_time(self: Task) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.3)
    return self.request.retries


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def note(path: str, text: str) -> None:
    """Leaves a line in a file, so that the order in which tasks ran can be seen."""
    with open(path, "a") as file:
        file.write(text + "\n")


@app.task
def wait_for(path: str) -> None:
    """Occupies a worker until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.02)


@app.task(bind=True, acks_late=True)
def survives(self: Task, path: str) -> bool:
    """The first time it says that it runs and waits to be killed; the second time it is done."""
    if self.request.delivery_info.get("redelivered"):
        return True
    open(path, "w").close()
    wait_for(path + ".never")
    return False
