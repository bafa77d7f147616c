"""How good a picture of a face is: measures of an aligned crop, each robust to what imitates quality.

Each is a pure function. They rank pictures of one person among each other, so what a person always has (a beard, dark
skin, glasses) cancels out. The constants were measured on 50 faces of 21 to 150 pixels between the eyes, from a
modern interview and from portraits, whole and damaged in 13 ways by blur, grain and real encoders.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from vidrestore.types import Floats, Image

_SIDE: Final = 512
"""Measures of the crop are taken at this scale."""
_FINE: Final = 1.5
"""Gaussian sigma below which detail is pores and grain, not lashes and brows."""
_STEPS: Final = ((0, 3), (3, 0), (2, 2), (2, -2))
"""Rows and columns between the samples of a second difference: across, down and along both diagonals."""
_DETAIL_HALF: Final = 0.3
"""Detail relative to contrast at which sharpness is one half."""
_MIN_CONTRAST: Final = 8.0
"""Grey levels; a flatter face is mostly noise."""
_CONTRAST_SIGMA: Final = 12.0
_GAUSSIAN_TAIL: Final = 3.45
"""98th percentile of the magnitude of Gaussian noise over its median."""
_BLOCK: Final = 8
"""Pixels of the frame: the transform of MPEG-1 to H.264; the 16 and 32 of others are multiples of it."""
_NATIVE_REACH: Final = 384
"""Pixels of the middle of a large picture that are looked at for blocks and grain."""
_MAX_STEP: Final = 30.0
"""Grey levels above which an edge is the picture's and counts no more."""
_WHOLE_BLOCKINESS: Final = 0.2
"""Undamaged faces with their surroundings stay below. At ruinous quantisers, deblocked H.264 has 0.5 to 1.5, key frames
of MPEG-2 6 to 40, and frames that it predicted, whose blocks have moved, 0.3 to 3."""
_HALF_BLOCKINESS: Final = 0.2
"""So much more blockiness halves the score."""
_NOISE_MASK: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_NORMAL_MEDIAN: Final = 0.6745
"""Median of the magnitude of Gaussian noise over its deviation."""
_HALF_NOISE: Final = 10.0
"""Deviation of grain, in grey levels, that halves the score: modern footage has 1 to 2, film 3 to 8."""
_OPEN_EYES: Final = 0.2
"""Height of an eye over its width above which it is open."""
_CLOSED_FACTOR: Final = 0.5
"""What closed eyes take off: the eyes are what a reference is looked at for most."""
_WIDE_MOUTH: Final = 0.5
"""Height between the lips over the width of the mouth that is a shout or a yawn."""
_WIDE_FACTOR: Final = 0.75
_BLACK, _WHITE = 5, 250
"""Grey levels beyond which nothing can be seen."""
_LIT: Final = 90.0
"""Grey level of the lighter parts of a face below which it is in the dark."""
_EVEN_CHROMA: Final = 16.0
_COVERED_CHROMA: Final = 32.0
"""CIE a*b* distance between patches of skin: at most 15 on bare faces; a blue cloth has 38 and more, a red one 27."""
_COVERED_FACTOR: Final = 0.3

Grey = npt.NDArray[np.float32]


def face_part(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The part of an aligned square ``(S, S, ...)`` that is face and not hair or background."""
    side = image.shape[0]
    left, right, top, bottom = (round(side * share) for share in (0.28, 0.72, 0.36, 0.82))
    return image[top:bottom, left:right]


def sharpness(image: Image) -> float:
    """How sharp the aligned face ``image`` ``(S, S, 3)`` is, 0..1, whatever its contrast and its noise.

    Detail at the scale of lashes and lips is rare and strong in a sharp face (lids, brows, lips) and weak nearly
    everywhere (skin), while noise is the same everywhere. So the noise is told from the median of the detail's
    magnitude and taken off its 98th percentile, and the rest is divided by the contrast of the face. Detail is measured
    by second differences in four directions, of which the weakest counts: a face blurred by motion keeps the others.
    Small faces, enlarged, have little detail at this scale and come out softer, as they are.
    """
    face = _grey_face(image)
    smooth: Grey = np.asarray(cv2.GaussianBlur(face, (0, 0), _FINE), dtype=np.float32)
    signal = min(_strong_detail(smooth, down, across) for down, across in _STEPS)
    contrast = float(np.std(cv2.GaussianBlur(face, (0, 0), _CONTRAST_SIGMA)))
    relative = signal / max(contrast, _MIN_CONTRAST)
    return relative / (relative + _DETAIL_HALF)


def _strong_detail(smooth: Grey, down: int, across: int) -> float:
    """98th percentile of the second difference along one direction, above what noise would have."""
    height, width = smooth.shape
    side = abs(across)

    def moved(times: int) -> Grey:
        top, left = down + times * down, side + times * across
        return smooth[top : top + height - 2 * down : 2, left : left + width - 2 * side : 2]

    detail = np.abs(2 * moved(0) - moved(-1) - moved(1))
    usual, strong = np.percentile(detail, (50, 98))
    return max(0.0, float(strong) - _GAUSSIAN_TAIL * float(usual))


def blockiness(native: Image) -> float:
    """How much stronger the steps between compression blocks are than those inside, 0 where there are no blocks.

    ``native`` ``(h, w, 3)`` is the face and what is around it on the frame's own pixels, not aligned. Each step between
    neighbouring pixels is divided by the mean of the steps beside it, so that hair and shirts count as little as skin;
    the columns (and rows) of the strongest phase of the grid are compared with the others (Muijs and Kirenko, "A
    no-reference blocking artifact measure for adaptive video processing", EUSIPCO 2005).
    """
    grey = _grey_middle(native)
    if min(grey.shape) < 3 * _BLOCK:
        return 0.0
    return (_grid_strength(grey) + _grid_strength(np.ascontiguousarray(grey.T))) / 2


def _grid_strength(grey: Grey) -> float:
    """Steps across the columns of the strongest phase over those of the others, less one."""
    steps = np.minimum(np.abs(np.diff(grey, axis=1)), _MAX_STEP)
    beside = np.full((1, _BLOCK - 1), 1 / (_BLOCK - 2), dtype=np.float32)
    beside[0, _BLOCK // 2 - 1] = 0
    relative = (steps / (cv2.filter2D(steps, -1, beside) + 1.0)).mean(axis=0)
    phases = np.array([relative[phase::_BLOCK].mean() for phase in range(_BLOCK)])
    strongest = int(phases.argmax())
    others = float(np.delete(phases, strongest).mean())
    return max(0.0, float(phases[strongest]) / max(others, 1e-3) - 1)


def wholeness(native: Image) -> float:
    """1 for a face without compression blocks, towards 0 the stronger they are; ``native`` as in `blockiness`."""
    return 1 / (1 + max(0.0, blockiness(native) - _WHOLE_BLOCKINESS) / _HALF_BLOCKINESS)


def noise(native: Image) -> float:
    """Standard deviation of the noise in grey levels, of the face ``native`` ``(h, w, 3)`` on the frame's own pixels.

    The mask of Immerkaer, "Fast noise variance estimation", CVIU 1996, which is blind to edges and slopes, with the
    median for the mean, so that hair counts as little as it should.
    """
    answer = cv2.filter2D(_grey_middle(native), -1, _NOISE_MASK)
    return float(np.median(np.abs(answer))) / (_NORMAL_MEDIAN * float(np.linalg.norm(_NOISE_MASK)))


def cleanness(native: Image) -> float:
    """1 for a face without grain, towards 0 the stronger the grain; ``native`` as in `noise`."""
    return 1 / (1 + (noise(native) / _HALF_NOISE) ** 2)


def eye_opening(landmarks: Floats) -> float:
    """Height of the more open eye over its width, from landmarks ``(68, 2)``; about 0.3, and below 0.2 closed.

    The eye aspect ratio of Soukupova and Cech, "Real-time eye blink detection using facial landmarks", CVWW 2016.
    """
    ratios = []
    for first in (36, 42):
        corner, top, top_inner, inner, bottom_inner, bottom = landmarks[first : first + 6].astype(np.float64)
        height = (math.dist(top, bottom) + math.dist(top_inner, bottom_inner)) / 2
        ratios.append(height / max(math.dist(corner, inner), 1e-6))
    return max(ratios)


def mouth_opening(landmarks: Floats) -> float:
    """Height between the lips over the width of the mouth, from landmarks ``(68, 2)``; 0 is shut."""
    points = landmarks.astype(np.float64)
    height = np.mean([math.dist(points[upper], points[lower]) for upper, lower in ((61, 67), (62, 66), (63, 65))])
    return float(height) / max(math.dist(points[48], points[54]), 1e-6)


def expression(landmarks: Floats) -> float:
    """1 for open eyes and a quiet mouth; half for closed eyes, and three quarters for a mouth wide open."""
    eyes = _CLOSED_FACTOR + (1 - _CLOSED_FACTOR) * min(1.0, eye_opening(landmarks) / _OPEN_EYES)
    mouth = 1 - (1 - _WIDE_FACTOR) * min(1.0, mouth_opening(landmarks) / _WIDE_MOUTH)
    return eyes * mouth


def exposure(image: Image) -> float:
    """1 for a well lit aligned face ``(S, S, 3)``, towards 0 the more of it is black, white, or in the dark."""
    face = _grey_face(image)
    clipped = float(np.mean((face <= _BLACK) | (face >= _WHITE)))
    return (1 - clipped) ** 2 * min(1.0, float(np.percentile(face, 90)) / _LIT)


def bareness(image: Image, landmarks: Floats) -> float:
    """1 where all of the aligned face ``(S, S, 3)`` has the colour of its skin, less where something covers a part.

    The chroma of patches on the cheeks, the nose and around the mouth is compared with their median, which light and
    shade change little. Landmarks ``(68, 2)`` are in ``image``. Blind in black and white, and to hands; those
    lower the detector's score and the likeness to the person's other pictures.
    """
    reach = max(1, round(0.06 * float(np.linalg.norm(landmarks[45] - landmarks[36]))))
    means = []
    for x, y in _skin_points(landmarks.astype(np.float64)):
        patch = image[max(0, int(y) - reach) : int(y) + reach + 1, max(0, int(x) - reach) : int(x) + reach + 1]
        if patch.size:
            means.append(cv2.mean(patch)[:3])
    if not means:
        return 1.0
    chroma = cv2.cvtColor(np.array([means], dtype=np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 1:]
    apart = float(np.linalg.norm(chroma - np.median(chroma, axis=0), axis=1).max())
    covered = (apart - _EVEN_CHROMA) / (_COVERED_CHROMA - _EVEN_CHROMA)
    return 1 - (1 - _COVERED_FACTOR) * min(1.0, max(0.0, covered))


def _skin_points(points: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Where a face shows skin: both cheeks high and low, the bridge of the nose, and above and below the lips."""
    pairs = ((41, 48), (46, 54), (31, 3), (35, 13), (33, 51), (57, 8), (27, 30))
    return [(points[one] + points[other]) / 2 for one, other in pairs]


def _grey_face(image: Image) -> Grey:
    """The face part of the crop in grey levels, at the scale of the measures."""
    face = face_part(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).astype(np.float32)
    scale = _SIDE / image.shape[0]
    if scale == 1:
        return face
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(face, None, fx=scale, fy=scale, interpolation=interpolation), dtype=np.float32)


def _grey_middle(native: Image) -> Grey:
    """The middle of a part of a frame in grey levels, all of it where it is small."""
    height, width = native.shape[:2]
    top, left = max(0, (height - _NATIVE_REACH) // 2), max(0, (width - _NATIVE_REACH) // 2)
    part = np.ascontiguousarray(native[top : top + _NATIVE_REACH, left : left + _NATIVE_REACH])
    return np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), dtype=np.float32)
