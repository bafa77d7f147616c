"""Pass 1: frames to an ``Analysis``: who is where, and which pictures of each person are the references."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vidrestore.alignment import crop_face, cut_around
from vidrestore.appearance import mean_embedding
from vidrestore.candidates import SURROUNDINGS, CandidatePool
from vidrestore.config import Settings
from vidrestore.errors import ComponentError
from vidrestore.flow import carry
from vidrestore.geometry import eye_distance, head_pose, overlap
from vidrestore.identities import cluster
from vidrestore.references import ReferenceSettings, select
from vidrestore.shots import CutFinder
from vidrestore.tracking import Tracker, extend
from vidrestore.types import (
    Analysis,
    Candidate,
    Detection,
    Detector,
    Face,
    Floats,
    Frame,
    Identity,
    IdentityMargin,
    Image,
    Progress,
    Shot,
    Smoother,
    Span,
    Track,
    VideoInfo,
)

_LOOK_BACK_BYTES = 128 * 2**20
"""Pixels kept to look back into when a face is first seen in the middle of a shot."""
_ROUNDING = 1e-6
"""Seconds by which differences of frame times may miss the settings."""
_TAKEN_OVERLAP = 0.3
"""Overlap above which a face found by looking back is one that another track already has."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame that was looked at, with the boxes (N, 4) of the faces found in it."""

    pts: int
    seconds: float
    image: Image
    boxes: Floats


class Findings(NamedTuple):
    """What the frames told."""

    shots: tuple[Shot, ...]
    tracks: tuple[Track, ...]
    people: tuple[Identity, ...]
    candidates: tuple[Candidate, ...]
    margin: IdentityMargin


class Analyzer:
    """Takes frames in order of presentation and keeps what is worth knowing of them, but no frame."""

    def __init__(self, detector: Detector, smoother: Smoother, settings: Settings) -> None:
        self._detector, self._smoother, self._settings = detector, smoother, settings
        self._cuts = CutFinder(settings.shots)
        self._tracker = Tracker(settings.tracking)
        self._pool = CandidatePool(settings.references)
        self._shots: list[Shot] = []
        self._recent: deque[_Seen] = deque()
        self._until_detection = 0
        self._earlier: dict[int, list[tuple[int, Detection]]] = {}
        self._known: set[int] = set()
        self._frame_pts: list[int] = []
        self._time_base = Fraction(1)
        self.frames = 0
        self.faces = 0

    def add(self, frame: Frame) -> None:
        """Look at the next frame."""
        image, pts, seconds = frame.image, frame.pts, frame.seconds
        self._time_base = frame.time_base
        self._divide(pts, self._cuts.frames_in_new_shot(image))
        found = self._find(image, pts, seconds)
        for track_id, detection in found:
            self._offer(track_id, detection, frame)
            if track_id not in self._known:
                self._known.add(track_id)
                self._look_back(track_id, detection, seconds)
        boxes = np.array([detection.box for _, detection in found], dtype=np.float32).reshape(-1, 4)
        self._remember(_Seen(pts, seconds, image, boxes))
        self.frames += 1
        self.faces += len(found)

    def _divide(self, pts: int, new_frames: int) -> None:
        """Put the frame ``pts`` into its shot, which is a new one since ``new_frames`` frames where that is above 0."""
        if not self._shots:
            self._shots.append(Shot(pts, pts))
        elif new_frames == 0:
            self._shots[-1] = replace(self._shots[-1], last=pts)
        else:
            # In a dissolve, frames were taken for the old shot that the new one has taken over.
            since = self._frame_pts[-(new_frames - 1)] if new_frames > 1 else pts
            before = self._frame_pts[-new_frames]
            self._end_shot(since)
            self._shots[-1] = replace(self._shots[-1], last=before)
            self._shots.append(Shot(since, pts))
            # The tracks that had the faces of the new shot's first frames have lost them again.
            nobody = np.empty((0, 4), dtype=np.float32)
            self._recent = deque(replace(seen, boxes=nobody) for seen in self._recent if seen.pts >= since)
        self._frame_pts.append(pts)

    def _find(self, image: Image, pts: int, seconds: float) -> list[tuple[int, Detection]]:
        """The faces of a frame with the ids of their tracks: detected, carried on by flow, or seen at a second look."""
        looks_now = self._until_detection == 0
        self._until_detection = (self._settings.tracking.stride if looks_now else self._until_detection) - 1
        detections = self._detector.detect(image) if looks_now else ()
        ids = self._tracker.update(pts, seconds, detections)
        found = [(i, d) for i, d in zip(ids, detections, strict=True) if i is not None]
        if not looks_now and self._recent:
            for track_id in self._tracker.missing():
                face = self._tracker.last_seen(track_id)
                carried = None if face is None else carry(self._recent[-1].image, image, face)
                if carried is not None and self._tracker.confirm(track_id, carried):
                    found.append((track_id, carried))
        missing = self._tracker.missing()
        looks = self._detector.look(image, list(missing.values())) if missing else ()
        for track_id, detection in zip(missing, looks, strict=True):
            if detection is not None and self._tracker.confirm(track_id, detection):
                found.append((track_id, detection))
        return found

    def _remember(self, seen: _Seen) -> None:
        """Keep a frame to look back into, and let go of those that are too long ago or too many."""
        self._recent.append(seen)
        earliest = seen.seconds - self._settings.tracking.look_back_seconds
        while len(self._recent) > 1 and (
            self._recent[0].seconds < earliest or sum(recent.image.nbytes for recent in self._recent) > _LOOK_BACK_BYTES
        ):
            self._recent.popleft()

    def _offer(self, track_id: int, detection: Detection, frame: Frame) -> None:
        """Offer the face as a reference of its track."""
        if detection.landmarks is None:
            raise ComponentError(f"the detector {self._detector.name} gave a face without landmarks")
        eyes, pose = eye_distance(detection.landmarks), head_pose(detection.landmarks)
        if not self._pool.would_accept(track_id, frame.seconds, eyes, pose):
            return
        crop = crop_face(frame.image, Face(track_id, None, detection.landmarks, 1.0))
        self._pool.offer(
            track_id,
            crop,
            cut_around(frame.image, detection.box, SURROUNDINGS),
            pts=frame.pts,
            seconds=frame.seconds,
            eye_distance=eyes,
            pose=pose,
            detection_score=detection.score,
            embedding=detection.embedding,
        )

    def _look_back(self, track_id: int, detection: Detection, seconds: float) -> None:
        """Follow a face that is new at ``seconds`` back, as far as the landmark network still sees it."""
        earliest = seconds - self._settings.tracking.look_back_seconds - _ROUNDING
        box = detection.box
        for seen in reversed(self._recent):
            if seen.seconds < earliest:
                return
            (found,) = self._detector.look(seen.image, [box])
            if found is None or float(overlap(found.box[None], box[None])[0, 0]) < _TAKEN_OVERLAP:
                return
            if len(seen.boxes) and float(overlap(found.box[None], seen.boxes).max()) > _TAKEN_OVERLAP:
                return
            self._earlier.setdefault(track_id, []).append((seen.pts, found))
            box = found.box

    def finish(self) -> Findings:
        """What was learnt of all frames, with tracks as they were found."""
        self._end_shot()
        tracks = tuple(self._with_earlier(track) for track in self._tracker.finish())
        candidates = self._candidates(tracks)
        cast = cluster(tracks, self._time_base, self._detector.same_person, self._settings.identities)
        people = people_of(cast.people, tracks, candidates, self._settings.references)
        return Findings(tuple(self._shots), tracks, people, candidates, cast.margin)

    def _candidates(self, tracks: Sequence[Track]) -> tuple[Candidate, ...]:
        """The pool's candidates under the ids that their tracks have now, without those of frames that a track lost."""
        known = {track.id: track for track in tracks}
        owned = [replace(c, track_id=self._tracker.owner(c.track_id)) for c in self._pool.candidates()]
        return tuple(c for c in owned if c.track_id in known and c.pts in known[c.track_id].pts)

    def _end_shot(self, since: int | None = None) -> None:
        """End all tracks, before pts ``since``; let go of what was collected for those that turned out to be none."""
        for track_id in self._tracker.cut(since):
            self._pool.forget(track_id)
            self._earlier.pop(track_id, None)
        self._known.clear()
        self._frame_pts.clear()
        self._until_detection = 0

    def _with_earlier(self, track: Track) -> Track:
        """``track`` with what was seen of it by looking back, also of tracks that have become part of it."""
        rows = sorted(
            (row for number, rows in self._earlier.items() if self._tracker.owner(number) == track.id for row in rows),
            key=lambda row: row[0],
        )
        if not rows:
            return track
        back = Track(
            track.id,
            np.array([pts for pts, _ in rows]),
            np.stack([found.box for _, found in rows]),
            np.stack([found.landmarks for _, found in rows if found.landmarks is not None]),
            np.array([found.score for _, found in rows]),
            None,
        )
        return extend(track, back)


def people_of(
    groups: Iterable[Sequence[int]],
    tracks: Sequence[Track],
    candidates: Sequence[Candidate],
    settings: ReferenceSettings,
) -> tuple[Identity, ...]:
    """The people whom ``groups`` of track ids show, numbered in that order, with references from ``candidates``."""
    return tuple(
        Identity(
            id=number,
            name=f"person {number + 1}",
            track_ids=tuple(group),
            embedding=mean_embedding(track.embedding for track in tracks if track.id in group),
            references=select((c for c in candidates if c.track_id in group), settings),
        )
        for number, group in enumerate(groups)
    )


def analyze_frames(
    frames: Iterable[Frame],
    video: VideoInfo,
    fingerprint: str,
    span: Span,
    detector: Detector,
    smoother: Smoother,
    settings: Settings,
    warnings: Callable[[], Sequence[str]] = tuple,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Analysis:
    """Look at all ``frames`` of ``video`` and decide who is where.

    ``warnings`` is asked for what went wrong in decoding once all frames were read.
    """
    analyzer = Analyzer(detector, smoother, settings)
    total = video.frame_count if span.whole else None
    for frame in frames:
        analyzer.add(frame)
        on_progress(Progress("analyze", analyzer.frames, total, analyzer.faces))
    found = analyzer.finish()
    return Analysis(
        video=video,
        fingerprint=fingerprint,
        span=span,
        frame_count=analyzer.frames,
        shots=found.shots,
        tracks=tuple(_smoothed(track, smoother, video) for track in found.tracks),
        identities=found.people,
        settings_digest=settings.analysis_digest(),
        faces_model=f"{detector.name} ({detector.licence})",
        warnings=tuple(warnings()),
        candidates=found.candidates,
        margin=found.margin,
    )


def _smoothed(track: Track, smoother: Smoother, video: VideoInfo) -> Track:
    seconds = np.asarray(track.pts * float(video.time_base), dtype=np.float64)
    return replace(track, landmarks=smoother(track.landmarks, seconds))
