"""Where faces are measured: the analysis of the truth alone says so, so that no measured video has a say in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidrestore.types import Analysis, Floats

UNASSIGNED = "unassigned"
"""Name of the faces that belong to no person of the analysis."""
SMALLEST_SIDE = 16
"""Faces with less than this many pixels on a side inside the picture are counted, not measured."""
Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class TrueFace:
    """One face in one frame, in pixels of the measured videos."""

    track_id: int
    person: str
    box: Floats
    """(4,)."""
    landmarks: Floats
    """(68, 2)."""
    region: Region
    """Rows and columns of the box inside the picture."""


def true_faces(analysis: Analysis, width: int, height: int) -> tuple[dict[int, list[TrueFace]], int]:
    """The faces of each frame, by pts of the truth, for videos of ``width`` x ``height``; and how many are too small.

    Only faces that were seen in that very frame count: where the truth's face is hidden, there is nothing to measure.
    """
    names = {i: identity.name for identity in analysis.identities for i in identity.track_ids}
    scale = np.array([width / analysis.video.width, height / analysis.video.height], dtype=np.float32)
    found: dict[int, list[TrueFace]] = {}
    too_small = 0
    for track in analysis.tracks:
        # Box edges and landmarks alike have pixel centres at integers.
        boxes = ((track.boxes.reshape(-1, 2, 2) + 0.5) * scale - 0.5).reshape(-1, 4).astype(np.float32)
        landmarks = ((track.landmarks + 0.5) * scale - 0.5).astype(np.float32)
        for index in np.flatnonzero(track.scores > 0).tolist():
            region = _region(boxes[index], width, height)
            if region is None:
                too_small += 1
                continue
            face = TrueFace(track.id, names.get(track.id, UNASSIGNED), boxes[index], landmarks[index], region)
            found.setdefault(int(track.pts[index]), []).append(face)
    return found, too_small


def _region(box: Floats, width: int, height: int) -> Region | None:
    """The part of ``box`` inside a picture of that size, or None where it is too small."""
    x0, y0 = np.maximum(np.floor(box[:2]).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(box[2:]).astype(int), (width, height))
    if min(x1 - x0, y1 - y0) < SMALLEST_SIDE:
        return None
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))
