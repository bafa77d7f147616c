"""What is known of the faces in a picture, drawn into it: who they are, and what restoring will work from."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vidrestore.alignment import alignment_matrix
from vidrestore.geometry import box_of, eye_distance, invert, transform
from vidrestore.restorers.components import component_boxes
from vidrestore.types import Face, Floats, Image

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

_NOBODY: Colour = (215, 215, 215)
_DARK: Colour = (0, 0, 0)
_LIGHT: Colour = (255, 255, 255)
_GOLDEN_RATIO = 0.6180339887
"""Steps around the circle of hues, so that any few people in a row have hues far apart."""
_TEXT_SHARE = 1 / 38
_SMALLEST_TEXT = 12
"""Pixels; smaller letters cannot be read."""
_LINES = tuple(
    (slice(first, last), closed)
    for first, last, closed in (
        (0, 17, False),
        (17, 22, False),
        (22, 27, False),
        (27, 31, False),
        (31, 36, False),
        (36, 42, True),
        (42, 48, True),
        (48, 60, True),
        (60, 68, True),
    )
)
"""Jaw, brows, bridge and base of the nose, eyes, and outer and inner lips in 68 landmarks."""
_SHIFT = 4
"""Binary digits behind the point, in which OpenCV takes coordinates."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What there is to draw of one face."""

    face: Face
    name: str | None = None
    """Of the person; None where nobody knows."""
    score: float = 0.0
    """Of the detection, 0..1; 0 where the face was not detected and its place is interpolated."""
    path: Floats | None = None
    """(N, 2): where its centre was lately, oldest first."""


def person_colour(identity_id: int | None) -> Colour:
    """One RGB colour for each person, the same in every picture; grey for nobody."""
    if identity_id is None:
        return _NOBODY
    red, green, blue = colorsys.hsv_to_rgb((0.08 + identity_id * _GOLDEN_RATIO) % 1, 0.6, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_faces(image: Image, marks: Sequence[Mark]) -> Image:
    """A copy of ``image`` (H, W, 3) with landmarks, component boxes, tracks, people, scores and weights drawn into it.

    Letters stand on a plate of the person's colour, so that they can be read on any picture, and grow with it.
    """
    canvas = image.copy()
    size = max(_SMALLEST_TEXT, round(min(image.shape[:2]) * _TEXT_SHARE))
    for mark in marks:
        _draw_lines(canvas, mark, size)
    return _with_labels(canvas, marks, size)


def label_of(mark: Mark) -> str:
    """Two lines of text: who it is, and what is done with the face."""
    face = mark.face
    seen = f"score {mark.score:.2f}" if mark.score > 0 else "not detected"
    fate = f"kept: {face.kept_because}" if face.kept_because else f"weight {face.weight:.2f}"
    return f"{mark.name or 'nobody'} · track {face.track_id}\n{seen} · {fate}"


def _draw_lines(canvas: Image, mark: Mark, size: int) -> None:
    colour, points = person_colour(mark.face.identity_id), mark.face.landmarks
    width = max(1, round(size / 10))
    if mark.path is not None and len(mark.path) > 1:
        _line(canvas, mark.path, colour, width)
    _line(canvas, _corners(box_of(points)), colour, width, closed=True)
    matrix = alignment_matrix(points)
    boxes = component_boxes(transform(matrix, points)).astype(np.float32)
    for box in boxes:
        _line(canvas, transform(invert(matrix), _corners(box)), colour, max(1, width // 2), closed=True)
    for part, closed in _LINES:
        _line(canvas, points[part], _LIGHT, 1, closed=closed)
    radius = round(max(0.7, min(size / 10, eye_distance(points) / 30)) * 2**_SHIFT)
    for x, y in np.rint(points * 2**_SHIFT).astype(int).tolist():
        cv2.circle(canvas, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _line(canvas: Image, points: Floats, colour: Colour, width: int, *, closed: bool = False) -> None:
    """Lines from point to point (N, 2)."""
    path = np.rint(points * 2**_SHIFT).astype(np.int32)
    cv2.polylines(canvas, [path], closed, colour, width, cv2.LINE_AA, _SHIFT)


def _corners(box: Floats) -> Floats:
    """The corners (4, 2) of ``box`` (4,), in turn."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float32)


def _with_labels(canvas: Image, marks: Sequence[Mark], size: int) -> Image:
    picture = Pillow.fromarray(canvas)
    brush, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    margin = size / 4
    taken: list[Rectangle] = []
    for mark in marks:
        text, colour = label_of(mark), person_colour(mark.face.identity_id)
        x0, y0, x1, y1 = brush.multiline_textbbox((0, 0), text, font)
        plate = (x1 - x0 + 2 * margin, y1 - y0 + 2 * margin)
        place = _place_for(plate, box_of(mark.face.landmarks), canvas, taken)
        taken.append(place)
        brush.rectangle(place, fill=colour)
        brush.multiline_text((place[0] + margin - x0, place[1] + margin - y0), text, _DARK, font)
    return np.array(picture)


def _place_for(size: tuple[float, float], box: Floats, canvas: Image, taken: Sequence[Rectangle]) -> Rectangle:
    """Where a label of ``size`` (w, h) goes: above or below the face, inside the picture, and not on another label."""
    width, height = size
    left = float(np.clip(box[0], 0, max(canvas.shape[1] - width, 0)))
    lowest = max(canvas.shape[0] - height, 0.0)
    tops = [float(np.clip(top, 0, lowest)) for top in (box[1] - height, box[3], box[1] - 2 * height, box[3] + height)]
    places = [(left, top, left + width, top + height) for top in tops]
    free = (place for place in places if not any(_meet(place, other) for other in taken))
    return next(free, places[0])


def _meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
