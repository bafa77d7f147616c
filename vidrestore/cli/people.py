"""``vidrestore people``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vidrestore.cli.options import DONE, UNPREFIXED, Output
from vidrestore.config import load_settings
from vidrestore.errors import ConfigError
from vidrestore.terminal import printable

if TYPE_CHECKING:
    from vidrestore.people import Edit

Action = Literal["list", "merge", "split", "rename", "enable", "disable", "set"]
_USAGE: dict[str, tuple[int, int | None, str]] = {
    "list": (0, 0, "people list IN"),
    "merge": (2, None, "people merge IN NAME OTHER..."),
    "split": (2, None, "people split IN NAME TRACK... [--as NEWNAME]"),
    "rename": (2, 2, "people rename IN OLD NEW"),
    "enable": (1, None, "people enable IN NAME..."),
    "disable": (1, None, "people disable IN NAME..."),
    "set": (1, 1, "people set IN NAME --strength 0.5 ..."),
}
"""How many arguments each action takes after IN, from and to, and how it is used."""
_Repeated = tyro.conf.UseAppendAction[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Values:
    """For ``set``: what is changed of a person; pictures are called as on the contact sheet, such as "pts 512"."""

    strength: float | None = None
    """0 leaves the faces as they are, 1 restores them fully."""
    restore_from: float | None = None
    """Seconds; faces before stay as they are."""
    restore_to: float | Literal["end"] | None = None
    """Seconds, or end; faces from there on stay as they are."""
    pin: _Repeated = ()
    """A picture, or a photograph (a file), to use as a reference in any case; may be given again."""
    unpin: _Repeated = ()
    """A pinned one to leave to chance again."""
    exclude: _Repeated = ()
    """A picture never to use as a reference."""
    include: _Repeated = ()
    """An excluded one to allow again."""
    add_track: tyro.conf.UseAppendAction[tuple[int, ...]] = ()
    """A track of nobody to give to the person."""


@dataclass(frozen=True, kw_only=True)
class People:
    """See and edit who is who in an analyzed video: list, merge, split, rename, enable, disable, set.

    The same can be done by hand in people.toml in the folder of the analysis; people/NAME/ there shows each person.
    """

    action: Annotated[Action, tyro.conf.Positional]
    """What to do."""
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME...")] = ()
    """merge: who stays, then who is also that person; split: from whom, then track numbers; rename: old and new name;
    enable, disable, set: whom."""
    new_name: Annotated[str | None, tyro.conf.arg(name="as", metavar="NEWNAME")] = None
    """For split: name of the new person."""
    work: Path | None = None
    """Folder of the analysis; by default NAME.vidrestore beside the video."""
    config: str | None = None
    """Settings file in TOML, or a preset, where references are to be selected by its settings."""
    values: Annotated[Values, UNPREFIXED] = field(default_factory=Values)
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.api import describe_people, people_of, work_folder

        edits = self._edits(work_folder(self.source, self.work))
        analysis = people_of(self.source, settings=load_settings(self.config), work=self.work, edits=edits)
        described = describe_people(analysis)
        if self.output_style.json:
            print(json.dumps({**described, "warnings": list(analysis.warnings)}))
        else:
            print_people(described)
            for warning in analysis.warnings:
                print(f"warning: {printable(warning)}", file=sys.stderr)
        return DONE

    def _edits(self, folder: Path) -> Sequence[Edit]:
        """What to change, after a check that the arguments are those of the action."""
        from vidrestore.people import Change, Merge, Split

        least, most, usage = _USAGE[self.action]
        if len(self.names) < least or (most is not None and len(self.names) > most):
            raise ConfigError(f"{len(self.names)} arguments after the video do not fit; usage: vidrestore {usage}")
        if self.new_name is not None and self.action != "split":
            raise ConfigError(f"--as is for 'people split'; usage: vidrestore {usage}")
        if (self.values != Values()) != (self.action == "set"):
            wrong = "set needs something to set" if self.action == "set" else "flags for values are for 'people set'"
            raise ConfigError(f"{wrong}; usage: vidrestore {usage}")
        if self.action == "merge":
            return [Merge(self.names[0], self.names[1:])]
        if self.action == "split":
            return [Split(self.names[0], tuple(map(_track_number, self.names[1:])), self.new_name)]
        if self.action == "rename":
            return [Change(self.names[0], {"name": self.names[1]})]
        if self.action == "set":
            return [self._change(folder)]
        return [Change(name, {"enabled": self.action == "enable"}) for name in self.names if self.action != "list"]

    def _change(self, folder: Path) -> Edit:
        from vidrestore.people import Change

        given = self.values
        values: dict[str, Any] = {}
        if given.strength is not None:
            values["strength"] = given.strength
        if given.restore_from is not None:
            values["restore_from"] = given.restore_from or None
        if given.restore_to is not None:
            values["restore_to"] = None if given.restore_to == "end" else given.restore_to
        added = {"tracks": given.add_track, "pin": [_in_file(name, folder) for name in given.pin]}
        removed = {"pin": [_in_file(name, folder) for name in given.unpin], "exclude": given.include}
        return Change(self.names[0], values, {**added, "exclude": given.exclude}, removed)


def _track_number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{text!r} is no track number; usage: vidrestore {_USAGE['split'][2]}")
    return int(text)


def _in_file(name: str, folder: Path) -> str:
    """``name`` of a picture, or the path of a photograph as people.toml has it: from the folder of the analysis."""
    from vidrestore.people import is_source

    path = Path(name)
    if is_source(name) or path.is_absolute() or not path.exists():
        return name
    return Path(os.path.relpath(path, folder)).as_posix()


def print_people(described: dict[str, Any]) -> None:
    """A line for each person that ``describe_people`` tells of, and one for the tracks of nobody."""
    for person in described["people"]:
        state = f"strength {person['strength']:g}" if person["enabled"] else "disabled"
        if person["restore_from"] or person["restore_to"] is not None:
            stop = "the end" if person["restore_to"] is None else f"{person['restore_to']:g} s"
            state += f", from {person['restore_from']:g} s to {stop}"
        tracks = ", ".join(map(str, person["track_ids"]))
        seen = f"{person['frames']} frames in tracks {tracks}"
        count = person["references"]
        print(f"{person['name']}: {state}; {seen}; {count} reference{'' if count == 1 else 's'}")
    if described["unassigned_tracks"]:
        print(f"nobody: tracks {', '.join(map(str, described['unassigned_track_ids']))}")
