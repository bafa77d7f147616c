from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from skimage import data

from vidrestore.errors import ConfigError
from vidrestore.metrics import psnr
from vidrestore.references import ReferencePool, ReferenceSettings, select, sharpness
from vidrestore.types import Floats, Image, Reference

LANDMARKS = np.random.default_rng(0).uniform(100, 400, (68, 2)).astype(np.float32)
FRONTAL = (0.0, 0.0, 0.0)


def astronaut(size: int = 512) -> Image:
    """A real face, aligned by hand, as a square of ``size`` pixels."""
    face = np.ascontiguousarray(data.astronaut()[10:210, 124:324])
    return cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC)


def blurred(picture: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def noisy(picture: Image, strength: float, grain: int = 1) -> Image:
    """Gaussian noise whose grain is ``grain`` pixels wide, as enlarging a small face makes it."""
    height, width = picture.shape[:2]
    noise = np.random.default_rng(1).normal(0, strength, (height // grain + 1, width // grain + 1, 3))
    large = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + large, 0, 255).astype(np.uint8)


@dataclass
class Crop:
    image: Image
    landmarks: Floats


SHARP = Crop(astronaut(), LANDMARKS)
SOFT = Crop(blurred(SHARP.image, 6), LANDMARKS)


def offer(
    pool: ReferencePool,
    track_id: int,
    seconds: float,
    crop: Crop = SHARP,
    *,
    eyes: float = 80.0,
    pose: tuple[float, float, float] = FRONTAL,
    score: float = 0.9,
) -> bool:
    pts = round(seconds * 100)
    return pool.offer(track_id, crop, pts=pts, seconds=seconds, eye_distance=eyes, pose=pose, detection_score=score)


def chosen(pool: ReferencePool, *track_ids: int) -> tuple[Reference, ...]:
    return select((c for c in pool.candidates() if c.track_id in track_ids), pool._settings)


def test_blur_lowers_sharpness_step_by_step() -> None:
    values = [sharpness(SHARP.image)] + [sharpness(blurred(SHARP.image, sigma)) for sigma in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-2] > 0


@pytest.mark.parametrize("grain", [1, 3])
@pytest.mark.parametrize("strength", [5, 15, 30])
def test_noise_never_looks_sharp(strength: float, grain: int) -> None:
    assert sharpness(noisy(SHARP.image, strength, grain)) < sharpness(SHARP.image)
    assert sharpness(noisy(SOFT.image, strength, grain)) < sharpness(SHARP.image) / 2
    assert sharpness(noisy(np.full_like(SHARP.image, 120), strength, grain)) < sharpness(SHARP.image) / 2


def test_light_and_size_of_the_crop_do_not_matter() -> None:
    value = sharpness(SHARP.image)
    assert sharpness((SHARP.image * 0.5 + 10).astype(np.uint8)) == pytest.approx(value, rel=0.1)
    assert sharpness(cv2.resize(blurred(SHARP.image, 0.6), (256, 256))) == pytest.approx(value, rel=0.2)
    assert sharpness(np.full_like(SHARP.image, 90)) == 0


def test_the_sharper_crop_of_a_moment_stays() -> None:
    pool = ReferencePool()
    assert offer(pool, 0, 1.0, SOFT)
    assert offer(pool, 0, 1.04, SHARP)
    assert not offer(pool, 0, 1.08, SOFT)
    (reference,) = chosen(pool, 0)
    assert reference.source == "pts 104"
    # Candidates are kept compressed; 45 dB is far above what can be seen.
    assert psnr(reference.image, SHARP.image) > 45
    assert np.array_equal(reference.landmarks, LANDMARKS)
    assert reference.sharpness == pytest.approx(sharpness(SHARP.image))
    assert reference.reason == f"sharp ({reference.sharpness:.2f}), eyes 80 px apart, turned 0 degrees, at 1.0 s"


@pytest.mark.parametrize("worse", [{"eyes": 40.0}, {"pose": (35.0, 0.0, 0.0)}, {"score": 0.5}])
def test_large_frontal_and_sure_faces_come_first(worse: dict[str, float]) -> None:
    pool = ReferencePool()
    offer(pool, 0, 1.0, **worse)  # type: ignore[arg-type]
    offer(pool, 0, 9.0)
    references = chosen(pool, 0)
    assert [reference.source for reference in references] == ["pts 900", "pts 100"]
    assert references[0].score > references[1].score


def test_open_eyes_come_before_closed_ones() -> None:
    def eyed(height: float) -> Crop:
        landmarks = LANDMARKS.copy()
        for first in (36, 42):
            y = np.array([0, -1, -1, 0, 1, 1]) * height / 2
            landmarks[first : first + 6] = np.stack([200 + np.array([0, 10, 20, 30, 20, 10]), 240 + y], axis=1)
        return Crop(SHARP.image, landmarks)

    pool = ReferencePool(ReferenceSettings(min_relative_score=0))
    offer(pool, 0, 1.0, eyed(1), eyes=85)
    offer(pool, 0, 5.0, eyed(9))
    assert [reference.source for reference in chosen(pool, 0)] == ["pts 500", "pts 100"]


@pytest.mark.parametrize("useless", [{"eyes": 12.0}, {"eyes": np.nan}, {"pose": (0.0, -60.0, 0.0)}, {"score": 0.2}])
def test_useless_faces_are_refused(useless: dict[str, float]) -> None:
    pool = ReferencePool()
    assert not offer(pool, 0, 1.0, **useless)  # type: ignore[arg-type]
    assert chosen(pool, 0) == ()


def test_a_soft_face_is_better_than_none_but_not_beside_a_sharp_one() -> None:
    pool = ReferencePool()
    offer(pool, 0, 1.0, SOFT)
    assert len(chosen(pool, 0)) == 1
    offer(pool, 0, 5.0, SHARP)
    assert [reference.source for reference in chosen(pool, 0)] == ["pts 500"]


def test_the_pretest_agrees_with_the_offer() -> None:
    pool = ReferencePool()
    offer(pool, 0, 1.0)
    assert pool.would_accept(0, 50.0, 80, FRONTAL)
    assert pool.would_accept(1, 1.0, 80, FRONTAL)
    assert not pool.would_accept(0, 1.0, 80, (80.0, 0.0, 0.0))
    assert not pool.would_accept(0, 1.1, 20, (40.0, 0.0, 0.0))  # not even if it were perfectly sharp
    assert not offer(pool, 0, 1.1, SHARP, eyes=20, pose=(40.0, 0.0, 0.0))


def test_a_track_is_not_looked_at_all_the_time_unless_the_face_is_clearly_better() -> None:
    pool = ReferencePool(ReferenceSettings(look_seconds=0.2))
    offer(pool, 0, 1.0, SOFT)
    assert not pool.would_accept(0, 1.1, 80, FRONTAL)
    assert pool.would_accept(0, 1.1, 110, FRONTAL)
    assert pool.would_accept(0, 1.21, 80, FRONTAL)


def test_references_come_from_different_moments() -> None:
    pool = ReferencePool(ReferenceSettings(count=4, min_gap_seconds=2.0))
    small = Crop(astronaut(128), LANDMARKS)
    for index in range(600):
        offer(pool, 0, index / 30, small, eyes=80 + index % 7)
    moments = sorted(int(reference.source.split()[1]) / 100 for reference in chosen(pool, 0))
    assert len(moments) == 4
    assert np.diff(moments).min() >= 2.0


def test_another_shot_gets_its_turn() -> None:
    pool = ReferencePool(ReferenceSettings(count=3))
    for second in range(10):
        offer(pool, 0, float(second), SHARP, eyes=84)
        offer(pool, 1, 100.0 + second, SHARP, eyes=80)
    later = [int(reference.source.split()[1]) >= 10_000 for reference in chosen(pool, 0, 1)]
    assert sorted(later) in ([False, False, True], [False, True, True])


def test_other_poses_are_preferred() -> None:
    pool = ReferencePool(ReferenceSettings(count=2))
    for second, yaw in enumerate((0.0, 1.0, -1.0, 25.0)):
        offer(pool, 0, second * 3.0, SHARP, pose=(yaw, 0.0, 0.0))
    assert {reference.reason.split("turned ")[1].split()[0] for reference in chosen(pool, 0)} == {"0", "25"}


def test_memory_of_a_track_does_not_grow_with_its_length() -> None:
    settings = ReferenceSettings(moments=5)
    pool = ReferencePool(settings)
    small = Crop(astronaut(64), LANDMARKS)
    for second in range(2000):
        offer(pool, 0, float(second), small, eyes=60 + second % 13)
        assert len(pool._shelves[0].best) <= 5
    moments = [candidate.seconds for candidate in pool._shelves[0].best.values()]
    assert len(moments) >= 2
    assert max(moments) - min(moments) > 1000


def test_memory_of_all_tracks_is_bounded_and_the_best_stay() -> None:
    pool = ReferencePool(ReferenceSettings(max_megabytes=0.5))
    small = Crop(astronaut(128), LANDMARKS)
    for track_id in range(30):
        for second in range(4):
            offer(pool, track_id, second * 10.0, small, eyes=60 + track_id)
    held = [candidate for shelf in pool._shelves.values() for candidate in shelf.best.values()]
    assert sum(len(candidate.packed) for candidate in held) == pool._bytes <= 0.5e6
    assert chosen(pool, 29)
    pool.forget(29)
    assert chosen(pool, 29) == ()
    assert sum(len(c.packed) for shelf in pool._shelves.values() for c in shelf.best.values()) == pool._bytes


@pytest.mark.parametrize("wrong", [{"count": 0}, {"max_turn_degrees": 100}, {"min_relative_score": 2}])
def test_settings_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"references.{next(iter(wrong))} is .* allowed"):
        ReferenceSettings(**wrong)  # type: ignore[arg-type]
