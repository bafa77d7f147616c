"""Pass 1 as a user calls it: analyze a video, or load the analysis that is kept of it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vidrestore import __version__, store
from vidrestore.analysis import analyze_frames
from vidrestore.api.provenance import of_faces
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import AnalysisError
from vidrestore.interlacing import scan_of, told
from vidrestore.people import Photograph, obey
from vidrestore.photographs import reference_from_photo
from vidrestore.smoothing import RtsSmoother
from vidrestore.threads import prefetch
from vidrestore.types import Analysis, Notice, Progress, Span
from vidrestore.video import CadenceFinder, DecodeReport, fingerprint, probe, read_frames, without_combs

Listener = Callable[[Progress | Notice], None]
AHEAD = 4
"""Frames that decoding and restoring run ahead of who takes them."""
WHOLE = Span()


def nobody(_: Progress | Notice) -> None:
    """The listener where none is given."""


def work_folder(source: Path, work: Path | str | None) -> Path:
    """Where the analysis of ``source`` is kept: ``work``, or ``NAME.vidrestore`` beside it."""
    return source.with_name(source.name + ".vidrestore") if work is None else Path(work)


def analyze_video(
    source: Path | str,
    *,
    settings: Settings | None = None,
    work: Path | str | None = None,
    on_progress: Listener = nobody,
) -> Analysis:
    """Analyze a video, or load its analysis where one with the same settings is kept; keep it for ``restore_video``.

    People are as ``people.toml`` in the folder says, which is made with the analysis and is the user's to edit.

    Args:
        source: A video file.
        settings: All settings; only those of the analysis matter.
        work: The folder to keep it in; by default ``NAME.vidrestore`` beside the video.
        on_progress: Called after every frame.

    Raises:
        VideoError: the video cannot be read.
        WeightsError: the model pack is missing or damaged.
        AnalysisError: ``work`` holds the analysis of another video, or cannot be written.
        ConfigError: ``people.toml`` in ``work`` is wrong; it names the line.
    """
    source, settings = Path(source), settings or Settings()
    probe(source)
    folder = work_folder(source, work)
    analysis = kept_analysis(source, work, settings)
    if analysis is None:
        store.check_writable(folder)
        analysis = analyze_source(source, settings, WHOLE, on_progress)
        store.save(analysis, folder)
        analysis = obey(analysis, folder, settings.references, photographs_in(folder, settings))
    return analysis


def kept_analysis(source: Path, work: Path | str | None, settings: Settings) -> Analysis | None:
    """The kept analysis with the people of ``people.toml``, if it is of this video and these settings.

    Raises:
        AnalysisError: the folder was named by the user and holds the analysis of another video.
        ConfigError: ``people.toml`` is wrong; it names the line.
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
    fits = analysis.settings_digest == digest_for(settings) and analysis.span.whole
    if not fits:
        return None
    found = dataclasses.replace(analysis, video=probe(source))
    return obey(found, folder, settings.references, photographs_in(folder, settings))


def photographs_in(folder: Path, settings: Settings) -> Photograph:
    """How photographs pinned in ``people.toml`` become references; the detector is built when the first one is met."""
    detector = functools.cache(lambda: build_detector(settings.faces, choose_device(settings.restoration.device)))
    return lambda name, embedding: reference_from_photo(folder / name, detector(), embedding)


def analyze_and_keep(
    source: Path, work: Path | str | None, settings: Settings, on_progress: Listener
) -> tuple[Analysis, list[str]]:
    """An analysis for a restoration, kept if it can be; what to tell the user where it cannot.

    Raises:
        AnalysisError: the user named a folder, and it cannot be written.
        ConfigError: ``people.toml`` is wrong; it names the line.
    """
    folder = work_folder(source, work)
    if work is not None:
        store.check_writable(folder)
    analysis = analyze_source(source, settings, WHOLE, on_progress)
    try:
        store.save(analysis, folder)
    except AnalysisError as error:
        if work is not None:
            raise
        return analysis, [f"{error} (the video is restored all the same)"]
    return obey(analysis, folder, settings.references, photographs_in(folder, settings)), []


def analyze_source(source: Path, settings: Settings, span: Span, on_progress: Listener) -> Analysis:
    """A new analysis of ``span`` of a video; nothing is kept."""
    video = probe(source)
    scan = scan_of(video, settings.scan)
    cadence = CadenceFinder(scan)
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    report = DecodeReport()
    smoother = RtsSmoother(settings.smoothing)
    source_digest = fingerprint(source)
    # Closed at once, also after an error or Ctrl-C: decoding runs in a thread of its own.
    decoded = without_combs(cadence.watch(read_frames(source, span, report=report)), scan)
    with closing(prefetch(decoded, AHEAD)) as frames:
        analysis = analyze_frames(
            frames, video, source_digest, span, detector, smoother, settings, report.warnings, on_progress
        )
    film = np.array(cadence.cycles(), dtype=np.int64)
    return dataclasses.replace(analysis, scan=scan, film_cycles=film, settings_digest=digest_for(settings))


def digest_for(settings: Settings) -> str:
    """Digest of what decides an analysis: this version, the settings, the model files or the user's own module."""
    content = f"{__version__} {settings.analysis_digest()}{of_faces(settings.faces)}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def describe_analysis(analysis: Analysis, folder: Path) -> dict[str, Any]:
    """An analysis in a few words, as ``analyze --json`` prints it; times in seconds."""
    base = analysis.video.time_base
    return {
        "analysis": str(folder),
        "frames": analysis.frame_count,
        "scan": told(analysis, deinterlace=False),
        "shots": [{"start": float(shot.first * base), "stop": float(shot.last * base)} for shot in analysis.shots],
        **describe_people(analysis),
        "margin": None if analysis.margin is None else dataclasses.asdict(analysis.margin),
        "faces_model": analysis.faces_model,
        "warnings": list(analysis.warnings),
    }


def describe_people(analysis: Analysis) -> dict[str, Any]:
    """Who is who in a few words, as ``people list --json`` prints it; times in seconds."""
    known = {track.id: track for track in analysis.tracks}
    return {
        "people": [
            {
                "name": identity.name,
                "tracks": len(identity.track_ids),
                "frames": sum(len(known[track_id].pts) for track_id in identity.track_ids),
                "references": len(identity.references),
                "enabled": identity.enabled,
                "strength": identity.strength,
                "restore_from": identity.span.start,
                "restore_to": identity.span.stop,
                "track_ids": list(identity.track_ids),
                "reference_sources": [reference.source for reference in identity.references],
            }
            for identity in analysis.identities
        ],
        "unassigned_tracks": len(analysis.unassigned_tracks),
        "unassigned_track_ids": [track.id for track in analysis.unassigned_tracks],
    }
