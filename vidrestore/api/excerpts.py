"""What is known of a part of a video: an excerpt of the analysis of the whole, or an analysis of the part alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from vidrestore import store
from vidrestore.api.analyze import Listener, analyze_source, digest_for, kept_analysis
from vidrestore.config import Settings
from vidrestore.errors import AnalysisError
from vidrestore.photographs import PhotographedPerson, with_photographs
from vidrestore.types import Analysis, Span, Track
from vidrestore.video import fingerprint, probe, stream_start

_MARGIN_SECONDS = 1.0
"""What is kept of tracks around an excerpt, so that faces are weighted in it as in the whole."""
_NOT_ANALYZED = (
    "the video has no analysis yet, so people and references come from this {} alone; "
    "'vidrestore analyze' finds those of the whole video"
)


def analysis_of_part(
    source: Path,
    work: Path | str | None,
    settings: Settings,
    span: Span,
    what: str,
    photographed: Mapping[str, PhotographedPerson],
    on_progress: Listener,
    keep_in: Path | None = None,
) -> tuple[Analysis, list[str]]:
    """What the kept analysis knows of ``span``; without one, an analysis of ``span`` alone; and what to say of it.

    The references of people who were ``photographed`` are those first. An analysis of ``span`` alone is kept in, and
    taken from, the folder ``keep_in``, where one is given.
    """
    kept = kept_analysis(source, work, settings)
    if kept is not None:
        known, unused = with_photographs(kept, photographed, settings.references.count)
        return excerpt(known, span, float(stream_start(source))), unused
    alone = None if keep_in is None else _kept_alone(keep_in, source, settings, span)
    if alone is None:
        alone = analyze_source(source, settings, span, on_progress)
        if keep_in is not None:
            store.save(alone, keep_in)
    known, unused = with_photographs(alone, photographed, settings.references.count)
    return known, [_NOT_ANALYZED.format(what), *unused]


def _kept_alone(folder: Path, source: Path, settings: Settings, span: Span) -> Analysis | None:
    """The analysis in ``folder``, if there is one of this part of this video with these settings."""
    try:
        analysis = store.load(folder)
    except AnalysisError:
        return None
    wanted = (fingerprint(source), digest_for(settings), span)
    if (analysis.fingerprint, analysis.settings_digest, analysis.span) != wanted:
        return None
    return dataclasses.replace(analysis, video=probe(source))


def excerpt(analysis: Analysis, span: Span, stream_starts: float = 0.0) -> Analysis:
    """``analysis`` without what is not needed to restore ``span``: tracks far from it, and people who are not in it.

    Encoding references and weighting faces take time for each person and each frame. Within ``span`` the faces and
    their weights are those of the whole. ``stream_starts`` is the second that ``span`` counts from.
    """
    first = (stream_starts + span.start - _MARGIN_SECONDS) / float(analysis.video.time_base)
    last = math.inf
    if span.stop is not None:
        last = (stream_starts + span.stop + _MARGIN_SECONDS) / float(analysis.video.time_base)
    tracks = tuple(part for track in analysis.tracks if (part := _within(track, first, last)) is not None)
    present = {track.id for track in tracks}
    people = tuple(person for person in analysis.identities if present.intersection(person.track_ids))
    return dataclasses.replace(analysis, tracks=tracks, identities=people)


def _within(track: Track, first: float, last: float) -> Track | None:
    """The frames of ``track`` from pts ``first`` to ``last``; None where there are none."""
    inside = (track.pts >= first) & (track.pts <= last)
    if not inside.any():
        return None
    columns = {name: getattr(track, name)[inside] for name in ("pts", "boxes", "landmarks", "scores")}
    return dataclasses.replace(track, **columns)
