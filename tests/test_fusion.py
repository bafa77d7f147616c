"""A face learns from its neighbouring frames where they agree with it, and from nothing else."""

from __future__ import annotations

from fractions import Fraction

import cv2
import faces
import numpy as np
import pytest
from skimage import data

from vidrestore.errors import ConfigError
from vidrestore.fusion import ALONE, FusionSettings, fuse, with_neighbours
from vidrestore.metrics import psnr
from vidrestore.types import Face, Floats, Frame, Image, Timeline
from vidrestore.video import picture_from_rgb

PHOTOGRAPH = data.astronaut()[:240, 120:360]
POINTS = (faces.ASTRONAUT - np.array([120, 0])).astype(np.float32)
FACE = (slice(60, 190), slice(50, 150))


def moved(right: float, down: float) -> tuple[Image, Floats]:
    """The photograph and its landmarks, moved by a fraction of a pixel."""
    matrix = np.array([[1, 0, right], [0, 1, down]], dtype=np.float32)
    image = cv2.warpAffine(PHOTOGRAPH, matrix, (240, 240), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image, dtype=np.uint8), POINTS + np.array([right, down], dtype=np.float32)


def noisy(image: Image, seed: int, sigma: float = 9.0) -> Image:
    noise = sigma * np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


STEPS = [(-7.3, 1.6), (-3.4, 0.8), (3.7, -0.6), (6.8, -1.9)]


def test_noise_falls_while_the_face_moves() -> None:
    others = [(noisy(image, seed), points) for seed, (image, points) in enumerate(moved(*step) for step in STEPS)]
    alone = noisy(PHOTOGRAPH, 9)
    fused = fuse(alone, POINTS, others, 10.0)
    # Five independent looks could gain 7 dB at most; whatever misses 2 dB does not find the motion.
    assert psnr(fused[FACE], PHOTOGRAPH[FACE]) > psnr(alone[FACE], PHOTOGRAPH[FACE]) + 2


def test_a_clean_face_stays_as_sharp_as_it_is() -> None:
    fused = fuse(PHOTOGRAPH, POINTS, [moved(*step) for step in STEPS], 10.0)
    assert psnr(fused[FACE], PHOTOGRAPH[FACE]) > 36  # what bicubic interpolation costs twice over
    edges = [float(np.abs(cv2.Sobel(image[FACE], cv2.CV_32F, 1, 0)).mean()) for image in (fused, PHOTOGRAPH)]
    assert edges[0] > 0.93 * edges[1]


def test_what_does_not_agree_is_not_averaged_in() -> None:
    stranger = np.ascontiguousarray(data.astronaut()[272:512, 272:512])
    fused = fuse(PHOTOGRAPH, POINTS, [(stranger, POINTS)] * 4, 10.0)
    alone = fuse(PHOTOGRAPH, POINTS, [(255 - PHOTOGRAPH, POINTS)] * 4, 10.0)
    assert psnr(fused[FACE], PHOTOGRAPH[FACE]) > 30
    assert psnr(alone[FACE], PHOTOGRAPH[FACE]) > 40


def test_only_the_face_changes_and_without_neighbours_nothing() -> None:
    alone = noisy(PHOTOGRAPH, 9)
    image, points = moved(*STEPS[0])
    fused = fuse(alone, POINTS, [(noisy(image, 1), points)], 10.0)
    assert np.array_equal(fused[:20], alone[:20])
    assert not np.array_equal(fused[FACE], alone[FACE])
    assert fuse(alone, POINTS, [], 10.0) is alone


def test_a_face_at_the_border_and_a_tiny_one_pass() -> None:
    shift = np.array([-90, -60], dtype=np.float32)
    image = np.ascontiguousarray(PHOTOGRAPH[60:, 90:])
    assert fuse(image, POINTS + shift, [(image, POINTS + shift)], 10.0).shape == image.shape
    tiny = (POINTS / 20).astype(np.float32)
    small = np.asarray(cv2.resize(PHOTOGRAPH, (12, 12), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    assert fuse(small, tiny, [(small, tiny)], 10.0) is small


def frames_at(rate: int, count: int) -> list[Frame]:
    pictures = [np.full((32, 32, 3), 4 * index, dtype=np.uint8) for index in range(count)]
    return [
        Frame(pts, Fraction(1, rate), picture_from_rgb(picture, pixel_format="gbrp"))
        for pts, picture in enumerate(pictures)
    ]


@pytest.mark.parametrize(("rate", "reach"), [(10, 1), (25, 3), (100, 3)])
def test_neighbours_are_near_in_time_and_few(rate: int, reach: int) -> None:
    face = Face(0, None, POINTS, 1.0)
    timeline = Timeline(dict.fromkeys(range(12), (face,)))
    found = list(with_neighbours(iter(frames_at(rate, 12)), timeline, FusionSettings()))
    assert [moment.frame.pts for moment, _ in found] == list(range(12))
    around = [other.frame.pts for other in found[6][1]]
    assert around == [pts for pts in range(6 - reach, 6 + reach + 1) if pts != 6]
    assert [other.frame.pts for other in found[0][1]] == list(range(1, reach + 1))
    assert [other.frame.pts for other in found[-1][1]] == list(range(11 - reach, 11))


def test_neighbours_are_as_they_were_before_anything_was_pasted() -> None:
    face = Face(0, None, POINTS, 1.0)
    timeline = Timeline(dict.fromkeys(range(6), (face,)))
    for moment, others in with_neighbours(iter(frames_at(25, 6)), timeline, FusionSettings()):
        for other in others:
            assert other.image is not None
            assert int(other.image.max()) == 4 * other.frame.pts
        moment.frame.picture.add(0, 0, np.full((32, 32, 3), 100, dtype=np.float32))


def test_few_frames_are_held_and_none_are_waited_for_without_reach() -> None:
    read: list[int] = []

    def counted() -> object:
        for frame in frames_at(25, 40):
            read.append(frame.pts)
            yield frame

    moments = with_neighbours(counted(), Timeline(), FusionSettings(reach_seconds=2.0))  # type: ignore[arg-type]
    next(moments)
    assert len(read) == 4
    read.clear()
    next(with_neighbours(counted(), Timeline(), ALONE))  # type: ignore[arg-type]
    assert len(read) == 1


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"fusion\.reach_seconds is -1"):
        FusionSettings(reach_seconds=-1)
    with pytest.raises(ConfigError, match=r"fusion\.agreement_levels is 0"):
        FusionSettings(agreement_levels=0)
