"""The report of a video by itself: a few frames are restored, or looked up in the output that is there already."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vidrestore.api.analyze import Listener, analyze_and_keep, kept_analysis, nobody
from vidrestore.api.frames import faces_restored, gate_of
from vidrestore.config import Settings
from vidrestore.devices import choose_device
from vidrestore.errors import VideoError
from vidrestore.gating import Verdict
from vidrestore.interlacing import by_first_fields
from vidrestore.report.album import Album, evenly
from vidrestore.report.facts import Facts, Sample
from vidrestore.report.outcome import Reasons, expected, stretches_of, why_kept
from vidrestore.report.page import check_page, write_page
from vidrestore.report.run import now
from vidrestore.restoration import Tally
from vidrestore.restorers import build_restorer
from vidrestore.timeline import build_timeline, restored_only_in
from vidrestore.types import Analysis, Face, Frame, Image, Progress, Restorer, Span, Timeline
from vidrestore.video import comment_of, marked, probe, read_frames, stream_start

MOST_GLIMPSES = 12
"""Frames that are restored for a report."""
_MOST_OF_A_PERSON = 4
_ROUNDED_SECONDS = 0.005
"""By how much containers round time."""


def report_video(
    source: Path | str,
    report: Path | str,
    *,
    restored: Path | str | None = None,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
) -> Facts:
    """Write a report of ``source`` into one HTML file, which appears only when it is complete.

    Args:
        source: A video file.
        report: The HTML file.
        restored: The output of a finished run, to be compared with the source frame by frame; without it, a few frames
            spread over people and time are restored for the report.
        settings: All settings; those of the analysis decide whether the kept one is used.
        work: The folder of the analysis; by default ``NAME.vidrestore`` beside the video.
        on_progress: Called after every frame.

    Raises:
        VideoError: a video cannot be read, ``restored`` has other frames, or the report cannot be written.
        ConfigError, DeviceError, WeightsError, AnalysisError: as ``restore_video``.
    """
    source, report, settings = Path(source), Path(report), settings or Settings()
    output = None if restored is None else Path(restored)
    check_page(report, source, output)
    for video in (source, output):
        if video is not None:
            probe(video)
    analysis, notes = kept_analysis(source, work, settings), list[str]()
    if analysis is None:
        analysis, notes = analyze_and_keep(source, work, settings, on_progress)
    restorer = build_restorer(settings.restoration, choose_device(settings.restoration.device))
    timeline = build_timeline(analysis, settings.fading)
    held: Reasons = {}
    if output is not None:
        album = _compare(source, output, analysis, timeline, restorer.crop_size, on_progress)
        samples, weights = album.samples, _maker(output)
    else:
        album, held = _glimpse(source, analysis, timeline, restorer, settings, on_progress)
        samples = sorted([*album.samples, *_of_candidates(analysis)], key=lambda sample: sample.seconds)
        weights = f"{restorer.name} ({restorer.licence})"
    facts = Facts(
        kind="glimpses" if output is None else "finished",
        source=source.name,
        output=None if output is None else output.name,
        made=now(),
        analysis=analysis,
        settings=settings,
        outcome=dataclasses.replace(expected(analysis, timeline, settings), held_back=Counter(held.values())),
        scenes=album.scenes(),
        views=album.views(),
        samples=tuple(samples),
        stretches=stretches_of(analysis, timeline, settings, held),
        weights=weights,
        device=restorer.device,
        warnings=(*dict.fromkeys([*analysis.warnings, *notes]),),
    )
    write_page(facts, report)
    return facts


def _maker(output: Path) -> str:
    """What the output itself says it was made with."""
    return comment_of(output) or f"{output.name} does not say"


def _compare(
    source: Path, output: Path, analysis: Analysis, timeline: Timeline, crop_size: int, on_progress: Listener
) -> Album:
    """Read both videos side by side."""
    album = Album(analysis, timeline, crop_size, measured := evenly(timeline))
    wanted, last = frozenset(measured), max(measured, default=-1)
    afters = marked(read_frames(output), analysis.scan)
    for count, before in enumerate(marked(read_frames(source), analysis.scan), start=1):
        if before.pts > last:
            break
        after = next(afters, None)
        if after is None or not _fit(before, after):
            raise VideoError(
                f"{output} is not {source} restored: frame {count} of it is "
                f"{'missing' if after is None else _described(after)}, of the source {_described(before)}; "
                "give the whole output of 'vidrestore restore'"
            )
        if before.pts in wanted:
            album.see(before.pts, before.image, after.image, {})
        on_progress(Progress("report", count, analysis.frame_count, 0))
    return album


def _fit(before: Frame, after: Frame) -> bool:
    """Whether both show the same moment in the same size."""
    sizes = [(frame.picture.width, frame.picture.height) for frame in (before, after)]
    return sizes[0] == sizes[1] and abs(before.seconds - after.seconds) <= _ROUNDED_SECONDS


def _described(frame: Frame) -> str:
    return f"{frame.picture.width} x {frame.picture.height} at {frame.seconds:.3f} s"


def _glimpse(
    source: Path,
    analysis: Analysis,
    timeline: Timeline,
    restorer: Restorer,
    settings: Settings,
    on_progress: Listener,
) -> tuple[Album, Reasons]:
    """Restore a few frames as a run would, and look at them; also why the gate held faces back."""
    chosen = _chosen(analysis, timeline, settings)
    album = Album(analysis, timeline, restorer.crop_size, chosen)
    before: dict[int, Image] = {}
    verdicts: dict[int, dict[int, Verdict]] = {}

    def judged(pts: int, face: Face, verdict: Verdict) -> None:
        verdicts.setdefault(pts, {})[face.track_id] = verdict

    tally = Tally(on_verdict=by_first_fields(judged, analysis.scan))
    seen = {face.identity_id for pts in chosen for face in timeline.at(pts)}
    people = tuple(person for person in analysis.identities if person.id in seen)
    frames = faces_restored(
        _decoded(source, analysis, chosen, settings.fusion.reach_seconds, before),
        dataclasses.replace(analysis, identities=people),
        restored_only_in(chosen, timeline),
        restorer,
        gate_of(analysis, settings),
        settings,
        tally,
    )
    for frame in frames:
        image = before.pop(frame.pts)
        if frame.pts in chosen:
            album.see(frame.pts, image, frame.image, verdicts.get(frame.pts, {}))
            on_progress(Progress("report", len(verdicts), len(chosen), tally.faces_restored))
    held = {
        (pts, track): said.reason
        for pts, of in verdicts.items()
        for track, said in of.items()
        if said.reason is not None
    }
    return album, held


def _chosen(analysis: Analysis, timeline: Timeline, settings: Settings) -> frozenset[int]:
    """Frames with faces to restore, spread over the people and over the time of each."""
    times: dict[int | None, list[int]] = {}
    for pts in sorted(timeline.faces):
        for face in timeline.at(pts):
            if why_kept(face, analysis, settings) is None:
                times.setdefault(face.identity_id, []).append(pts)
    people = sorted(times.values(), key=len, reverse=True)[:MOST_GLIMPSES]
    each = max(1, min(_MOST_OF_A_PERSON, MOST_GLIMPSES // max(len(people), 1)))
    return frozenset(own[len(own) * (2 * part + 1) // (2 * each)] for own in people for part in range(each))


def _decoded(
    source: Path, analysis: Analysis, chosen: frozenset[int], reach_seconds: float, before: dict[int, Image]
) -> Iterator[Frame]:
    """The chosen frames and their neighbours, in order; ``before`` gets their pictures."""
    base, zero = analysis.video.time_base, stream_start(source)
    margin = reach_seconds + float(base)
    spans: list[tuple[float, float]] = []
    for pts in sorted(chosen):
        seconds = float(pts * base - zero)
        start, stop = max(0.0, seconds - margin), seconds + margin
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    for start, stop in spans:
        for frame in marked(read_frames(source, Span(start, stop)), analysis.scan):
            before[frame.pts] = frame.image
            yield frame


def _of_candidates(analysis: Analysis) -> list[Sample]:
    """How sharp the source was where the analysis looked for references."""
    owners = {track_id: person.id for person in analysis.identities for track_id in person.track_ids}
    return [
        Sample(candidate.seconds, candidate.track_id, owners.get(candidate.track_id), candidate.sharpness, None)
        for candidate in analysis.candidates
    ]
