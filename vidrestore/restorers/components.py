"""Where the eyes, the nose and the mouth are: boxes from 68 landmarks, by DMDNet's rule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vidrestore.types import LANDMARK_COUNT, Floats

Points = npt.NDArray[np.float64]
FACE_SIZE = 512
"""Pixels of the side of an aligned face."""

_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_LEFT_BROW, _RIGHT_BROW = slice(17, 22), slice(22, 27)
_MOUTH = slice(48, 68)
_MARGIN = 8.0
"""Landmarks are kept this far inside the face, in pixels."""


def component_boxes(landmarks: Floats | Points) -> Points:
    """Left eye, right eye, nose and mouth boxes (..., 4, 4), real-valued, of landmarks (..., 68, 2).

    ``landmarks`` are in pixels of an aligned 512 x 512 face. Boxes may reach beyond the picture. The rule and its
    constants are those of DMDNet (Li et al. 2022, arXiv 2210.08160), which truncates the result to integers.

    Raises:
        ValueError: another shape, or NaN.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape[-2:] != (LANDMARK_COUNT, 2):
        raise ValueError(f"landmarks have shape {points.shape}, expected (..., {LANDMARK_COUNT}, 2)")
    if np.isnan(points).any():
        raise ValueError("landmarks hold NaN; fill the gaps before asking for component boxes")
    points = points.clip(_MARGIN, FACE_SIZE - _MARGIN)
    boxes = (
        _eye_box(points[..., _LEFT_EYE, :], points[..., _LEFT_BROW, :]),
        _eye_box(points[..., _RIGHT_EYE, :], points[..., _RIGHT_BROW, :]),
        _nose_box(points),
        _mouth_box(points[..., _MOUTH, :]),
    )
    return np.stack(boxes, axis=-2)


def _eye_box(eye: Points, brow: Points) -> Points:
    x, y = eye[..., 0].mean(-1), eye[..., 1].mean(-1)
    top = np.minimum(eye[..., 1].min(-1), brow[..., 1].min(-1))
    above = 1.3 * (y - top)
    below = above / 1.9
    half = (above + below) / 2
    return np.stack((x - half + 1, y - above + 1, x + half, y + below), axis=-1)


def _nose_box(points: Points) -> Points:
    x, y = points[..., 29:36, 0].mean(-1), points[..., 29:36, 1].mean(-1)
    half = 1.25 * np.maximum(x - points[..., 31, 0], points[..., 35, 0] - x)
    low = 1.1 * (points[..., 33, 1] - y)
    return np.stack((x - half + 1, y - (2 * half - low) + 1, x + half, y + low), axis=-1)


def _mouth_box(mouth: Points) -> Points:
    x, y = mouth[..., 0].mean(-1), mouth[..., 1].mean(-1)
    extent = np.ptp(mouth, axis=-2).max(-1)
    half = 1.1 * np.maximum(extent / 2, 16)
    limit = FACE_SIZE - 2.0
    return np.stack((x - half + 1, y - half + 1, np.minimum(x + half, limit), np.minimum(y + half, limit)), axis=-1)
