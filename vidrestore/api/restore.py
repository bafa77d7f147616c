"""Pass 2 as a user calls it: restore a video into another."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vidrestore import __version__
from vidrestore.api.analyze import AHEAD, WHOLE, Listener, analyze_and_keep, kept_analysis, nobody
from vidrestore.api.references import photographed_people
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.gating import Gate, Verdict
from vidrestore.photographs import with_photographs
from vidrestore.restoration import FAILED, Tally, encode_people, restore_frames
from vidrestore.restorers import build_restorer
from vidrestore.threads import prefetch
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Face, Frame, Progress, Restorer, Span, Timeline
from vidrestore.video import DecodeReport, VideoWriter, check_destination, probe, read_frames

_GPU_BATCH = 8


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
    first_frame_seconds: float | None
    """Until the first frame was written; None where none was."""
    warnings: list[str]

    @property
    def failed(self) -> bool:
        """Whether faces that should have been restored were not."""
        return self.faces_kept.get(FAILED, 0) > 0


class Witness(Protocol):
    """Sees a run pass by; a report is made from what it saw."""

    def begin(self, analysis: Analysis, settings: Settings, restorer: Restorer) -> None:
        """What is known before the first frame."""
        ...

    def decoded(self, frame: Frame) -> None:
        """Each frame in order, before its faces are changed; called in another thread."""
        ...

    def judged(self, pts: int, face: Face, verdict: Verdict) -> None:
        """What a restored face may count for; before the frame is restored, in another thread."""
        ...

    def restored(self, frame: Frame) -> None:
        """Each frame in order, with its faces restored."""
        ...


def restore_video(
    source: Path | str,
    output: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
    witness: Witness | None = None,
    references: Path | str | None = None,
) -> RestoreResult:
    """Restore the faces of a video into ``output``, and copy everything else.

    ``output`` appears only when it is complete. An analysis kept in ``work`` (by default ``NAME.vidrestore`` beside
    the video) is used where it is of this video and these settings, else made and kept. ``witness`` sees every frame
    before and after. ``references`` is a folder with a folder of photographs for each person, which come before the
    video's own pictures; see ``vidrestore.photographs``.

    Raises:
        VideoError: the video cannot be read or the output not written.
        ConfigError, DeviceError: a setting cannot be used here.
        WeightsError: weights are missing, damaged or of another shape.
        AnalysisError: ``work`` holds the analysis of another video.
        PictureError: ``references`` is not such a folder, or a person has no photograph that can be used.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    probe(source)
    check_destination(source, output, settings.encoding.codec, settings.encoding.preset)
    photographed = photographed_people(references, settings)
    analysis = kept_analysis(source, work, settings)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    notes: list[str] = []
    if analysis is None:
        analysis, notes = analyze_and_keep(source, work, settings, on_progress)
    analysis, unused = with_photographs(analysis, photographed, settings.references.count)
    gate, tally, report = gate_of(analysis, settings), Tally(), DecodeReport()
    on_decoded = None
    if witness is not None:
        witness.begin(analysis, settings, restorer)
        tally.on_verdict, on_decoded = witness.judged, witness.decoded
    frames = restored_frames(source, analysis, WHOLE, restorer, gate, settings, tally, report, on_decoded)
    if witness is not None:
        frames = _witnessed(frames, witness)
    writer = writer_of(source, output, settings, restorer, analysis, WHOLE, None)
    with writer:
        first = write_all(frames, writer, analysis.frame_count, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*analysis.warnings, *report.warnings(), *writer.warnings, *notes, *unused, *said])]
    return result_of(output, analysis, restorer, settings, tally, warnings, begun, first)


def gate_of(analysis: Analysis, settings: Settings) -> Gate | None:
    """The gate, which looks at faces with the networks that found them; None where it is switched off."""
    if not settings.gate.enabled:
        return None
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    return Gate(detector, analysis.identities, settings.gate)


def restored_frames(
    source: Path,
    analysis: Analysis,
    span: Span,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    report: DecodeReport,
    on_decoded: Callable[[Frame], None] | None = None,
    *,
    eager_frames: int = 0,
) -> Generator[Frame]:
    """Decode, restore, one stage ahead of who takes the frames; ``on_decoded`` sees each frame before it is changed.

    ``eager_frames`` is that of ``restoration.restore_frames``.
    """
    frames: Iterable[Frame] = prefetch(read_frames(source, span, report=report), AHEAD)
    if on_decoded is not None:
        frames = _shown(frames, on_decoded)
    timeline = build_timeline(analysis, settings.fading)
    restored = faces_restored(frames, analysis, timeline, restorer, gate, settings, tally, eager_frames=eager_frames)
    return prefetch(restored, AHEAD)


def faces_restored(
    frames: Iterable[Frame],
    analysis: Analysis,
    timeline: Timeline,
    restorer: Restorer,
    gate: Gate | None,
    settings: Settings,
    tally: Tally,
    *,
    eager_frames: int = 0,
) -> Iterator[Frame]:
    """``frames`` with the faces of ``timeline`` restored as ``settings`` say, as the people of ``analysis``."""
    chosen = settings.restoration
    memories = encode_people(restorer, analysis.identities, chosen.mode)
    batch = chosen.batch or (1 if restorer.device == "cpu" else _GPU_BATCH)
    return restore_frames(
        frames,
        timeline,
        restorer,
        memories,
        chosen.mode,
        batch,
        chosen.strength,
        tally,
        gate,
        settings.fusion,
        eager_frames=eager_frames,
    )


def _shown(frames: Iterable[Frame], on_decoded: Callable[[Frame], None]) -> Iterator[Frame]:
    for frame in frames:
        on_decoded(frame)
        yield frame


def _witnessed(frames: Generator[Frame], witness: Witness) -> Generator[Frame]:
    with closing(frames):
        for frame in frames:
            witness.restored(frame)
            yield frame


def writer_of(
    source: Path,
    output: Path,
    settings: Settings,
    restorer: Restorer,
    analysis: Analysis,
    span: Span,
    size: tuple[int, int] | None,
) -> VideoWriter:
    """The writer of a restored video, or of a picture ``size`` (w, h) that was made of it, with what made it."""
    encoding = settings.encoding
    return VideoWriter(
        source,
        output,
        codec=encoding.codec,
        crf=encoding.crf,
        preset=encoding.preset,
        span=span,
        size=size,
        comment=comment_of(restorer, analysis.faces_model),
    )


def comment_of(restorer: Restorer, faces_model: str) -> str:
    """What is written into the metadata of everything that was restored."""
    return (
        f"faces restored by vidrestore {__version__} with {restorer.name}, found by {faces_model}; "
        "restored faces are estimates"
    )


def write_all(
    frames: Generator[Frame], writer: VideoWriter, total: int | None, tally: Tally, on_progress: Listener
) -> float | None:
    """Write ``frames``, and say after each how far it is; when the first was written, on the monotonic clock."""
    first = None
    # Closed at once, also after an error or Ctrl-C: decoding and restoring run in threads of their own.
    with closing(frames):
        for written, frame in enumerate(frames, start=1):
            writer.write(frame)
            first = first or time.monotonic()
            on_progress(Progress("restore", written, total, tally.faces_restored))
    return first


def result_of(
    output: Path,
    analysis: Analysis,
    restorer: Restorer,
    settings: Settings,
    tally: Tally,
    warnings: list[str],
    begun: float,
    first: float | None,
) -> RestoreResult:
    """What was done; the run has ``begun``, and its ``first`` frame was written, on the monotonic clock."""
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
        first_frame_seconds=None if first is None else round(first - begun, 2),
        warnings=warnings,
    )
