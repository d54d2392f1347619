"""Hello world: one message through one queue.

Takes the broker's URL from AMQP_URL; without it, a broker on this machine."""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.queue_declare("example.hello", auto_delete=True)
    channel.basic_publish(exchange="", routing_key="example.hello", body=b"Hello, world!")

    # consume() hands out messages one after the other; we want only the first.
    for method, _properties, body in channel.consume("example.hello", inactivity_timeout=10):
        if method is None:
            raise SystemExit("nothing came within ten seconds")
        channel.basic_ack(method.delivery_tag)
        print(f"received {body.decode()!r}")
        break
    channel.cancel()
