"""Keep a few telling pictures, and figures over time, of frames that pass by before and after.

Memory is bounded whatever the length of the video: of each of the leading people one frame in each stretch of time is
kept, the one that changed most, and the one that was held back most; sharpness is sampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

import cv2
import numpy as np

from vidrestore.alignment import crop_face
from vidrestore.face_quality import sharpness
from vidrestore.gating import Verdict
from vidrestore.geometry import eye_distance
from vidrestore.report.facts import Pair, Sample, Scene, View
from vidrestore.types import Analysis, Face, FaceCrop, Image, Timeline

MOST_SCENES = 8
MOST_VIEWS = 12
_LEADING_PEOPLE = 12
"""People, by their number of frames, of whom pictures are kept."""
_STRETCHES = 6
"""Of the time of the video, each of which gets a frame for each of these people."""
_MOST_MEASURED = 240
"""Frames whose faces are measured, at most, evenly spread over those with faces."""
_LONGEST_SIDE = 1280
"""Pixels of a kept frame."""
_QUALITY = 88
"""Of JPEG, 0..100."""
_HELD_BACK = -1
"""In place of a stretch of time: the frame of a person that was held back most."""
_CLEARLY_HELD_BACK = 0.9
"""The gate's factor below which a frame is shown for being held back."""

Key = tuple[int | None, int]


def evenly(timeline: Timeline) -> list[int]:
    """The pts of frames with faces, evenly spread, no more than can be measured while a video is restored."""
    times = sorted(timeline.faces)
    return times[:: max(1, -(-len(times) // _MOST_MEASURED))]


class Album:
    """Looks at frames before and after, in order of time, and keeps what a report shows."""

    def __init__(self, analysis: Analysis, timeline: Timeline, crop_size: int, measured: Collection[int]) -> None:
        """Faces of the frames whose pts are ``measured`` count; of others only those that were held back."""
        self._analysis, self._timeline, self._crop_size = analysis, timeline, crop_size
        self._measured = frozenset(measured)
        frames = Counter[int | None]()
        for face in (face for faces in timeline.faces.values() for face in faces):
            frames[face.identity_id] += 1
        self._leading = [identity for identity, _ in frames.most_common(_LEADING_PEOPLE)]
        self._first, self._last = min(timeline.faces, default=0), max(timeline.faces, default=0)
        aspect = analysis.video.sample_aspect_ratio
        self._aspect = aspect if aspect > 0 else Fraction(1)
        self._kept: dict[Key, tuple[float, Scene]] = {}
        self.samples: list[Sample] = []

    def worth_a_look(self, pts: int, verdicts: Mapping[int, Verdict]) -> bool:
        """Whether the frame is measured, or the gate held a face in it back more than any of that person before."""
        return pts in self._measured or any(self._is_worst(face, verdicts) for face in self._timeline.at(pts))

    def see(self, pts: int, before: Image, after: Image, verdicts: Mapping[int, Verdict]) -> None:
        """Look at a frame; ``verdicts`` by track id are those of the gate, where it was asked."""
        size = self._crop_size
        looked = [(f, crop_face(before, f, size), crop_face(after, f, size)) for f in self._timeline.at(pts)]
        seconds = float(pts * self._analysis.video.time_base)
        views = tuple(_view(seconds, *item, verdicts) for item in looked)
        if pts in self._measured:
            self.samples += [
                Sample(seconds, view.track_id, view.identity_id, view.sharpness_before, view.sharpness_after)
                for view in views
            ]
        won = dict(self._won(pts, views))
        if won:
            scene = Scene(seconds, self._frame(before, after), tuple(views))
            self._kept.update({key: (score, scene) for key, score in won.items()})

    def _is_worst(self, face: Face, verdicts: Mapping[int, Verdict]) -> bool:
        """Whether the gate held this face back more than any of the person before."""
        if face.track_id not in verdicts or face.identity_id not in self._leading:
            return False
        score = 1 - verdicts[face.track_id].factor
        best, _ = self._kept.get((face.identity_id, _HELD_BACK), (1 - _CLEARLY_HELD_BACK, None))
        return score > best

    def _won(self, pts: int, views: tuple[View, ...]) -> Iterator[tuple[Key, float]]:
        """The places that a frame takes from the one that has them."""
        stretch = _STRETCHES * (pts - self._first) // (self._last - self._first + 1)
        for view in views:
            if view.identity_id not in self._leading:
                continue
            scores = {stretch: view.change}
            if view.factor is not None and view.factor < _CLEARLY_HELD_BACK:
                scores[_HELD_BACK] = 1 - view.factor
            for place, score in scores.items():
                key = (view.identity_id, place)
                if key not in self._kept or score > self._kept[key][0]:
                    yield key, score

    def _frame(self, before: Image, after: Image) -> Pair:
        """Both pictures with square pixels, no larger than is kept."""
        height, width = before.shape[:2]
        shown = width * float(self._aspect)
        scale = min(1.0, _LONGEST_SIDE / max(shown, height))
        size = (max(1, round(shown * scale)), max(1, round(height * scale)))
        if size != (width, height):
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            before, after = (
                np.asarray(cv2.resize(image, size, interpolation=method), np.uint8) for image in (before, after)
            )
        return Pair(encode(before), encode(after), *size)

    def scenes(self) -> tuple[Scene, ...]:
        """Frames worth showing, in order of time: all people and stretches get their turn, large changes first."""
        held = [scene for (_, place), (_, scene) in self._kept.items() if place == _HELD_BACK]
        chosen = sorted({scene.seconds: scene for scene in held}.values(), key=lambda scene: scene.worst_factor)[:2]
        for _, scene in self._in_turn():
            if len(chosen) < MOST_SCENES and all(scene.seconds != other.seconds for other in chosen):
                chosen.append(scene)
        return tuple(sorted(chosen, key=lambda scene: scene.seconds))

    def views(self) -> tuple[View, ...]:
        """Faces worth showing large: all people get their turn, and what was held back most is among them."""
        chosen: dict[tuple[int, float], View] = {}
        for person, scene in self._in_turn():
            for view in scene.faces:
                if view.identity_id == person and len(chosen) < MOST_VIEWS:
                    chosen[view.track_id, view.seconds] = view
        order = {person: rank for rank, person in enumerate(self._leading)}
        return tuple(sorted(chosen.values(), key=lambda view: (order[view.identity_id], view.seconds)))

    def _in_turn(self) -> Iterator[tuple[int | None, Scene]]:
        """What is kept, one of each person at a time; the held back one first, then by change."""
        shelves = []
        for person in self._leading:
            own = [
                (place != _HELD_BACK, -score, scene)
                for (who, place), (score, scene) in self._kept.items()
                if who == person
            ]
            shelves.append([(person, scene) for *_, scene in sorted(own, key=lambda item: item[:2])])
        for rank in range(_STRETCHES + 1):
            yield from (shelf[rank] for shelf in shelves if rank < len(shelf))


def _view(seconds: float, face: Face, before: FaceCrop, after: FaceCrop, verdicts: Mapping[int, Verdict]) -> View:
    verdict = verdicts.get(face.track_id)
    size = before.image.shape[0]
    return View(
        seconds=seconds,
        track_id=face.track_id,
        identity_id=face.identity_id,
        crop=Pair(encode(before.image), encode(after.image), size, size),
        sharpness_before=sharpness(before.image),
        sharpness_after=sharpness(after.image),
        eye_pixels=eye_distance(face.landmarks),
        change=float(np.abs(after.image.astype(np.float32) - before.image).mean()),
        factor=None if verdict is None else verdict.factor,
        reason=face.kept_because if verdict is None else verdict.reason,
    )


def encode(image: Image) -> bytes:
    """RGB ``(H, W, 3)`` as JPEG."""
    _, packed = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes()
