"""Sample sheets of a training as JPEG, and what is drawn into their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidrestore.contact_sheets import Cell, drawn_sheet
from vidrestore.types import Floats, Image

_GREEN = (40, 220, 90)


def save_sheet(cells: Sequence[Cell], columns: int, path: Path) -> None:
    """Write ``cells``, whose pictures have one size, in rows of at most ``columns``."""
    sheet = drawn_sheet(cells, columns)
    stored = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    part = path.with_name(path.name + ".part")
    part.write_bytes(stored.tobytes())
    part.replace(path)


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
