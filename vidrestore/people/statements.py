"""A TOML text as its statements, each with its place, so that errors name lines and edits leave all else as it is.

``tomllib`` tells values but not where they stand. But a statement (a header, or a key and its value) is the shortest
run of lines that is TOML by itself: no TOML value can be cut at the end of a line and still be one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidrestore.errors import ConfigError

Complaint = Callable[[int, str], ConfigError]
"""Makes the error for a line, counted from 1, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A header such as ``[[person]]``, where ``value`` is None, or a key and its value."""

    first: int
    """Its first line, counted from 0."""
    last: int
    """Its last line, itself included."""
    key: str
    value: Any

    @property
    def is_header(self) -> bool:
        return self.value is None

    @property
    def line(self) -> int:
        """The first line as people count."""
        return self.first + 1


def statements_of(text: str, complaint: Complaint) -> list[Statement]:
    """The statements of ``text`` in their order; raises what ``complaint`` makes where one is no TOML."""
    lines = text.split("\n")
    found: list[Statement] = []
    first = 0
    while first < len(lines):
        statement = _statement_at(lines, first, complaint)
        if statement is None:
            first += 1
        else:
            found.append(statement)
            first = statement.last + 1
    return found


def _statement_at(lines: Sequence[str], first: int, complaint: Complaint) -> Statement | None:
    """The statement that begins in line ``first``; None where there is but a comment or nothing."""
    is_header = lines[first].lstrip().startswith("[")
    for last in range(first, first + 1 if is_header else len(lines)):
        try:
            content = tomllib.loads("\n".join(lines[first : last + 1]))
        except tomllib.TOMLDecodeError:
            continue
        if not content:
            return None
        ((key, value),) = content.items()
        return Statement(first, last, lines[first].strip() if is_header else key, None if is_header else value)
    raise complaint(first + 1, f"{lines[first].strip()!r} is no TOML: {_reason(lines[first])}")


def _reason(line: str) -> str:
    """What ``tomllib`` has against a line, without the place, which it counts from this line on."""
    try:
        tomllib.loads(line)
    except tomllib.TOMLDecodeError as error:
        return str(error).partition(" (at ")[0].lower()
    return "it has no end"


def literal(value: str | bool | float | Sequence[str] | Sequence[int]) -> str:
    """``value`` as TOML; of its values, all that this package writes are spelled as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def with_value(text: str, statement: Statement, value: str) -> str:
    """``text`` with another value, a literal, in ``statement``; its comments stay."""
    lines = text.split("\n")
    *inner, trailing = _comments(lines[statement.first : statement.last + 1])
    start = lines[statement.first]
    indent = start[: len(start) - len(start.lstrip())]
    changed = f"{indent}{statement.key} = {value}" + (f"  {trailing}" if trailing else "")
    lines[statement.first : statement.last + 1] = [*(indent + comment for comment in inner if comment), changed]
    return "\n".join(lines)


def without(text: str, statements: Sequence[Statement]) -> str:
    """``text`` without ``statements``; their comments stay, each as a line of its own."""
    lines = text.split("\n")
    for statement in sorted(statements, key=lambda statement: -statement.first):
        comments = _comments(lines[statement.first : statement.last + 1])
        lines[statement.first : statement.last + 1] = [comment for comment in comments if comment]
    return "\n".join(lines)


def with_lines(text: str, after: Statement, added: Sequence[str]) -> str:
    """``text`` with lines ``added`` behind the statement ``after``."""
    lines = text.split("\n")
    lines[after.last + 1 : after.last + 1] = added
    return "\n".join(lines)


def _comments(lines: Sequence[str]) -> list[str]:
    """The comment of each line of a statement, empty where it has none.

    A ``#`` begins a comment, and is not inside a string, where the statement means the same without what follows it.
    """
    content = tomllib.loads("\n".join(lines))
    found = []
    for number, line in enumerate(lines):
        comment = ""
        for place in (place for place, letter in enumerate(line) if letter == "#"):
            shorter = [*lines[:number], line[:place], *lines[number + 1 :]]
            if _means(shorter, content):
                comment = line[place:].rstrip()
                break
        found.append(comment)
    return found


def _means(lines: Sequence[str], content: dict[str, Any]) -> bool:
    try:
        return tomllib.loads("\n".join(lines)) == content
    except tomllib.TOMLDecodeError:
        return False
