"""Reads Erlang sources as far as it takes to know which texts are in them: string literals, where they
stand, and the terms of errors. Adjacent literals are one, as the compiler has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<blank>\s+|%[^\n]*)
      | (?P<character>\$(?:\\\^?.|[^\\]))
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<quoted>'(?:[^'\\]|\\.)*')
      | (?P<word>[A-Za-z_@][\w@]*)
      | (?P<number>\d[\w\#]*(?:\.\d+)?)
      | (?P<sign><<|>>|->|=>|:=|\+\+|\|\||::|.)""",
    re.DOTALL | re.VERBOSE,
)
_OPEN, _CLOSE = {"(", "[", "{", "<<"}, {")", "]", "}", ">>"}
_KEYWORDS = {"after", "begin", "case", "catch", "fun", "if", "of", "receive", "try", "when"}


class Token(NamedTuple):
    kind: str
    text: str
    line: int


class Found(NamedTuple):
    """A text in a function, and the calls whose argument it is, the outermost first."""

    text: str
    function: str
    line: int
    calls: list[str]
    binary: bool


def functions(source: str) -> Iterator[tuple[str, list[Token]]]:
    """Name and tokens of each function; attributes (types, macros, exports) are left out."""
    form: list[Token] = []
    for token in _tokens(source):
        form.append(token)
        if token.text == "." and token.kind == "sign":
            if form[0].kind in ("word", "quoted"):
                yield form[0].text, form
            form = []


def strings(source: str) -> Iterator[Found]:
    """Every string literal of every function."""
    for name, form in functions(source):
        around: list[str] = []
        at = 0
        while at < len(form):
            token = form[at]
            if token.text in _OPEN and token.kind == "sign":
                around.append(_callee(form, at) if token.text == "(" else token.text)
            elif token.text in _CLOSE and token.kind == "sign" and around:
                around.pop()
            elif token.kind == "string":
                text, at = _joined(form, at)
                calls = [call for call in around if call and call not in _OPEN]
                yield Found(text, name, token.line, calls, around[-1:] == ["<<"])
            at += 1


def errors(source: str) -> Iterator[Found]:
    """Every term that is made as `{error, term}`, but for plain variables and what is matched against."""
    for name, form in functions(source):
        for at in range(len(form) - 3):
            if [token.text for token in form[at : at + 3]] != ["{", "error", ","]:
                continue
            depth, end = 0, at + 3
            while depth or form[end].text not in _CLOSE:
                depth += (form[end].text in _OPEN) - (form[end].text in _CLOSE)
                end += 1
            term = "".join(token.text for token in form[at + 3 : end])
            matched = form[end + 1].text in ("->", "=", "when")
            if not matched and not re.fullmatch(r"[A-Z_]\w*", term):
                yield Found(term, name, form[at].line, [], False)


def _tokens(source: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "blank":
            yield Token(match.lastgroup or "", match.group(), line)
        line += match.group().count("\n")


def _callee(form: list[Token], at: int) -> str:
    """What is called with the parenthesis at this place: `module:function`, `function`, `?MACRO`, or nothing."""
    start = at
    while start and (
        form[start - 1].kind in ("word", "quoted")
        and form[start - 1].text not in _KEYWORDS
        or form[start - 1].text in (":", "?")
    ):
        start -= 1
    return "".join(token.text for token in form[start:at])


def _joined(form: list[Token], at: int) -> tuple[str, int]:
    """The literal here with those that follow it at once or by `++`, and the place of the last one."""
    text = form[at].text[1:-1]
    while True:
        step = 2 if form[at + 1].text == "++" else 1
        if form[at + step].kind != "string":
            return text.replace('\\"', '"'), at
        at += step
        text += form[at].text[1:-1]
