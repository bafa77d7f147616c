"""What an analysis knows, drawn into the pictures it is of: a check before anything is restored."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidrestore.api.analyze import AHEAD, WHOLE, Listener, analyze_and_keep, kept_analysis, nobody
from vidrestore.config import Settings
from vidrestore.drawing import Mark, draw_faces
from vidrestore.threads import prefetch
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, ColorInfo, Frame, Image, Progress
from vidrestore.video import (
    DecodeReport,
    VideoWriter,
    check_destination,
    picture_from_rgb,
    probe,
    read_frames,
    without_combs,
)

_PATH_SECONDS = 1.0
"""How much of a track's past is drawn."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was drawn, for people and programs; the fields are those of ``restore --check --json``."""

    output: str
    frames: int
    """Frames of a video, or pictures."""
    faces: int
    faces_kept: dict[str, int]
    """By reason: faces that would be left as they are."""
    people: int
    faces_model: str
    seconds: float
    warnings: list[str]
    unreadable: dict[str, str]
    """By path: what is wrong with pictures that could not be read."""


class Check:
    """Draws what ``analysis`` knows into pictures, and counts it."""

    def __init__(self, analysis: Analysis, settings: Settings) -> None:
        self.frames = self.faces = 0
        self.faces_kept: dict[str, int] = {}
        self._analysis = analysis
        self._tracks = {track.id: track for track in analysis.tracks}
        self._names = {identity.id: identity.name for identity in analysis.identities}
        self._timeline = build_timeline(analysis, settings.fading)

    def drawn(self, pts: int, image: Image) -> Image:
        """A copy of ``image`` (H, W, 3), the frame ``pts``, with its faces marked."""
        marks = self._marks(pts)
        self.frames += 1
        self.faces += len(marks)
        for reason in (mark.face.kept_because for mark in marks):
            if reason is not None:
                self.faces_kept[reason] = self.faces_kept.get(reason, 0) + 1
        return draw_faces(image, marks)

    def result(
        self, output: Path, begun: float, warnings: Sequence[str], unreadable: dict[str, str] | None = None
    ) -> CheckResult:
        """What was drawn by a run that has ``begun`` on the monotonic clock."""
        return CheckResult(
            output=str(output),
            frames=self.frames,
            faces=self.faces,
            faces_kept=self.faces_kept,
            people=len(self._analysis.identities),
            faces_model=self._analysis.faces_model,
            seconds=round(time.monotonic() - begun, 2),
            warnings=list(dict.fromkeys(warnings)),
            unreadable=unreadable or {},
        )

    def _marks(self, pts: int) -> list[Mark]:
        marks = []
        for face in self._timeline.at(pts):
            track = self._tracks[face.track_id]
            row = bisect_left(track.pts, pts)
            earliest = pts - _PATH_SECONDS / float(self._analysis.video.time_base)
            path = track.landmarks[bisect_left(track.pts, earliest) : row + 1].mean(axis=1)
            name = None if face.identity_id is None else self._names.get(face.identity_id)
            marks.append(Mark(face, name, float(track.scores[row]), np.asarray(path, dtype=np.float32)))
        return marks


def check_video(
    source: Path | str,
    output: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
) -> CheckResult:
    """Draw into a copy of a video what its analysis knows of every frame, and restore nothing.

    An analysis is used, or made and kept, as :func:`restore_video` does. All other streams are copied.

    Raises:
        VideoError: the video cannot be read or the output not written.
        WeightsError: the model pack is missing or damaged.
        AnalysisError: ``work`` holds the analysis of another video.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    info = probe(source)
    encoding = settings.encoding
    check_destination(source, output, encoding.codec, encoding.preset)
    analysis, notes = kept_analysis(source, work, settings), list[str]()
    if analysis is None:
        analysis, notes = analyze_and_keep(source, work, settings, on_progress)
    check, report = Check(analysis, settings), DecodeReport()
    writer = VideoWriter(
        source,
        output,
        codec=encoding.codec,
        crf=encoding.crf,
        preset=encoding.preset,
        span=WHOLE,
        size=(info.width, info.height),
        comment=f"what vidrestore knows of its faces, found by {analysis.faces_model}; nothing was restored",
    )
    frames = prefetch(without_combs(read_frames(source, report=report), analysis.scan), AHEAD)
    drawn = prefetch(_drawn(frames, check, info.color), AHEAD)
    with writer, closing(drawn):
        for frame in drawn:
            writer.write(frame)
            on_progress(Progress("check", check.frames, analysis.frame_count, check.faces))
    return check.result(output, begun, [*analysis.warnings, *report.warnings(), *writer.warnings, *notes])


def _drawn(frames: Iterable[Frame], check: Check, color: ColorInfo) -> Generator[Frame]:
    for frame in frames:
        picture = picture_from_rgb(check.drawn(frame.pts, frame.image), color=color)
        yield Frame(frame.pts, frame.time_base, picture)
