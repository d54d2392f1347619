"""Publisher confirms: know what became of every message.

With confirm_delivery() a publish returns when the broker has taken charge of the message, and raises
when it has not: UnroutableError if no queue wanted it, NackError if a queue refused it."""

import os

import pika
import pika.exceptions

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)

with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    # Room for three, and the publisher is told when it is full.
    arguments = {"x-max-length": 3, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.confirm_delivery()

    outcomes = []
    for number in range(5):
        try:
            channel.basic_publish("", queue, f"order {number}".encode(), PERSISTENT, mandatory=True)
            outcomes.append("confirmed")
        except pika.exceptions.NackError:
            outcomes.append("refused")
    try:
        channel.basic_publish("", "no.such.queue", b"order 5", PERSISTENT, mandatory=True)
        outcomes.append("confirmed")
    except pika.exceptions.UnroutableError as error:
        returned = error.messages[0].method
        outcomes.append(f"returned ({returned.reply_code} {returned.reply_text})")

for number, outcome in enumerate(outcomes):
    print(f"order {number}: {outcome}")
assert outcomes == ["confirmed"] * 3 + ["refused"] * 2 + ["returned (312 NO_ROUTE)"]
