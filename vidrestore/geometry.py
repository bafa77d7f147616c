"""Boxes, similarity transforms and head pose on NumPy arrays.

Points are ``(x, y)`` pixels with pixel centres at integers, boxes are ``x0, y0, x1, y1``, and 68 landmarks are in iBUG
order. Points come back as ``float32``; matrices stay ``float64``, because they are multiplied and inverted.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from vidrestore.types import LANDMARK_COUNT, Floats

Points = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.float64]

_LEFT_EYE: Final = slice(36, 42)
_RIGHT_EYE: Final = slice(42, 48)

# Millimetres on a neutral adult head: widths and heights from common anthropometric means, heights then moved a little
# so that people who look into the camera get a pitch near zero. x to the right of the picture, y down, z away from it.
# The jaw line is left out, because detectors place it on the visible outline and not on the bone.
_HEAD_MODEL: Final[dict[int, tuple[float, float, float]]] = {
    8: (0, 110, 4),
    27: (0, -2, 0),
    30: (0, 30, -26),
    31: (-14, 38, -4),
    33: (0, 41, -12),
    35: (14, 38, -4),
    36: (-44, 1, 20),
    39: (-16, 2, 9),
    42: (16, 2, 9),
    45: (44, 1, 20),
    48: (-26, 64, 3),
    51: (0, 55, -10),
    54: (26, 64, 3),
    57: (0, 76, -8),
}
_MODEL_POINTS: Final = np.array(list(_HEAD_MODEL.values()), dtype=np.float64)
_MODEL_ROWS: Final = np.array(list(_HEAD_MODEL), dtype=np.intp)
_FOCAL_IN_FACE_SIZES: Final = 12.0
"""The lens is unknown. A face far away for its size is nearly orthographic, which is wrong by little for any lens."""


def overlap(boxes_a: Floats, boxes_b: Floats) -> Floats:
    """Intersection over union of every box of ``boxes_a`` ``(N, 4)`` with every box of ``boxes_b`` ``(M, 4)``.

    Returns ``(N, M)`` in 0..1. A box without area overlaps nothing.
    """
    first = np.asarray(boxes_a, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(boxes_b, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    area_first = np.prod(np.maximum(first[..., 2:] - first[..., :2], 0), axis=-1)
    area_second = np.prod(np.maximum(second[..., 2:] - second[..., :2], 0), axis=-1)
    union = area_first + area_second - shared
    ratio = np.zeros_like(shared)
    np.divide(shared, union, out=ratio, where=shared > 0)
    return np.asarray(ratio, dtype=np.float32)


def box_of(points: Points) -> Floats:
    """The smallest box ``(4,)`` around ``points`` ``(P, 2)``."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def fit_similarity(source: Points, target: Points) -> Matrix:
    """The rotation, uniform scale and shift ``(2, 3)`` that takes ``source`` to ``target`` with least squared error.

    Both are ``(P, 2)`` with ``P >= 2``. Closed form of Umeyama, "Least-squares estimation of transformation parameters
    between two point patterns", PAMI 1991; in the plane it is one complex division, and a reflection cannot come out.
    Raises ``ValueError`` where the points are not finite or all of ``source`` is one point.
    """
    start = np.asarray(source, dtype=np.float64)
    end = np.asarray(target, dtype=np.float64)
    if start.shape != end.shape or start.ndim != 2 or start.shape[1] != 2:
        raise ValueError(f"fit_similarity needs two (P, 2) arrays, not {start.shape} and {end.shape}")
    start_centre, end_centre = start.mean(axis=0), end.mean(axis=0)
    centred, wanted = start - start_centre, end - end_centre
    spread = float(np.sum(centred**2))
    cosine = float(np.sum(centred * wanted))
    sine = float(np.sum(centred[:, 0] * wanted[:, 1] - centred[:, 1] * wanted[:, 0]))
    if not (math.isfinite(cosine) and math.isfinite(sine) and spread > 1e-12):
        raise ValueError("fit_similarity needs finite points and a source of at least two different ones")
    linear = np.array([[cosine, -sine], [sine, cosine]]) / spread
    return np.column_stack([linear, end_centre - linear @ start_centre])


def transform(matrix: npt.NDArray[np.floating], points: Points) -> Floats:
    """``points`` ``(..., 2)`` moved by the affine ``matrix`` ``(2, 3)``."""
    exact = np.asarray(matrix, dtype=np.float64)
    return (np.asarray(points, dtype=np.float64) @ exact[:, :2].T + exact[:, 2]).astype(np.float32)


def invert(matrix: npt.NDArray[np.floating]) -> Matrix:
    """The affine ``(2, 3)`` that undoes ``matrix`` ``(2, 3)``; raises ``LinAlgError`` where there is none."""
    exact = np.asarray(matrix, dtype=np.float64)
    linear = np.linalg.inv(exact[:, :2])
    return np.column_stack([linear, -linear @ exact[:, 2]])


def eye_distance(landmarks: Points) -> float:
    """Pixels between the centres of the two eyes of ``landmarks`` ``(68, 2)``; NaN where they are missing."""
    return float(np.linalg.norm(landmarks[_RIGHT_EYE].mean(axis=0) - landmarks[_LEFT_EYE].mean(axis=0)))


def head_pose(landmarks: Points) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of the head whose ``landmarks`` ``(68, 2)`` are given.

    Yaw is positive where the nose turns to the right of the picture, pitch where the face looks up, roll where the
    head tilts clockwise in the picture. A perspective-n-point fit (Terzakis and Lourakis, "SQPnP", ECCV 2020) of a mean
    head through a long lens, so the angles are good to about 10 degrees and not metric. Landmarks that are no face
    (all in one place, or without any solution) give zeros; finite points never raise.
    """
    if np.shape(landmarks) != (LANDMARK_COUNT, 2):
        raise ValueError(f"head_pose needs ({LANDMARK_COUNT}, 2) landmarks, not {np.shape(landmarks)}")
    points = np.asarray(landmarks, dtype=np.float64)[_MODEL_ROWS]
    centred = points - points.mean(axis=0)
    size = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
    if not math.isfinite(size) or size < 1e-6:
        return (0.0, 0.0, 0.0)
    camera = np.diag([_FOCAL_IN_FACE_SIZES, _FOCAL_IN_FACE_SIZES, 1.0])
    try:
        found, turn, _ = cv2.solvePnP(_MODEL_POINTS, centred / size, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    except cv2.error:
        return (0.0, 0.0, 0.0)
    if not found or not np.all(np.isfinite(turn)):
        return (0.0, 0.0, 0.0)
    rotation, _ = cv2.Rodrigues(turn)
    return _angles(np.asarray(rotation, dtype=np.float64))


def _angles(rotation: Matrix) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of ``Rz(roll) @ Ry(-yaw) @ Rx(-pitch)`` ``(3, 3)``, x right, y down, z away."""
    yaw = math.asin(min(1.0, max(-1.0, rotation[2, 0])))
    pitch = -math.atan2(rotation[2, 1], rotation[2, 2])
    roll = math.atan2(rotation[1, 0], rotation[0, 0])
    return (math.degrees(yaw), math.degrees(pitch), math.degrees(roll))
