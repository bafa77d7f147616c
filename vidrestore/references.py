"""The references of a person: good pictures that show different things, chosen from the candidates of a video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from vidrestore.errors import ConfigError
from vidrestore.face_quality import eye_opening, face_part, mouth_opening
from vidrestore.types import Candidate, Floats, Image, Reference

Pose = tuple[float, float, float]

_SAME_TRACK_FACTOR: Final = 0.85
"""What each earlier reference of a track takes off its next one, so that other shots get their turn."""
_VARIETY_FLOOR: Final = 0.3
"""What a picture that shows nothing new keeps of its worth."""
_FULL_TURN_DEGREES: Final = 25.0
_FULL_MOUTH: Final = 0.4
_FULL_EYES: Final = 0.2
_FULL_EMBEDDING: Final = 1.2
"""Differences in yaw or pitch, in the opening of mouth and eyes, and between embeddings that are as new as can be."""
_SAME_LOOK: Final = 0.35
"""Difference in pose and expression, in parts of those, up to which two similar pictures are near-duplicates."""
_LIKE: Final = 0.5
_UNLIKE: Final = 0.1
"""Cosine to the mean of a person's other candidates from which it counts fully, and below which hardly at all."""
_UNLIKE_FACTOR: Final = 0.1
_NOTHING: Final = 1e-4
"""Length of a sum of embeddings without any in it."""
_THUMBNAIL: Final = 32
_MIN_CONTRAST: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """How many references a person gets, and what is good enough to be one."""

    count: int = 8
    """References for one person, at most."""
    min_eye_distance_pixels: float = 20.0
    """Faces with their eyes nearer to each other in the frame show too little."""
    full_eye_distance_pixels: float = 120.0
    """Distance of the eyes in the frame above which a larger face is no better."""
    max_turn_degrees: float = 45.0
    """Faces whose yaw or pitch is beyond show too little of one side."""
    min_detection_score: float = 0.4
    """Faces that the detector is less sure of are not offered."""
    min_gap_seconds: float = 0.5
    """Shortest time between two references of a person."""
    min_difference: float = 0.3
    """Two aligned faces of unit contrast that differ by less, root mean square, are near-duplicates; 0 keeps all."""
    min_relative_score: float = 0.4
    """A further reference must score at least this share, 0..1, of the best one of the person."""
    look_seconds: float = 0.1
    """Shortest time between two looks at one track; a clearly larger or more frontal face is looked at anyway."""
    moments: int = 10
    """Candidates kept of each track, one for each of as many stretches of time."""
    max_megabytes: float = 32.0
    """Memory for the candidates of the whole video; the worst go first."""

    def __post_init__(self) -> None:
        for name in ("count", "moments"):
            if getattr(self, name) < 1:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: 1 or more")
        for name in ("min_detection_score", "min_relative_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: 0 to 1")
        for name in ("min_eye_distance_pixels", "min_gap_seconds", "min_difference", "look_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: 0 or more")
        if not 0 < self.max_turn_degrees <= 90:
            raise ConfigError(f"references.max_turn_degrees is {self.max_turn_degrees}, allowed: above 0, up to 90")
        for name in ("full_eye_distance_pixels", "max_megabytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: greater than 0")


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A candidate and what is new in it."""

    candidate: Candidate
    thumbnail: Floats
    """(32, 32) face part, mean 0 and deviation 1."""
    look: npt.NDArray[np.float64]
    """(4,) yaw, pitch, opening of mouth and eyes, each in parts of what is as new as can be."""


def select(candidates: Iterable[Candidate], settings: ReferenceSettings) -> tuple[Reference, ...]:
    """The references of a person with these candidates, best first; empty only where there are none.

    The first is the candidate with the best score, where unlikeness to the person's other pictures (something in front
    of the face, another face) takes off. Each further one shows most that is new: farthest-point sampling (Gonzalez,
    "Clustering to minimize the maximum intercluster distance", 1985) in pose, expression and embedding, weighted by the
    score, where tracks not yet used count for more. Near-duplicates and those scoring below ``min_relative_score`` of
    the best are left out.
    """
    left = [_view(candidate) for candidate in _weighed_by_likeness(list(candidates))]
    chosen: list[_View] = []
    while left and len(chosen) < settings.count:
        best = max(left, key=lambda view: (_worth(view, chosen), -view.candidate.pts))
        chosen.append(best)
        least = settings.min_relative_score * chosen[0].candidate.score
        left = [
            view
            for view in left
            if view is not best and view.candidate.score >= least and not _repeats(view, best, settings)
        ]
    ranked = sorted((view.candidate for view in chosen), key=lambda candidate: (-candidate.score, candidate.pts))
    return tuple(_reference(candidate) for candidate in ranked)


def _weighed_by_likeness(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with their scores lowered as far as each is unlike the mean of the others."""
    total = sum(c.score * c.embedding for c in candidates if c.embedding is not None)
    weighed = []
    for candidate in candidates:
        factor = 1.0
        if candidate.embedding is not None:
            others = total - candidate.score * candidate.embedding
            length = float(np.linalg.norm(others))
            if length > _NOTHING:
                factor = _likeness(float(candidate.embedding @ others) / length)
        weighed.append(replace(candidate, score=candidate.score * factor))
    return weighed


def _likeness(cosine: float) -> float:
    share = min(1.0, max(0.0, (cosine - _UNLIKE) / (_LIKE - _UNLIKE)))
    return _UNLIKE_FACTOR + (1 - _UNLIKE_FACTOR) * share


def _view(candidate: Candidate) -> _View:
    face = face_part(cv2.cvtColor(unpack(candidate), cv2.COLOR_RGB2GRAY))
    small = cv2.resize(face, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    thumbnail = (small - small.mean(dtype=np.float32)) / max(float(small.std()), _MIN_CONTRAST)
    look = (
        candidate.pose[0] / _FULL_TURN_DEGREES,
        candidate.pose[1] / _FULL_TURN_DEGREES,
        mouth_opening(candidate.landmarks) / _FULL_MOUTH,
        eye_opening(candidate.landmarks) / _FULL_EYES,
    )
    return _View(candidate, np.asarray(thumbnail, dtype=np.float32), np.array(look))


def _repeats(view: _View, other: _View, settings: ReferenceSettings) -> bool:
    """Whether ``view`` is of the same moment as ``other``, or shows the same once more."""
    if abs(view.candidate.seconds - other.candidate.seconds) < settings.min_gap_seconds:
        return True
    difference = float(np.sqrt(np.mean((view.thumbnail - other.thumbnail) ** 2)))
    return difference < settings.min_difference and math.dist(view.look, other.look) < _SAME_LOOK


def _worth(view: _View, chosen: Sequence[_View]) -> float:
    """Score of a candidate in view of those already chosen."""
    if not chosen:
        return view.candidate.score
    repeats = sum(other.candidate.track_id == view.candidate.track_id for other in chosen)
    novelty = min(1.0, *(_distance(view, other) for other in chosen))
    return view.candidate.score * (_VARIETY_FLOOR + (1 - _VARIETY_FLOOR) * novelty) * float(_SAME_TRACK_FACTOR**repeats)


def _distance(view: _View, other: _View) -> float:
    """How different two pictures are in pose, expression and embedding; 1 is as new as can be."""
    embeddings = view.candidate.embedding, other.candidate.embedding
    apart = 0.0
    if embeddings[0] is not None and embeddings[1] is not None:
        apart = float(np.linalg.norm(embeddings[0] - embeddings[1])) / _FULL_EMBEDDING
    return math.hypot(math.dist(view.look, other.look), apart)


def frontality(pose: Pose) -> float:
    """Cosine of the angle between the nose and the line of sight."""
    return math.cos(math.radians(pose[0])) * math.cos(math.radians(pose[1]))


def pack(image: Image) -> bytes:
    """The aligned crop (S, S, 3) as a fine JPEG, a fifth of what is lossless: candidates wait for a whole film."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        98,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, packed = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return packed.tobytes()


def unpack(candidate: Candidate) -> Image:
    """The aligned crop (S, S, 3)."""
    stored = cv2.imdecode(np.frombuffer(candidate.packed, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(np.asarray(stored), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _reference(candidate: Candidate) -> Reference:
    turn = math.degrees(math.acos(frontality(candidate.pose)))
    reason = (
        f"sharp ({candidate.sharpness:.2f}), eyes {candidate.eye_distance:.0f} px apart, "
        f"turned {turn:.0f} degrees, at {candidate.seconds:.1f} s"
    )
    return Reference(
        image=unpack(candidate),
        landmarks=candidate.landmarks,
        source=f"pts {candidate.pts}",
        sharpness=candidate.sharpness,
        score=candidate.score,
        reason=reason,
    )
