"""Follow faces from frame to frame: one Kalman filter each, assignment by place, size and appearance.

The order of a frame's calls: ``predict`` (where the faces should be), ``update`` (where the detector saw them), then
for each track in ``missing`` an optional second look, whose answer goes to ``confirm``. At a scene cut ``cut`` comes
before all of them. ``finish`` gives the tracks. Memory is one row of landmarks for each face and frame, and no picture.

When a shot is over, both ends of its tracks are known: tracks of one face that broke, because it was hidden or moved
too fast for its prediction, are joined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidrestore.box_filter import BoxFilter, place_of
from vidrestore.errors import ConfigError
from vidrestore.follower import Follower, track_of
from vidrestore.geometry import eye_distance, head_pose, overlap
from vidrestore.types import LANDMARK_COUNT, Detection, Floats, Track

_FORBIDDEN: Final = 1e6
_ROUNDING: Final = 1e-6
"""Seconds by which sums of frame times may miss the settings."""
_CROWDED_OVERLAP: Final = 0.15
"""Two detections that overlap more may show each other's face, so their embeddings teach nothing."""
_SAME_FACE_OVERLAP: Final = 0.3
"""A second look must overlap its prediction so much, and may not overlap another face so much."""
_STAYS_OVERLAP: Final = 0.5
"""A lone face that overlaps its prediction so much is the same one, whatever its embedding says: it may be turned."""
_UNKNOWN_SIMILARITY: Final = 0.4
"""What counts as the similarity where an embedding is missing: between strangers and one person."""
_UNSEEN_JOIN_SECONDS: Final = 0.5
"""Tracks without embeddings are joined over shorter gaps only: nothing but the place says that it is one face."""
_EYES_FULL_PIXELS: Final = 64.0
"""Distance of the eyes above which a larger face tells no more of who it is."""


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """When a detection continues a track, and which tracks are kept. Times are seconds, whatever the frame rate."""

    high_score: float = 0.42
    """Detections of at least this score are assigned first and may begin a track."""
    low_score: float = 0.2
    """Detections of at least this score may continue a track that no better one continues."""
    max_gap_seconds: float = 2.0
    """A track without detection for longer ends; a face that comes back later begins another."""
    second_look_seconds: float = 1.0
    """How long after its last detection a track may go on with second looks alone."""
    min_overlap: float = 0.1
    """Overlap with the predicted box, 0..1, above which a detection may continue a track."""
    max_step_face_sizes: float = 0.75
    """Where there is no such overlap: distance from the prediction, in face sizes, within which it still may."""
    max_size_ratio: float = 2.0
    """Largest change of a face's height from one detection to the next, as a ratio."""
    min_similarity: float = 0.1
    """Cosine of the embeddings, -1..1, below which a detection does not continue a track, unless it overlaps the
    prediction by half or more and no other face is near."""
    appearance_weight: float = 2.0
    """How much appearance counts against place (weight 1) where several faces could continue a track."""
    join_similarity: float = 0.5
    """Cosine of the embeddings, -1..1, from which two tracks of a shot that is over may be one face that was lost for
    up to ``max_gap_seconds``."""
    join_speed: float = 4.0
    """Face sizes per second that it may have moved meanwhile."""
    look_back_seconds: float = 1.0
    """How far back a face that is first seen within a shot is followed, as long as the landmark network sees it."""
    stride: int = 1
    """The detector looks at every so many frames; in between, optical flow carries the faces on. 2 took 45 %
    less time on a clip of 480 x 270, and moved the landmarks by 4 % of the eye distance on average."""
    min_track_seconds: float = 0.2
    """Shorter tracks are dropped, unless they fill their shot."""
    min_mean_score: float = 0.44
    """Tracks of large faces whose detections are less sure on average are dropped."""
    min_small_mean_score: float = 0.6
    """The same for small faces, for which leaves and stones are easily taken. They are detected from near, where real
    ones are surer."""
    min_tiny_mean_score: float = 0.72
    """The same for faces half as high or lower; between the two it falls evenly."""
    small_face_pixels: float = 64.0
    """Height in pixels below which a face is small."""
    min_detected_share: float = 0.2
    """Tracks with a detection in fewer of their frames, 0..1, are dropped."""
    min_identity_eye_pixels: float = 8.5
    """Distance of the eyes in pixels below which an embedding does not say who it is."""

    def __post_init__(self) -> None:
        shares = (
            "high_score",
            "low_score",
            "min_overlap",
            "min_mean_score",
            "min_small_mean_score",
            "min_tiny_mean_score",
            "min_detected_share",
        )
        positive = ("small_face_pixels", "max_gap_seconds", "max_step_face_sizes")
        non_negative = (
            *("second_look_seconds", "appearance_weight", "min_track_seconds", "min_identity_eye_pixels"),
            *("join_speed", "look_back_seconds"),
        )
        cosines = ("min_similarity", "join_similarity")
        for names, low, high in ((shares, 0.0, 1.0), (non_negative, 0.0, math.inf), (cosines, -1.0, 1.0)):
            for name in names:
                if not low <= getattr(self, name) <= high:
                    raise ConfigError(f"tracking.{name} is {getattr(self, name)}, allowed: {low} to {high}")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"tracking.{name} is {getattr(self, name)}, allowed: greater than 0")
        if not self.max_size_ratio > 1:
            raise ConfigError(f"tracking.max_size_ratio is {self.max_size_ratio}, allowed: greater than 1")
        if self.stride < 1:
            raise ConfigError(f"tracking.stride is {self.stride}, allowed: 1 or more")
        if self.low_score > self.high_score:
            raise ConfigError(f"tracking.low_score is {self.low_score}, allowed: up to high_score {self.high_score}")

    def least_score(self, face_height: float) -> float:
        """The mean score that faces ``face_height`` pixels high need, to be taken for faces."""
        if face_height >= self.small_face_pixels:
            return self.min_mean_score
        sizes = (self.small_face_pixels / 2, self.small_face_pixels)
        return float(np.interp(face_height, sizes, (self.min_tiny_mean_score, self.min_small_mean_score)))


class Tracker:
    """Gives every detection the id of the face it continues, one frame after the other."""

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self._settings = settings or TrackingSettings()
        self._active: list[Follower] = []
        self._ended_in_shot: list[Follower] = []
        self._tracks: list[Track] = []
        self._joined: dict[int, int] = {}
        self._frames: list[tuple[int, float]] = []
        self._next_id = 0
        self._latest = -math.inf

    def predict(self, seconds: float) -> Mapping[int, Floats]:
        """Where the active tracks should be at ``seconds``: a box ``(4,)`` for each track id."""
        for follower in self._active:
            follower.filter.predict(seconds)
        return {follower.id: follower.filter.box for follower in self._active}

    def update(self, pts: int, seconds: float, detections: Sequence[Detection]) -> tuple[int | None, ...]:
        """Track ids of ``detections``, in their order, of the frame ``pts`` at ``seconds``.

        To be called for every decoded frame, also without detections. ``None`` where a detection continues no track
        and its score is too low to begin one. Raises ``ValueError`` where time does not rise.
        """
        if seconds <= self._latest:
            raise ValueError(f"frame {pts} at {seconds} s does not come after the one at {self._latest} s")
        self._latest = seconds
        self._frames.append((pts, seconds))
        self._end([f for f in self._active if seconds - f.last_seen > self._settings.max_gap_seconds + _ROUNDING])
        self.predict(seconds)
        for follower in self._active:
            follower.begin_frame(pts, seconds)
        crowded = _crowded(detections)
        ids: list[int | None] = [None] * len(detections)
        free = list(self._active)
        for sure in (True, False):
            chosen = [i for i, detection in enumerate(detections) if self._is_for(detection.score, sure)]
            for follower, index in self._assign(free, detections, chosen, crowded, sure):
                free.remove(follower)
                self._see(follower, detections[index], crowded[index])
                ids[index] = follower.id
        for index, detection in enumerate(detections):
            if ids[index] is None and self._is_for(detection.score, sure=True):
                ids[index] = self._begin(pts, seconds, detection, crowded[index])
        return tuple(ids)

    def missing(self) -> Mapping[int, Floats]:
        """Predicted boxes ``(4,)`` of the tracks that deserve a second look in the present frame.

        These are active tracks without a row in it that the detector has seen within ``second_look_seconds``.
        """
        longest = self._settings.second_look_seconds + _ROUNDING
        return {
            follower.id: follower.filter.box
            for follower in self._active
            if follower.rows[-1] is None and self._latest - follower.last_detected <= longest
        }

    def confirm(self, track_id: int, detection: Detection) -> bool:
        """Take the answer of a second look as the present row of a ``missing`` track.

        ``False``, and nothing is changed, where the answer lies elsewhere than the prediction or on another face.
        Raises ``KeyError`` where ``track_id`` is not missing.
        """
        if track_id not in self.missing():
            raise KeyError(f"track {track_id} is not missing in this frame")
        follower = next(f for f in self._active if f.id == track_id)
        others = [row.box for f in self._active if (row := f.rows[-1]) is not None]
        here = overlap(follower.filter.box[None], detection.box[None]).item() >= _SAME_FACE_OVERLAP
        taken = bool(others) and float(overlap(detection.box[None], np.stack(others)).max()) >= _SAME_FACE_OVERLAP
        if not here or taken:
            return False
        follower.see(detection, detected=False)
        return True

    def last_seen(self, track_id: int) -> Detection | None:
        """What the active track ``track_id`` showed in the frame before the present one; None where it was not seen."""
        follower = next((f for f in self._active if f.id == track_id), None)
        row = follower.rows[-2] if follower is not None and len(follower.rows) > 1 else None
        if row is None or row.landmarks is None:
            return None
        return Detection(row.box, row.score, row.keypoints, row.landmarks)

    def cut(self, before: int | None = None) -> tuple[int, ...]:
        """End all tracks: the next frame is of another shot.

        Where the shot was over earlier, with a dissolve, its tracks lose what they have from pts ``before`` on.
        Returns the ids of the shot's tracks that are not worth keeping.
        """
        self._end(list(self._active))
        ended = {follower.id for follower in self._ended_in_shot}
        if before is not None:
            for follower in self._ended_in_shot:
                follower.drop_from(before)
            self._frames = [frame for frame in self._frames if frame[0] < before]
            self._ended_in_shot = [follower for follower in self._ended_in_shot if follower.rows]
        self._join_broken()
        length = self._frames[-1][1] - self._frames[0][1] if self._frames else 0.0
        shortest = min(self._settings.min_track_seconds, length)
        kept = [follower for follower in self._ended_in_shot if self._is_worth(follower, shortest)]
        self._tracks.extend(track_of(follower) for follower in kept)
        self._ended_in_shot.clear()
        self._frames.clear()
        alive = {follower.id for follower in kept}
        return tuple(sorted(number for number in ended if self.owner(number) not in alive))

    def owner(self, track_id: int) -> int:
        """The id under which the frames of ``track_id`` are kept: another one's where the two were joined."""
        while track_id in self._joined:
            track_id = self._joined[track_id]
        return track_id

    def finish(self) -> list[Track]:
        """All tracks worth keeping, by id. Ends the active ones, so the tracker is empty afterwards.

        A track has a row for every decoded frame from its first to its last sight. In gaps the score is 0, the
        landmarks are NaN and the box moves evenly from one side to the other.
        """
        self.cut()
        tracks, self._tracks = sorted(self._tracks, key=lambda track: track.id), []
        return tracks

    def _is_for(self, score: float, sure: bool) -> bool:
        """Whether a detection of this score belongs to the sure or to the unsure round of assignment."""
        if sure:
            return score >= self._settings.high_score
        return self._settings.low_score <= score < self._settings.high_score

    def _assign(
        self,
        followers: Sequence[Follower],
        detections: Sequence[Detection],
        chosen: Sequence[int],
        crowded: Sequence[bool],
        sure: bool,
    ) -> list[tuple[Follower, int]]:
        """Pairs of a follower and an index among ``chosen`` with the least total cost, forbidden ones left out."""
        if not followers or not chosen:
            return []
        predicted = np.stack([follower.filter.box for follower in followers])
        shared = overlap(predicted, np.stack([detections[i].box for i in chosen]))
        costs = np.full(shared.shape, _FORBIDDEN)
        for row, follower in enumerate(followers):
            for column, index in enumerate(chosen):
                cost = self._cost(follower, detections[index], float(shared[row, column]), crowded[index], sure)
                if cost is not None:
                    costs[row, column] = cost
        rows, columns = linear_sum_assignment(costs)
        pairs = zip(rows, columns, strict=True)
        return [(followers[row], chosen[column]) for row, column in pairs if costs[row, column] < _FORBIDDEN]

    def _cost(self, follower: Follower, detection: Detection, shared: float, crowded: bool, sure: bool) -> float | None:
        """How badly ``detection`` continues ``follower``; ``None`` where it cannot."""
        settings = self._settings
        there, here = place_of(follower.filter.box), place_of(detection.box)
        growth = abs(here[2] - there[2])
        steps = math.hypot(*(here[:2] - there[:2])) / math.exp(max(here[2], there[2]))
        gap = self._latest - follower.last_seen
        near = shared >= settings.min_overlap or (sure and steps <= settings.max_step_face_sizes * (1 + gap))
        if not near or growth > math.log(settings.max_size_ratio):
            return None
        embedding, appearance = self._embedding_of(detection), follower.appearance.embedding
        similarity = _UNKNOWN_SIMILARITY
        if embedding is not None and appearance is not None:
            similarity = float(embedding @ appearance)
            stays = shared >= _STAYS_OVERLAP and not crowded
            if similarity < settings.min_similarity and not stays:
                return None
        return float((1 - shared) + steps / 2 + growth / 2 + settings.appearance_weight * (1 - similarity) / 2)

    def _embedding_of(self, detection: Detection) -> Floats | None:
        """The embedding, where the face is large enough for it to mean anything."""
        eyes = float(np.linalg.norm(detection.keypoints[1] - detection.keypoints[0]))
        return detection.embedding if eyes >= self._settings.min_identity_eye_pixels else None

    def _see(self, follower: Follower, detection: Detection, crowded: bool) -> None:
        follower.see(detection, detected=True)
        follower.last_detected = self._latest
        embedding = self._embedding_of(detection)
        if embedding is not None and not crowded:
            follower.appearance.learn(self._latest, _quality(detection), embedding)

    def _begin(self, pts: int, seconds: float, detection: Detection, crowded: bool) -> int:
        follower = Follower(self._next_id, BoxFilter(detection.box, seconds), seconds, seconds)
        self._next_id += 1
        follower.begin_frame(pts, seconds)
        self._see(follower, detection, crowded)
        self._active.append(follower)
        return follower.id

    def _end(self, followers: Sequence[Follower]) -> None:
        for follower in followers:
            self._active.remove(follower)
            while follower.rows[-1] is None:
                follower.pop_frame()
            self._ended_in_shot.append(follower)

    def _join_broken(self) -> None:
        """Join tracks of the shot that are one face with a gap, the likeliest pair first."""
        while True:
            found = [
                (likeness, earlier, later)
                for earlier, later in permutations(self._ended_in_shot, 2)
                if (likeness := self._likeness(earlier, later)) is not None
            ]
            if not found:
                return
            _, earlier, later = max(found, key=lambda pair: pair[0])
            earlier.absorb(later, self._frames)
            self._ended_in_shot.remove(later)
            self._joined[later.id] = earlier.id

    def _likeness(self, earlier: Follower, later: Follower) -> float | None:
        """How likely ``later`` is the face of ``earlier`` come back; ``None`` where it cannot be."""
        settings = self._settings
        gap = later.seconds[0] - earlier.seconds[-1]
        if earlier.pts[0] <= later.pts[0] and gap <= 0:
            return self._doubling(earlier, later)
        if not 0 < gap <= settings.max_gap_seconds + _ROUNDING:
            return None
        left, right = place_of(earlier.end(last=True).box), place_of(later.end(last=False).box)
        growth = abs(right[2] - left[2])
        steps = math.hypot(*(right[:2] - left[:2])) / math.exp(max(left[2], right[2]))
        if (
            growth > math.log(settings.max_size_ratio)
            or steps > settings.max_step_face_sizes + settings.join_speed * gap
        ):
            return None
        one, other = earlier.appearance.embedding, later.appearance.embedding
        near = gap <= _UNSEEN_JOIN_SECONDS and steps <= settings.max_step_face_sizes
        if one is None or other is None:
            return _UNKNOWN_SIMILARITY - steps if near else None
        similarity = float(one @ other)
        needed = self._needed_in_place(earlier, later) if near else settings.join_similarity
        return similarity - steps / 10 if similarity >= needed else None

    def _doubling(self, earlier: Follower, later: Follower) -> float | None:
        """How likely two tracks of the same time are one face, seen now in the one box and now in the other.

        ``None`` where they mostly do not lie on each other, as two faces cannot for long, or do not look alike.
        """
        one, other = earlier.appearance.embedding, later.appearance.embedding
        if one is None or other is None or float(one @ other) < self._needed_in_place(earlier, later):
            return None
        here, there = track_of(earlier), track_of(later)
        _, left, right = np.intersect1d(here.pts, there.pts, return_indices=True)
        shared = overlap(here.boxes[left], there.boxes[right]).diagonal()
        return float(one @ other) if float(np.median(shared)) >= _SAME_FACE_OVERLAP else None

    def _needed_in_place(self, earlier: Follower, later: Follower) -> float:
        """The similarity that tracks at one place need to be one face; the embedding of small faces says little."""
        heights = [np.median([row.box[3] - row.box[1] for row in f.rows if row is not None]) for f in (earlier, later)]
        small = max(heights) <= self._settings.small_face_pixels
        return self._settings.min_similarity if small else self._settings.join_similarity

    def _is_worth(self, follower: Follower, shortest: float) -> bool:
        seen = [row for row in follower.rows if row is not None]
        least = self._settings.least_score(float(np.median([row.box[3] - row.box[1] for row in seen])))
        return (
            follower.seconds[-1] - follower.seconds[0] >= shortest
            and float(np.mean([row.score for row in seen if row.detected])) >= least
            and len(seen) / len(follower.rows) >= self._settings.min_detected_share
        )


def extend(track: Track, rows: Track) -> Track:
    """``track`` with the frames of ``rows`` added before, after or between its own.

    Where both have a frame, the one with the higher score stays. Id and embedding remain those of ``track``.
    """
    pts = np.union1d(track.pts, rows.pts)
    boxes = np.empty((len(pts), 4), np.float32)
    landmarks = np.empty((len(pts), LANDMARK_COUNT, 2), np.float32)
    scores = np.full(len(pts), -1.0, np.float32)
    for source in (track, rows):
        where = np.searchsorted(pts, source.pts)
        better = source.scores > scores[where]
        to = where[better]
        boxes[to], landmarks[to] = source.boxes[better], source.landmarks[better]
        scores[to] = source.scores[better]
    return replace(track, pts=pts, boxes=boxes, landmarks=landmarks, scores=scores)


def _crowded(detections: Sequence[Detection]) -> list[bool]:
    """Which detections overlap another one so much that their crops may show the other face."""
    if not detections:
        return []
    boxes = np.stack([detection.box for detection in detections])
    shared = overlap(boxes, boxes)
    np.fill_diagonal(shared, 0)
    return [bool(value) for value in shared.max(axis=1) > _CROWDED_OVERLAP]


def _quality(detection: Detection) -> float:
    """How much a detection tells about who it is: sure, frontal and large faces most."""
    frontal = 0.5
    eyes = float(np.linalg.norm(detection.keypoints[1] - detection.keypoints[0]))
    if detection.landmarks is not None and np.all(np.isfinite(detection.landmarks)):
        yaw, pitch, _ = head_pose(detection.landmarks)
        frontal = max(0.05, math.cos(math.radians(yaw)) * math.cos(math.radians(pitch)))
        eyes = eye_distance(detection.landmarks)
    return detection.score * frontal**2 * math.sqrt(min(eyes, _EYES_FULL_PIXELS))
