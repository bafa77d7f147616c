"""A short range or a single frame before and after, as a user calls it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from vidrestore.api.analyze import Listener, nobody
from vidrestore.api.excerpts import analysis_of_part
from vidrestore.api.frames import faces_restored, gate_of, restored_frames
from vidrestore.api.references import photographed_people
from vidrestore.api.restore import (
    RestoreResult,
    comment_of,
    result_of,
    write_all,
    writer_of,
)
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError, VideoError
from vidrestore.image_files import Still, check_image_destination, write_still
from vidrestore.restoration import Tally
from vidrestore.restorers import build_restorer
from vidrestore.timeline import NOT_CHOSEN, build_timeline, restored_only_in
from vidrestore.types import ColorInfo, Frame, Image, Progress, Span
from vidrestore.video import (
    DecodeReport,
    VideoWriter,
    check_destination,
    mark,
    marked,
    picture_from_rgb,
    probe,
    read_frames,
    single_frames_served_by,
    stream_start,
)

View = Literal["side-by-side", "split", "restored"]
_GLIMPSE_SECONDS = 0.3
"""What is analyzed before and after a single frame of a video that has no analysis."""
_LOOK_BACK_SECONDS = 1.0
"""How far before a moment the frame that is shown at it is looked for first; few frames are shown for longer."""
_INSTANT = 1e-6
_LINE_SHARE = 1 / 480
"""Width of the line between the halves, in widths of the picture."""


def preview_video(
    source: Path | str,
    output: Path | str,
    *,
    start: float,
    duration: float,
    view: View = "side-by-side",
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
    references: Path | str | None = None,
) -> RestoreResult:
    """Restore ``duration`` seconds from ``start`` into a short video.

    Only that range is decoded and restored. People and references come from the video's analysis; where none is
    kept, the range itself is analyzed, and a warning says so. The first frame does not wait for those after it, so
    the gate may weigh its faces a little differently than in the whole restoration.

    Args:
        source: A video file.
        output: The comparison.
        start: Seconds from the beginning.
        duration: Seconds.
        view: ``side-by-side``, before on the left; ``split``, the left half of the picture before and the right half
            after; or ``restored``, after alone.
        settings: All settings.
        work: Folder of the analysis; by default ``NAME.vidrestore`` beside the video.
        on_progress: Called after every frame.
        references: A folder of photographs, as in :func:`restore_video`.

    Raises:
        The same as :func:`restore_video`.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    if not (math.isfinite(start) and math.isfinite(duration) and start >= 0 and duration > 0):
        raise ConfigError(f"start {start:g} and duration {duration:g} are no range: start at 0 or later, and last")
    info = probe(source)
    check_destination(source, output, settings.encoding.codec, settings.encoding.preset)
    if view != "restored":  # the halves are deinterlaced as they are put together
        settings = dataclasses.replace(
            settings, restoration=dataclasses.replace(settings.restoration, deinterlace=False)
        )
    span = Span(start, start + duration)
    photographed = photographed_people(references, settings)
    analysis, notes = analysis_of_part(source, work, settings, span, "range", photographed, on_progress)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    gate, tally, report = gate_of(analysis, settings), Tally(), DecodeReport()
    before: deque[Image] = deque()
    frames = restored_frames(
        source,
        analysis,
        span,
        restorer,
        gate,
        settings,
        tally,
        report,
        None if view == "restored" else lambda frame: before.append(frame.image),
        eager_frames=1,
    )
    size = {"side-by-side": (2 * info.width, info.height), "split": (info.width, info.height), "restored": None}[view]
    shown = frames if view == "restored" else _composed(frames, before, view, info.color)
    writer = writer_of(VideoWriter, source, output, settings, restorer, analysis, span, size)
    with writer:
        total = None if analysis.span.whole else analysis.frame_count
        first = write_all(shown, writer, total, tally, on_progress)
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*notes, *analysis.warnings, *report.warnings(), *writer.warnings, *said])]
    return result_of(output, analysis, restorer, settings, tally, warnings, begun, first)


def preview_frame(
    source: Path | str,
    output: Path | str,
    *,
    seconds: float,
    view: View = "side-by-side",
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
    references: Path | str | None = None,
) -> RestoreResult:
    """Restore the frame that is shown at ``seconds`` into a picture, such as a PNG.

    It is the frame of the restored video, except that the gate judges it by itself. The other arguments are those of
    :func:`preview_video`; where the video has no analysis, the moment around the frame is analyzed.

    Raises:
        PictureError: the picture cannot be written.
        The rest as :func:`restore_video`.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"--frame is {seconds:g}, allowed: seconds from 0 on")
    probe(source)
    check_image_destination(source, output)
    target = _frame_shown_at(source, seconds)
    at = target.seconds - float(stream_start(source))
    glimpse = Span(max(0.0, at - _GLIMPSE_SECONDS), at + _GLIMPSE_SECONDS)
    photographed = photographed_people(references, settings)
    analysis, notes = analysis_of_part(source, work, settings, glimpse, "moment", photographed, on_progress)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    gate, tally, report = gate_of(analysis, settings), Tally(), DecodeReport()
    timeline = restored_only_in({target.pts}, build_timeline(analysis, settings.fading))
    reach = settings.fusion.reach_seconds + _INSTANT
    around = marked(read_frames(source, Span(max(0.0, at - reach), at + reach), report=report), analysis.scan)
    frames = faces_restored(around, analysis, timeline, restorer, gate, settings, tally)
    before = mark(target, analysis.scan).image
    (after,) = (frame.image for frame in frames if frame.pts == target.pts)
    still = Still(source, _compared(before, after, view))
    notes += write_still(output, still, still.image, comment_of(restorer, analysis.faces_model))
    tally.frames = 1
    tally.faces_kept.pop(NOT_CHOSEN, None)
    on_progress(Progress("restore", 1, 1, tally.faces_restored))
    said = gate.warnings if gate is not None else []
    warnings = [*dict.fromkeys([*notes, *analysis.warnings, *report.warnings(), *said])]
    result = result_of(output, analysis, restorer, settings, tally, warnings, begun, time.monotonic())
    return dataclasses.replace(result, frames_served_by=single_frames_served_by(source))


def _frame_shown_at(source: Path, seconds: float) -> Frame:
    """The last frame that begins at ``seconds`` or before.

    Raises:
        VideoError: the video has ended, or begins later.
    """
    info = probe(source)
    if info.duration is not None and seconds > info.duration:
        raise VideoError(f"{source} has no frame at {seconds:g} s; it is {info.duration:.3g} s long")
    back, until = _LOOK_BACK_SECONDS, float(stream_start(source)) + seconds
    while back < seconds:
        with contextlib.suppress(VideoError):  # no frame begins so late
            found = _last(read_frames(source, Span(seconds - back)), until)
            if found is not None:
                return found
        back *= 4
    found = _last(read_frames(source), until)
    if found is None:
        raise VideoError(f"{source} has no frame at {seconds:g} s; it begins later")
    return found


def _last(frames: Iterator[Frame], until: float) -> Frame | None:
    """The last of ``frames`` that begins at ``until`` or before."""
    found = None
    for frame in frames:
        if frame.seconds > until + _INSTANT:
            break
        found = frame
    return found


def _composed(frames: Generator[Frame], before: deque[Image], view: View, color: ColorInfo) -> Generator[Frame]:
    with contextlib.closing(frames):
        for frame in frames:
            picture = _compared(before.popleft(), frame.image, view)
            yield Frame(frame.pts, frame.time_base, picture_from_rgb(picture, color=color))


def _compared(before: Image, after: Image, view: View) -> Image:
    """``before`` and ``after`` (H, W, 3) in one picture."""
    if view == "restored":
        return after
    if view == "side-by-side":
        return np.hstack((before, after))
    middle = after.shape[1] // 2
    halves = np.hstack((before[:, :middle], after[:, middle:]))
    half_line = max(1, round(after.shape[1] * _LINE_SHARE / 2))
    halves[:, middle - half_line : middle + half_line] = 255
    return halves
