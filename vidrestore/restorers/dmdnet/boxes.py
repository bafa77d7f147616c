"""Where eyes, nose and mouth are: component boxes from 68 landmarks.

Source: Li et al., "Learning Dual Memory Dictionaries for Blind Face Restoration", arXiv 2210.08160. Boxes are rows of
``x0, y0, x1, y1`` in pixels of the 512 x 512 face, ends exclusive, in the order left eye, right eye, nose, mouth.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vidrestore.restorers import components
from vidrestore.restorers.components import FACE_SIZE
from vidrestore.types import Floats

COARSEST_STRIDE = 8
"""Pixels of the face for one of the coarsest feature map."""


def component_boxes(landmarks: Floats) -> Floats:
    """Boxes ``(..., 4, 4)`` in whole pixels for landmarks ``(..., 68, 2)`` in the 512 x 512 face.

    The published rule, to the pixel: boxes may leave the image or be empty where landmarks are extreme; see
    :func:`clamp_boxes`. Raises ``ValueError`` for another shape or NaN.
    """
    return np.trunc(components.component_boxes(landmarks)).astype(np.float32)


def clamp_boxes(boxes: Tensor) -> Tensor:
    """Boxes ``(..., 4)`` that lie in the face and keep at least one cell of every feature map.

    A box that satisfies this already is returned as it is. What sticks out is cut off. A side with nothing left
    becomes the one coarsest cell (8 pixels) nearest to its middle, NaN the first cell; so no box is ever an error.
    """
    boxes = boxes.nan_to_num(nan=0.0, posinf=FACE_SIZE, neginf=0.0)
    start = boxes[..., :2].clamp(0, FACE_SIZE - 1)
    stop = boxes[..., 2:].clamp(0, FACE_SIZE)
    empty = torch.floor(start / COARSEST_STRIDE) >= torch.floor(stop / COARSEST_STRIDE)
    cell = torch.floor((start + stop) / (2 * COARSEST_STRIDE)).clamp(max=FACE_SIZE // COARSEST_STRIDE - 1)
    start = torch.where(empty, cell * COARSEST_STRIDE, start)
    stop = torch.where(empty, (cell + 1) * COARSEST_STRIDE, stop)
    return torch.cat([start, stop], dim=-1)
