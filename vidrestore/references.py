"""The reference pool: the sharpest, largest and most frontal crops of each person, from different moments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import numpy as np

from vidrestore.errors import ConfigError
from vidrestore.types import Candidate, Floats, Image, Reference

Pose = tuple[float, float, float]

_FINE: Final = 1.0
_COARSE: Final = 3.0
"""Gaussian sigmas, in pixels of a 512 crop, between which detail is measured: lashes and brows, not pores and grain."""
_DETAIL_HALF: Final = 0.25
"""Detail relative to contrast at which sharpness is one half."""
_MIN_CONTRAST: Final = 8.0
"""Grey levels; a flatter face is mostly noise."""
_GAUSSIAN_TAIL: Final = 3.45
"""98th percentile of the magnitude of Gaussian noise over its median."""
_SAME_TRACK_FACTOR: Final = 0.85
"""What each earlier reference of a track takes off its next one, so that other shots get their turn."""
_VARIETY_BONUS: Final = 0.3
"""What a pose at least ``_VARIETY_FULL_DEGREES`` away from all references adds to a candidate."""
_VARIETY_FULL_DEGREES: Final = 25.0
_OPEN_EYES: Final = 0.2
"""Height of an eye over its width above which it is open."""
_CLOSED_FACTOR: Final = 0.5
"""What closed eyes take off a candidate: the eyes are what a reference is looked at for most."""
_CLEARLY_BETTER: Final = 1.1
"""How much larger or more frontal a face must be to be looked at before ``look_seconds`` are over."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """How many references a person gets, and what is good enough to be one."""

    count: int = 5
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
    min_relative_score: float = 0.5
    """A further reference must score at least this share, 0..1, of the best one of the person."""
    look_seconds: float = 0.1
    """Shortest time between two looks at one track; a clearly larger or more frontal face is looked at anyway."""
    moments: int = 6
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
        for name in ("min_eye_distance_pixels", "min_gap_seconds", "look_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: 0 or more")
        if not 0 < self.max_turn_degrees <= 90:
            raise ConfigError(f"references.max_turn_degrees is {self.max_turn_degrees}, allowed: above 0, up to 90")
        for name in ("full_eye_distance_pixels", "max_megabytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"references.{name} is {getattr(self, name)}, allowed: greater than 0")


class AlignedCrop(Protocol):
    """What is needed of a face crop; ``vidrestore.types.FaceCrop`` is one."""

    @property
    def image(self) -> Image:
        """(S, S, 3), aligned."""
        ...

    @property
    def landmarks(self) -> Floats:
        """(68, 2) in ``image``."""
        ...


def sharpness(image: Image) -> float:
    """How sharp the aligned face ``image`` ``(S, S, 3)`` is, 0..1, whatever its contrast and its noise.

    The detail between two scales is rare and strong in a sharp face (lids, brows, lips) and weak nearly everywhere
    (skin), while noise is the same everywhere. So the noise is told from the median of the detail's magnitude and taken
    off its 98th percentile, and the rest is divided by the contrast of the face. Small faces, enlarged, have little
    detail at this scale and come out softer, as they are.
    """
    side = min(image.shape[:2])
    unit = side / 512
    face = _face_part(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), side)
    fine = cv2.GaussianBlur(face, (0, 0), _FINE * unit)
    coarse = cv2.GaussianBlur(face, (0, 0), _COARSE * unit)
    detail = np.abs(fine - coarse)
    strong, usual = float(np.percentile(detail, 98)), float(np.median(detail))
    signal = max(0.0, strong - _GAUSSIAN_TAIL * usual)
    contrast = float(np.std(cv2.GaussianBlur(face, (0, 0), 4 * _COARSE * unit)))
    relative = signal / max(contrast, _MIN_CONTRAST)
    return relative / (relative + _DETAIL_HALF)


def _face_part(grey: Floats, side: int) -> Floats:
    """The part of an aligned square that is face and not hair or background."""
    left, right, top, bottom = (round(side * share) for share in (0.28, 0.72, 0.36, 0.82))
    return grey[top:bottom, left:right]


@dataclass(slots=True)
class _Shelf:
    """The candidates of one track, one in each stretch of time; the stretches double when there are too many."""

    start: float
    stretch: float
    looked: float
    """Seconds of the last look at the track."""
    best: dict[int, Candidate] = field(default_factory=dict)

    def slot(self, seconds: float) -> int:
        return math.floor((seconds - self.start) / self.stretch)

    def put(self, candidate: Candidate, moments: int) -> None:
        """Store ``candidate``, the best of its stretch, and keep at most ``moments`` stretches."""
        self.best[self.slot(candidate.seconds)] = candidate
        while len(self.best) > moments:
            self.stretch *= 2
            candidates, self.best = list(self.best.values()), {}
            for each in candidates:
                slot = self.slot(each.seconds)
                if slot not in self.best or each.score > self.best[slot].score:
                    self.best[slot] = each


class ReferencePool:
    """Keeps a few good crops of each track while the video runs, and chooses among them afterwards.

    Memory does not grow with a track's length: each has one candidate in each of at most ``moments`` stretches of time.
    All tracks together stay within ``max_megabytes``; beyond it the worst candidates go, and the last one of a track
    only when every track is down to one.
    """

    def __init__(self, settings: ReferenceSettings | None = None) -> None:
        self._settings = settings or ReferenceSettings()
        self._shelves: dict[int, _Shelf] = {}
        self._bytes = 0

    def would_accept(self, track_id: int, seconds: float, eye_distance: float, pose: Pose) -> bool:
        """Whether a crop with these values is worth cutting out and offering; cheap, to avoid cutting crops.

        It is where it would get in if it were perfectly sharp, and the track was not looked at just before.
        ``eye_distance`` is in pixels of the frame, ``pose`` yaw, pitch and roll in degrees.
        """
        if not self._could_win(track_id, seconds, eye_distance, pose):
            return False
        rival = self._rival(track_id, seconds)
        if rival is None or abs(seconds - self._shelves[track_id].looked) >= self._settings.look_seconds:
            return True
        usual = self._score(1.0, rival.eye_distance, rival.pose)
        return self._score(1.0, eye_distance, pose) >= _CLEARLY_BETTER * usual

    def offer(
        self,
        track_id: int,
        crop: AlignedCrop,
        *,
        pts: int,
        seconds: float,
        eye_distance: float,
        pose: Pose,
        detection_score: float,
        embedding: Floats | None = None,
    ) -> bool:
        """Look at ``crop`` of the frame ``pts`` and keep it if it is the best of its time; whether it was kept.

        ``eye_distance`` is in pixels of the frame, ``pose`` yaw, pitch and roll in degrees. The crop is copied.
        """
        sure = detection_score >= self._settings.min_detection_score
        if not sure or not self._could_win(track_id, seconds, eye_distance, pose):
            return False
        if track_id in self._shelves:
            self._shelves[track_id].looked = seconds
        sharp = sharpness(crop.image)
        score = self._score(sharp, eye_distance, pose) * _openness(crop.landmarks) * detection_score
        rival = self._rival(track_id, seconds)
        if rival is not None and score <= rival.score:
            return False
        landmarks = np.array(crop.landmarks, dtype=np.float32)
        candidate = Candidate(
            track_id, pts, seconds, _pack(crop.image), landmarks, eye_distance, pose, sharp, score, embedding
        )
        shelf = self._shelves.setdefault(track_id, _Shelf(seconds, self._stretch, seconds))
        self._bytes -= _size(shelf)
        shelf.put(candidate, self._settings.moments)
        self._bytes += _size(shelf)
        self._shrink()
        return True

    def forget(self, track_id: int) -> None:
        """Drop the candidates of a track that was itself dropped; nothing happens where there are none."""
        shelf = self._shelves.pop(track_id, None)
        if shelf is not None:
            self._bytes -= _size(shelf)

    def candidates(self) -> tuple[Candidate, ...]:
        """All that is kept, by track and time."""
        kept = (candidate for shelf in self._shelves.values() for candidate in shelf.best.values())
        return tuple(sorted(kept, key=lambda candidate: (candidate.track_id, candidate.pts)))

    @property
    def _stretch(self) -> float:
        """Seconds of a stretch of time while a track is short."""
        return max(self._settings.min_gap_seconds, 0.1)

    def _could_win(self, track_id: int, seconds: float, eye_distance: float, pose: Pose) -> bool:
        """Whether a face is good enough and, if it were perfectly sharp, the best of its moment."""
        turned = max(abs(pose[0]), abs(pose[1])) > self._settings.max_turn_degrees
        if turned or not eye_distance >= self._settings.min_eye_distance_pixels:
            return False
        rival = self._rival(track_id, seconds)
        return rival is None or self._score(1.0, eye_distance, pose) > rival.score

    def _rival(self, track_id: int, seconds: float) -> Candidate | None:
        """The candidate that a new one of this moment has to beat."""
        shelf = self._shelves.get(track_id)
        return None if shelf is None else shelf.best.get(shelf.slot(seconds))

    def _score(self, sharp: float, eye_distance: float, pose: Pose) -> float:
        """0..1: sharp, large and frontal."""
        size = min(1.0, eye_distance / self._settings.full_eye_distance_pixels)
        return sharp * math.sqrt(size) * max(0.0, _frontality(pose)) ** 2

    def _shrink(self) -> None:
        """Drop the worst candidates until all fit into the memory allowed."""
        while self._bytes > self._settings.max_megabytes * 1e6:
            several = {i: shelf for i, shelf in self._shelves.items() if len(shelf.best) > 1} or self._shelves
            track_id, slot = _worst(several)
            shelf = self._shelves[track_id]
            self._bytes -= len(shelf.best.pop(slot).packed)
            if not shelf.best:
                del self._shelves[track_id]


def select(candidates: Iterable[Candidate], settings: ReferenceSettings) -> tuple[Reference, ...]:
    """The references of a person with these candidates, best first; empty only where there are none.

    The first is the candidate with the best score. Each further one is the best of those ``min_gap_seconds`` away
    from all before it, where tracks not yet used and poses not yet seen count for more.
    """
    left = list(candidates)
    chosen: list[Candidate] = []
    while left and len(chosen) < settings.count:
        best = max(left, key=lambda candidate: (_worth(candidate, chosen), -candidate.pts))
        if chosen and best.score < settings.min_relative_score * chosen[0].score:
            left.remove(best)
            continue
        chosen.append(best)
        gap = settings.min_gap_seconds
        left = [other for other in left if other is not best and abs(other.seconds - best.seconds) >= gap]
    ranked = sorted(chosen, key=lambda candidate: (-candidate.score, candidate.pts))
    return tuple(_reference(candidate) for candidate in ranked)


def _frontality(pose: Pose) -> float:
    """Cosine of the angle between the nose and the line of sight."""
    return math.cos(math.radians(pose[0])) * math.cos(math.radians(pose[1]))


def _openness(landmarks: Floats) -> float:
    """``_CLOSED_FACTOR`` for closed eyes up to 1 for open ones, from ``landmarks`` ``(68, 2)``.

    The eye aspect ratio of Soukupova and Cech, "Real-time eye blink detection using facial landmarks", CVWW 2016.
    """
    ratios = []
    for first in (36, 42):
        corner, top, top_inner, inner, bottom_inner, bottom = landmarks[first : first + 6].astype(np.float64)
        height = (math.dist(top, bottom) + math.dist(top_inner, bottom_inner)) / 2
        ratios.append(height / max(math.dist(corner, inner), 1e-6))
    return _CLOSED_FACTOR + (1 - _CLOSED_FACTOR) * min(1.0, max(ratios) / _OPEN_EYES)


def _worst(shelves: Mapping[int, _Shelf]) -> tuple[int, int]:
    """Track and slot of the candidate with the lowest score."""
    return min(
        ((track_id, slot) for track_id, shelf in shelves.items() for slot in shelf.best),
        key=lambda place: shelves[place[0]].best[place[1]].score,
    )


def _worth(candidate: Candidate, chosen: Sequence[Candidate]) -> float:
    """Score of a candidate in view of those already chosen."""
    if not chosen:
        return candidate.score
    repeats = sum(other.track_id == candidate.track_id for other in chosen)
    nearest = min(math.dist(candidate.pose[:2], other.pose[:2]) for other in chosen)
    variety = 1 + _VARIETY_BONUS * min(1.0, nearest / _VARIETY_FULL_DEGREES)
    return float(candidate.score * variety * _SAME_TRACK_FACTOR**repeats)


def _size(shelf: _Shelf) -> int:
    return sum(len(candidate.packed) for candidate in shelf.best.values())


def _pack(image: Image) -> bytes:
    """Compressed as finely as JPEG can, a fifth of what a lossless format takes: candidates wait for a whole film."""
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
    turn = math.degrees(math.acos(_frontality(candidate.pose)))
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
