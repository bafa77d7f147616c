"""What vidrestore does, as three functions: build the parts from settings and connect them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidrestore import __version__, store, weights
from vidrestore.analysis import analyze_frames
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import AnalysisError, ConfigError
from vidrestore.gating import Gate
from vidrestore.restoration import FAILED, Tally, encode_people, restore_frames
from vidrestore.restorers import build_restorer
from vidrestore.smoothing import RtsSmoother
from vidrestore.threads import prefetch
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, ColorInfo, Frame, Image, Progress, Restorer, Span
from vidrestore.video import (
    DecodeReport,
    VideoWriter,
    check_destination,
    fingerprint,
    picture_from_rgb,
    probe,
    read_frames,
)

Listener = Callable[[Progress], None]
_AHEAD = 4
"""Frames that decoding and restoring run ahead of who takes them."""
_GPU_BATCH = 8
_WHOLE = Span()


def _nobody(_: Progress) -> None:
    """The listener where none is given."""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was done, for people and programs; the fields are those of ``restore --json``."""

    output: str
    frames: int
    faces: int
    faces_restored: int
    """Faces that were changed, the held back ones among them."""
    faces_held_back: dict[str, int]
    """By reason: faces restored more weakly, because restoring them did harm. See ``vidrestore.gating``."""
    faces_kept: dict[str, int]
    """By reason: faces left as they were."""
    gate_factor: float | None
    """Mean of what the gate left of the faces' strength, 0..1; None where no face was judged."""
    people: int
    mode: str
    device: str
    faces_model: str
    weights: str
    seconds: float
    warnings: list[str]

    @property
    def failed(self) -> bool:
        """Whether faces that should have been restored were not."""
        return self.faces_kept.get(FAILED, 0) > 0


def work_folder(source: Path, work: Path | str | None) -> Path:
    """Where the analysis of ``source`` is kept: ``work``, or ``NAME.vidrestore`` beside it."""
    return source.with_name(source.name + ".vidrestore") if work is None else Path(work)


def analyze_video(
    source: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = _nobody,
) -> Analysis:
    """Analyze a video, or load its analysis where one with the same settings is kept; keep it for ``restore_video``.

    Args:
        source: A video file.
        settings: All settings; only those of the analysis matter.
        work: The folder to keep it in; by default ``NAME.vidrestore`` beside the video.
        on_progress: Called after every frame.

    Raises:
        VideoError: the video cannot be read.
        WeightsError: the model pack is missing or damaged.
        AnalysisError: ``work`` holds the analysis of another video, or cannot be written.
    """
    source, settings = Path(source), settings or Settings()
    probe(source)
    folder = work_folder(source, work)
    analysis = _kept_analysis(source, work, settings)
    if analysis is None:
        store.check_writable(folder)
        analysis = _analyze(source, settings, _WHOLE, on_progress)
        store.save(analysis, folder)
    return analysis


def restore_video(
    source: Path | str,
    output: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = _nobody,
) -> RestoreResult:
    """Restore the faces of a video into ``output``, and copy everything else.

    ``output`` appears only when it is complete. An analysis kept in ``work`` (by default ``NAME.vidrestore`` beside
    the video) is used where it is of this video and these settings, else made and kept.

    Raises:
        VideoError: the video cannot be read or the output not written.
        ConfigError, DeviceError: a setting cannot be used here.
        WeightsError: weights are missing, damaged or of another shape.
        AnalysisError: ``work`` holds the analysis of another video.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    probe(source)
    check_destination(source, output, settings.encoding.codec, settings.encoding.preset)
    analysis = _kept_analysis(source, work, settings)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    notes: list[str] = []
    if analysis is None:
        analysis, notes = _analyze_and_keep(source, work, settings, on_progress)
    gate, tally, report = _gate(analysis, settings), Tally(), DecodeReport()
    frames = _restored_frames(source, analysis, _WHOLE, restorer, gate, settings, tally, report)
    writer = _writer(source, output, settings, restorer, analysis, _WHOLE, None)
    with writer:
        _write_all(frames, writer, analysis.frame_count, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*analysis.warnings, *report.warnings(), *writer.warnings, *notes, *said])]
    return _result(output, analysis, restorer, settings, tally, warnings, begun)


def preview_video(
    source: Path | str,
    output: Path | str,
    *,
    start: float,
    duration: float,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = _nobody,
) -> RestoreResult:
    """Restore ``duration`` seconds from ``start`` into a side-by-side video: before on the left, after on the right.

    Only that range is decoded and restored. People and references come from the video's analysis; where none is
    kept, the range itself is analyzed, and a warning says so.

    Raises:
        The same as :func:`restore_video`.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    if not (math.isfinite(start) and math.isfinite(duration) and start >= 0 and duration > 0):
        raise ConfigError(f"start {start:g} and duration {duration:g} are no range: start at 0 or later, and last")
    info = probe(source)
    check_destination(source, output, settings.encoding.codec, settings.encoding.preset)
    span = Span(start, start + duration)
    analysis = _kept_analysis(source, work, settings)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    notes: list[str] = []
    if analysis is None:
        notes.append(
            "the video has no analysis yet, so people and references come from this range alone; "
            "'vidrestore analyze' finds those of the whole video"
        )
        analysis = _analyze(source, settings, span, on_progress)
    gate, tally, report = _gate(analysis, settings), Tally(), DecodeReport()
    before: deque[Image] = deque()
    frames = _restored_frames(source, analysis, span, restorer, gate, settings, tally, report, before)
    size = (2 * info.width, info.height)
    writer = _writer(source, output, settings, restorer, analysis, span, size)
    with writer:
        total = None if analysis.span.whole else analysis.frame_count
        _write_all(_side_by_side(frames, before, info.color), writer, total, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*notes, *analysis.warnings, *report.warnings(), *writer.warnings, *said])]
    return _result(output, analysis, restorer, settings, tally, warnings, begun)


def _kept_analysis(source: Path, work: Path | str | None, settings: Settings) -> Analysis | None:
    """The kept analysis, if it is of this video and these settings.

    Raises:
        AnalysisError: the folder was named by the user and holds the analysis of another video.
    """
    folder = work_folder(source, work)
    if not (folder / store.HEADER).exists():
        return None
    try:
        analysis = store.load(folder)
    except AnalysisError:
        if work is None:
            return None
        raise
    if analysis.fingerprint != fingerprint(source):
        if work is None:
            return None
        raise AnalysisError(
            f"{folder} holds the analysis of another video, {analysis.video.path}: name another folder with --work"
        )
    fits = analysis.settings_digest == _digest(settings) and analysis.span.whole
    return dataclasses.replace(analysis, video=probe(source)) if fits else None


def _analyze_and_keep(
    source: Path, work: Path | str | None, settings: Settings, on_progress: Listener
) -> tuple[Analysis, list[str]]:
    """An analysis for a restoration, kept if it can be; what to tell the user where it cannot.

    Raises:
        AnalysisError: the user named a folder, and it cannot be written.
    """
    folder = work_folder(source, work)
    if work is not None:
        store.check_writable(folder)
    analysis = _analyze(source, settings, _WHOLE, on_progress)
    try:
        store.save(analysis, folder)
    except AnalysisError as error:
        if work is not None:
            raise
        return analysis, [f"{error} (the video is restored all the same)"]
    return analysis, []


def _digest(settings: Settings) -> str:
    """Digest of what decides an analysis: this version, the settings, the model files or the user's own module."""
    content = f"{__version__} {settings.analysis_digest()}"
    name, pack = settings.faces.pack, Path(settings.faces.pack)
    if weights.is_known(name, "faces"):
        content += "".join(str(file.sha256) for file in weights.find_model(name, "faces").files)
    elif pack.is_dir():
        content += "".join(weights.sha256(file) for file in sorted(pack.glob("*.onnx")))
    elif (module := importlib.util.find_spec(name.partition(":")[0])) is not None and module.origin is not None:
        content += weights.sha256(Path(module.origin))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _analyze(source: Path, settings: Settings, span: Span, on_progress: Listener) -> Analysis:
    video = probe(source)
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    report = DecodeReport()
    smoother = RtsSmoother(settings.smoothing)
    source_digest = fingerprint(source)
    # Closed at once, also after an error or Ctrl-C: decoding runs in a thread of its own.
    with closing(prefetch(read_frames(source, span, report=report), _AHEAD)) as frames:
        analysis = analyze_frames(
            frames, video, source_digest, span, detector, smoother, settings, report.warnings, on_progress
        )
    return dataclasses.replace(analysis, settings_digest=_digest(settings))


def _gate(analysis: Analysis, settings: Settings) -> Gate | None:
    """The gate, which looks at faces with the networks that found them; None where it is switched off."""
    if not settings.gate.enabled:
        return None
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    return Gate(detector, analysis.identities, settings.gate)


def _restored_frames(
    source: Path,
    analysis: Analysis,
    span: Span,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    report: DecodeReport,
    before: deque[Image] | None = None,
) -> Generator[Frame]:
    """Decode, restore, one stage ahead of who takes the frames; ``before`` collects each frame's picture as it was."""
    chosen = settings.restoration
    memories = encode_people(restorer, analysis.identities, chosen.mode)
    timeline = build_timeline(analysis, settings.fading)
    frames: Iterable[Frame] = prefetch(read_frames(source, span, report=report), _AHEAD)
    if before is not None:
        frames = _remembered(frames, before)
    batch = chosen.batch or (1 if restorer.device == "cpu" else _GPU_BATCH)
    restored = restore_frames(
        frames, timeline, restorer, memories, chosen.mode, batch, chosen.strength, tally, gate, settings.fusion
    )
    return prefetch(restored, _AHEAD)


def _remembered(frames: Iterable[Frame], before: deque[Image]) -> Iterator[Frame]:
    for frame in frames:
        before.append(frame.image)
        yield frame


def _side_by_side(frames: Iterable[Frame], before: deque[Image], color: ColorInfo) -> Generator[Frame]:
    for frame in frames:
        pair = np.hstack((before.popleft(), frame.image))
        yield Frame(frame.pts, frame.time_base, picture_from_rgb(pair, color=color))


def _writer(
    source: Path,
    output: Path,
    settings: Settings,
    restorer: Restorer,
    analysis: Analysis,
    span: Span,
    size: tuple[int, int] | None,
) -> VideoWriter:
    encoding = settings.encoding
    comment = (
        f"faces restored by vidrestore {__version__} with {restorer.name}, found by {analysis.faces_model}; "
        "restored faces are estimates"
    )
    return VideoWriter(
        source,
        output,
        codec=encoding.codec,
        crf=encoding.crf,
        preset=encoding.preset,
        span=span,
        size=size,
        comment=comment,
    )


def _write_all(
    frames: Generator[Frame], writer: VideoWriter, total: int | None, tally: Tally, on_progress: Listener
) -> None:
    # Closed at once, also after an error or Ctrl-C: decoding and restoring run in threads of their own.
    with closing(frames):
        for written, frame in enumerate(frames, start=1):
            writer.write(frame)
            on_progress(Progress("restore", written, total, tally.faces_restored))


def _result(
    output: Path,
    analysis: Analysis,
    restorer: Restorer,
    settings: Settings,
    tally: Tally,
    warnings: list[str],
    begun: float,
) -> RestoreResult:
    return RestoreResult(
        output=str(output),
        frames=tally.frames,
        faces=tally.faces,
        faces_restored=tally.faces_restored,
        faces_held_back=dict(tally.faces_held_back),
        faces_kept=dict(tally.faces_kept),
        gate_factor=None if tally.gate_factor is None else round(tally.gate_factor, 4),
        people=len(analysis.identities),
        mode=settings.restoration.mode,
        device=restorer.device,
        faces_model=analysis.faces_model,
        weights=f"{restorer.name} ({restorer.licence})",
        seconds=round(time.monotonic() - begun, 2),
        warnings=warnings,
    )


def describe_analysis(analysis: Analysis, folder: Path) -> dict[str, Any]:
    """An analysis in a few words, as ``analyze --json`` prints it; times in seconds."""
    base = analysis.video.time_base
    known = {track.id: track for track in analysis.tracks}
    assigned = {track_id for identity in analysis.identities for track_id in identity.track_ids}
    return {
        "analysis": str(folder),
        "frames": analysis.frame_count,
        "shots": [{"start": float(shot.first * base), "stop": float(shot.last * base)} for shot in analysis.shots],
        "people": [
            {
                "name": identity.name,
                "tracks": len(identity.track_ids),
                "frames": sum(len(known[track_id].pts) for track_id in identity.track_ids),
                "references": len(identity.references),
                "enabled": identity.enabled,
                "strength": identity.strength,
            }
            for identity in analysis.identities
        ],
        "unassigned_tracks": sum(track.id not in assigned for track in analysis.tracks),
        "faces_model": analysis.faces_model,
        "warnings": list(analysis.warnings),
    }
