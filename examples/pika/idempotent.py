"""An idempotent consumer: what comes twice is done once.

At-least-once delivery means that a message may come again: a publisher that lost the connection before
the confirm sends it again, a consumer that lost it before the ack gets it again. So the publisher gives
every message an id of its own, and the consumer remembers which ids it has dealt with. Here it remembers
in a dictionary with a limit; in earnest it is a table with a unique key, written in the same
transaction as the work itself."""

import os
from collections import OrderedDict

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
REMEMBERED = 10_000


class Seen:
    """The last ids, the oldest forgotten first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, message_id: str) -> bool:
        if message_id in self.ids:
            return False
        self.ids[message_id] = None
        if len(self.ids) > self.limit:
            self.ids.popitem(last=False)
        return True


with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue

    # A publisher that was not sure about payments 2 and 4 and sent them again.
    for number in (1, 2, 3, 2, 4, 5, 4):
        properties = pika.BasicProperties(message_id=f"payment-{number}")
        channel.basic_publish("", queue, f"{number} EUR".encode(), properties, mandatory=True)

    seen, balance, passed_over, deliveries = Seen(REMEMBERED), 0, 0, 0
    for method, properties, body in channel.consume(queue, inactivity_timeout=10):
        if method is None:
            raise SystemExit("nothing came within ten seconds")
        deliveries += 1
        if deliveries == 1:
            # A consumer that fell over before it did anything: the message comes again, redelivered.
            channel.basic_nack(method.delivery_tag, requeue=True)
            continue
        if seen.is_new(properties.message_id):
            balance += int(body.split()[0])
            if deliveries == 3:
                # And one that fell over after the work and before the ack: only the id saves us here.
                channel.basic_nack(method.delivery_tag, requeue=True)
                continue
        else:
            passed_over += 1
        channel.basic_ack(method.delivery_tag)
        if deliveries == 9:
            break
    channel.cancel()

print(f"{deliveries} deliveries of 5 payments, {passed_over} passed over, balance {balance} EUR")
assert (balance, passed_over) == (15, 3)
