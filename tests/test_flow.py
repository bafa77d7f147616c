from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from faces import ASTRONAUT
from skimage import data

from vidrestore.alignment import keypoints_of
from vidrestore.flow import carry
from vidrestore.geometry import box_of, transform
from vidrestore.types import Detection

FACE = Detection(box_of(ASTRONAUT), 0.8, keypoints_of(ASTRONAUT), ASTRONAUT)


@pytest.mark.parametrize(
    ("shift", "degrees", "scale"), [((0, 0), 0, 1.0), ((9, -5), 0, 1.0), ((3, 2), 8, 1.0), ((-2, 4), -4, 1.06)]
)
def test_a_face_is_carried_along(shift: tuple[float, float], degrees: float, scale: float) -> None:
    picture = data.astronaut()
    matrix = cv2.getRotationMatrix2D((224, 130), degrees, scale)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC)
    carried = carry(picture, moved, FACE)
    assert carried is not None and carried.landmarks is not None
    # A pixel is 2.5 % of the eye distance here, as much as the landmark networks jitter.
    np.testing.assert_allclose(carried.landmarks, transform(matrix, ASTRONAUT), atol=1.0)
    np.testing.assert_allclose(carried.keypoints, keypoints_of(carried.landmarks), atol=0.01)
    assert carried.score == FACE.score and carried.embedding is None


def test_a_face_that_is_gone_is_lost() -> None:
    picture, other = data.astronaut(), np.ascontiguousarray(data.coffee()[:, :512])
    empty = np.zeros_like(picture)
    assert carry(picture, empty, FACE) is None
    assert carry(picture[:400], other, FACE) is None


def test_a_face_half_outside_the_picture_raises_nothing() -> None:
    picture = np.ascontiguousarray(data.astronaut()[110:, 220:])
    shifted = Detection(
        FACE.box - np.array([220, 110, 220, 110]), 0.8, FACE.keypoints - (220, 110), ASTRONAUT - (220, 110)
    )
    carry(picture, picture, shifted)
    assert carry(picture, picture, replace(shifted, landmarks=None)) is None
