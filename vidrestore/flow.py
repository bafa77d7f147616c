"""Carry a face from one frame to the next by optical flow, for frames that the detector does not look at."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from vidrestore.geometry import fit_similarity, transform
from vidrestore.types import Detection, Floats, Image

_AROUND: Final = 0.5
"""Sides of the box that are cut out around it: how far a face may move in a frame."""
_SIDE: Final = 160
"""Larger cuts are made smaller to about so many pixels a side; flow is as good, and faster."""
_MAX_RETURN_SHARE: Final = 0.03
"""Distance, in sides of the box, by which a point may miss its start when it is followed there and back."""
_MIN_POINTS: Final = 20
"""Of the 68 landmarks that must come back, or the face is taken to be lost."""


def carry(before: Image, now: Image, face: Detection) -> Detection | None:
    """``face`` of the picture ``before`` in the picture ``now`` (both ``(H, W, 3)``); None where it was lost.

    Its landmarks are followed there and back (Lucas and Kanade 1981, in pyramids as Bouguet 2001; the check as Kalal,
    Mikolajczyk and Matas, "Forward-backward error", ICPR 2010), and the similarity that most of those agree on which
    came back moves box, keypoints and landmarks together, so that a few wrong points do not distort the face.
    The score is kept; the embedding is not.
    """
    if face.landmarks is None or before.shape != now.shape:
        return None
    side = float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
    corner, scale, old, new = _cut(before, now, face.box, side)
    if min(old.shape) < _MIN_POINTS:
        return None
    start = ((face.landmarks - corner) * scale).astype(np.float32)[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(old, new, start, np.empty_like(start))
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(new, old, there, np.empty_like(start))
    misses = np.linalg.norm(back - start, axis=2)[:, 0]
    good = (found[:, 0] > 0) & (found_back[:, 0] > 0) & (misses < _MAX_RETURN_SHARE * side * scale)
    if int(good.sum()) < _MIN_POINTS:
        return None
    moved = there[:, 0] / scale + corner
    matrix = _most_agreed(face.landmarks[good], moved[good].astype(np.float32), _MAX_RETURN_SHARE * side)
    corners = np.array([face.box[:2], face.box[2:]])
    centre, growth = transform(matrix, corners.mean(axis=0)), float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    half = growth * (corners[1] - corners[0]) / 2
    return Detection(
        np.concatenate([centre - half, centre + half]),
        face.score,
        transform(matrix, face.keypoints),
        transform(matrix, face.landmarks),
    )


def _cut(before: Image, now: Image, box: Floats, side: float) -> tuple[Floats, float, Image, Image]:
    """The grey surroundings of ``box`` in both pictures, their corner ``(2,)`` and scale."""
    height, width = before.shape[:2]
    low = np.clip(np.floor(box[:2] - _AROUND * side), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(box[2:] + _AROUND * side), low + 1, (width, height)).astype(int)
    scale = min(1.0, _SIDE / float(max(high - low)))
    grey = [
        cv2.resize(
            cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY),
            None,
            fx=scale,
            fy=scale,
            interpolation=cv2.INTER_AREA,
        )
        for image in (before, now)
    ]
    return low.astype(np.float32), scale, np.asarray(grey[0], np.uint8), np.asarray(grey[1], np.uint8)


def _most_agreed(start: Floats, end: Floats, reach: float) -> np.ndarray:
    """The similarity ``(2, 3)`` from ``start`` to ``end`` ``(P, 2)`` fitted again without the points that miss it."""
    matrix = fit_similarity(start, end)
    misses = np.linalg.norm(transform(matrix, start) - end, axis=1)
    near = misses <= max(reach, float(np.median(misses)))
    return fit_similarity(start[near], end[near])
