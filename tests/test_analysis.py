"""Pass 1 with the embedded networks, on frames made of two photographs."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage import data

from vidrestore.analysis import Analyzer, Findings
from vidrestore.config import FacesSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.geometry import eye_distance
from vidrestore.smoothing import RtsSmoother
from vidrestore.tracking import TrackingSettings
from vidrestore.types import Detection, Detector, Floats, Frame, Image, Track
from vidrestore.video import picture_from_rgb

BASE = Fraction(1, 12)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(FacesSettings(), "cpu")


def astronaut(count: int) -> list[Image]:
    """She drifts through a picture of 320 x 256 pixels."""
    picture = data.astronaut()
    return [np.ascontiguousarray(picture[20:276, 60 + i : 380 + i]) for i in range(count)]


def coffee(count: int) -> list[Image]:
    picture = data.coffee()
    return [np.ascontiguousarray(picture[60:316, 100 + i // 2 : 420 + i // 2]) for i in range(count)]


def analyze(images: Sequence[Image], detector: Detector, **tracking: float) -> Findings:
    settings = Settings(tracking=TrackingSettings(**tracking))  # type: ignore[arg-type]
    analyzer = Analyzer(detector, RtsSmoother(settings.smoothing), settings)
    for pts, image in enumerate(images):
        analyzer.add(Frame(pts, BASE, picture_from_rgb(image)))
    return analyzer.finish()


class Sparing:
    """The detector, which counts its looks, and is blind in some of them."""

    def __init__(self, detector: Detector, blind: range = range(0)) -> None:
        self._detector, self._blind = detector, blind
        self.name, self.licence, self.device = detector.name, detector.licence, detector.device
        self.same_person = detector.same_person
        self.looks = 0

    def detect(self, image: Image) -> Sequence[Detection]:
        self.looks += 1
        return () if self.looks - 1 in self._blind else self._detector.detect(image)

    def look(self, image: Image, boxes: Sequence[Floats]) -> Sequence[Detection | None]:
        return self._detector.look(image, boxes)

    def embed(self, image: Image, landmarks: Floats) -> Floats | None:
        return self._detector.embed(image, landmarks)


def test_a_dissolve_ends_the_tracks_and_begins_a_shot(detector: Detector) -> None:
    first, second = astronaut(14), coffee(14)
    shares = np.arange(1, 10) / 10
    mixed = [cv2.addWeighted(first[-1], 1 - share, second[0], share, 0) for share in shares]
    found = analyze([*first, *mixed, *second], detector)
    one, other = found.shots
    assert one.first == 0 and other.last == 36
    assert other.first == one.last + 1
    assert abs(other.first - 18) <= 1
    (track,) = found.tracks
    assert track.pts[0] == 0
    assert 13 <= track.pts[-1] <= one.last
    assert all(candidate.pts <= track.pts[-1] for candidate in found.candidates)
    assert found.margin.least_joined is None


@pytest.mark.parametrize(("seconds", "earliest"), [(2.0, 0), (0.5, 6), (0.0, 12)])
def test_a_face_found_late_is_followed_back_by_seconds(detector: Detector, seconds: float, earliest: int) -> None:
    (track,) = analyze(astronaut(18), Sparing(detector, range(12)), look_back_seconds=seconds).tracks
    assert track.pts.tolist() == list(range(earliest, 18))
    assert np.isfinite(track.landmarks).all()


def surest(found: Findings) -> Track:
    """The track of the astronaut, and not the one of her collar that a detector may take for a face."""
    return max(found.tracks, key=lambda track: float(track.scores.mean()))


def test_with_a_stride_flow_carries_the_faces(detector: Detector) -> None:
    images = astronaut(20)
    every = surest(analyze(images, detector))
    sparing = Sparing(detector)
    carried = surest(analyze(images, sparing, stride=4))
    assert sparing.looks == 5
    assert carried.pts.tolist() == every.pts.tolist()
    apart = np.linalg.norm(carried.landmarks - every.landmarks, axis=2).mean(axis=1)
    # The landmark network jitters by 3 % of the eye distance itself.
    assert float(apart.mean()) < 0.05 * eye_distance(every.landmarks[0])


def test_the_detector_looks_at_the_first_frame_of_a_shot(detector: Detector) -> None:
    found = analyze([*coffee(6), *astronaut(6)], Sparing(detector), stride=4)
    assert [shot.first for shot in found.shots] == [0, 6]
    assert [track.pts.tolist() for track in found.tracks] == [list(range(6, 12))]
