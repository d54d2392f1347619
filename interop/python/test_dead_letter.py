"""Dead-lettering: reasons, every header, routing keys, counts, cycles."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pika
import pytest
from broker import fresh
from deliveries import Inbox, bodies, enqueue, get, take, take_one, wait_ready
from refusals import channel_refused

X_DEATH = {"count", "exchange", "queue", "reason", "routing-keys", "time"}
# RabbitMQ has them since 3.13.
X_LAST_DEATH = {"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"}


def reject(channel, queue):
    """Gets the first message and rejects it."""
    got = get(channel, queue, auto_ack=False)
    channel.basic_reject(got.tag, requeue=False)
    return got


def recent(time):
    now = datetime.now(timezone.utc)
    return now - timedelta(minutes=5) < time < now + timedelta(minutes=5)


def deaths(message):
    """x-death as (queue, reason, count, exchange, routing keys), newest first."""
    return [
        (each["queue"], each["reason"], each["count"], each["exchange"], each["routing-keys"])
        for each in message.headers["x-death"]
    ]


@pytest.fixture
def dead(make_queue):
    """Where dead letters end."""
    return make_queue()


def test_rejected(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(message_id="one", headers={"mine": 1}))
    reject(channel, queue)
    message = take_one(channel, dead)
    assert message.body == b"x"
    assert (message.method.exchange, message.method.routing_key, message.method.redelivered) == ("", dead, False)
    assert message.properties.message_id == "one"
    assert message.headers.keys() - X_LAST_DEATH == {
        "mine",
        "x-death",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
    }
    assert message.headers["mine"] == 1
    assert message.headers["x-first-death-queue"] == queue
    assert message.headers["x-first-death-reason"] == "rejected"
    assert message.headers["x-first-death-exchange"] == ""
    if X_LAST_DEATH <= message.headers.keys():
        last = [message.headers[f"x-last-death-{what}"] for what in ("queue", "reason", "exchange")]
        assert last == [queue, "rejected", ""]
    (death,) = message.headers["x-death"]
    assert death.keys() == X_DEATH
    assert recent(death.pop("time"))
    assert death == {"count": 1, "exchange": "", "queue": queue, "reason": "rejected", "routing-keys": [queue]}


def test_nacked(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    for number in range(3):
        channel.basic_publish("", queue, str(number).encode())
    for _ in range(3):
        held = get(channel, queue, auto_ack=False)
    channel.basic_nack(held.tag, multiple=True, requeue=False)
    messages = take(channel, dead, 3)
    assert [each.body for each in messages] == [b"0", b"1", b"2"]
    assert [each.headers["x-first-death-reason"] for each in messages] == ["rejected"] * 3


def test_expired_by_the_queue(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead, x_message_ttl=1)
    channel.basic_publish("", queue, b"x")
    message = take_one(channel, dead)
    assert deaths(message) == [(queue, "expired", 1, "", [queue])]
    assert message.headers["x-first-death-reason"] == "expired"
    assert message.headers["x-death"][0].keys() == X_DEATH


def test_expired_by_the_message(channel, make_queue, dead):
    """The expiration goes, or it would expire again; what it was is kept."""
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(expiration="1"))
    message = take_one(channel, dead)
    assert message.properties.expiration is None
    assert deaths(message) == [(queue, "expired", 1, "", [queue])]
    assert message.headers["x-death"][0]["original-expiration"] == "1"
    assert message.headers["x-death"][0].keys() == X_DEATH | {"original-expiration"}


def test_rejected_with_an_expiration(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(expiration="60000"))
    reject(channel, queue)
    message = take_one(channel, dead)
    assert message.properties.expiration is None
    assert message.headers["x-death"][0]["original-expiration"] == "60000"


def test_maxlen_by_drop_head(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead, x_max_length=2)
    for number in range(5):
        channel.basic_publish("", queue, str(number).encode())
    messages = take(channel, dead, 3)
    assert [each.body for each in messages] == [b"0", b"1", b"2"]
    assert [deaths(each) for each in messages] == [[(queue, "maxlen", 1, "", [queue])]] * 3
    assert [each.headers["x-first-death-reason"] for each in messages] == ["maxlen"] * 3
    assert bodies(channel, queue) == [b"3", b"4"]


def test_maxlen_by_reject_publish_dlx(channel, make_queue, dead):
    queue = make_queue(
        x_dead_letter_exchange="", x_dead_letter_routing_key=dead, x_max_length=1, x_overflow="reject-publish-dlx"
    )
    channel.basic_publish("", queue, b"fits")
    channel.basic_publish("", queue, b"does not")
    message = take_one(channel, dead)
    assert message.body == b"does not"
    assert deaths(message) == [(queue, "maxlen", 1, "", [queue])]
    assert bodies(channel, queue) == [b"fits"]


def test_reject_publish_does_not_dead_letter(channel, make_queue, dead):
    queue = make_queue(
        x_dead_letter_exchange="", x_dead_letter_routing_key=dead, x_max_length=1, x_overflow="reject-publish"
    )
    channel.basic_publish("", queue, b"fits")
    channel.basic_publish("", queue, b"does not")
    reject(channel, queue)
    assert take_one(channel, dead).body == b"fits"
    assert get(channel, dead) is None


def test_routing_key_stays_if_none_is_set(channel, make_queue, make_exchange):
    dlx, exchange, dead = make_exchange("direct"), make_exchange("topic"), make_queue()
    queue = make_queue(x_dead_letter_exchange=dlx)
    channel.queue_bind(queue, exchange, "a.*")
    channel.queue_bind(dead, dlx, "a.b")
    channel.basic_publish(exchange, "a.b", b"x")
    reject(channel, queue)
    message = take_one(channel, dead)
    assert (message.method.exchange, message.method.routing_key) == (dlx, "a.b")
    assert deaths(message) == [(queue, "rejected", 1, exchange, ["a.b"])]
    assert message.headers["x-first-death-exchange"] == exchange


def test_cc_goes_when_a_routing_key_is_set(channel, make_queue, dead):
    """With a routing key of its own CC is taken out; x-death tells all the keys there were, BCC not."""
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    headers = {"CC": ["another"], "BCC": ["secret"]}
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers=headers))
    reject(channel, queue)
    message = take_one(channel, dead)
    assert "CC" not in message.headers and "BCC" not in message.headers
    assert deaths(message) == [(queue, "rejected", 1, "", [queue, "another"])]


def test_cc_is_followed_when_none_is_set(channel, make_queue, make_exchange):
    dlx, one, two = make_exchange("direct"), make_queue(), make_queue()
    queue = make_queue(x_dead_letter_exchange=dlx)
    channel.queue_bind(one, dlx, queue)
    channel.queue_bind(two, dlx, "another")
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers={"CC": ["another"]}))
    reject(channel, queue)
    assert deaths(take_one(channel, one)) == [(queue, "rejected", 1, "", [queue, "another"])]
    assert take_one(channel, two).headers["CC"] == ["another"]


def test_a_second_death_in_another_queue(channel, make_queue, dead):
    second = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    first = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=second, x_message_ttl=1)
    channel.basic_publish("", first, b"x")
    wait_ready(channel, second, 1)
    reject(channel, second)
    message = take_one(channel, dead)
    assert deaths(message) == [(second, "rejected", 1, "", [second]), (first, "expired", 1, "", [first])]
    assert message.headers["x-first-death-queue"] == first
    assert message.headers["x-first-death-reason"] == "expired"


def test_deaths_of_the_same_kind_are_counted(channel, make_queue):
    """A loop that somebody keeps alive by rejecting: retries with a counter."""
    wait, work = fresh("wait"), fresh("work")
    make_queue(wait, x_dead_letter_exchange="", x_dead_letter_routing_key=work, x_message_ttl=1)
    make_queue(work, x_dead_letter_exchange="", x_dead_letter_routing_key=wait)
    channel.basic_publish("", work, b"x")
    inbox = Inbox(channel, work)
    for attempt in range(1, 5):
        message = inbox.wait(attempt)[-1]
        if attempt > 1:
            expected = [
                (wait, "expired", attempt - 1, "", [wait]),
                (work, "rejected", attempt - 1, "", [work]),
            ]
            assert deaths(message) == expected
            assert message.headers["x-first-death-queue"] == work
            assert message.headers["x-first-death-reason"] == "rejected"
        channel.basic_reject(message.tag, requeue=False)


def test_same_queue_and_another_reason_is_another_entry(channel, make_queue, make_exchange):
    dlx, dead = make_exchange("fanout"), make_queue()
    queue = make_queue(x_dead_letter_exchange=dlx, x_message_ttl=60000)
    channel.queue_bind(dead, dlx)
    channel.basic_publish("", queue, b"x")
    reject(channel, queue)
    message = take_one(channel, dead)
    # Published again with the headers it came with, and expiring this time.
    properties = pika.BasicProperties(headers=message.headers, expiration="1")
    channel.basic_publish("", queue, b"x", properties)
    again = take_one(channel, dead)
    assert deaths(again) == [(queue, "expired", 1, "", [queue]), (queue, "rejected", 1, "", [queue])]
    assert again.headers["x-first-death-reason"] == "rejected"


def test_a_cycle_without_a_rejection_is_dropped(channel, make_queue, make_exchange):
    """Expired from one queue to the next and back again: nobody would ever stop it. Each way also
    leads to a queue that shows how often it was gone."""
    there, back = make_exchange("fanout"), make_exchange("fanout")
    one, two = (
        make_queue(x_dead_letter_exchange=there, x_message_ttl=1),
        make_queue(x_dead_letter_exchange=back, x_message_ttl=1),
    )
    went, returned = make_queue(), make_queue()
    for exchange, queues in ((there, (two, went)), (back, (one, returned))):
        for each in queues:
            channel.queue_bind(each, exchange)
    went_inbox, returned_inbox = Inbox(channel, went, auto_ack=True), Inbox(channel, returned, auto_ack=True)
    for count, body in enumerate([b"first", b"second", b"third"], 1):
        channel.basic_publish("", one, body)
        went_inbox.wait(count)
        returned_inbox.wait(count)
    assert went_inbox.bodies == returned_inbox.bodies == [b"first", b"second", b"third"]


def test_a_queue_that_dead_letters_into_itself(channel, make_queue):
    """maxlen into itself is a cycle, so what is too much is dropped."""
    name = fresh("queue")
    make_queue(name, x_dead_letter_exchange="", x_max_length=1)
    enqueue(channel, name, b"1", b"2")
    wait_ready(channel, name, 1)
    assert bodies(channel, name) == [b"2"]


def test_rejected_into_itself_stays(channel, make_queue):
    name = fresh("queue")
    make_queue(name, x_dead_letter_exchange="")
    inbox = Inbox(channel, name)
    channel.basic_publish("", name, b"x")
    assert inbox.wait(1)[0].headers == {}
    for count in range(1, 4):
        channel.basic_reject(inbox.received[-1].tag, requeue=False)
        message = inbox.wait(count + 1)[-1]
        assert deaths(message) == [(name, "rejected", count, "", [name])]


def test_exchange_that_is_not_there(channel, make_queue):
    queue = make_queue(x_dead_letter_exchange=fresh("exchange"))
    channel.basic_publish("", queue, b"1")
    channel.basic_publish("", queue, b"2")
    reject(channel, queue)
    assert bodies(channel, queue) == [b"2"]


def test_exchange_that_comes_later(channel, make_queue, names, dead):
    exchange = names.exchange()
    queue = make_queue(x_dead_letter_exchange=exchange)
    channel.exchange_declare(exchange, "fanout")
    channel.queue_bind(dead, exchange)
    channel.basic_publish("", queue, b"x")
    reject(channel, queue)
    assert take_one(channel, dead).body == b"x"


def test_alternate_exchange_of_the_dead_letter_exchange(channel, make_queue, make_exchange, dead):
    alternate = make_exchange("fanout")
    dlx = make_exchange("direct", arguments={"alternate-exchange": alternate})
    queue = make_queue(x_dead_letter_exchange=dlx)
    channel.queue_bind(dead, alternate)
    channel.basic_publish("", queue, b"x")
    reject(channel, queue)
    assert take_one(channel, dead).method.exchange == dlx


def test_internal_dead_letter_exchange(channel, make_queue, make_exchange, dead):
    dlx = make_exchange("fanout", internal=True)
    channel.queue_bind(dead, dlx)
    queue = make_queue(x_dead_letter_exchange=dlx)
    channel.basic_publish("", queue, b"x")
    reject(channel, queue)
    assert take_one(channel, dead).body == b"x"


def test_fanned_out(channel, make_queue, make_exchange):
    dlx, ends = make_exchange("fanout"), [make_queue() for _ in range(3)]
    for each in ends:
        channel.queue_bind(each, dlx)
    queue = make_queue(x_dead_letter_exchange=dlx)
    channel.basic_publish("", queue, b"x" * 200_000)
    reject(channel, queue)
    assert [take_one(channel, each).body for each in ends] == [b"x" * 200_000] * 3


def test_dead_letters_are_limited_by_their_queue(channel, make_queue):
    last = make_queue()
    dead = make_queue(x_max_length=2, x_dead_letter_exchange="", x_dead_letter_routing_key=last)
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    enqueue(channel, queue, b"0", b"1", b"2", b"3")
    for _ in range(4):
        reject(channel, queue)
    dropped = take(channel, last, 2)
    assert [each.body for each in dropped] == [b"0", b"1"]
    assert deaths(dropped[0]) == [(dead, "maxlen", 1, "", [dead]), (queue, "rejected", 1, "", [queue])]
    assert bodies(channel, dead) == [b"2", b"3"]


def test_purge_and_delete_dead_letter_nothing(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    enqueue(channel, queue, b"purged")
    channel.queue_purge(queue)
    enqueue(channel, queue, b"deleted")
    channel.queue_delete(queue)
    probe = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", probe, b"rejected")
    reject(channel, probe)
    assert take_one(channel, dead).body == b"rejected"
    assert get(channel, dead) is None


def test_unacked_messages_do_not_expire(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead, x_message_ttl=50)
    inbox = Inbox(channel, queue)
    channel.basic_publish("", queue, b"held")
    held = inbox.wait(1)[0]
    inbox.cancel()
    channel.basic_publish("", queue, b"waiting")
    assert take_one(channel, dead).body == b"waiting"
    # It was taken before its time was up; put back, it is too old.
    channel.basic_nack(held.tag)
    assert take_one(channel, dead).body == b"held"


def test_redelivered_is_forgotten(channel, make_queue, dead):
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x")
    channel.basic_nack(get(channel, queue, auto_ack=False).tag)
    again = reject(channel, queue)
    assert again.method.redelivered is True
    assert take_one(channel, dead).method.redelivered is False


def test_headers_that_a_client_made_up(channel, make_queue, dead):
    """x-death that is no list of tables does no harm."""
    queue = make_queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers={"x-death": [], "x-first-death-queue": "me"}))
    reject(channel, queue)
    assert deaths(take_one(channel, dead)) == [(queue, "rejected", 1, "", [queue])]


def test_equivalence(broker, channel, names):
    name = names.queue()
    channel.queue_declare(name, arguments={"x-dead-letter-exchange": "a"})
    with channel_refused(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue '{name}' in vhost "
        f"'{broker.vhost}': received 'b' but current is 'a'",
    ):
        channel.queue_declare(name, arguments={"x-dead-letter-exchange": "b"})
