"""The contact sheet of a person: faces from all tracks over time, each with what it is called in ``people.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import cv2
import numpy as np

from vidrestore.alignment import crop_face
from vidrestore.contact_sheets import Cell, drawn_sheet
from vidrestore.people.application import source_of
from vidrestore.references import unpack
from vidrestore.types import Analysis, Candidate, Face, Image, Reference, Track
from vidrestore.video import RandomAccess, mark, open_random_access

_MOST: Final = 24
_COLUMNS: Final = 6
_SIDE: Final = 176
"""Pixels of a picture on the sheet."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A face that can be shown: a candidate, or, of a track that has none, the frame where it was seen best."""

    track: Track
    pts: int
    candidate: Candidate | None


class FaceSource:
    """Pictures of faces; the video is opened only where a track has no candidate, because it is too small or turned."""

    def __init__(self, analysis: Analysis) -> None:
        self._path, self._scan = analysis.video.path, analysis.scan
        self._video: RandomAccess | None = None

    def picture(self, moment: _Moment) -> Image:
        """The aligned face (S, S, 3)."""
        if moment.candidate is not None:
            return unpack(moment.candidate)
        if self._video is None:
            self._video = open_random_access(self._path)
        row = int(np.searchsorted(moment.track.pts, moment.pts))
        face = Face(moment.track.id, None, moment.track.landmarks[row], 1.0)
        return crop_face(mark(self._video.frame_at(moment.pts), self._scan).image, face, _SIDE).image

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is not None:
            self._video.close()


def sheet_of(tracks: Sequence[Track], references: Sequence[Reference], analysis: Analysis, faces: FaceSource) -> Image:
    """The contact sheet (H, W, 3) of ``tracks``, evenly over time; ``references`` are marked."""
    moments = _spread([moment for track in tracks for moment in _moments_of(track, analysis)])
    numbers = {reference.source: number for number, reference in enumerate(references, start=1)}
    cells: list[Cell] = []
    for moment in moments:
        seconds = float(moment.pts * analysis.video.time_base) - analysis.starts_at
        picture = cv2.resize(faces.picture(moment), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        caption = f"{seconds:.1f} s  track {moment.track.id}"
        if moment.candidate is not None:
            source = source_of(moment.candidate)
            caption += f"  {source}" + (f"  ref {numbers[source]}" if source in numbers else "")
        cells.append((np.asarray(picture, dtype=np.uint8), caption))
    return drawn_sheet(cells, _COLUMNS)


def _moments_of(track: Track, analysis: Analysis) -> list[_Moment]:
    candidates = [candidate for candidate in analysis.candidates if candidate.track_id == track.id]
    if candidates:
        return [_Moment(track, candidate.pts, candidate) for candidate in candidates]
    return [_Moment(track, int(track.pts[np.argmax(track.scores)]), None)]


def _spread(moments: Sequence[_Moment]) -> list[_Moment]:
    """At most ``_MOST`` of ``moments`` in the order of time, evenly chosen."""
    ordered = sorted(moments, key=lambda moment: (moment.pts, moment.track.id))
    if len(ordered) <= _MOST:
        return ordered
    return [ordered[index] for index in np.linspace(0, len(ordered) - 1, _MOST).round().astype(int).tolist()]
