"""Remote calls by direct reply-to: the answers need no queue.

The client consumes from the pseudo-queue amq.rabbitmq.reply-to and names it in reply_to; the broker
puts an address in its place that leads straight back to the client's channel."""

import os
import threading
import time
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
QUEUE = "example.rpc.square"
TIMEOUT_SECONDS = 10
REPLY_TO = "amq.rabbitmq.reply-to"


def serve(ready: threading.Event, stop: threading.Event) -> None:
    """Squares numbers until it is told to stop."""
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, exclusive=True)
        channel.basic_qos(prefetch_count=1)

        def on_request(channel, method, properties, body):
            answer = str(int(body) ** 2).encode()
            channel.basic_publish(
                "", properties.reply_to, answer, pika.BasicProperties(correlation_id=properties.correlation_id)
            )
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(QUEUE, on_request)
        ready.set()
        while not stop.is_set():
            connection.process_data_events(time_limit=0.1)


class Client:
    def __init__(self, connection: pika.BlockingConnection) -> None:
        self.connection = connection
        self.channel = connection.channel()
        self.answers: dict[str, bytes] = {}
        # Before the first request, on the same channel, and always with auto_ack.
        self.channel.basic_consume(REPLY_TO, self._on_answer, auto_ack=True)

    def _on_answer(self, _channel, _method, properties, body):
        self.answers[properties.correlation_id] = body

    def square(self, number: int) -> int:
        correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            "",
            QUEUE,
            str(number).encode(),
            pika.BasicProperties(
                reply_to=REPLY_TO, correlation_id=correlation_id, expiration=str(TIMEOUT_SECONDS * 1000)
            ),
        )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while correlation_id not in self.answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} s")
            self.connection.process_data_events(time_limit=1)
        return int(self.answers.pop(correlation_id))


ready, stop = threading.Event(), threading.Event()
server = threading.Thread(target=serve, args=(ready, stop), daemon=True)
server.start()
if not ready.wait(timeout=10):
    raise SystemExit("the server did not start")
with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    client = Client(connection)
    for number in (3, 12, 111):
        square = client.square(number)
        print(f"{number} squared is {square}")
        assert square == number * number
stop.set()
server.join(timeout=10)
