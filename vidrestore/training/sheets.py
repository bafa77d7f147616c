"""Sample sheets: pictures beside each other, each with a caption, as one JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidrestore.types import Floats, Image

Cell = tuple[Image, str]
"""A picture (H, W, 3) and what is written above it."""
_BAND, _GAP = 22, 6
"""Pixels of a caption's height and of the space around a picture."""
_INK, _PAPER = (30, 30, 30), 245
_GREEN = (40, 220, 90)


def save_sheet(cells: Sequence[Cell], columns: int, path: Path) -> None:
    """Write ``cells``, whose pictures have one size, in rows of at most ``columns``."""
    columns = min(columns, len(cells))
    height, width = cells[0][0].shape[:2]
    tile = (height + _BAND + _GAP, width + _GAP)
    lines = -(-len(cells) // columns)
    sheet = np.full((lines * tile[0] + _GAP, columns * tile[1] + _GAP, 3), _PAPER, dtype=np.uint8)
    for number, (picture, caption) in enumerate(cells):
        top, left = number // columns * tile[0] + _GAP, number % columns * tile[1] + _GAP
        _write(sheet[top : top + _BAND, left : left + width], caption)
        sheet[top + _BAND : top + _BAND + height, left : left + width] = picture
    stored = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    part = path.with_name(path.name + ".part")
    part.write_bytes(stored.tobytes())
    part.replace(path)


def _write(band: Image, caption: str) -> None:
    """Write ``caption`` into ``band``, smaller where it would not fit."""
    scale, face = 0.5, cv2.FONT_HERSHEY_SIMPLEX
    (length, _), _ = cv2.getTextSize(caption, face, scale, 1)
    scale *= min(1.0, (band.shape[1] - 4) / max(length, 1))
    cv2.putText(band, caption, (2, _BAND - 7), face, scale, _INK, 1, cv2.LINE_AA)


def with_boxes(image: Image, boxes: Floats, keypoints: Floats) -> Image:
    """A copy of ``image`` with ``boxes`` (N, 4) and ``keypoints`` (N, P, 2) drawn."""
    drawn = with_points(image, keypoints.reshape(-1, 2))
    for x0, y0, x1, y1 in np.rint(boxes).astype(int).tolist():
        cv2.rectangle(drawn, (x0, y0), (x1, y1), _GREEN, 1)
    return drawn


def with_points(image: Image, points: Floats) -> Image:
    """A copy of ``image`` with ``points`` (N, 2) drawn."""
    drawn = image.copy()
    for x, y in points[np.isfinite(points).all(axis=1)].tolist():
        # Sub-pixel places, in sixteenths of a pixel.
        cv2.circle(drawn, (round(16 * x), round(16 * y)), 26, _GREEN, -1, cv2.LINE_AA, 4)
    return drawn
