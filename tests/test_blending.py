"""Pasting changes the face, softly, and nothing else."""

from __future__ import annotations

from fractions import Fraction

import cv2
import faces
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vidrestore.alignment import alignment_matrix, crop_face
from vidrestore.blending import face_mask, is_grey, match_colour, paste
from vidrestore.geometry import transform
from vidrestore.types import FaceCrop, Frame
from vidrestore.video import picture_from_rgb

FORMATS = ["yuv420p", "yuv422p10le", "yuv444p", "rgb24", "gray"]
LANDMARKS = {
    "astronaut": faces.ASTRONAUT,
    "small": faces.placed(220, 120, 9, 15),
    "large": faces.placed(250, 220, 190, -20),
    "upside down": faces.placed(250, 250, 40, 180),
    "over the left edge": faces.placed(4, 200, 40),
    "over the corner": faces.placed(508, 508, 60),
}


def frame(image: NDArray[np.uint8], pixel_format: str = "yuv444p") -> Frame:
    return Frame(0, Fraction(1, 25), picture_from_rgb(image, pixel_format=pixel_format))


def noise(shape: tuple[int, ...], seed: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def outline(landmarks: NDArray[np.float32], shape: tuple[int, ...], margin: int) -> NDArray[np.bool_]:
    """Where the face is: jaw and forehead, a sixth larger for the border, and ``margin`` pixels around."""
    brows = landmarks[17:27]
    forehead = brows + 0.75 * (brows.mean(axis=0) - landmarks[33])
    points = np.concatenate([landmarks[:17], forehead])
    centre = points.mean(axis=0)
    hull = cv2.convexHull((centre + 1.17 * (points - centre)).astype(np.float32))
    inside = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(inside, np.rint(hull).astype(np.int32), 1)
    return cv2.dilate(inside, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("name", LANDMARKS)
def test_crop_then_paste_without_restoration_changes_nothing(pixel_format: str, name: str) -> None:
    target = frame(data.astronaut(), pixel_format)
    before = faces.planes(target)
    crop = crop_face(target.image, faces.face(LANDMARKS[name]))
    paste(target, crop, crop.image.copy(), 1.0)
    assert faces.same_planes(faces.planes(target), before)


@pytest.mark.parametrize("name", LANDMARKS)
def test_nothing_changes_outside_the_face(name: str) -> None:
    target = frame(data.astronaut())
    before = faces.planes(target)
    crop = crop_face(target.image, faces.face(LANDMARKS[name]))
    paste(target, crop, noise(crop.image.shape), 1.0)
    changed = np.any([a != b for a, b in zip(faces.planes(target), before, strict=True)], axis=0)
    allowed = outline(LANDMARKS[name], changed.shape, margin=2)
    assert changed.any()
    assert not (changed & ~allowed).any()


def test_a_frame_with_subsampled_chroma_changes_at_most_a_block_further() -> None:
    target = frame(data.astronaut(), "yuv420p")
    before = faces.planes(target)
    crop = crop_face(target.image, faces.face(faces.ASTRONAUT))
    paste(target, crop, noise(crop.image.shape), 1.0)
    allowed = outline(faces.ASTRONAUT, (512, 512), margin=2)
    luma, *chroma = [a != b for a, b in zip(faces.planes(target), before, strict=True)]
    assert luma.any()
    assert not (luma & ~allowed).any()
    blocks = allowed.reshape(256, 2, 256, 2).any(axis=(1, 3))
    assert not any((plane & ~blocks).any() for plane in chroma)


def test_no_weight_changes_nothing_and_half_the_weight_half_as_much() -> None:
    changes = []
    for weight in (0.0, 0.5, 1.0):
        target = frame(data.astronaut(), "rgb24")
        before = target.image.astype(int)
        crop = crop_face(target.image, faces.face(faces.ASTRONAUT))
        restored = np.clip(crop.image.astype(int) + 4 * (crop.image - cv2.blur(crop.image, (9, 9)).astype(int)), 0, 255)
        paste(target, crop, restored.astype(np.uint8), weight)
        changes.append(target.image - before)
    assert not changes[0].any()
    inside = (target.image > 20) & (target.image < 235)
    assert np.abs(changes[2]).max() > 10
    assert np.abs(2 * changes[1] - changes[2])[inside].max() <= 2


@pytest.mark.parametrize("size", [512, 256, 64])
def test_the_mask_lies_inside_the_outline_and_is_soft(size: int) -> None:
    landmarks = transform(alignment_matrix(faces.ASTRONAUT, size), faces.ASTRONAUT)
    mask = face_mask(landmarks, size)
    assert mask.shape == (size, size)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert not mask[~outline(landmarks, mask.shape, margin=1)].any()
    # The inner face is restored fully; what is not near it is not touched at all.
    nose_x, nose_y = landmarks[30].round().astype(int)
    assert mask[nose_y, nose_x] > 0.99
    assert mask[:, 0].max() == mask[:, -1].max() == mask[0].max() == mask[-1].max() == 0
    steps = max(np.abs(np.diff(mask, axis=0)).max(), np.abs(np.diff(mask, axis=1)).max())
    # A smooth step over 6.5 % of the side is at its steepest 1.5 / (0.065 * size).
    assert steps < 25 / size


def test_the_mask_follows_the_face() -> None:
    """A face turned away has its far cheek nearer to its nose."""
    turned = faces.MEAN_FACE.copy()
    turned[:8, 0] += 40
    frontal = face_mask(faces.MEAN_FACE, 512)
    assert face_mask(turned, 512)[300, :140].sum() < 0.5 * frontal[300, :140].sum()


def test_colour_and_light_stay_those_of_the_source() -> None:
    target = frame(data.astronaut(), "rgb24")
    before = target.image.astype(float)
    crop = crop_face(target.image, faces.face(faces.ASTRONAUT))
    cast = np.clip(crop.image + np.array((25, -10, 15)), 0, 255).astype(np.uint8)
    paste(target, crop, cast, 1.0)
    inside = outline(faces.ASTRONAUT, before.shape, margin=0)
    assert np.abs((target.image - before)[inside].mean(axis=0)).max() < 1.5


def test_matching_keeps_the_detail_of_the_restored_face() -> None:
    crop = crop_face(data.astronaut(), faces.face(faces.ASTRONAUT))
    mask = face_mask(crop.landmarks, 512)
    stripes = crop.image.astype(int) + 12 * (np.arange(512) % 8 < 4)[:, None, None]
    matched = match_colour(np.clip(stripes, 0, 255).astype(np.uint8), crop.image, mask)
    kept = (matched - crop.image)[200:300, 200:300, 1]
    assert kept.std() == pytest.approx(6, abs=1)
    assert abs(kept.mean()) < 1.5


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
def test_grey_stays_grey(pixel_format: str) -> None:
    grey = np.repeat(data.astronaut().mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    target = frame(grey, pixel_format)
    luma, *chroma = faces.planes(target)
    crop = crop_face(target.image, faces.face(faces.ASTRONAUT))
    paste(target, crop, noise(crop.image.shape), 1.0)
    luma_after, *chroma_after = faces.planes(target)
    assert not np.array_equal(luma, luma_after)
    assert faces.same_planes(chroma_after, chroma)


def test_grey_is_told_from_colour() -> None:
    assert is_grey(np.full((8, 8, 3), 90, np.uint8))
    assert is_grey(np.repeat(noise((8, 8, 1)), 3, axis=2))
    assert not is_grey(data.astronaut())


@pytest.mark.parametrize("place", [(-400, 100), (900, 100), (100, -400), (100, 900), (-5000, -5000)])
def test_a_face_beyond_the_frame_changes_nothing(place: tuple[int, int]) -> None:
    target = frame(data.astronaut())
    before = faces.planes(target)
    crop = crop_face(target.image, faces.face(faces.placed(*place, 40)))
    paste(target, crop, noise(crop.image.shape), 1.0)
    assert faces.same_planes(faces.planes(target), before)


def test_a_face_is_restored_where_it_is() -> None:
    """A dot that the restored crop has beside the nose comes to that place in the frame."""
    target = frame(data.astronaut(), "rgb24")
    before = target.image.astype(int)
    crop = crop_face(target.image, faces.face(faces.ASTRONAUT))
    dotted = crop.image.copy()
    x, y = crop.landmarks[30].round().astype(int)
    cv2.circle(dotted, (int(x), int(y)), 9, (0, 255, 0), -1)
    paste(target, FaceCrop(crop.face, crop.image, crop.matrix, crop.landmarks), dotted, 1.0)
    green = (target.image - before)[..., 1].clip(40)
    rows, columns = np.nonzero(green > 40)
    assert np.allclose((columns.mean(), rows.mean()), faces.ASTRONAUT[30], atol=1)
