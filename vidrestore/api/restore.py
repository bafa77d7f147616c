"""Pass 2 as a user calls it: restore a video into another."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vidrestore import __version__
from vidrestore.api.analyze import AHEAD, WHOLE, Listener, analyze_and_keep, kept_analysis, nobody
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.gating import Gate
from vidrestore.restoration import FAILED, Tally, encode_people, restore_frames
from vidrestore.restorers import build_restorer
from vidrestore.threads import prefetch
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Frame, Progress, Restorer, Span
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
    warnings: list[str]

    @property
    def failed(self) -> bool:
        """Whether faces that should have been restored were not."""
        return self.faces_kept.get(FAILED, 0) > 0


def restore_video(
    source: Path | str,
    output: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
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
    analysis = kept_analysis(source, work, settings)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    notes: list[str] = []
    if analysis is None:
        analysis, notes = analyze_and_keep(source, work, settings, on_progress)
    gate, tally, report = gate_of(analysis, settings), Tally(), DecodeReport()
    frames = restored_frames(source, analysis, WHOLE, restorer, gate, settings, tally, report)
    writer = writer_of(source, output, settings, restorer, analysis, WHOLE, None)
    with writer:
        write_all(frames, writer, analysis.frame_count, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*analysis.warnings, *report.warnings(), *writer.warnings, *notes, *said])]
    return result_of(output, analysis, restorer, settings, tally, warnings, begun)


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
) -> Generator[Frame]:
    """Decode, restore, one stage ahead of who takes the frames; ``on_decoded`` sees each frame before it is changed."""
    chosen = settings.restoration
    memories = encode_people(restorer, analysis.identities, chosen.mode)
    timeline = build_timeline(analysis, settings.fading)
    frames: Iterable[Frame] = prefetch(read_frames(source, span, report=report), AHEAD)
    if on_decoded is not None:
        frames = _shown(frames, on_decoded)
    batch = chosen.batch or (1 if restorer.device == "cpu" else _GPU_BATCH)
    restored = restore_frames(
        frames, timeline, restorer, memories, chosen.mode, batch, chosen.strength, tally, gate, settings.fusion
    )
    return prefetch(restored, AHEAD)


def _shown(frames: Iterable[Frame], on_decoded: Callable[[Frame], None]) -> Iterator[Frame]:
    for frame in frames:
        on_decoded(frame)
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


def write_all(
    frames: Generator[Frame], writer: VideoWriter, total: int | None, tally: Tally, on_progress: Listener
) -> None:
    """Write ``frames``, and say after each how far it is."""
    # Closed at once, also after an error or Ctrl-C: decoding and restoring run in threads of their own.
    with closing(frames):
        for written, frame in enumerate(frames, start=1):
            writer.write(frame)
            on_progress(Progress("restore", written, total, tally.faces_restored))


def result_of(
    output: Path,
    analysis: Analysis,
    restorer: Restorer,
    settings: Settings,
    tally: Tally,
    warnings: list[str],
    begun: float,
) -> RestoreResult:
    """What was done."""
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
