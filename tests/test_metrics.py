"""Every figure on cases that can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from faces import placed
from numpy.typing import NDArray

from vidrestore import metrics

EYES = 50.0
FACE = placed(200, 150, EYES)


@pytest.fixture(scope="module")
def texture() -> NDArray[np.uint8]:
    """A smooth random picture (96, 128, 3) with detail everywhere."""
    import cv2

    noise = np.random.default_rng(0).normal(0, 1, (96, 128, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 30 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def flat(level: int, shape: tuple[int, int] = (20, 24)) -> NDArray[np.uint8]:
    return np.full((*shape, 3), level, dtype=np.uint8)


def test_luma_is_bt_601() -> None:
    picture = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]], dtype=np.uint8)
    np.testing.assert_allclose(metrics.luma(picture), [[76.245, 149.685, 29.07, 10]])


def test_psnr_of_a_constant_offset() -> None:
    assert metrics.psnr(flat(116), flat(100)) == pytest.approx(10 * math.log10(255**2 / 16**2))
    assert metrics.psnr(flat(100), flat(100)) == 100
    one_channel = flat(100)
    one_channel[..., 0] = 116
    assert metrics.psnr(one_channel, flat(100)) == pytest.approx(10 * math.log10(255**2 / (16**2 / 3)))


def test_ssim_of_flat_pictures_is_their_luminance_term() -> None:
    c1 = (0.01 * 255) ** 2
    wanted = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert metrics.ssim(flat(150), flat(100)) == pytest.approx(wanted, abs=1e-9)


def test_ssim_is_the_formula_of_wang_2004(texture: NDArray[np.uint8]) -> None:
    """Written out window by window."""
    noisy = np.clip(texture + np.random.default_rng(1).normal(0, 12, texture.shape), 0, 255).astype(np.uint8)
    first, second = (metrics.luma(image[:20, :16]) for image in (noisy, texture))
    profile = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(profile, profile) / profile.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(20 - 10):
        for left in range(16 - 10):
            x, y = (image[top : top + 11, left : left + 11] for image in (first, second))
            mx, my = (window * x).sum(), (window * y).sum()
            sx, sy, sxy = (
                (window * x * x).sum() - mx**2,
                (window * y * y).sum() - my**2,
                (window * x * y).sum() - mx * my,
            )
            values.append((2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sx + sy + c2)))
    assert metrics.ssim(noisy[:20, :16], texture[:20, :16]) == pytest.approx(float(np.mean(values)), abs=1e-9)
    assert metrics.ssim(texture, texture) == pytest.approx(1)


def test_identities_as_vectors() -> None:
    first, between, across = (np.array(v, dtype=np.float32) for v in ((1, 0), (0.6, 0.8), (0, 1)))
    assert metrics.identity_similarity(between, first) == pytest.approx(0.6)
    assert metrics.identity_drift(across, first) == pytest.approx(math.sqrt(2))
    assert metrics.identity_drift(-first, first) == pytest.approx(2)
    assert metrics.identity_drift(first, first) == 0


def test_harm_is_the_share_that_fell() -> None:
    before = np.array([0.5, 0.5, 0.5, math.nan])
    after = np.array([0.6, 0.49, 0.4, math.nan])
    assert metrics.harm(before, after) == pytest.approx(2 / 3)
    assert metrics.harm(before, after, 0.02) == pytest.approx(1 / 3)
    assert metrics.harm(before, before) == 0
    assert math.isnan(metrics.harm(before[3:], after[3:]))


def test_landmarks_that_are_shifted() -> None:
    assert metrics.landmark_error(FACE + np.array((3, 4)), FACE) == pytest.approx(5 / EYES, rel=0.02)
    assert metrics.landmark_error(FACE, FACE) == 0


def test_a_face_that_is_not_found_costs_no_less_than_any_that_is() -> None:
    lost = metrics.landmark_error(None, FACE)
    assert lost == metrics.NOT_FOUND == metrics.landmark_error(FACE + 1000, FACE)
    assert metrics.landmark_motion_error(None, FACE, FACE, FACE) == lost
    assert metrics.landmark_motion_error(FACE, None, FACE, FACE) == lost
    assert metrics.landmark_motion(None, FACE, FACE) == lost


def test_motion_is_compared_and_not_place() -> None:
    moved = FACE + np.array((3, 0))
    assert metrics.landmark_motion(moved, FACE, FACE) == pytest.approx(3 / EYES, rel=0.02)
    # Always 7 pixels beside the truth, and moving as it does.
    assert metrics.landmark_motion_error(moved + 7, FACE + 7, moved, FACE) == pytest.approx(0, abs=1e-6)
    # Standing still while the truth moves by 3, and shaking by (0, 2) on top of its motion.
    assert metrics.landmark_motion_error(FACE, FACE, moved, FACE) == pytest.approx(3 / EYES, rel=0.02)
    assert metrics.landmark_motion_error(moved + np.array((0, 2)), FACE, moved, FACE) == pytest.approx(
        2 / EYES, rel=0.02
    )


def test_what_moves_without_flicker_has_no_warping_error(texture: NDArray[np.uint8]) -> None:
    """The picture moves right by 5 and down by 3, so each pixel was at (-5, -3) before."""
    before, now = texture[3:, 5:], texture[:-3, :-5]
    flow = np.broadcast_to(np.array([-5, -3], dtype=np.float32), (*now.shape[:2], 2))
    inside = np.zeros(now.shape[:2], dtype=bool)
    inside[3:, 5:] = True
    assert metrics.warping_error(now, before, flow, inside) == 0
    brighter = np.minimum(now, 252) + 3
    dim = np.minimum(before, 252)
    assert metrics.warping_error(brighter.astype(np.uint8), dim, flow, inside) == pytest.approx(3)
    assert math.isnan(metrics.warping_error(now, before, flow, np.zeros_like(inside)))


def test_the_flow_of_a_shift_is_found(texture: NDArray[np.uint8]) -> None:
    before, now = np.ascontiguousarray(texture[3:, 5:]), np.ascontiguousarray(texture[:-3, :-5])
    flow, trusted = metrics.flow_to_previous(now, before)
    assert trusted[10:, 10:].mean() > 0.95
    np.testing.assert_allclose(flow[trusted].mean(axis=0), (-5, -3), atol=0.1)
    # Pixels that came in from outside have no place in the frame before.
    assert not trusted[:3].any() and not trusted[:, :4].any()


def test_what_was_hidden_before_is_not_trusted(texture: NDArray[np.uint8]) -> None:
    """A square moves right by 8 and uncovers a strip of the background."""

    def scene(left: int) -> NDArray[np.uint8]:
        picture = texture.copy()
        picture[20:76, left : left + 50] = texture[::-1, ::-1][20:76, 10:60]
        return picture

    flow, trusted = metrics.flow_to_previous(scene(40), scene(32))
    np.testing.assert_allclose(flow[30:66, 50:80].mean(axis=(0, 1)), (-8, 0), atol=0.2)
    assert trusted[30:66, 50:80].mean() > 0.95
    assert trusted[20:76, 32:40].mean() < 0.5


def test_sharpness_is_that_of_the_gradients(texture: NDArray[np.uint8]) -> None:
    half = np.rint(128 + (texture.astype(float) - 128) / 2).astype(np.uint8)
    assert metrics.sharpness_ratio(texture, texture) == 1
    assert metrics.sharpness_ratio(half, texture) == pytest.approx(0.5, abs=0.01)
    assert metrics.sharpness_ratio(flat(90, texture.shape[:2]), texture) == 0
    assert math.isnan(metrics.sharpness_ratio(texture[:20, :24], flat(90)))


def test_sharpness_of_a_ramp() -> None:
    """Steps of 6 against steps of 2, along one axis: three times the gradient, exactly."""
    steep, slight = (
        np.broadcast_to((step * np.arange(24, dtype=np.uint8))[None, :, None], (20, 24, 3)) for step in (6, 2)
    )
    assert metrics.sharpness_ratio(steep, slight) == pytest.approx(3)
    assert metrics.detail_ratio(steep, slight) == pytest.approx(3)
    # A ramp across the other one has as much gradient, and nothing in common with it.
    across = np.broadcast_to((2 * np.arange(20, dtype=np.uint8))[:, None, None], (20, 24, 3))
    assert metrics.sharpness_ratio(across, slight) == pytest.approx(1)
    assert metrics.detail_ratio(across, slight) == pytest.approx(0)


def test_detail_is_the_truths_and_noise_is_none(texture: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(3).normal(0, 8, texture.shape)
    half = 128 + (texture.astype(float) - 128) / 2
    noisy = np.clip(half + noise, 0, 255).astype(np.uint8)
    clean = np.rint(half).astype(np.uint8)
    assert metrics.detail_ratio(texture, texture) == 1
    assert metrics.detail_ratio(flat(90, texture.shape[:2]), texture) == 0
    assert metrics.detail_ratio(clean, texture) == pytest.approx(0.5, abs=0.01)
    assert metrics.detail_ratio(noisy, texture) == pytest.approx(0.5, abs=0.03)
    assert metrics.sharpness_ratio(noisy, texture) > metrics.sharpness_ratio(clean, texture) + 0.15
    assert math.isnan(metrics.detail_ratio(texture[:20, :24], flat(90)))
