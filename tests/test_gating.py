"""The gate against harm: what restoring made worse is held back, smoothly in time, and counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.data import get_image
from skimage import data

from vidrestore import Settings, preview_video, weights
from vidrestore.alignment import crop_face
from vidrestore.config import FacesSettings
from vidrestore.detectors import build_detector
from vidrestore.errors import ConfigError
from vidrestore.gating import (
    COMPONENTS_MOVED,
    LESS_LIKE_PERSON,
    MOST_WAITING,
    UNLIKE_INPUT,
    Gate,
    GateSettings,
    SteadyVerdicts,
    Verdict,
)
from vidrestore.places import shipped_folder
from vidrestore.restoration import Tally, restore_frames
from vidrestore.types import Detector, Face, FaceCrop, Floats, Frame, Identity, Image, Reference, Timeline
from vidrestore.video import picture_from_rgb

RATE = 12


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(FacesSettings(), "cpu")


def landmarks_of(detector: Detector, picture: Image) -> Floats:
    """Those of the surest face."""
    landmarks = detector.detect(picture)[0].landmarks
    assert landmarks is not None
    return landmarks


@pytest.fixture(scope="module")
def sharp(detector: Detector) -> FaceCrop:
    """The astronaut, person 0."""
    picture = data.astronaut()
    return crop_face(picture, Face(0, 0, landmarks_of(detector, picture), 1.0))


@pytest.fixture(scope="module")
def stranger(detector: Detector) -> Image:
    """Somebody else, aligned as the astronaut is."""
    picture = np.ascontiguousarray(get_image("t1")[:, :, ::-1])
    return crop_face(picture, Face(0, 0, landmarks_of(detector, picture), 1.0)).image


@pytest.fixture(scope="module")
def blurred(sharp: FaceCrop) -> FaceCrop:
    """The astronaut with his eyes about 20 pixels apart."""
    small = cv2.resize(sharp.image, (80, 80), interpolation=cv2.INTER_AREA)
    return replace(sharp, image=cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def gate(detector: Detector, sharp: FaceCrop) -> Gate:
    return Gate(detector, [astronaut(sharp)], GateSettings())


def astronaut(sharp: FaceCrop) -> Identity:
    reference = Reference(sharp.image, sharp.landmarks, "photograph", 1.0, 1.0, "sharp")
    return Identity(0, "astronaut", (0,), None, (reference,))


def unassigned(crop: FaceCrop) -> FaceCrop:
    return replace(crop, face=replace(crop.face, identity_id=None))


def with_mouth_moved(crop: FaceCrop, right: int, down: int) -> Image:
    """The crop's mouth cut out and put down elsewhere, with skin in its place."""
    mouth = crop.landmarks[48:]
    left, top = np.floor(mouth.min(axis=0) - 14).astype(int)
    width, height = np.ceil(np.ptp(mouth, axis=0) + 28).astype(int)
    mask = np.zeros(crop.image.shape[:2], np.uint8)
    mask[top : top + height, left : left + width] = 255
    moved = cv2.inpaint(crop.image, mask, 5, cv2.INPAINT_TELEA)
    part = crop.image[top : top + height, left : left + width]
    moved[top + down : top + down + height, left + right : left + right + width] = part
    return moved


# one face


@pytest.mark.parametrize("change", [lambda crop: crop, unassigned])
def test_a_picture_that_equals_its_input_counts_fully(gate: Gate, sharp: FaceCrop, blurred: FaceCrop, change) -> None:
    assert gate.judge(change(sharp), sharp.image) == Verdict(1.0)
    assert gate.judge(change(blurred), blurred.image.copy()) == Verdict(1.0)


@pytest.mark.parametrize("change", [lambda crop: crop, unassigned])
def test_a_perfect_restoration_counts_fully(gate: Gate, sharp: FaceCrop, blurred: FaceCrop, change) -> None:
    assert gate.judge(change(blurred), sharp.image) == Verdict(1.0)


def test_another_person_in_the_place_of_the_restored_one_counts_for_nothing(
    gate: Gate, detector: Detector, sharp: FaceCrop, blurred: FaceCrop, stranger: Image
) -> None:
    # Only who it is shall count here.
    lenient = Gate(detector, [astronaut(sharp)], GateSettings(full_disagreement=0.99, max_disagreement=1.0))
    assert gate.judge(blurred, stranger).factor < 0.05
    assert lenient.judge(blurred, stranger).factor < 0.05
    assert gate.judge(unassigned(blurred), stranger).factor < 0.05
    assert {gate.judge(blurred, stranger).reason, lenient.judge(blurred, stranger).reason} <= {
        LESS_LIKE_PERSON,
        COMPONENTS_MOVED,
    }


def test_a_face_of_nobody_is_compared_with_its_own_input(
    detector: Detector, blurred: FaceCrop, stranger: Image
) -> None:
    verdict = Gate(detector, [], GateSettings(full_disagreement=0.99, max_disagreement=1.0)).judge(blurred, stranger)
    assert verdict.factor < 0.5
    assert verdict.reason == UNLIKE_INPUT


@pytest.mark.parametrize(("right", "down", "most"), [(40, 0, 0.6), (0, 40, 0.8), (-50, 10, 0.6)])
def test_a_mouth_that_moved_is_held_back(
    gate: Gate, sharp: FaceCrop, blurred: FaceCrop, right: int, down: int, most: float
) -> None:
    """By 40 pixels, a third of the distance of the eyes; the landmark network believes less in a mouth on the chin."""
    for crop in (unassigned(sharp), unassigned(blurred)):
        verdict = gate.judge(crop, with_mouth_moved(sharp, right, down))
        assert verdict.factor < most
        assert verdict.reason == COMPONENTS_MOVED


def test_a_picture_without_a_face_counts_for_nothing(gate: Gate, blurred: FaceCrop) -> None:
    grey = np.full_like(blurred.image, 128)
    noise = np.random.default_rng(0).integers(0, 256, blurred.image.shape).astype(np.uint8)
    for nothing in (grey, noise, np.ascontiguousarray(blurred.image[::-1])):
        assert gate.judge(blurred, nothing).factor == 0


def test_two_flat_pictures_agree(gate: Gate, blurred: FaceCrop) -> None:
    """A black frame is no harm."""
    black = replace(unassigned(blurred), image=np.zeros_like(blurred.image))
    assert gate.judge(black, black.image) == Verdict(1.0)


def test_a_smaller_crop_is_judged_alike(gate: Gate, blurred: FaceCrop, stranger: Image) -> None:
    half = replace(blurred, image=cv2.resize(blurred.image, (256, 256)), landmarks=blurred.landmarks / 2)
    assert gate.judge(half, half.image) == Verdict(1.0)
    assert gate.judge(half, cv2.resize(stranger, (256, 256))).factor < 0.05


def test_a_pack_without_embeddings_is_said_and_components_still_count(tmp_path: Path, sharp: FaceCrop) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(weights.checked_folder(weights.find_model("compact", "faces")), folder)
    (folder / "embedding.onnx").unlink()
    gate = Gate(build_detector(FacesSettings(pack=str(folder)), "cpu"), [astronaut(sharp)], GateSettings())
    assert gate.judge(sharp, sharp.image) == Verdict(1.0)
    assert gate.judge(sharp, with_mouth_moved(sharp, 40, 0)).factor < 0.6
    (warning,) = gate.warnings
    assert "gives no embeddings" in warning and "pack" in warning


# over time


def steady(series: Mapping[float, float], smoothing_seconds: float, track_id: int = 0) -> list[float]:
    """The factors of one track whose raw factors are ``series``, by seconds, with all frames known."""
    verdicts = SteadyVerdicts(smoothing_seconds)
    found: list[float] = []
    for seconds, factor in series.items():
        verdicts.add(seconds, {track_id: Verdict(factor, None if factor == 1 else LESS_LIKE_PERSON)})
    verdicts.end()
    for seconds in series:
        verdict = verdicts.at(seconds, track_id)
        assert verdict is not None
        assert (verdict.reason is None) == (verdict.factor == 1)
        found.append(verdict.factor)
    return found


@pytest.mark.parametrize("rate", [12.5, 25, 50, 60])
def test_one_harmed_frame_fades_out_and_in_and_is_never_shown(rate: float) -> None:
    series = {index / rate: 1.0 for index in range(round(rate))}
    middle = len(series) // 2
    series[middle / rate] = 0.0
    found = np.array(steady(series, 0.25))
    assert found[middle] == 0
    assert (found[[0, -1]] == 1).all()
    # From full to nothing takes smoothing_seconds, and a frame where that is no whole number of them.
    assert np.abs(np.diff(found)).max() <= 1 / (0.25 * rate - 1) + 1e-9


def test_no_factor_is_above_what_its_own_frame_allows_whatever_the_timing() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.005, 0.08, 60))
    series = dict(zip(times.tolist(), rng.uniform(0, 1, 60).tolist(), strict=True))
    assert (np.array(steady(series, 0.3)) <= np.array(list(series.values())) + 1e-9).all()
    assert steady(series, 0.0) == list(series.values())


def test_a_face_is_not_held_back_for_another_one() -> None:
    verdicts = SteadyVerdicts(0.25)
    for index in range(20):
        verdicts.add(index / RATE, {0: Verdict(0.0, LESS_LIKE_PERSON), 1: Verdict(1.0)})
    verdicts.end()
    assert verdicts.at(10 / RATE, 1) == Verdict(1.0)
    assert verdicts.at(10 / RATE, 0) == Verdict(0.0, LESS_LIKE_PERSON)
    assert verdicts.at(10 / RATE, 2) is None


# in the chain


@dataclass
class Painter:
    """A restorer that gives ``usual``, and ``bad`` for the faces with these numbers; one that it counts."""

    usual: Image
    bad: Image
    harmed: Sequence[int] = ()
    asked: int = 0
    name: str = "painter"
    licence: str = "none"
    device: str = "cpu"
    crop_size: int = 512

    def encode_references(self, references: Sequence[Reference]) -> None:
        """Reads none."""

    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[object]) -> list[Image | None]:
        assert len(memories) == len(crops)
        first, self.asked = self.asked, self.asked + len(crops)
        return [self.bad if index in self.harmed else self.usual for index in range(first, self.asked)]


def frames_of(crop: FaceCrop, count: int, rate: int = RATE) -> Iterator[Frame]:
    for pts in range(count):
        yield Frame(pts, Fraction(1, rate), picture_from_rgb(crop.image))


def changes(
    crop: FaceCrop, painter: Painter, gate: Gate | None, count: int = 12, rate: int = RATE
) -> tuple[list[Image], Tally]:
    """Every frame after restoration, and the tally."""
    face = Face(0, 0, crop.landmarks, 1.0)
    timeline, tally = Timeline(dict.fromkeys(range(count), (face,))), Tally()
    frames = restore_frames(frames_of(crop, count, rate), timeline, painter, {}, "auto", 1, 1.0, tally, gate)
    found = list(frames)
    assert [frame.pts for frame in found] == list(range(count))
    return [frame.picture.rgb().copy() for frame in found], tally


def test_where_nothing_is_wrong_the_gate_changes_no_bit(gate: Gate, sharp: FaceCrop, blurred: FaceCrop) -> None:
    with_gate, tally = changes(blurred, Painter(sharp.image, sharp.image), gate)
    without, untold = changes(blurred, Painter(sharp.image, sharp.image), None)
    assert all(np.array_equal(one, other) for one, other in zip(with_gate, without, strict=True))
    assert (tally.gate_factor, untold.gate_factor) == (1.0, None)
    assert tally.faces_held_back == untold.faces_held_back == {}
    assert tally.faces_restored == untold.faces_restored == 12


def test_a_harmed_frame_is_left_and_its_neighbours_fade(
    gate: Gate, sharp: FaceCrop, blurred: FaceCrop, stranger: Image
) -> None:
    found, tally = changes(blurred, Painter(sharp.image, stranger, harmed=[6]), gate)
    (source,) = frames_of(blurred, 1)
    change = np.array([np.abs(picture.astype(int) - source.image).mean() for picture in found])
    assert change[6] == 0
    assert np.allclose(change[:4], change[0]) and np.allclose(change[9:], change[0])
    assert np.abs(np.diff(change)).max() < 0.5 * change[0]
    held, kept = sum(tally.faces_held_back.values()), sum(tally.faces_kept.values())
    assert held > 0 and kept > 0
    assert tally.faces == 12 and tally.faces_restored == 12 - kept
    assert set(tally.faces_held_back) | set(tally.faces_kept) <= {LESS_LIKE_PERSON, COMPONENTS_MOVED}
    assert tally.gate_factor is not None and 0.5 < tally.gate_factor < 0.9


def test_harm_that_lasts_leaves_the_input_and_is_counted(
    gate: Gate, sharp: FaceCrop, blurred: FaceCrop, stranger: Image
) -> None:
    found, tally = changes(blurred, Painter(sharp.image, stranger, harmed=range(12)), gate)
    (source,) = frames_of(blurred, 1)
    assert all(np.array_equal(picture, source.image) for picture in found)
    assert (tally.faces_restored, sum(tally.faces_kept.values()), tally.gate_factor) == (0, 12, 0.0)


def test_frames_that_wait_are_few_even_where_time_hardly_passes(gate: Gate, blurred: FaceCrop) -> None:
    read = []

    def counted() -> Iterator[Frame]:
        for frame in frames_of(blurred, 60, rate=10_000):
            read.append(frame.pts)
            yield frame

    timeline = Timeline({0: (Face(0, 0, blurred.landmarks, 1.0),)})
    painter = Painter(blurred.image, blurred.image)
    frames = restore_frames(counted(), timeline, painter, {}, "auto", 1, 1.0, Tally(), gate)
    next(frames)
    assert len(read) == MOST_WAITING + 1
    assert [frame.pts for frame in frames] == list(range(1, 60))


def test_a_gate_that_is_switched_off_judges_no_face(tmp_path: Path) -> None:
    sample = shipped_folder("samples") / "astronaut_old.mp4"
    settings = Settings(gate=GateSettings(enabled=False))
    result = preview_video(sample, tmp_path / "out.mp4", start=0.5, duration=0.1, settings=settings)
    assert result.faces > 0
    assert (result.gate_factor, result.faces_held_back) == (None, {})


# settings


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"full_identity_fall": -0.1}, "gate.full_identity_fall"),
        ({"max_identity_fall": 0.01}, "gate.max_identity_fall"),
        ({"max_identity_fall": 2.5}, "gate.max_identity_fall"),
        ({"full_disagreement": float("nan")}, "gate.full_disagreement"),
        ({"max_disagreement": 1.5}, "gate.max_disagreement"),
        ({"smoothing_seconds": 1.5}, "gate.smoothing_seconds"),
        ({"smoothing_seconds": float("nan")}, "gate.smoothing_seconds"),
    ],
)
def test_settings_out_of_range_are_named(changed: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        GateSettings(**changed)


def test_the_gate_does_not_invalidate_an_analysis() -> None:
    assert Settings(gate=GateSettings(enabled=False)).analysis_digest() == Settings().analysis_digest()
