"""Landmarks in text files, as DMDNet's program takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidrestore.errors import PictureError
from vidrestore.types import LANDMARK_COUNT, Floats


def read_landmarks(path: Path) -> Floats:
    """68 landmarks (68, 2) from a text file of 136 numbers: x and y by turns, with spaces, commas or lines between.

    Raises:
        PictureError: the file cannot be read or holds something else.
    """
    try:
        numbers = [float(number) for number in path.read_text(encoding="utf-8").replace(",", " ").split()]
    except (OSError, ValueError) as error:
        raise PictureError(f"the landmarks {path} cannot be read ({error})") from error
    if len(numbers) != 2 * LANDMARK_COUNT or not np.isfinite(numbers).all():
        raise PictureError(f"{path} holds {len(numbers)} numbers, expected the {2 * LANDMARK_COUNT} of 68 landmarks")
    return np.array(numbers, dtype=np.float32).reshape(LANDMARK_COUNT, 2)
