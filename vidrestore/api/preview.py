"""A short range before and after, as a user calls it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np

from vidrestore.api.analyze import Listener, analyze_source, kept_analysis, nobody
from vidrestore.api.restore import RestoreResult, gate_of, restored_frames, result_of, write_all, writer_of
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.restoration import Tally
from vidrestore.restorers import build_restorer
from vidrestore.types import ColorInfo, Frame, Image, Span
from vidrestore.video import DecodeReport, check_destination, picture_from_rgb, probe


def preview_video(
    source: Path | str,
    output: Path | str,
    *,
    start: float,
    duration: float,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
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
    analysis = kept_analysis(source, work, settings)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    notes: list[str] = []
    if analysis is None:
        notes.append(
            "the video has no analysis yet, so people and references come from this range alone; "
            "'vidrestore analyze' finds those of the whole video"
        )
        analysis = analyze_source(source, settings, span, on_progress)
    gate, tally, report = gate_of(analysis, settings), Tally(), DecodeReport()
    before: deque[Image] = deque()
    frames = restored_frames(
        source, analysis, span, restorer, gate, settings, tally, report, lambda frame: before.append(frame.image)
    )
    size = (2 * info.width, info.height)
    writer = writer_of(source, output, settings, restorer, analysis, span, size)
    with writer:
        total = None if analysis.span.whole else analysis.frame_count
        write_all(_side_by_side(frames, before, info.color), writer, total, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*notes, *analysis.warnings, *report.warnings(), *writer.warnings, *said])]
    return result_of(output, analysis, restorer, settings, tally, warnings, begun)


def _side_by_side(frames: Iterable[Frame], before: deque[Image], color: ColorInfo) -> Generator[Frame]:
    for frame in frames:
        pair = np.hstack((before.popleft(), frame.image))
        yield Frame(frame.pts, frame.time_base, picture_from_rgb(pair, color=color))
