"""Contact sheets: pictures of one size beside each other, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidrestore.types import Image

Cell = tuple[Image, str]
"""A picture (H, W, 3) and what is written above it."""
_BAND, _GAP = 22, 6
"""Pixels of a caption's height and of the space around a picture."""
_INK, _PAPER = (30, 30, 30), 245


def drawn_sheet(cells: Sequence[Cell], columns: int) -> Image:
    """``cells``, at least one, whose pictures have one size, in rows of at most ``columns``."""
    columns = min(columns, len(cells))
    height, width = cells[0][0].shape[:2]
    tile = (height + _BAND + _GAP, width + _GAP)
    lines = -(-len(cells) // columns)
    sheet = np.full((lines * tile[0] + _GAP, columns * tile[1] + _GAP, 3), _PAPER, dtype=np.uint8)
    for number, (picture, caption) in enumerate(cells):
        top, left = number // columns * tile[0] + _GAP, number % columns * tile[1] + _GAP
        _write(sheet[top : top + _BAND, left : left + width], caption)
        sheet[top + _BAND : top + _BAND + height, left : left + width] = picture
    return sheet


def _write(band: Image, caption: str) -> None:
    """Write ``caption`` into ``band``, smaller where it would not fit."""
    scale, face = 0.5, cv2.FONT_HERSHEY_SIMPLEX
    (length, _), _ = cv2.getTextSize(caption, face, scale, 1)
    scale *= min(1.0, (band.shape[1] - 4) / max(length, 1))
    cv2.putText(band, caption, (2, _BAND - 7), face, scale, _INK, 1, cv2.LINE_AA)
