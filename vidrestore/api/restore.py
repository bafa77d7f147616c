"""Pass 2 as a user calls it: restore a video into another."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vidrestore import __version__
from vidrestore.api.analyze import AHEAD, WHOLE, Listener, analyze_and_keep, kept_analysis, nobody
from vidrestore.api.continuation import Continuation
from vidrestore.api.excerpts import analysis_of_part
from vidrestore.api.frames import all_restored, first_frame, gate_of
from vidrestore.api.planning import check_output
from vidrestore.api.provenance import provenance
from vidrestore.api.references import photographed_people
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.gating import Gate, Verdict
from vidrestore.interlacing import (
    by_first_fields,
    frames_of_source,
    in_source_time,
    output_time_base,
    told,
)
from vidrestore.journal import Journal, opened
from vidrestore.photographs import PhotographedPerson, with_photographs
from vidrestore.restoration import FAILED, Tally
from vidrestore.restorers import build_restorer
from vidrestore.threads import prefetch
from vidrestore.types import Analysis, Face, Frame, Progress, Restorer, Span
from vidrestore.video import DecodeReport, OutputFile, SegmentedWriter, probe, stream_start

W = TypeVar("W", bound=OutputFile)


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
    scan: str
    """Whether the video is interlaced, why it is thought so, and what was done about it."""
    device: str
    faces_model: str
    weights: str
    seconds: float
    first_frame_seconds: float | None
    """Until the first frame was written; None where none was."""
    frames_from_earlier: int
    """Of ``frames``, those that an earlier run had done, which was interrupted."""
    warnings: list[str]
    frames_served_by: str | None = None
    """Which library sought the frame of ``preview --frame``, and how; None where frames were read in their order."""

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
    span: Span = WHOLE,
    keep_work: bool = False,
) -> RestoreResult:
    """Restore the faces of a video into ``output``, and copy everything else.

    ``output`` appears only when it is complete. An analysis kept in ``work`` (by default ``NAME.vidrestore`` beside
    the video) is used where it is of this video and these settings, else made and kept. ``witness`` sees every frame
    before and after. ``references`` is a folder with a folder of photographs for each person, which come before the
    video's own pictures; see ``vidrestore.photographs``. :func:`plan_restoration` tells beforehand what ``output`` will
    hold.

    While it runs, what is done is kept in ``OUT.part`` beside the output, in segments of whole shots. Where a run was
    interrupted, the same call goes on after its last segment, and the result is that of a run that was not; where the
    input, a setting, the people or a network has changed, it begins anew. ``span`` is the part of the video that is
    restored, its sound cut to match. With ``keep_work`` the folder stays when all is done.

    Raises:
        VideoError: the video cannot be read or the output not written, or it cannot carry everything and
            ``encoding.strict`` is set.
        ConfigError, DeviceError: a setting cannot be used here.
        WeightsError: weights are missing, damaged or of another shape.
        AnalysisError: ``work`` holds the analysis of another video.
        PictureError: ``references`` is not such a folder, or a person has no photograph that can be used.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    probe(source)
    check_output(source, output, settings)
    request = _request(source, output, settings, work, references, span, keep_work)
    with opened(output) as journal:
        photographed = photographed_people(references, settings)
        restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
        analysis, notes = _analysis_for(source, work, settings, span, photographed, journal, on_progress)
        run = Continuation(journal, analysis, span, stream_start(source), settings)
        notes += run.open(provenance(analysis, span, settings, restorer), request, on_progress)
        gate, tally, report = gate_of(analysis, settings), run.done.tally.copy(), DecodeReport()
        on_decoded = None
        if witness is not None:
            witness.begin(analysis, settings, restorer)
            tally.on_verdict, on_decoded = by_first_fields(witness.judged, analysis.scan), witness.decoded
            notes += [_unwitnessed(tally.frames)] if tally.frames else []
        restored = all_restored(
            run.decoded(source, report),
            analysis,
            restorer,
            gate,
            settings,
            tally,
            on_decoded,
            batch_starts=run.batch_starts,
        )
        frames = prefetch(run.counted(restored, tally), AHEAD)
        if witness is not None:
            frames = _witnessed(frames, witness, analysis.video.time_base)
        with run.kept(), writer_of(SegmentedWriter, source, output, settings, restorer, analysis, span, None) as writer:
            writer.keep_in(journal.folder, first_frame(source, analysis, span, settings), run.done.segments)
            total = analysis.frame_count if analysis.span == span else None
            first = _write_segments(frames, writer, run, report, gate, total, on_progress)
        if not keep_work:
            journal.delete()
    done = frames_of_source(tally.frames, analysis, settings.restoration.deinterlace)
    decoding = run.decoding_warnings(report, done)
    said = [*run.done.warnings, *(gate.warnings if gate is not None else [])]
    warnings = [*dict.fromkeys([*analysis.warnings, *decoding, *writer.warnings, *notes, *said])]
    return result_of(output, analysis, restorer, settings, tally, warnings, begun, first, run.done.tally.frames)


def _request(
    source: Path,
    output: Path,
    settings: Settings,
    work: Path | str | None,
    references: Path | str | None,
    span: Span,
    keep_work: bool,
) -> dict[str, Any]:
    """What :func:`vidrestore.api.resume_video` needs to call for the same again, from whatever folder."""
    return {
        "source": str(source.absolute()),
        "output": str(output.absolute()),
        "settings": asdict(settings),
        "work": None if work is None else str(Path(work).absolute()),
        "references": None if references is None else str(Path(references).absolute()),
        "span": [span.start, span.stop],
        "keep_work": keep_work,
    }


def _analysis_for(
    source: Path,
    work: Path | str | None,
    settings: Settings,
    span: Span,
    photographed: Mapping[str, PhotographedPerson],
    journal: Journal,
    on_progress: Listener,
) -> tuple[Analysis, list[str]]:
    """The analysis to restore ``span`` with, kept or made, and what to tell the user of it."""
    if not span.whole:
        keep_in = journal.analysis_folder
        return analysis_of_part(source, work, settings, span, "range", photographed, on_progress, keep_in)
    analysis, notes = kept_analysis(source, work, settings), list[str]()
    if analysis is None:
        analysis, notes = analyze_and_keep(source, work, settings, on_progress)
    analysis, unused = with_photographs(analysis, photographed, settings.references.count)
    return analysis, [*notes, *unused]


def _unwitnessed(frames: int) -> str:
    return f"the report shows nothing of the first {frames} frames, which an earlier run restored"


def _write_segments(
    frames: Generator[tuple[Frame, Tally]],
    writer: SegmentedWriter,
    run: Continuation,
    report: DecodeReport,
    gate: Gate | None,
    total: int | None,
    on_progress: Listener,
) -> float | None:
    """Write ``frames`` in segments, and note each that is done; when the first was written, on the monotonic clock."""
    first: float | None = None
    latest: tuple[Frame, Tally] | None = None

    def finish(frame: Frame, tally: Tally) -> None:
        said = [*run.done.warnings, *(gate.warnings if gate is not None else [])]
        run.add(writer.cut(), frame, tally, decoding=report.warnings(), warnings=dict.fromkeys(said))

    # Closed at once, also after an error or Ctrl-C: decoding and restoring run in threads of their own.
    with closing(frames):
        if run.done.segments:
            on_progress(Progress("restore", run.done.tally.frames, total, run.done.tally.faces_restored))
        for frame, tally in frames:
            if latest is not None and run.number_of(frame) != run.number_of(latest[0]):
                finish(*latest)
            writer.write(frame)
            first = first or time.monotonic()
            latest = frame, tally
            on_progress(Progress("restore", tally.frames, total, tally.faces_restored))
    if latest is not None:
        finish(*latest)
    return first


def _witnessed(
    frames: Generator[tuple[Frame, Tally]], witness: Witness, time_base: Fraction
) -> Generator[tuple[Frame, Tally]]:
    with closing(frames):
        for frame, tally in frames:
            seen = in_source_time(frame, time_base)
            if seen is not None:
                witness.restored(seen)
            yield frame, tally


def writer_of(
    kind: type[W],
    source: Path,
    output: Path,
    settings: Settings,
    restorer: Restorer,
    analysis: Analysis,
    span: Span,
    size: tuple[int, int] | None,
) -> W:
    """The writer of a restored video, or of a picture ``size`` (w, h) that was made of it, with what made it."""
    encoding = settings.encoding
    return kind(
        source,
        output,
        codec=encoding.codec,
        crf=encoding.crf,
        preset=encoding.preset,
        span=span,
        size=size,
        comment=comment_of(restorer, analysis.faces_model),
        time_base=output_time_base(analysis, settings.restoration.deinterlace),
    )


def comment_of(restorer: Restorer, faces_model: str) -> str:
    """What is written into the metadata of everything that was restored."""
    return (
        f"faces restored by vidrestore {__version__} with {restorer.name}, found by {faces_model}; "
        "restored faces are estimates"
    )


def write_all(
    frames: Generator[Frame], writer: OutputFile, total: int | None, tally: Tally, on_progress: Listener
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
    frames_from_earlier: int = 0,
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
        scan=told(analysis, settings.restoration.deinterlace),
        device=restorer.device,
        faces_model=analysis.faces_model,
        weights=f"{restorer.name} ({restorer.licence})",
        seconds=round(time.monotonic() - begun, 2),
        first_frame_seconds=None if first is None else round(first - begun, 2),
        frames_from_earlier=frames_from_earlier,
        warnings=warnings,
    )
