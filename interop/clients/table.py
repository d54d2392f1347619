"""What came out, as a table of features and clients: for the terminal, as docs/clients.md, and as the
summary in the README."""

from __future__ import annotations

from clients.dialogue import Outcome
from clients.features import CELERY_FEATURES, FEATURES

Results = dict[str, dict[str, dict[str, Outcome]]]
"""Outcome by client, broker and feature."""

MARKS = {"ok": "yes", "skip": "–", "fail": "**no**"}

HEAD = """# Clients

What real clients do with RabbitMQ and with Warren, each taken through the same features in its own
language. Made by `interop/fleet --write`; how: [interop/README.md](../interop/README.md).

"yes" is said once where {brokers} agree. "–" is what the client has not got; the remarks say why.
"""

CELERY = """Celery is no library for AMQP but a framework upon one, kombu, whose row is above: an application of it never
sees a channel, a confirm or a header. So it has features of its own: what such an application does, with a
worker in a process of its own.

"""


def markdown(results: Results, versions: dict[str, str], brokers: list[str]) -> str:
    """The whole page."""
    parts = [HEAD.format(brokers=" and ".join(brokers))]
    sections = (("Libraries", FEATURES, ""), ("An application made with Celery", CELERY_FEATURES, CELERY))
    for title, features, about in sections:
        clients = [name for name, outcomes in results.items() if _knows(outcomes, features)]
        if clients:
            meanings = [f"- **{feature}**: {what}." for feature, what in features.items()]
            parts.append(f"## {title}\n\n{about}{_table(results, clients, features, versions)}")
            parts.append("\n".join(["The rows:", "", *meanings, ""]))
            parts.append("\n".join(["Remarks:", "", _notes(results, clients)]))
    return "\n".join(parts)


def _knows(outcomes: dict[str, dict[str, Outcome]], features: dict[str, str]) -> bool:
    return any(feature in features for of_broker in outcomes.values() for feature in of_broker)


def _table(results: Results, clients: list[str], features: dict[str, str], versions: dict[str, str]) -> str:
    heads = [f"{name}<br>{versions.get(name, '')}" for name in clients]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(clients)}"]
    for feature in features:
        cells = [_cell(results[name], feature) for name in clients]
        lines.append(f"| {feature} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(outcomes: dict[str, dict[str, Outcome]], feature: str) -> str:
    """One word if all brokers agree, otherwise one for each."""
    marks = {broker: MARKS[of[feature].result] if feature in of else "" for broker, of in outcomes.items()}
    if len(set(marks.values())) <= 1:
        return next(iter(marks.values()), "")
    return ", ".join(f"{broker}: {mark}" for broker, mark in marks.items())


def _notes(results: Results, clients: list[str]) -> str:
    lines = []
    for name in clients:
        remarks: dict[str, list[str]] = {}
        for broker, of_broker in results[name].items():
            for feature, outcome in of_broker.items():
                if outcome.text:
                    where = f" ({broker})" if outcome.result == "fail" else ""
                    remarks.setdefault(outcome.text + where, [])
                    if feature not in remarks[outcome.text + where]:
                        remarks[outcome.text + where].append(feature)
        if remarks:
            said = "; ".join(f"{', '.join(features)}: {text}" for text, features in remarks.items())
            lines.append(f"- {name}: {said}.")
    return "\n".join(lines or ["- none."]) + "\n"


def summary(results: Results, versions: dict[str, str], languages: dict[str, str], brokers: list[str]) -> str:
    """A row for each client: how many of the features there are for it, and how many it has with each broker."""
    lines = [f"| client | {' | '.join(brokers)} | what it has not got |", f"| --- |{' --- |' * (len(brokers) + 1)}"]
    for name, outcomes in results.items():
        cells, lacks = [], []
        for broker in brokers:
            of_broker = outcomes.get(broker, {})
            passed = sum(outcome.result == "ok" for outcome in of_broker.values())
            skipped = [feature for feature, outcome in of_broker.items() if outcome.result == "skip"]
            cells.append(f"{passed} of {len(of_broker) - len(skipped)}")
            lacks += [feature for feature in skipped if feature not in lacks]
        who = f"{name} {versions.get(name, '')} ({languages[name]})"
        lines.append(f"| {who} | {' | '.join(cells)} | {', '.join(lacks)} |")
    return "\n".join(lines) + "\n"


def terminal(results: Results, brokers: list[str]) -> str:
    """A line for each client and broker: the sums, and what failed."""
    lines = []
    for name, outcomes in results.items():
        for broker in brokers:
            of_broker = outcomes.get(broker, {})
            counts = {kind: sum(o.result == kind for o in of_broker.values()) for kind in ("ok", "skip", "fail")}
            failed = ", ".join(feature for feature, outcome in of_broker.items() if outcome.result == "fail")
            lines.append(
                f"{name:24} {broker:9} {counts['ok']:3} ok {counts['skip']:3} skipped {counts['fail']:3} failed  {failed}"
            )
    return "\n".join(lines)
