"""A work queue: tasks that survive a restart, shared by workers that each take one at a time.

A task is acked when it is done; if a worker dies before that, another gets the task."""

import os
import threading

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
QUEUE = "example.tasks"
TASKS = 20

done: dict[str, list[str]] = {"worker 1": [], "worker 2": []}
lock = threading.Lock()
all_done = threading.Event()


def worker(name: str, ready: threading.Barrier) -> None:
    """pika connections belong to one thread, so each worker has its own."""
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        # At most one task in hand: the next goes to whoever is free.
        channel.basic_qos(prefetch_count=1)

        def on_task(channel, method, _properties, body):
            with lock:
                done[name].append(body.decode())
                if sum(map(len, done.values())) == TASKS:
                    all_done.set()
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(QUEUE, on_task)
        ready.wait()
        while not all_done.is_set():
            connection.process_data_events(time_limit=0.1)
        channel.close()


with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True)
    channel.queue_purge(QUEUE)

    ready = threading.Barrier(3)
    workers = [threading.Thread(target=worker, args=(name, ready), daemon=True) for name in done]
    for each in workers:
        each.start()
    ready.wait(timeout=10)

    channel.confirm_delivery()
    for number in range(TASKS):
        channel.basic_publish(
            exchange="",
            routing_key=QUEUE,
            body=f"task {number}".encode(),
            properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
            mandatory=True,
        )
    if not all_done.wait(timeout=30):
        raise SystemExit(f"only {done} done within 30 seconds")
    for each in workers:
        each.join(timeout=10)
    channel.queue_delete(QUEUE)

finished = sorted(done["worker 1"] + done["worker 2"])
assert finished == sorted(f"task {number}" for number in range(TASKS)), finished
print(f"{TASKS} tasks done, {len(done['worker 1'])} by worker 1 and {len(done['worker 2'])} by worker 2")
