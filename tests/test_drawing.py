"""Drawings of what is known of faces: all of it is there, can be read on any picture, and the picture stays."""

from __future__ import annotations

from dataclasses import replace

import faces
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vidrestore.drawing import Mark, draw_faces, label_of, person_colour
from vidrestore.timeline import TOO_SMALL
from vidrestore.types import Face

Picture = NDArray[np.uint8]


def mark(identity: int | None = 0, scale: float = 1.0, **changes: object) -> Mark:
    face = faces.face((faces.ASTRONAUT * scale).astype(np.float32), identity=identity, track=7)
    return Mark(replace(face, **changes), "Ada" if identity is not None else None, 0.87)


def changed(before: Picture, after: Picture) -> NDArray[np.bool_]:
    return (before != after).any(axis=2)


def test_the_label_says_who_it_is_and_what_is_done() -> None:
    assert label_of(mark(weight=0.5)) == "Ada · track 7\nscore 0.87 · weight 0.50"
    kept = label_of(mark(None, weight=0.0, kept_because=TOO_SMALL))
    assert kept == "nobody · track 7\nscore 0.87 · kept: too small"
    assert "not detected" in label_of(replace(mark(), score=0.0))


def test_a_drawing_is_a_copy_and_leaves_what_is_far_from_faces() -> None:
    image = data.astronaut()
    before = image.copy()
    drawn = draw_faces(image, [mark()])
    assert np.array_equal(image, before)
    where = np.argwhere(changed(image, drawn))
    (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
    # The label stands right above the face, whose landmarks reach from 184 to 265 across and from 91 to 168 down.
    assert 50 < top < 91 and 168 <= bottom < 175
    assert 180 < left <= 184 and 265 <= right < 400
    assert draw_faces(image, []).tolist() == image.tolist()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_every_landmark_is_seen_on_any_background(level: int) -> None:
    flat = np.full((512, 512, 3), level, np.uint8)
    drawn = draw_faces(flat, [mark()])
    for x, y in np.rint(faces.ASTRONAUT).astype(int):
        around = drawn[y - 1 : y + 2, x - 1 : x + 2].astype(int)
        assert np.abs(around - level).max() > 60


@pytest.mark.parametrize("level", [0, 128, 255])
def test_letters_are_dark_on_a_plate_of_the_persons_colour(level: int) -> None:
    colours = [person_colour(number) for number in range(8)] + [person_colour(None)]
    for number, colour in enumerate(colours):
        # Relative luminance of W3C's contrast ratio, without its gamma: black on it is far above 4.5 to 1.
        assert np.dot(colour, (0.2126, 0.7152, 0.0722)) > 90
        assert all(np.abs(np.subtract(colour, other)).max() > 25 for other in colours[:number])
    drawn = draw_faces(np.full((512, 512, 3), level, np.uint8), [mark(1)])
    is_plate = (drawn[:91] == person_colour(1)).all(axis=2)
    where = np.argwhere(is_plate)
    (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
    is_ink = drawn[top:bottom, left:right].max(axis=2) < 40
    assert is_plate.sum() > 1500 and is_ink.sum() > 200


def test_paths_and_component_boxes_are_drawn() -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    path = np.array([[300, 300], [300, 400], [400, 400]], np.float32)
    drawn = draw_faces(image, [replace(mark(), path=path)])
    assert drawn[350, 300].max() > 100 and drawn[400, 350].max() > 100
    assert not draw_faces(image, [mark()])[350, 300].any()


def test_labels_of_faces_side_by_side_do_not_lie_on_each_other() -> None:
    image = np.full((270, 480, 3), 90, np.uint8)
    near = mark(0, 0.4)
    beside = Mark(Face(8, 1, near.face.landmarks + np.float32(20), 1.0), "Bea", 0.5)
    both = draw_faces(image, [near, beside])
    alone = draw_faces(image, [beside])
    colour = person_colour(1)
    # The plate of the second label is as large as if it stood alone.
    count = [(picture == colour).all(axis=2).sum() for picture in (both, alone)]
    assert count[0] > 0.9 * count[1]


@pytest.mark.parametrize("shape", [(40, 30), (270, 480), (1080, 1920)])
def test_any_size_and_faces_beyond_the_border_are_drawn(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 100, np.uint8)
    drawn = draw_faces(image, [mark(0, shape[0] / 200), mark(1, shape[0] / 5000)])
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert changed(image, drawn).any()
