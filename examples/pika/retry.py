"""Retries with growing pauses, made of dead-lettering and TTL alone.

A job that fails is put into a waiting queue. When its time there is up it is dead-lettered back to
the jobs. Each pause has a queue of its own, because messages expire at a queue's head. After the last
pause the job is rejected and ends in the queue of failed jobs, where somebody can look at it."""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
JOBS, FAILED = "example.jobs", "example.jobs.failed"
PAUSES_MS = [50, 100, 200]  # in earnest rather seconds and minutes


def waiting(pause_ms: int) -> str:
    return f"example.jobs.wait-{pause_ms}-ms"


def attempts(properties: pika.BasicProperties) -> int:
    """How often the job has waited already: the broker counts it in x-death."""
    deaths = (properties.headers or {}).get("x-death", [])
    return sum(death["count"] for death in deaths if death["reason"] == "expired")


with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(FAILED, auto_delete=True)
    # What is rejected goes to FAILED.
    channel.queue_declare(
        JOBS, exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": FAILED}
    )
    # What has waited goes back to JOBS.
    for pause_ms in PAUSES_MS:
        channel.queue_declare(
            waiting(pause_ms),
            exclusive=True,
            arguments={
                "x-message-ttl": pause_ms,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": JOBS,
            },
        )

    history = []

    def on_job(channel, method, properties, body):
        attempt = attempts(properties)
        works = body == b"works at the third attempt" and attempt == 2
        history.append((body, attempt, works))
        if works:
            print(f"{body.decode()}: done at attempt {attempt + 1}")
            channel.basic_ack(method.delivery_tag)
        elif attempt < len(PAUSES_MS):
            print(f"{body.decode()}: failed, again in {PAUSES_MS[attempt]} ms")
            # First the copy, confirmed, then the ack: if we die in between, the job is there twice,
            # never lost.
            channel.basic_publish("", waiting(PAUSES_MS[attempt]), body, properties, mandatory=True)
            channel.basic_ack(method.delivery_tag)
        else:
            print(f"{body.decode()}: failed for good")
            channel.basic_reject(method.delivery_tag, requeue=False)

    given_up = []
    channel.basic_consume(JOBS, on_job)
    channel.basic_consume(FAILED, lambda *delivery: given_up.append(delivery), auto_ack=True)
    channel.basic_publish("", JOBS, b"works at the third attempt", mandatory=True)
    channel.basic_publish("", JOBS, b"never works", mandatory=True)

    while not given_up:
        connection.process_data_events(time_limit=10)

_channel, _method, properties, body = given_up[0]
print(f"given up: {body.decode()}, after {attempts(properties)} pauses")
assert [works for body, _, works in history if body.startswith(b"works")] == [False, False, True]
assert [attempt for body, attempt, _ in history if body.startswith(b"never")] == [0, 1, 2, 3]
