"""Pass 1: frames to an ``Analysis``: who is where, and which pictures of each person are the references."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidrestore.alignment import crop_face
from vidrestore.config import Settings
from vidrestore.errors import ComponentError
from vidrestore.geometry import eye_distance, head_pose, overlap
from vidrestore.identities import cluster
from vidrestore.references import ReferencePool, select
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
    Image,
    Progress,
    Shot,
    Smoother,
    Span,
    Track,
    VideoInfo,
)

_LOOK_BACK_FRAMES = 12
"""Frames kept to look back into when a face is first seen in the middle of a shot."""
_TAKEN_OVERLAP = 0.3
"""Overlap above which a face found by looking back is one that another track already has."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame that was looked at, with the boxes (N, 4) of the faces found in it."""

    pts: int
    image: Image
    boxes: Floats


class Analyzer:
    """Takes frames in order of presentation and keeps what is worth knowing of them, but no frame."""

    def __init__(self, detector: Detector, smoother: Smoother, settings: Settings) -> None:
        self._detector, self._smoother, self._settings = detector, smoother, settings
        self._cuts = CutFinder(settings.shots)
        self._tracker = Tracker(settings.tracking)
        self._pool = ReferencePool(settings.references)
        self._shots: list[Shot] = []
        self._recent: deque[_Seen] = deque(maxlen=_LOOK_BACK_FRAMES)
        self._earlier: dict[int, list[tuple[int, Detection]]] = {}
        self._known: set[int] = set()
        self.frames = 0
        self.faces = 0

    def add(self, frame: Frame) -> None:
        """Look at the next frame."""
        image, pts, seconds = frame.image, frame.pts, frame.seconds
        if self._cuts.is_cut(image) or not self._shots:
            self._end_shot()
            self._recent.clear()
            self._shots.append(Shot(pts, pts))
        self._shots[-1] = replace(self._shots[-1], last=pts)
        detections = self._detector.detect(image)
        ids = self._tracker.update(pts, seconds, detections)
        found = [(i, d) for i, d in zip(ids, detections, strict=True) if i is not None]
        missing = self._tracker.missing()
        looks = self._detector.look(image, list(missing.values())) if missing else ()
        for track_id, detection in zip(missing, looks, strict=True):
            if detection is not None and self._tracker.confirm(track_id, detection):
                found.append((track_id, detection))
        for track_id, detection in found:
            self._offer(track_id, detection, frame)
            if track_id not in self._known:
                self._known.add(track_id)
                self._look_back(track_id, detection)
        boxes = np.array([detection.box for _, detection in found], dtype=np.float32).reshape(-1, 4)
        self._recent.append(_Seen(pts, image, boxes))
        self.frames += 1
        self.faces += len(found)

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
            pts=frame.pts,
            seconds=frame.seconds,
            eye_distance=eyes,
            pose=pose,
            detection_score=detection.score,
            embedding=detection.embedding,
        )

    def _look_back(self, track_id: int, detection: Detection) -> None:
        """Follow a new face back through the frames before, as far as the landmark network still sees it."""
        box = detection.box
        for seen in reversed(self._recent):
            (found,) = self._detector.look(seen.image, [box])
            if found is None or float(overlap(found.box[None], box[None])[0, 0]) < _TAKEN_OVERLAP:
                return
            if len(seen.boxes) and float(overlap(found.box[None], seen.boxes).max()) > _TAKEN_OVERLAP:
                return
            self._earlier.setdefault(track_id, []).append((seen.pts, found))
            box = found.box

    def finish(self) -> tuple[tuple[Shot, ...], list[Track], tuple[Identity, ...], tuple[Candidate, ...]]:
        """Shots, tracks as they were found, people, and the candidates for their references."""
        self._end_shot()
        tracks = [self._with_earlier(track) for track in self._tracker.finish()]
        candidates = self._pool.candidates()
        people = []
        known = {track.id: track for track in tracks}
        for number, group in enumerate(cluster(tracks, self._settings.identities)):
            embeddings = [embedding for i in group if (embedding := known[i].embedding) is not None]
            mean = None if not embeddings else np.mean(embeddings, axis=0)
            person = Identity(
                id=number,
                name=f"person {number + 1}",
                track_ids=group,
                embedding=None if mean is None else mean / max(float(np.linalg.norm(mean)), 1e-6),
                references=select((c for c in candidates if c.track_id in group), self._settings.references),
            )
            people.append(person)
        return tuple(self._shots), tracks, tuple(people), candidates

    def _end_shot(self) -> None:
        """End all tracks, and let go of what was collected for those that turned out to be none."""
        for track_id in self._tracker.cut():
            self._pool.forget(track_id)
            self._earlier.pop(track_id, None)
        self._known.clear()

    def _with_earlier(self, track: Track) -> Track:
        rows = self._earlier.get(track.id)
        if not rows:
            return track
        rows = rows[::-1]
        back = Track(
            track.id,
            np.array([pts for pts, _ in rows]),
            np.stack([found.box for _, found in rows]),
            np.stack([found.landmarks for _, found in rows if found.landmarks is not None]),
            np.array([found.score for _, found in rows]),
            None,
        )
        return extend(track, back)


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
    shots, tracks, people, candidates = analyzer.finish()
    return Analysis(
        video=video,
        fingerprint=fingerprint,
        span=span,
        frame_count=analyzer.frames,
        shots=shots,
        tracks=tuple(_smoothed(track, smoother, video) for track in tracks),
        identities=people,
        settings_digest=settings.analysis_digest(),
        faces_model=f"{detector.name} ({detector.licence})",
        warnings=tuple(warnings()),
        candidates=candidates,
    )


def _smoothed(track: Track, smoother: Smoother, video: VideoInfo) -> Track:
    seconds = np.asarray(track.pts * float(video.time_base), dtype=np.float64)
    return replace(track, landmarks=smoother(track.landmarks, seconds))
