"""The Python drivers: `driver.py CLIENT` runs scenarios with that client and prints a line for each.

In come the broker's URLs and FEATURES from the environment (see ../README.md), out go JSON lines.
`driver.py CLIENT frozen QUEUE` is the client that will stand still.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import traceback

import scenarios
from place import Place, Skipped

CLIENTS = {
    "pika": "client_pika",
    "aio-pika": "client_aio_pika",
    "py-amqp": "client_py_amqp",
    "kombu": "client_kombu",
}


def main() -> None:
    client = importlib.import_module(CLIENTS[sys.argv[1]]).Client()
    place = Place(client)
    if sys.argv[2:3] == ["frozen"]:
        stand_still(place, sys.argv[3])
    for feature in os.environ["FEATURES"].split(","):
        print(json.dumps({"feature": feature, **outcome(place, feature)}), flush=True)


def outcome(place: Place, feature: str) -> dict[str, str]:
    """Runs one scenario."""
    try:
        text = getattr(scenarios, feature.replace("-", "_"))(place)
        return {"result": "ok", "text": text or ""}
    except Skipped as why:
        return {"result": "skip", "text": str(why)}
    except Exception as error:
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)
        line = next((f"{at.filename.rsplit('/')[-1]}:{at.lineno}" for at in where if "scenarios" in at.filename), "")
        return {"result": "fail", "text": f"{line} {type(error).__name__}: {error}"}
    finally:
        place.tidy()


def stand_still(place: Place, queue: str) -> None:
    """Holds a message of the queue, unacked, on a connection that will beat no more: the one who
    started us stops this process."""
    channel = place.connect(heartbeat=1).channel()
    channel.consume(queue)
    channel.next()
    print(json.dumps({"ready": queue}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # threads of clients that the broker was killed under would keep us
