"""One face that is followed: what was seen of it in each frame, until it is a finished ``Track``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vidrestore.appearance import Appearance
from vidrestore.box_filter import BoxFilter
from vidrestore.types import LANDMARK_COUNT, Detection, Floats, Track


class Row(NamedTuple):
    """What was seen of a face in one frame."""

    box: Floats
    landmarks: Floats | None
    keypoints: Floats
    score: float
    detected: bool
    """Seen by the detector, and not only by a second look."""

    @property
    def rank(self) -> tuple[bool, float]:
        """Which of two sights of one face is believed: the higher one."""
        return self.detected, self.score


@dataclass(slots=True)
class Follower:
    """One track in the making."""

    id: int
    filter: BoxFilter
    last_detected: float
    """Seconds of the detector's last sight; second looks do not count."""
    last_seen: float
    """Seconds of the last sight of either kind."""
    pts: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    rows: list[Row | None] = field(default_factory=list)
    """What was seen in each frame, or None where nothing was."""
    appearance: Appearance = field(default_factory=Appearance)

    def begin_frame(self, pts: int, seconds: float) -> None:
        self.pts.append(pts)
        self.seconds.append(seconds)
        self.rows.append(None)

    def pop_frame(self) -> None:
        self.pts.pop()
        self.seconds.pop()
        self.rows.pop()

    def see(self, detection: Detection, detected: bool) -> None:
        """Put ``detection``, of the detector or of a second look, into the present frame's row."""
        landmarks = None if detection.landmarks is None else detection.landmarks.copy()
        keypoints = detection.keypoints.copy()
        self.rows[-1] = Row(detection.box.copy(), landmarks, keypoints, detection.score, detected)
        self.filter.update(detection.box)
        self.last_seen = self.seconds[-1]

    def drop_from(self, pts: int) -> None:
        """Forget the frames from ``pts`` on, and after the last frame in which the face was seen."""
        while self.pts and self.pts[-1] >= pts:
            self.appearance.forget_from(self.seconds[-1])
            self.pop_frame()
        while self.rows and self.rows[-1] is None:
            self.pop_frame()

    def end(self, last: bool) -> Row:
        """The first or the last row; both are sights of the face once the track has ended."""
        row = self.rows[-1 if last else 0]
        assert row is not None
        return row

    def absorb(self, other: Follower, frames: Sequence[tuple[int, float]]) -> None:
        """Take over what was seen of ``other``, which is the same face; ``frames`` are all pts and seconds of the shot.

        Where both have a row, that of the detector stays, or the surer one.
        """
        known: dict[int, Row] = {}
        for follower in (self, other):
            for pts, row in zip(follower.pts, follower.rows, strict=True):
                if row is not None and (pts not in known or row.rank > known[pts].rank):
                    known[pts] = row
        first, last = min(known), max(known)
        inside = [frame for frame in frames if first <= frame[0] <= last]
        self.pts, self.seconds = [pts for pts, _ in inside], [seconds for _, seconds in inside]
        self.rows = [known.get(pts) for pts in self.pts]
        self.appearance.absorb(other.appearance)


def track_of(follower: Follower) -> Track:
    """The rows of a follower as the columns of a ``Track``."""
    count = len(follower.rows)
    seen = np.array([row is not None for row in follower.rows])
    seconds = np.array(follower.seconds)
    landmarks = np.full((count, LANDMARK_COUNT, 2), np.nan, np.float32)
    scores = np.zeros(count, np.float32)
    boxes = np.empty((count, 4), np.float32)
    for index, row in enumerate(follower.rows):
        if row is not None:
            boxes[index], scores[index] = row.box, row.score
            if row.landmarks is not None:
                landmarks[index] = row.landmarks
    for side in range(4):
        boxes[:, side] = np.interp(seconds, seconds[seen], boxes[seen, side])
    return Track(follower.id, np.array(follower.pts, np.int64), boxes, landmarks, scores, follower.appearance.embedding)
