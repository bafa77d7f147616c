"""The report of a run, made from what passes by while it runs."""

from __future__ import annotations

import datetime
from pathlib import Path

from vidrestore.api import RestoreResult
from vidrestore.config import Settings
from vidrestore.gating import Verdict
from vidrestore.report.album import Album, evenly
from vidrestore.report.facts import Facts, Outcome
from vidrestore.report.outcome import stretches_of
from vidrestore.report.page import check_page, write_page
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Face, Frame, Image, Restorer


class RunReport:
    """A witness of ``restore_video`` that writes a report of it; frames are not decoded twice."""

    def __init__(self, path: Path, source: Path, output: Path) -> None:
        """Made before the run.

        Raises:
            VideoError: ``path`` cannot be written, or is one of the videos.
        """
        check_page(path, source, output)
        self._path, self._source, self._output = path, source, output
        self._before: dict[int, Image] = {}
        self._verdicts: dict[int, dict[int, Verdict]] = {}
        self._held: dict[tuple[int, int], str] = {}

    def begin(self, analysis: Analysis, settings: Settings, restorer: Restorer) -> None:
        """Choose which frames to measure."""
        self._analysis, self._settings = analysis, settings
        self._timeline = build_timeline(analysis, settings.fading)
        self._album = Album(analysis, self._timeline, restorer.crop_size, evenly(self._timeline))

    def decoded(self, frame: Frame) -> None:
        """Remember a frame with faces until it comes back restored."""
        if self._timeline.at(frame.pts):
            self._before[frame.pts] = frame.image

    def judged(self, pts: int, face: Face, verdict: Verdict) -> None:
        """Remember what the gate said of a face."""
        self._verdicts.setdefault(pts, {})[face.track_id] = verdict
        if verdict.reason is not None:
            self._held[pts, face.track_id] = verdict.reason

    def restored(self, frame: Frame) -> None:
        """Look at a frame with faces, before and after."""
        verdicts = self._verdicts.pop(frame.pts, {})
        before = self._before.pop(frame.pts, None)
        if before is not None and self._album.worth_a_look(frame.pts, verdicts):
            self._album.see(frame.pts, before, frame.image, verdicts)

    def write(self, result: RestoreResult) -> None:
        """Write the report of the run that ended with ``result``.

        Raises:
            VideoError: the file cannot be written.
        """
        facts = Facts(
            kind="run",
            source=self._source.name,
            output=self._output.name,
            made=now(),
            analysis=self._analysis,
            settings=self._settings,
            outcome=Outcome(
                result.faces,
                result.faces_restored,
                result.faces_held_back,
                result.faces_kept,
                result.frames,
                result.gate_factor,
                result.seconds,
            ),
            scenes=self._album.scenes(),
            views=self._album.views(),
            samples=tuple(self._album.samples),
            stretches=stretches_of(self._analysis, self._timeline, self._settings, self._held),
            weights=result.weights,
            device=result.device,
            warnings=tuple(result.warnings),
        )
        write_page(facts, self._path)


def now() -> str:
    """The time to the minute, with its offset from UTC."""
    return datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
