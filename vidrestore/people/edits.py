"""``people.toml``: who is who and how each person is restored, as the user has written it, read strictly."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vidrestore.errors import ConfigError
from vidrestore.people.statements import Complaint, Statement, statements_of
from vidrestore.types import Span

HEADER: Final = "[[person]]"
MADE_FOR: Final = "made_for"
"""The one key outside the sections: which analysis the file is of."""
_SOURCE: Final = re.compile(r"pts -?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One ``[[person]]`` of the file."""

    name: str
    tracks: tuple[int, ...]
    enabled: bool = True
    strength: float = 1.0
    span: Span = field(default_factory=Span)
    pin: tuple[str, ...] = ()
    """Sources of candidates such as ``pts 1234``, and paths of photographs."""
    exclude: tuple[str, ...] = ()
    """Sources of candidates."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each key stands, counted from 1; the header under ``[[person]]``."""

    def line(self, key: str) -> int:
        """Where ``key`` stands, or else the header."""
        return self.lines.get(key, self.lines.get(HEADER, 1))


@dataclass(frozen=True, slots=True)
class Edits:
    """All that the file says."""

    people: tuple[Person, ...]
    where: str
    """The file, as errors name it."""

    def complaint(self, line: int, message: str) -> ConfigError:
        return _complaint_of(self.where)(line, message)


def is_source(name: str) -> bool:
    """Whether ``name`` means a picture of the video, such as ``pts 1234``, and not a photograph."""
    return _SOURCE.fullmatch(name) is not None


def sections_of(text: str, complaint: Complaint) -> list[tuple[Statement, list[Statement]]]:
    """Each ``[[person]]`` with its keys, in their order."""
    sections: list[tuple[Statement, list[Statement]]] = []
    for statement in statements_of(text, complaint):
        if statement.is_header:
            if not re.match(r"\[\[\s*person\s*\]\]", statement.key):
                raise complaint(statement.line, f"unknown section {statement.key}; each person begins with {HEADER}")
            sections.append((statement, []))
        elif sections:
            sections[-1][1].append(statement)
        elif statement.key != MADE_FOR:
            raise complaint(statement.line, f"{statement.key!r} belongs to nobody; put it below a {HEADER}")
    return sections


def read(text: str, where: str) -> Edits:
    """What ``text``, the content of the file ``where``, says.

    Raises:
        ConfigError: it is no TOML, a key is unknown, missing or given twice, a value of a wrong type or out of range,
            or two people share a name or a track. It names the line.
    """
    complaint = _complaint_of(where)
    people = tuple(_person(header, keys, complaint) for header, keys in sections_of(text, complaint))
    names: dict[str, Person] = {}
    owners: dict[int, Person] = {}
    for person in people:
        if person.name in names:
            first = names[person.name].line("name")
            raise complaint(
                person.line("name"), f"name {person.name!r} is taken in line {first}; give each person its own"
            )
        names[person.name] = person
        for number in person.tracks:
            if number in owners:
                other = owners[number]
                message = (
                    f"track {number} is also in line {other.line('tracks')}, of {other.name!r}; put it into one list"
                )
                raise complaint(person.line("tracks"), message)
            owners[number] = person
    return Edits(people, where)


def _complaint_of(where: str) -> Complaint:
    return lambda line, message: ConfigError(f"{where}, line {line}: {message}")


def _person(header: Statement, keys: Sequence[Statement], complaint: Complaint) -> Person:
    lines = {HEADER: header.line}
    for statement in keys:
        if statement.key not in _ALLOWED:
            raise complaint(statement.line, f"unknown key {statement.key!r}; allowed: {', '.join(_ALLOWED)}")
        if statement.key in lines:
            raise complaint(
                statement.line, f"{statement.key!r} is already in line {lines[statement.key]}; give it once"
            )
        _check(statement, complaint)
        lines[statement.key] = statement.line
    values = {statement.key: statement.value for statement in keys}
    for key in ("name", "tracks"):
        if key not in values:
            raise complaint(header.line, f"this person has no {key!r}; add one below")
    twice = set(values.get("pin", ())) & set(values.get("exclude", ()))
    if twice:
        raise complaint(lines["exclude"], f"{twice.pop()!r} is both pinned and excluded; choose one")
    start, stop = float(values.get("restore_from", 0.0)), values.get("restore_to")
    if stop is not None and stop <= start:
        line = lines["restore_to"]
        raise complaint(line, f"restore_to is {stop} and restore_from {start}; restore_to must be the later one")
    return Person(
        name=values["name"],
        tracks=tuple(values["tracks"]),
        enabled=values.get("enabled", True),
        strength=float(values.get("strength", 1.0)),
        span=Span(start, None if stop is None else float(stop)),
        pin=tuple(values.get("pin", ())),
        exclude=tuple(values.get("exclude", ())),
        lines=lines,
    )


def _check(statement: Statement, complaint: Complaint) -> None:
    """Complain about a value of a wrong type or out of range."""
    is_allowed, allowed = _ALLOWED[statement.key]
    if not is_allowed(statement.value):
        raise complaint(statement.line, f"{statement.key} is {statement.value!r}, allowed: {allowed}")


def _is_list(value: Any, kind: type) -> bool:
    """Whether ``value`` is a list of ``kind`` without repetition."""
    return isinstance(value, list) and all(type(item) is kind for item in value) and len(set(value)) == len(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_ALLOWED: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (
        lambda value: isinstance(value, str) and value.strip() != "" and value.isprintable(),
        "a text in one line that is not empty",
    ),
    "tracks": (
        lambda value: _is_list(value, int) and len(value) > 0,
        "a list of track numbers, at least one and each once, such as [0, 3]",
    ),
    "enabled": (lambda value: isinstance(value, bool), "true or false"),
    "strength": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "restore_from": (lambda value: _is_number(value) and value >= 0, "seconds, 0 or more"),
    "restore_to": (lambda value: _is_number(value) and value > 0, "seconds, above 0"),
    "pin": (
        lambda value: _is_list(value, str) and all(name.strip() for name in value),
        'a list of pictures and photographs, each once, such as ["pts 512", "photos/ada.jpg"]',
    ),
    "exclude": (
        lambda value: _is_list(value, str) and all(map(is_source, value)),
        'a list of pictures, each once, such as ["pts 512"]',
    ),
}
"""Each key's test and what it allows, in the order of the file."""
