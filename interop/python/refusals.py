"""What a broker refuses, with the code and the text it gives."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Iterator

import pika.exceptions
import pytest


@contextmanager
def _refused(kind: type, code: int, text: str | re.Pattern[str]) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    if isinstance(text, str):
        assert (caught.value.reply_code, caught.value.reply_text) == (code, text)
    else:
        assert caught.value.reply_code == code
        assert text.fullmatch(caught.value.reply_text), caught.value.reply_text


def channel_refused(code: int, text: str | re.Pattern[str]):
    """The broker closes the channel with that code and exactly that text."""
    return _refused(pika.exceptions.ChannelClosedByBroker, code, text)


def connection_refused(code: int, text: str | re.Pattern[str]):
    """The broker closes the connection with that code and exactly that text."""
    return _refused(pika.exceptions.ConnectionClosedByBroker, code, text)
