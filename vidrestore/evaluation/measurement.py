"""Measure videos against the truth, frame by frame in lock-step; of the past only the frame before is kept."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidrestore import metrics
from vidrestore.errors import VideoError
from vidrestore.evaluation.truth import Region, TrueFace, true_faces
from vidrestore.metrics import Mask, Reals
from vidrestore.threads import prefetch
from vidrestore.types import Analysis, Detector, Floats, Frame, Image, Progress, VideoInfo
from vidrestore.video import mark, probe, read_frames

Columns = Mapping[str, Reals]
"""Each figure by name over the face-frames, ``(F,)``; NaN where the truth leaves it undefined."""
FaceDistance = Callable[[Image, Image, Floats], float]
"""A distance between two pictures of a face with these landmarks ``(68, 2)``, such as LPIPS."""
_AHEAD = 2
_SURROUNDINGS = 0.25
"""What is looked at around a face, in sides of its box, to find where its pixels came from."""
_STILL = ("psnr", "ssim", "identity", "landmark_error", "failures", "sharpness_ratio", "detail_ratio")
_MOVING = ("landmark_motion", "landmark_motion_error", "identity_drift", "warping_error")
LPIPS = "lpips"


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """All figures of all ``F`` face-frames: one face in one frame is a row."""

    frames: int
    faces_too_small: int
    """Face-frames left out because of their size, which the truth alone decides."""
    people: tuple[str, ...]
    """(F,) whose face it is."""
    tracks: tuple[int, ...]
    """(F,)."""
    seconds: Reals
    """(F,)."""
    truth: Columns
    """The truth against itself: errors of 0, and its own motion."""
    source: Columns
    """The input that was restored."""
    outputs: tuple[Columns, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One frame of one video, and what the judge sees of each face, by track."""

    image: Image
    landmarks: Mapping[int, Floats | None]
    embeddings: Mapping[int, Floats | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Flow:
    """How the truth moved, in the window of the picture around a face."""

    window: Region
    offsets: Floats
    trusted: Mask


def measure_videos(
    truth: Path,
    source: Path,
    outputs: Sequence[Path],
    analysis: Analysis,
    judge: Detector | None,
    lpips: FaceDistance | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Measurement:
    """Measure the input ``source`` and its restored ``outputs`` against ``truth``, where ``analysis`` has faces.

    Args:
        truth: The original; where it has another size, it is scaled to the input's by averaging areas.
        source: What was restored.
        outputs: As large and long as ``source``; frames belong together by their order.
        analysis: Of ``truth``.
        judge: Sees landmarks and identities; without one, pixels alone are measured.
        lpips: A perceptual distance, where the user has one.
        on_progress: Called after every frame.

    Raises:
        VideoError: a video cannot be read, or they differ in size or number of frames.
    """
    info = _check_sizes(source, outputs)
    known, too_small = true_faces(analysis, info.width, info.height)
    rows = _Rows(2 + len(outputs), [*_STILL, *_MOVING] + [LPIPS] * (lpips is not None))
    before: list[_View] = []
    with closing(_in_step([truth, source, *outputs])) as steps:
        for frames in steps:
            images = [mark(frame, analysis.scan).image for frame in frames]
            images[0] = _scaled(images[0], info.width, info.height)
            faces = known.get(frames[0].pts, [])
            views = [_look(image, faces, judge) for image in images]
            for face in faces:
                still = [_still_figures(view, views[0], face, lpips) for view in views]
                moving = _motion_figures(views, before, face)
                rows.add(face, frames[0].seconds, [a | b for a, b in zip(still, moving, strict=True)])
            before = views
            rows.frames += 1
            on_progress(Progress("evaluate", rows.frames, analysis.frame_count, len(rows.people)))
    return rows.finish(too_small)


def check_alike(truth: Path, source: Path, outputs: Sequence[Path]) -> None:
    """Check, before any work is done, that videos can be compared; decodes them once.

    Raises:
        VideoError: a video cannot be read, or they differ in size or number of frames; names both.
    """
    _check_sizes(source, outputs)
    deque(_in_step([truth, source, *outputs]), maxlen=0)


def _check_sizes(source: Path, outputs: Sequence[Path]) -> VideoInfo:
    info = probe(source)
    for path in outputs:
        other = probe(path)
        if (other.width, other.height) != (info.width, info.height):
            raise VideoError(
                f"{path} is {other.width}x{other.height} and the input {source} is {info.width}x{info.height}: scale "
                "one to the other's size, so that pixels can be compared"
            )
    return info


class _Rows:
    """Collects the figures of face after face into columns."""

    def __init__(self, videos: int, names: Sequence[str]) -> None:
        self.frames = 0
        self.people: list[str] = []
        self._tracks: list[int] = []
        self._seconds: list[float] = []
        self._columns: list[dict[str, list[float]]] = [{name: [] for name in names} for _ in range(videos)]

    def add(self, face: TrueFace, seconds: float, figures: Sequence[Mapping[str, float]]) -> None:
        """One face-frame: the figures of each video."""
        self.people.append(face.person)
        self._tracks.append(face.track_id)
        self._seconds.append(seconds)
        for columns, values in zip(self._columns, figures, strict=True):
            for name, column in columns.items():
                column.append(values.get(name, math.nan))

    def finish(self, too_small: int) -> Measurement:
        """All of it, as arrays."""
        truth, source, *outputs = (
            {name: np.array(values, dtype=np.float64) for name, values in columns.items()} for columns in self._columns
        )
        return Measurement(
            self.frames,
            too_small,
            tuple(self.people),
            tuple(self._tracks),
            np.array(self._seconds, dtype=np.float64),
            truth,
            source,
            tuple(outputs),
        )


def _in_step(paths: Sequence[Path]) -> Generator[list[Frame]]:
    """The frames of all videos side by side.

    Raises:
        VideoError: one has more frames than another; names both and their numbers of frames.
    """
    with ExitStack() as open_videos:
        videos = [open_videos.enter_context(closing(prefetch(read_frames(path), _AHEAD))) for path in paths]
        count = 0
        while True:
            frames = [next(video, None) for video in videos]
            present = [frame for frame in frames if frame is not None]
            if len(present) < len(frames):
                break
            yield present
            count += 1
        if present:
            longer = next(index for index, frame in enumerate(frames) if frame is not None)
            shorter = paths[next(index for index, frame in enumerate(frames) if frame is None)]
            total = count + 1 + sum(1 for _ in videos[longer])
            raise VideoError(
                f"{shorter} has {count} frames and {paths[longer]} has {total}: frames are matched by their order, so "
                "give videos of the same frames"
            )


def _look(image: Image, faces: Sequence[TrueFace], judge: Detector | None) -> _View:
    """What the judge sees where the truth has faces; the truth's landmarks decide what is cut out for an identity."""
    ids = [face.track_id for face in faces]
    if judge is None or not faces:
        return _View(image, dict.fromkeys(ids), dict.fromkeys(ids))
    found = judge.look(image, [face.box for face in faces])
    landmarks = [None if detection is None else detection.landmarks for detection in found]
    embeddings = [judge.embed(image, face.landmarks) for face in faces]
    return _View(image, dict(zip(ids, landmarks, strict=True)), dict(zip(ids, embeddings, strict=True)))


def _still_figures(view: _View, truth: _View, face: TrueFace, lpips: FaceDistance | None) -> dict[str, float]:
    """The figures of one face that need this frame alone, without those that the truth leaves undefined."""
    picture, wanted = view.image[face.region], truth.image[face.region]
    embedding, true_embedding = view.embeddings[face.track_id], truth.embeddings[face.track_id]
    landmarks, true_landmarks = view.landmarks[face.track_id], truth.landmarks[face.track_id]
    figures = {
        "psnr": metrics.psnr(picture, wanted),
        "ssim": metrics.ssim(picture, wanted),
        "sharpness_ratio": metrics.sharpness_ratio(picture, wanted),
        "detail_ratio": metrics.detail_ratio(picture, wanted),
    }
    if embedding is not None and true_embedding is not None:
        figures["identity"] = metrics.identity_similarity(embedding, true_embedding)
    if true_landmarks is not None:
        figures["landmark_error"] = metrics.landmark_error(landmarks, true_landmarks)
        figures["failures"] = float(landmarks is None)
    if lpips is not None:
        figures[LPIPS] = lpips(view.image, truth.image, face.landmarks)
    return figures


def _motion_figures(views: Sequence[_View], before: Sequence[_View], face: TrueFace) -> list[dict[str, float]]:
    """For each video, truth first, the figures of one face that compare this frame with the one before; as above."""
    track_id = face.track_id
    if not before or track_id not in before[0].landmarks:
        return [{} for _ in views]
    flow = _flow(views[0].image, before[0].image, face.region)
    truth, truth_before = views[0].landmarks[track_id], before[0].landmarks[track_id]
    rows = []
    for view, previous in zip(views, before, strict=True):
        pair = view.image[flow.window], previous.image[flow.window]
        figures = {"warping_error": metrics.warping_error(*pair, flow.offsets, flow.trusted)}
        if truth is not None and truth_before is not None:
            now, then = view.landmarks[track_id], previous.landmarks[track_id]
            figures["landmark_motion"] = metrics.landmark_motion(now, then, truth)
            figures["landmark_motion_error"] = metrics.landmark_motion_error(now, then, truth, truth_before)
        who, who_before = view.embeddings[track_id], previous.embeddings[track_id]
        if who is not None and who_before is not None:
            figures["identity_drift"] = metrics.identity_drift(who, who_before)
        rows.append(figures)
    return rows


def _flow(truth: Image, before: Image, region: Region) -> _Flow:
    """How the pixels of ``region`` moved in the truth, looked at with some of what is around them."""
    rows, columns = (
        slice(max(0, side.start - reach), side.stop + reach)
        for side in region
        for reach in [round(_SURROUNDINGS * (side.stop - side.start))]
    )
    offsets, trusted = metrics.flow_to_previous(truth[rows, columns], before[rows, columns])
    inside = np.zeros(trusted.shape, dtype=bool)
    top, left = region[0].start - rows.start, region[1].start - columns.start
    inside[top : top + region[0].stop - region[0].start, left : left + region[1].stop - region[1].start] = True
    return _Flow((rows, columns), offsets, trusted & inside)


def _scaled(image: Image, width: int, height: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
