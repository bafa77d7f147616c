"""The folder of pictures that shows who is who: for each person a contact sheet and the references, as PNG.

Only pictures that change are drawn again. What was drawn is listed in ``people/.drawn.json``, so that pictures of
people who are gone go, and whatever else is there stays.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import cv2

from vidrestore.people.sheets import FaceSource, sheet_of
from vidrestore.types import Analysis, Reference, Track

FOLDER: Final = "people"
UNASSIGNED: Final = "unassigned.png"
_LIST: Final = ".drawn.json"
_FORMAT: Final = 1
"""Changes when the pictures are drawn differently."""
_LONGEST_NAME: Final = 60
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)
"""What Windows takes for devices."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A person's folder, or ``UNASSIGNED``, and what is shown there."""

    name: str
    tracks: Sequence[Track]
    references: Sequence[Reference]

    def digest(self, analysis: Analysis) -> str:
        """Of all that decides the pictures."""
        pictures = [(r.source, r.reason, zlib.crc32(r.image.tobytes())) for r in self.references]
        numbers = [track.id for track in self.tracks]
        content = f"{_FORMAT} {analysis.fingerprint} {analysis.settings_digest} {numbers} {pictures}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What was drawn at a place."""

    digest: str
    files: tuple[str, ...]
    """Below the folder."""


def folder_names(names: Sequence[str]) -> list[str]:
    """A folder name for each of ``names``: safe in every file system, and each another one, whatever its case."""
    found: list[str] = []
    taken = {UNASSIGNED}
    for name in names:
        plain = re.sub(r"[^\w .()&+-]", "_", unicodedata.normalize("NFC", name))[:_LONGEST_NAME].strip(" .")
        if not plain or plain.partition(".")[0].casefold() in _RESERVED:
            plain = f"_{plain}"
        free, number = plain, 2
        while free.casefold() in taken:
            free, number = f"{plain} ({number})", number + 1
        taken.add(free.casefold())
        found.append(free)
    return found


def draw_folder(analysis: Analysis, work: Path) -> None:
    """Bring ``work``/people in line with ``analysis``.

    Raises:
        OSError: it cannot be written.
        VideoError: the video cannot be read, where pictures must come from it.
    """
    folder, places = work / FOLDER, _places(analysis)
    drawn = _drawn_in(folder)
    right = {place.name: drawn[place.name] for place in places if _is_right(place, drawn, analysis, folder)}
    if len(right) == len(places) == len(drawn):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as name, FaceSource(analysis) as faces:
        part = Path(name)
        fresh = {
            place.name: _Drawn(place.digest(analysis), _draw(place, part, analysis, faces))
            for place in places
            if place.name not in right
        }
        _remove([file for place, entry in drawn.items() if place not in right for file in entry.files], folder)
        for file in (file for entry in fresh.values() for file in entry.files):
            (folder / file).parent.mkdir(exist_ok=True)
            (part / file).replace(folder / file)
        content = {place: asdict(entry) for place, entry in (right | fresh).items()}
        (part / _LIST).write_text(json.dumps(content, indent=1), encoding="utf-8")
        (part / _LIST).replace(folder / _LIST)


def _places(analysis: Analysis) -> list[_Place]:
    """A place for each person, and one for the tracks of nobody if there are any."""
    places = [
        _Place(name, [track for track in analysis.tracks if track.id in identity.track_ids], identity.references)
        for name, identity in zip(
            folder_names([identity.name for identity in analysis.identities]), analysis.identities, strict=True
        )
    ]
    free = analysis.unassigned_tracks
    return [*places, _Place(UNASSIGNED, free, ())] if free else places


def _drawn_in(folder: Path) -> dict[str, _Drawn]:
    """What was drawn, by place; nothing where the list is missing or damaged."""
    try:
        content = json.loads((folder / _LIST).read_text(encoding="utf-8"))
        drawn = {place: _Drawn(str(entry["digest"]), tuple(entry["files"])) for place, entry in content.items()}
        files = [Path(file) for entry in drawn.values() for file in entry.files]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    # What is listed may be removed later: nothing outside of the folder.
    return drawn if all(not file.is_absolute() and ".." not in file.parts for file in files) else {}


def _is_right(place: _Place, drawn: dict[str, _Drawn], analysis: Analysis, folder: Path) -> bool:
    """Whether what was drawn at ``place`` is there and still what is to be shown."""
    entry = drawn.get(place.name)
    return (
        entry is not None
        and entry.digest == place.digest(analysis)
        and all((folder / file).is_file() for file in entry.files)
    )


def _draw(place: _Place, part: Path, analysis: Analysis, faces: FaceSource) -> tuple[str, ...]:
    """Draw what is shown at ``place`` below ``part``; the names of the files."""
    sheet = sheet_of(place.tracks, place.references, analysis, faces)
    if place.name == UNASSIGNED:
        pictures = {place.name: sheet}
    else:
        references = {f"reference-{n}.png": each.image for n, each in enumerate(place.references, start=1)}
        pictures = {f"{place.name}/{name}": image for name, image in {"sheet.png": sheet, **references}.items()}
    for name, image in pictures.items():
        (part / name).parent.mkdir(exist_ok=True)
        (part / name).write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
    return tuple(pictures)


def _remove(files: Iterable[str], folder: Path) -> None:
    """Remove files drawn earlier, and their folders where nothing of the user's is in them."""
    paths = [folder / file for file in files]
    for path in paths:
        path.unlink(missing_ok=True)
    for place in {path.parent for path in paths} - {folder}:
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
