"""The edits that commands make in the text of ``people.toml``, each as small as it can be: comments stay.

They say what a name or a number that they were given is wrong about; what the changed text means as a whole is for
``edits.read`` and ``application.apply`` to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vidrestore.errors import ConfigError
from vidrestore.people.application import source_of
from vidrestore.people.edits import HEADER, Edits, Person, read, sections_of
from vidrestore.people.statements import Statement, literal, with_lines, with_value, without
from vidrestore.types import Analysis

_LISTS = ("tracks", "pin", "exclude")


class Edit(Protocol):
    """Changes the text."""

    def __call__(self, text: str, where: str, found: Analysis) -> str:
        """The changed ``text`` of the file ``where``, which is about the people of ``found``.

        Raises:
            ConfigError: the text is wrong, or the edit does not fit it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """Give a person other values; all else of the person stays."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """By key; None takes the key away."""
    added: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By key: what is put into a list."""
    removed: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By key: what is taken from a list, where it must be."""

    def __call__(self, text: str, where: str, found: Analysis) -> str:  # noqa: ARG002
        person = _person(read(text, where), self.name)
        lists: dict[str, Any] = {}
        for key in dict.fromkeys((*self.added, *self.removed)):
            present, removed = getattr(person, key), self.removed.get(key, ())
            for item in removed:
                if item not in present:
                    raise ConfigError(f"{item!r} is not in {key} of {self.name!r}; there are: {_listed(present)}")
            united = dict.fromkeys((*present, *self.added.get(key, ())))
            lists[key] = tuple(item for item in united if item not in removed)
        return _with_values(text, where, self.name, {**self.values, **lists})


@dataclass(frozen=True, slots=True)
class Merge:
    """Give a person the tracks, pins and exclusions of others, who go; all else of the person stays."""

    name: str
    others: tuple[str, ...]

    def __call__(self, text: str, where: str, found: Analysis) -> str:  # noqa: ARG002
        edits = read(text, where)
        kept = _person(edits, self.name)
        gone = [_person(edits, other) for other in dict.fromkeys(self.others)]
        if kept in gone:
            raise ConfigError(f"{self.name!r} cannot be merged with itself; name other people")
        united = {
            key: tuple(dict.fromkeys(item for person in (kept, *gone) for item in getattr(person, key)))
            for key in _LISTS
        }
        united["exclude"] = tuple(item for item in united["exclude"] if item not in united["pin"])
        for person in gone:
            text = without(text, _section(text, where, person.name))
        return _with_values(text, where, self.name, united)


@dataclass(frozen=True, slots=True)
class Split:
    """Take tracks from a person for a new one, who is restored in the same way."""

    name: str
    tracks: tuple[int, ...]
    new_name: str | None = None
    """By default the first free ``person N``."""

    def __call__(self, text: str, where: str, found: Analysis) -> str:
        edits = read(text, where)
        person, taken = _person(edits, self.name), {other.name for other in edits.people}
        foreign = [number for number in self.tracks if number not in person.tracks]
        if foreign:
            raise ConfigError(
                f"{self.name!r} has no track {_listed(foreign)} to split off; there are: {_listed(person.tracks)}"
            )
        if set(self.tracks) == set(person.tracks):
            raise ConfigError(f"{self.name!r} has no track but these; to give all of them another name, use rename")
        if self.new_name in taken:
            raise ConfigError(f"there is a person {self.new_name!r} already; choose another name with --as")
        new_name = self.new_name or next(free for n in range(1, 2**31) if (free := f"person {n}") not in taken)
        theirs = {source_of(candidate) for candidate in found.candidates if candidate.track_id in self.tracks}
        moved = {
            "tracks": tuple(dict.fromkeys(self.tracks)),
            "pin": tuple(item for item in person.pin if item in theirs),
            "exclude": tuple(item for item in person.exclude if item in theirs),
        }
        left = {key: tuple(item for item in getattr(person, key) if item not in moved[key]) for key in _LISTS}
        text = _with_values(text, where, self.name, left)
        _, *keys = _section(text, where, self.name)
        copied = {statement.key: statement.value for statement in keys} | {"name": new_name, **moved}
        lines = [f"{key} = {literal(value)}" for key, value in copied.items()]
        return with_lines(text, keys[-1], ["", HEADER, *lines])


def _person(edits: Edits, name: str) -> Person:
    for person in edits.people:
        if person.name == name:
            return person
    raise ConfigError(f"no person is called {name!r}; there are: {_listed([person.name for person in edits.people])}")


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items)) or "none"


def _section(text: str, where: str, name: str) -> list[Statement]:
    """The header and the keys of ``name``, who is there."""
    sections = sections_of(text, Edits((), where).complaint)
    return next(
        [header, *keys]
        for header, keys in sections
        if any(statement.key == "name" and statement.value == name for statement in keys)
    )


def _with_values(text: str, where: str, name: str, values: Mapping[str, Any]) -> str:
    """The text with other ``values`` for ``name``; what is as it was is not touched, and an empty list not added."""
    for key, value in values.items():
        _, *keys = _section(text, where, name)
        present = next((statement for statement in keys if statement.key == key), None)
        if present is None:
            if value not in (None, ()):
                text = with_lines(text, keys[-1], [f"{key} = {literal(value)}"])
        elif value is None:
            text = without(text, [present])
        elif literal(present.value) != literal(value):
            text = with_value(text, present, literal(value))
        name = str(value) if key == "name" else name
    return text
