"""Put a restored crop back: a soft mask that follows the face, colour from the source, and only the difference.

What is added to a frame is ``mask * (restored - crop)``, brought back to the frame. Where the restorer changed
nothing, nothing changes, to the bit, and what the crop's interpolation lost is not lost to the frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidrestore.geometry import invert, transform
from vidrestore.types import FaceCrop, Floats, Frame, Image

_RAMP = 0.065
"""Width of the mask's soft border, in sides of the crop."""
_GROWTH = 1.15
"""By how much the mask is larger than the face's outline, so that its border lies on hair and collar, not on skin."""
_COLOUR_BLUR = 0.06
"""Colour and light coarser than this, in sides of the crop, are the source's."""
_FOREHEAD = 0.7
"""How far above the brows the outline reaches, in distances from the brows to the bottom of the nose."""
_BROWS = slice(17, 27)
_NOSE_BASE = 33
_JAW = slice(0, 17)


def face_mask(landmarks: Floats, size: int) -> Floats:
    """Weights 0..1 (size, size): one on the face with landmarks (68, 2), jaw to forehead, soft around it.

    The border falls off over the ears and the hairline; what is further away stays untouched.
    """
    brows = landmarks[_BROWS]
    up = (brows.mean(axis=0) - landmarks[_NOSE_BASE]) * _FOREHEAD
    points = np.concatenate((landmarks[_JAW], brows + up))
    centre = points.mean(axis=0)
    outline = cv2.convexHull((centre + _GROWTH * (points - centre)).astype(np.float32))
    mask = np.zeros((size, size), dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(outline * 16).astype(np.int32), 255, shift=4)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / (_RAMP * size)
    rising = np.clip(depth, 0, 1)
    soft = rising * rising * (3 - 2 * rising)
    # Takes away the creases that distances have along the middle of the outline.
    smooth = cv2.GaussianBlur(soft, (0, 0), 0.15 * _RAMP * size, borderType=cv2.BORDER_CONSTANT)
    return np.where(mask > 0, smooth, 0).astype(np.float32)


def match_colour(restored: Image, source: Image, mask: Floats) -> Floats:
    """``restored`` (S, S, 3) as float32 levels, with the coarse colour and light of ``source`` (S, S, 3).

    The coarse difference is averaged inside ``mask`` (S, S) only, so that hair and background do not bleed in.
    """
    weight = mask[:, :, None] + 1e-4
    difference = (source.astype(np.float32) - restored) * weight
    side = max(8, round(source.shape[0] / 8))
    # The blur is wide, so an eighth of the size is enough for it.
    small = cv2.resize(np.dstack((difference, weight)), (side, side), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), _COLOUR_BLUR * side)
    mean: Floats = np.asarray(small[:, :, :3] / small[:, :, 3:], dtype=np.float32)
    coarse = cv2.resize(mean, restored.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(restored + coarse, dtype=np.float32)


def is_grey(image: Image) -> bool:
    """Whether an RGB picture (H, W, 3) has no colour, apart from rounding."""
    picture = image.astype(np.int16)
    return bool(
        np.abs(picture[..., 0] - picture[..., 1]).max() <= 3 and np.abs(picture[..., 2] - picture[..., 1]).max() <= 3
    )


def paste(frame: Frame, crop: FaceCrop, restored: Image, weight: float) -> None:
    """Add to ``frame``, in place, what ``restored`` (S, S, 3) changes in ``crop``, with ``weight`` 0..1."""
    size = crop.image.shape[0]
    mask = face_mask(crop.landmarks, size)
    change = match_colour(restored, crop.image, mask) - crop.image
    if is_grey(crop.image):
        change = np.repeat(change.mean(axis=2, keepdims=True), 3, axis=2)
    place = _placed(change * (weight * mask[:, :, None]), crop.matrix, frame.picture.width, frame.picture.height)
    if place is not None:
        frame.picture.add(*place)


def _placed(change: Floats, matrix: Floats, width: int, height: int) -> tuple[int, int, Floats] | None:
    """``change`` (S, S, 3) brought to the frame: left, top, and the part (h, w, 3) that lies inside it."""
    size = change.shape[0]
    back = invert(matrix)
    corners = transform(back, np.array([[0, 0], [size, 0], [size, size], [0, size]], dtype=np.float32))
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return None
    shrink = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if shrink > 1:
        change = cv2.GaussianBlur(change, (0, 0), 0.33 * shrink)  # type: ignore[assignment]
    shifted = np.array(back, dtype=np.float64)
    shifted[:, 2] -= (left, top)
    part = cv2.warpAffine(change, shifted, (int(right - left), int(bottom - top)), flags=cv2.INTER_LINEAR)
    return int(left), int(top), np.asarray(part, dtype=np.float32)
