"""Pass 2 of interlaced video: each field is restored as a picture of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from vidrestore.config import ScanSettings
from vidrestore.gating import Verdict
from vidrestore.restoration import Tally
from vidrestore.timeline import of_fields
from vidrestore.types import Analysis, Face, Frame, Scan, Timeline, VideoInfo
from vidrestore.video import (
    CYCLE,
    FILM_FIELDS,
    at_exact_times,
    completed_by,
    fields_of,
    find_scan,
    half_frame,
    progressive,
)

Restore = Callable[[Iterable[Frame], Timeline], Iterator[Frame]]
"""Frames, and the faces in them by pts, to the same frames restored."""


def scan_of(video: VideoInfo, settings: ScanSettings) -> Scan:
    """Whether ``video`` is interlaced: as the user says, or by a look at its frames.

    Raises:
        VideoError: the video cannot be read.
    """
    match settings.scan:
        case "auto":
            return find_scan(video)
        case "progressive":
            return Scan("progressive", reason="as the setting says")
        case order:
            return Scan("interlaced", order == "top-first", f"{order.replace('-', ' field ')}, as the setting says")


def told(analysis: Analysis, deinterlace: bool) -> str:
    """What was found of the scan, and what is done about it, in words."""
    scan = analysis.scan
    if not scan.is_interlaced:
        return f"progressive ({scan.reason})"
    done = "each field becomes a frame" if deinterlace else "each field is restored by itself and woven back"
    film = analysis.film_cycles.size * CYCLE
    if film:
        found = f"; {film} of {analysis.frame_count} frames are film with 3:2 pulldown"
        done += f"{found}, {'put back to 24 a second' if deinterlace else 'restored by frames of film'}"
    return f"interlaced, {done} ({scan.reason})"


def restored_woven(
    frames: Iterable[Frame], timeline: Timeline, analysis: Analysis, restore: Restore, tally: Tally
) -> Iterator[Frame]:
    """``frames`` with their faces restored; interlaced ones field by field, and each frame as it was otherwise.

    Where film has become interlaced video, it is restored by frames of film. A face counts in each field, and in each
    frame of film.
    """
    scan, video = analysis.scan, analysis.video
    if not scan.is_interlaced:
        yield from restore(frames, timeline)
        return
    later = half_frame(video.time_base, video.average_rate)
    cycles = frozenset(analysis.film_cycles.tolist())
    moments = 0
    for moment in restore(fields_of(frames, scan, later, cycles), of_fields(timeline, later)):
        moments += 1
        for frame in completed_by(moment):
            tally.frames += 1 - moments
            moments = 0
            yield frame


def restored_deinterlaced(
    frames: Iterable[Frame], timeline: Timeline, analysis: Analysis, restore: Restore
) -> Iterator[Frame]:
    """Interlaced ``frames`` with a progressive one for each field and each frame of film, and their faces restored.

    They are in a quarter of the time base, in which their times are exact.
    """
    video, cycles = analysis.video, frozenset(analysis.film_cycles.tolist())
    later = half_frame(video.time_base, video.average_rate)
    pictures = progressive(fields_of(frames, analysis.scan, later, cycles))
    yield from at_exact_times(restore(pictures, of_fields(timeline, later)), cycles)


def output_time_base(analysis: Analysis, deinterlace: bool) -> Fraction:
    """The time base of the output: the source's, or a quarter of it where fields become frames."""
    base = analysis.video.time_base
    return base / 4 if deinterlace and analysis.scan.is_interlaced else base


def frames_of_source(count: int, analysis: Analysis, deinterlace: bool) -> int:
    """Of how many frames of the source ``count`` frames of the output are."""
    if not (deinterlace and analysis.scan.is_interlaced):
        return count
    cycles = analysis.film_cycles.size
    return (count - cycles * len(FILM_FIELDS)) // 2 + cycles * CYCLE


def in_source_time(frame: Frame, time_base: Fraction) -> Frame | None:
    """A frame of the output as that of the source, in ``time_base``, that it shows; None where it has no such time."""
    pts = frame.pts * frame.time_base / time_base
    return Frame(int(pts), time_base, frame.picture) if pts.denominator == 1 else None


def by_first_fields(judged: Callable[[int, Face, Verdict], None], scan: Scan) -> Callable[[int, Face, Verdict], None]:
    """``judged`` for restored fields: told of first fields, under the pts of their frames."""
    if not scan.is_interlaced:
        return judged

    def judged_field(pts: int, face: Face, verdict: Verdict) -> None:
        if pts % 2 == 0:
            judged(pts // 2, face, verdict)

    return judged_field
