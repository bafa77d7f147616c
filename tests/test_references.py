from __future__ import annotations

import runpy
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from faces import ASTRONAUT
from skimage import data

from vidrestore.alignment import crop_face
from vidrestore.candidates import CandidatePool
from vidrestore.config import Settings
from vidrestore.errors import ConfigError
from vidrestore.face_quality import (
    bareness,
    blockiness,
    cleanness,
    exposure,
    expression,
    eye_opening,
    mouth_opening,
    noise,
    sharpness,
    wholeness,
)
from vidrestore.metrics import psnr
from vidrestore.references import ReferenceSettings, select
from vidrestore.types import Face, Floats, Image, Reference

FRONTAL = (0.0, 0.0, 0.0)
FACE = crop_face(data.astronaut(), Face(0, None, ASTRONAUT, 1.0))
LANDMARKS = FACE.landmarks


def blurred(picture: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def moved(picture: Image, length: int, horizontal: bool) -> Image:
    return cv2.blur(picture, (length, 1) if horizontal else (1, length))


def noisy(picture: Image, strength: float, grain: int = 1) -> Image:
    """Gaussian noise whose grain is ``grain`` pixels wide, as enlarging a small face makes it."""
    height, width = picture.shape[:2]
    noise = np.random.default_rng(1).normal(0, strength, (height // grain + 1, width // grain + 1, 3))
    large = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + large, 0, 255).astype(np.uint8)


def encoded(frames: list[Image], codec: str, **options: str) -> list[Image]:
    """``frames`` after a real encoder; ``q`` is a constant quantiser."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = frames[0].shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
    if "q" in options:
        encoder.qmin = encoder.qmax = int(options.pop("q"))
        encoder.bit_rate = 1000
    encoder.options = options
    packets = []
    for number, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    decoder = av.CodecContext.create({"libx264": "h264"}.get(codec, codec), "r")
    decoder.extradata = encoder.extradata
    packets += encoder.encode(None)
    return [each.to_ndarray(format="rgb24") for packet in [*packets, None] for each in decoder.decode(packet)]


@dataclass
class Crop:
    image: Image
    landmarks: Floats


SHARP = Crop(FACE.image, LANDMARKS)
SOFT = Crop(blurred(SHARP.image, 6), LANDMARKS)


def variant(number: int) -> Crop:
    """The face in another light from each side, so that no two are near-duplicates."""
    light = np.cos(np.linspace(0, np.pi, 512) + number * 2.4)[None, :, None] * 60
    return Crop(np.clip(SHARP.image * 0.7 + 20 + light, 0, 255).astype(np.uint8), LANDMARKS)


def offer(
    pool: CandidatePool,
    track_id: int,
    seconds: float,
    crop: Crop = SHARP,
    *,
    eyes: float = 80.0,
    pose: tuple[float, float, float] = FRONTAL,
    score: float = 0.9,
    embedding: Floats | None = None,
) -> bool:
    pts = round(seconds * 100)
    return pool.offer(
        track_id,
        crop,
        crop.image,
        pts=pts,
        seconds=seconds,
        eye_distance=eyes,
        pose=pose,
        detection_score=score,
        embedding=embedding,
    )


def chosen(pool: CandidatePool, *track_ids: int) -> tuple[Reference, ...]:
    return select((c for c in pool.candidates() if c.track_id in track_ids), pool._settings)


def test_blur_lowers_sharpness_step_by_step() -> None:
    values = [sharpness(SHARP.image)] + [sharpness(blurred(SHARP.image, sigma)) for sigma in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1] > 0


@pytest.mark.parametrize("horizontal", [True, False])
def test_motion_in_one_direction_lowers_sharpness(horizontal: bool) -> None:
    """A face that moved keeps its detail along the movement, which must not count."""
    values = [sharpness(SHARP.image)] + [sharpness(moved(SHARP.image, n, horizontal)) for n in (9, 17, 33)]
    assert values == sorted(values, reverse=True)
    assert values[2] < 0.75 * values[0]


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


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg2video", {"q": "31"}),
        ("mpeg4", {"q": "31"}),
        ("libx264", {"crf": "48", "preset": "veryfast"}),
        ("libx264", {"crf": "48", "preset": "veryfast", "x264-params": "no-deblock=1"}),
    ],
)
def test_a_crude_quantiser_is_damage_in_key_frames_and_in_predicted_ones(codec: str, options: dict[str, str]) -> None:
    """The photograph drifts by 3 pixels a frame, so that predicted frames take their blocks from elsewhere."""
    photograph = data.astronaut()
    clean = [np.ascontiguousarray(photograph[20:260, 80 + 3 * i : 400 + 3 * i]) for i in range(4)]
    # The face is then at (142 - 3 i, 104); what is looked at is 1.6 times as large.
    around = [(slice(20, 200), slice(62 - 3 * i, 222 - 3 * i)) for i in range(4)]
    # An undamaged photograph has less than 0.2, which counts as none.
    assert max(blockiness(image[part]) for image, part in zip(clean, around, strict=True)) < 0.2
    for image, part in zip(encoded(clean, codec, **options), around, strict=True):
        assert wholeness(image[part]) < 0.6


def test_blur_and_noise_make_no_blocks() -> None:
    photograph = data.astronaut()[20:220, 124:324]
    for picture in (photograph, blurred(photograph, 3), noisy(photograph, 20), np.full_like(photograph, 90)):
        assert wholeness(picture) == 1
    assert wholeness(photograph[:12, :12]) == 1


@pytest.mark.parametrize("strength", [3, 10, 30])
def test_grain_is_measured_and_counts_less(strength: float) -> None:
    photograph = data.astronaut()[20:220, 124:324]
    grain = np.random.default_rng(1).normal(0, strength, (200, 200, 1))
    grainy = np.clip(photograph + grain, 0, 255).astype(np.uint8)
    # On top of the photograph's own; where the grain is clipped it is less.
    assert noise(grainy) == pytest.approx(np.hypot(strength, noise(photograph)), rel=0.2)
    assert cleanness(grainy) < cleanness(photograph)
    assert cleanness(photograph) > 0.95
    assert (cleanness(grainy) < 0.2) == (strength == 30)


def test_what_is_too_dark_or_burnt_out_counts_less() -> None:
    assert exposure(SHARP.image) > 0.95
    assert exposure((SHARP.image * 0.2).astype(np.uint8)) < 0.6
    assert exposure(np.clip(SHARP.image * 2.5, 0, 255).astype(np.uint8)) < 0.6


def opened(eyes: float, mouth: float) -> Floats:
    """The astronaut's landmarks with eyes and mouth opened so many times their width."""
    points = LANDMARKS.copy()
    for first in (36, 42):
        left, right = points[first].copy(), points[first + 3].copy()
        for offset, share, side in ((1, 1, -1), (2, 2, -1), (4, 2, 1), (5, 1, 1)):
            points[first + offset] = left + (right - left) * share / 3
            points[first + offset, 1] += side * eyes * np.linalg.norm(right - left) / 2
    width = np.linalg.norm(points[54] - points[48])
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[lower] = points[upper] + (0, mouth * width)
    return points


def test_open_eyes_and_a_quiet_mouth_are_measured_and_preferred() -> None:
    assert eye_opening(opened(0.3, 0)) == pytest.approx(0.3, abs=0.02)
    assert mouth_opening(opened(0.3, 0.4)) == pytest.approx(0.4, abs=0.02)
    assert expression(opened(0.3, 0)) == pytest.approx(1)
    assert expression(opened(0.02, 0)) < 0.6
    assert 0.7 < expression(opened(0.3, 0.6)) < 0.8


def test_something_in_front_of_the_face_counts_less() -> None:
    assert bareness(SHARP.image, LANDMARKS) == 1
    covered = SHARP.image.copy()
    covered[340:440, 180:340] = (40, 70, 170)
    assert bareness(covered, LANDMARKS) < 0.5
    shaded = (SHARP.image * np.linspace(0.5, 1.1, 512)[None, :, None]).clip(0, 255).astype(np.uint8)
    assert bareness(shaded, LANDMARKS) == 1


def test_the_sharper_crop_of_a_moment_stays() -> None:
    pool = CandidatePool()
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
    pool = CandidatePool(ReferenceSettings(min_difference=0))
    offer(pool, 0, 1.0, **worse)  # type: ignore[arg-type]
    offer(pool, 0, 9.0)
    references = chosen(pool, 0)
    assert [reference.source for reference in references] == ["pts 900", "pts 100"]
    assert references[0].score > references[1].score


def test_open_eyes_come_before_closed_ones() -> None:
    pool = CandidatePool(ReferenceSettings(min_relative_score=0))
    offer(pool, 0, 1.0, Crop(SHARP.image, opened(0.02, 0)), eyes=85)
    offer(pool, 0, 5.0, Crop(SHARP.image, opened(0.3, 0)))
    assert [reference.source for reference in chosen(pool, 0)] == ["pts 500", "pts 100"]


@pytest.mark.parametrize("useless", [{"eyes": 12.0}, {"eyes": np.nan}, {"pose": (0.0, -60.0, 0.0)}, {"score": 0.2}])
def test_useless_faces_are_refused(useless: dict[str, float]) -> None:
    pool = CandidatePool()
    assert not offer(pool, 0, 1.0, **useless)  # type: ignore[arg-type]
    assert chosen(pool, 0) == ()


def test_a_soft_face_is_better_than_none_but_not_beside_a_sharp_one() -> None:
    pool = CandidatePool()
    offer(pool, 0, 1.0, SOFT)
    assert len(chosen(pool, 0)) == 1
    offer(pool, 0, 5.0, SHARP)
    assert [reference.source for reference in chosen(pool, 0)] == ["pts 500"]


def test_the_pretest_agrees_with_the_offer() -> None:
    pool = CandidatePool()
    offer(pool, 0, 1.0)
    assert pool.would_accept(0, 50.0, 80, FRONTAL)
    assert pool.would_accept(1, 1.0, 80, FRONTAL)
    assert not pool.would_accept(0, 1.0, 80, (80.0, 0.0, 0.0))
    assert not pool.would_accept(0, 1.1, 20, (40.0, 0.0, 0.0))  # not even if it were perfectly sharp
    assert not offer(pool, 0, 1.1, SHARP, eyes=20, pose=(40.0, 0.0, 0.0))


def test_a_track_is_not_looked_at_all_the_time_unless_the_face_is_clearly_better() -> None:
    pool = CandidatePool(ReferenceSettings(look_seconds=0.2))
    offer(pool, 0, 1.0, SOFT)
    assert not pool.would_accept(0, 1.1, 80, FRONTAL)
    assert pool.would_accept(0, 1.1, 110, FRONTAL)
    assert pool.would_accept(0, 1.21, 80, FRONTAL)


def test_references_come_from_different_moments() -> None:
    pool = CandidatePool(ReferenceSettings(count=4, min_gap_seconds=2.0, min_difference=0))
    for index in range(100):
        offer(pool, 0, index / 5, SHARP, eyes=80 + index % 7)
    moments = sorted(int(reference.source.split()[1]) / 100 for reference in chosen(pool, 0))
    assert len(moments) == 4
    assert np.diff(moments).min() >= 2.0


def test_up_to_eight_references_by_default() -> None:
    pool = CandidatePool(ReferenceSettings(min_difference=0))
    for second in range(10):
        offer(pool, 0, float(second))
    assert len(chosen(pool, 0)) == 8


def test_near_duplicates_go_however_far_apart_in_time() -> None:
    pool = CandidatePool()
    for second in range(0, 60, 6):
        offer(pool, 0, float(second), Crop(noisy(SHARP.image, 2), LANDMARKS))
    offer(pool, 0, 100.0, variant(0))
    assert len(chosen(pool, 0)) == 2


def test_the_same_picture_with_another_expression_is_no_duplicate() -> None:
    pool = CandidatePool()
    offer(pool, 0, 0.0, Crop(SHARP.image, opened(0.3, 0)))
    offer(pool, 0, 10.0, Crop(SHARP.image, opened(0.3, 0.5)))
    assert len(chosen(pool, 0)) == 2


def test_another_shot_gets_its_turn() -> None:
    pool = CandidatePool(ReferenceSettings(count=3))
    for second in range(10):
        offer(pool, 0, float(second), variant(second), eyes=84)
        offer(pool, 1, 100.0 + second, variant(second + 100), eyes=80)
    later = [int(reference.source.split()[1]) >= 10_000 for reference in chosen(pool, 0, 1)]
    assert sorted(later) in ([False, False, True], [False, True, True])


def test_other_poses_are_preferred() -> None:
    pool = CandidatePool(ReferenceSettings(count=2, min_difference=0))
    for second, yaw in enumerate((0.0, 1.0, -1.0, 25.0)):
        offer(pool, 0, second * 3.0, SHARP, pose=(yaw, 0.0, 0.0))
    assert {reference.reason.split("turned ")[1].split()[0] for reference in chosen(pool, 0)} == {"0", "25"}


def test_other_looks_are_preferred_and_strangers_are_not() -> None:
    """Embeddings of one person differ by some degrees; a stranger or a covered face is nearly at a right angle."""

    def embedding(degrees: float) -> Floats:
        return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0], dtype=np.float32)

    pool = CandidatePool(ReferenceSettings(count=2, min_difference=0))
    for second, degrees in enumerate((0, 2, 4, 40)):
        offer(pool, 0, second * 3.0, SHARP, embedding=embedding(degrees))
    assert "pts 900" in {reference.source for reference in chosen(pool, 0)}
    offer(pool, 1, 50.0, SHARP, eyes=119.0, embedding=np.array([0, 0, 1], dtype=np.float32))
    references = chosen(pool, 0, 1)
    assert "pts 5000" not in {reference.source for reference in references}


def test_memory_of_a_track_does_not_grow_with_its_length() -> None:
    settings = ReferenceSettings(moments=5)
    pool = CandidatePool(settings)
    small = Crop(cv2.resize(SHARP.image, (64, 64)), LANDMARKS / 8)
    for second in range(200):
        offer(pool, 0, float(second), small, eyes=60 + second % 13)
        assert len(pool._shelves[0].best) <= 5
    moments = [candidate.seconds for candidate in pool._shelves[0].best.values()]
    assert len(moments) >= 2
    assert max(moments) - min(moments) > 100


def test_memory_of_all_tracks_is_bounded_and_the_best_stay() -> None:
    pool = CandidatePool(ReferenceSettings(max_megabytes=0.5))
    small = Crop(cv2.resize(SHARP.image, (128, 128)), LANDMARKS / 4)
    for track_id in range(30):
        for second in range(4):
            offer(pool, track_id, second * 10.0, small, eyes=60 + track_id)
    held = [candidate for shelf in pool._shelves.values() for candidate in shelf.best.values()]
    assert sum(len(candidate.packed) for candidate in held) == pool._bytes <= 0.5e6
    assert chosen(pool, 29)
    pool.forget(29)
    assert chosen(pool, 29) == ()
    assert sum(len(c.packed) for shelf in pool._shelves.values() for c in shelf.best.values()) == pool._bytes


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"max_turn_degrees": 100}, {"min_relative_score": 2}, {"min_difference": -1}]
)
def test_settings_name_what_is_wrong(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"references.{next(iter(wrong))} is .* allowed"):
        ReferenceSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 1])
def test_references_of_a_damaged_clip_are_its_undamaged_frames(seed: int) -> None:
    """The sample clip with half of its frames ruined by blur, grain and real encoders; wanted are 95 %."""
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks" / "references.py"))
    clip = REPOSITORY / "samples" / "astronaut_clean.mp4"
    settings = replace(Settings(), tracking=replace(Settings().tracking, min_track_seconds=0.1))
    analysis, ways = benchmark["analyzed"](clip, 0.5, None, seed, settings)
    figures = benchmark["figures_of"](analysis, ways)
    assert len(ways) >= 25
    assert figures["references"] >= 2
    assert figures["undamaged_share"] >= 0.95
