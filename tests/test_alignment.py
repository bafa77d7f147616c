"""Faces are cut out where they are, and the matrix says where that was."""

from __future__ import annotations

import cv2
import faces
import numpy as np
import pytest
from skimage import data

from vidrestore.alignment import (
    TEMPLATE,
    TEMPLATE_SIZE,
    alignment_matrix,
    before_shrinking,
    crop_face,
    cut_aligned,
    keypoints_of,
)
from vidrestore.geometry import invert, transform


def test_keypoints_are_eyes_nose_and_mouth_from_the_left_of_the_picture() -> None:
    points = keypoints_of(faces.MEAN_FACE)
    assert points.shape == (5, 2)
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3, 0] < points[2, 0] < points[4, 0]
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert np.array_equal(keypoints_of(np.stack([faces.MEAN_FACE, faces.ASTRONAUT]))[0], points)


@pytest.mark.parametrize("roll", [0, 30, -90, 180])
@pytest.mark.parametrize("eye_distance", [8.0, 60.0, 400.0])
@pytest.mark.parametrize("size", [512, 256])
def test_a_face_of_any_place_size_and_tilt_comes_to_the_template(roll: float, eye_distance: float, size: int) -> None:
    landmarks = faces.placed(300, 200, eye_distance, roll)
    moved = transform(alignment_matrix(landmarks, size), landmarks)
    target = (TEMPLATE + 0.5) * size / TEMPLATE_SIZE - 0.5
    assert np.abs(keypoints_of(moved) - target).max() < 6 * size / TEMPLATE_SIZE
    upright = transform(alignment_matrix(faces.MEAN_FACE, size), faces.MEAN_FACE)
    assert np.allclose(moved, upright, atol=0.02)


def test_the_matrix_leads_back_to_the_frame() -> None:
    crop = crop_face(data.astronaut(), faces.face(faces.ASTRONAUT))
    assert np.allclose(transform(invert(crop.matrix), crop.landmarks), faces.ASTRONAUT, atol=0.01)


def test_a_pixel_of_the_crop_is_what_the_frame_has_there() -> None:
    """On a picture whose levels are its coordinates, the crop must read as the inverse of the matrix."""
    rows, columns = np.mgrid[0:240, 0:240]
    picture = np.stack([columns, rows, columns // 2], axis=2).astype(np.uint8)
    matrix = alignment_matrix(faces.placed(120, 110, 40, 25))
    crop = cut_aligned(picture, matrix)
    where = np.mgrid[0:TEMPLATE_SIZE:37, 0:TEMPLATE_SIZE:37].reshape(2, -1)[::-1].T
    expected = transform(invert(matrix), where)
    found = crop[where[:, 1], where[:, 0], :2]
    inside = (expected > 2).all(axis=1) & (expected < 237).all(axis=1)
    assert inside.sum() > 100
    assert np.abs(found[inside] - expected[inside]).max() < 0.75


def test_a_turned_picture_gives_the_same_crop() -> None:
    picture = cv2.GaussianBlur(data.astronaut(), (0, 0), 2)
    turned = np.rot90(picture, -1).copy()
    landmarks = np.stack([picture.shape[0] - 1 - faces.ASTRONAUT[:, 1], faces.ASTRONAUT[:, 0]], axis=1)
    one, other = crop_face(picture, faces.face(faces.ASTRONAUT)), crop_face(turned, faces.face(landmarks))
    assert np.abs(one.image.astype(int) - other.image).max() <= 3
    assert np.allclose(one.landmarks, other.landmarks, atol=0.01)


def test_a_smaller_crop_shows_the_same() -> None:
    picture = cv2.GaussianBlur(data.astronaut(), (0, 0), 2)
    large = crop_face(picture, faces.face(faces.ASTRONAUT), 512)
    small = crop_face(picture, faces.face(faces.ASTRONAUT), 256)
    assert small.image.shape == (256, 256, 3)
    halved = large.image.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - small.image).mean() < 1
    assert np.allclose((small.landmarks + 0.5) * 2 - 0.5, large.landmarks, atol=0.01)


def test_a_crop_that_shrinks_does_not_alias() -> None:
    rows, columns = np.mgrid[0:1000, 0:1000]
    checkerboard = np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = cut_aligned(checkerboard, alignment_matrix(faces.placed(500, 400, 320)))
    assert np.ptp(crop[100:-100, 100:-100].astype(int)) < 20


def test_beyond_the_frame_its_edge_is_repeated() -> None:
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    picture[:, :50] = (200, 100, 50)
    crop = crop_face(picture, faces.face(faces.placed(0, 50, 30)))
    assert (np.abs(crop.image[:, 0].astype(int) - (200, 100, 50)) <= 2).all()
    gone = crop_face(picture, faces.face(faces.placed(-900, 50, 30)))
    assert (np.abs(gone.image.astype(int) - (200, 100, 50)) <= 2).all()


def test_a_crop_that_shrinks_is_that_of_the_whole_picture_blurred() -> None:
    """Only what the crop shows is blurred; the result must be that of blurring everything."""
    picture = np.asarray(cv2.resize(data.astronaut(), (1536, 1536), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    matrix = alignment_matrix(faces.ASTRONAUT * 3, 112)
    shrink = 1 / float(np.hypot(matrix[0, 0], matrix[1, 0]))
    soft = before_shrinking(picture, shrink)
    whole = cv2.warpAffine(soft, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(cut_aligned(picture, matrix, 112).astype(int) - whole).max() <= 1
