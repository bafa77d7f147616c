"""The candidates: a few good crops of each track, kept while the video runs, to choose references from afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from vidrestore.face_quality import bareness, cleanness, exposure, expression, sharpness, wholeness
from vidrestore.references import Pose, ReferenceSettings, frontality, pack
from vidrestore.types import Candidate, Floats, Image

SURROUNDINGS: Final = 1.6
"""Sides of a face's box that are looked at for compression: blocks are around it, too, and more of them tell more."""
_CLEARLY_BETTER: Final = 1.1
"""How much larger or more frontal a face must be to be looked at before ``look_seconds`` are over."""


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


class CandidatePool:
    """Keeps a few good crops of each track while the video runs.

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
        native: Image,
        *,
        pts: int,
        seconds: float,
        eye_distance: float,
        pose: Pose,
        detection_score: float,
        embedding: Floats | None = None,
    ) -> bool:
        """Look at ``crop`` of the frame ``pts`` and keep it if it is the best of its time; whether it was kept.

        ``native`` ``(h, w, 3)`` is the face and its surroundings as they are in the frame, neither turned nor scaled:
        compression shows there.
        ``eye_distance`` is in pixels of the frame, ``pose`` yaw, pitch and roll in degrees. The crop is copied.
        """
        sure = detection_score >= self._settings.min_detection_score
        if not sure or not self._could_win(track_id, seconds, eye_distance, pose):
            return False
        if track_id in self._shelves:
            self._shelves[track_id].looked = seconds
        sharp = sharpness(crop.image) * wholeness(native)
        clear = sharp * cleanness(native) * exposure(crop.image)
        visible = bareness(crop.image, crop.landmarks) * expression(crop.landmarks)
        score = self._score(clear, eye_distance, pose) * visible * detection_score
        rival = self._rival(track_id, seconds)
        if rival is not None and score <= rival.score:
            return False
        landmarks = np.array(crop.landmarks, dtype=np.float32)
        candidate = Candidate(
            track_id, pts, seconds, pack(crop.image), landmarks, eye_distance, pose, sharp, score, embedding
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
        """0..1: sharp, large and frontal; what ``face_quality`` sees comes on top."""
        size = min(1.0, eye_distance / self._settings.full_eye_distance_pixels)
        return sharp * math.sqrt(size) * max(0.0, frontality(pose)) ** 2

    def _shrink(self) -> None:
        """Drop the worst candidates until all fit into the memory allowed."""
        while self._bytes > self._settings.max_megabytes * 1e6:
            several = {i: shelf for i, shelf in self._shelves.items() if len(shelf.best) > 1} or self._shelves
            track_id, slot = _worst(several)
            shelf = self._shelves[track_id]
            self._bytes -= len(shelf.best.pop(slot).packed)
            if not shelf.best:
                del self._shelves[track_id]


def _worst(shelves: Mapping[int, _Shelf]) -> tuple[int, int]:
    """Track and slot of the candidate with the lowest score."""
    return min(
        ((track_id, slot) for track_id, shelf in shelves.items() for slot in shelf.best),
        key=lambda place: shelves[place[0]].best[place[1]].score,
    )


def _size(shelf: _Shelf) -> int:
    return sum(len(candidate.packed) for candidate in shelf.best.values())
