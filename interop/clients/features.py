"""What a client has to be able to do with a broker: the one description that all drivers share.

A driver (a program in its client's language) is told names from here in FEATURES and prints one line
for each; README.md beside this file says how. The texts are the rows of docs/clients.md and what the
drivers' functions of the same names do.
"""

from __future__ import annotations

FEATURES = {
    "connect": "connects by URI; a wrong password and an unknown vhost are refused with RabbitMQ's texts",
    "tls": "the same through TLS; a server whose certificate nobody vouches for is not accepted",
    "mutual-tls": "shows a client certificate where one is demanded; is refused without",
    "topology": "exchanges of all four types, queues, bindings between them, unbind, delete; 404 and 406 in RabbitMQ's words",
    "confirms": "every one of 200 messages is confirmed, each once",
    "confirm-nack": "a full queue with reject-publish nacks",
    "returns": "an unroutable mandatory message comes back with 312 NO_ROUTE, then is confirmed",
    "consume": "20 messages come in order, are acked, and are gone",
    "requeue": "nack and reject with requeue bring a message back as redelivered, without requeue end it",
    "prefetch": "no more than three unacked of ten, one more for each ack",
    "dead-letter": "x-death and x-first-death headers after a reject and after an expiry",
    "cancel": "the consumer is told when its queue is deleted",
    "bodies": "0 and 1 bytes; exactly a frame of 4, 8 and 128 KiB, and one byte more",
    "body-64-mib": "a body of 64 MiB",
    "headers": "header values of every type that the client can write come back as they were",
    "unicode": "names, routing keys, header names and values, and bodies beyond ASCII",
    "channels": "1,000 channels on one connection, all in use, all closed again",
    "heartbeat": "an idle connection with heartbeats of two seconds stays open for seven",
    "frozen": "a client that stands still is cut off, and what it had not acked goes to another",
    "killed": "the broker is killed and started again: the client goes on, nothing confirmed is lost",
    "closed": "the broker closes the connection with 320 CONNECTION_FORCED: the client goes on",
}
"""By name, in the order in which they run."""

CELERY_FEATURES = {
    "task": "a task runs, its result comes back through the RPC backend",
    "task-failure": "an exception of a task comes back as its result",
    "retry": "a task that retries with a countdown succeeds at its third try",
    "countdown": "a task with a countdown does not run before",
    "canvas": "a chain and a group of tasks, with all their results",
    "revoke": "a revoked task does not run, by the broadcast of remote control",
    "control": "ping, inspection and statistics by remote control",
    "events": "the events of a task's life arrive in order",
    "priorities": "waiting tasks run by their priority",
    "acks-late": "a task whose worker is killed runs again in another",
    "worker-restart": "the broker is killed and started again: worker and client go on",
}
"""What an application made with Celery does, by name, in order."""

RESTARTING = {"killed", "closed", "worker-restart"}
"""Those that end the broker and have it started again."""
