"""Save and load an ``Analysis``: a folder with ``analysis.json`` and ``analysis.npz``, versioned, without pickle."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidrestore.errors import AnalysisError
from vidrestore.types import (
    Analysis,
    Candidate,
    ColorInfo,
    Identity,
    IdentityMargin,
    Reference,
    Scan,
    Shot,
    Span,
    StreamInfo,
    Track,
    VideoInfo,
)

FORMAT_VERSION = 3
HEADER, ARRAYS = "analysis.json", "analysis.npz"


def save(analysis: Analysis, folder: Path) -> None:
    """Write ``analysis`` into ``folder``, which is made where it is missing; an older one is replaced whole.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {"film_cycles": analysis.film_cycles}
    header = {
        "format": FORMAT_VERSION,
        "video": _video_to_json(analysis.video),
        "fingerprint": analysis.fingerprint,
        "span": [analysis.span.start, analysis.span.stop],
        "frame_count": analysis.frame_count,
        "shots": [[shot.first, shot.last] for shot in analysis.shots],
        "tracks": [_track_to_json(track, arrays) for track in analysis.tracks],
        "identities": [_identity_to_json(identity, arrays) for identity in analysis.identities],
        "settings_digest": analysis.settings_digest,
        "faces_model": analysis.faces_model,
        "warnings": list(analysis.warnings),
        "candidates": [_candidate_to_json(*item, arrays) for item in enumerate(analysis.candidates)],
        "margin": None if analysis.margin is None else dataclasses.asdict(analysis.margin),
        "scan": dataclasses.asdict(analysis.scan),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The header goes last: without it there is no analysis, so an interrupted run leaves none that is half new.
        (folder / HEADER).unlink(missing_ok=True)
        part = folder / (ARRAYS + ".part")
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        part.replace(folder / ARRAYS)
        part = folder / (HEADER + ".part")
        part.write_text(json.dumps(header, indent=1), encoding="utf-8")
        part.replace(folder / HEADER)
    except OSError as error:
        raise AnalysisError(
            f"the analysis cannot be written to {folder} ({error}); choose another with --work"
        ) from error


def check_writable(folder: Path) -> None:
    """Check, before an analysis is made, that it can be kept in ``folder``; nothing is made yet.

    Raises:
        AnalysisError: the folder, or the one it would be made in, cannot be written.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise AnalysisError(
            f"the analysis cannot be kept in {folder}: {there} cannot be written to; choose another --work"
        )


def load(folder: Path) -> Analysis:
    """The analysis in ``folder``.

    Raises:
        AnalysisError: there is none, it is damaged, or it is of another format version.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT_VERSION:
            raise AnalysisError(
                f"{folder} holds an analysis of format {header['format']}, this version reads {FORMAT_VERSION}: "
                "analyze the video again"
            )
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return Analysis(
                video=_video_from_json(header["video"]),
                fingerprint=header["fingerprint"],
                span=Span(*header["span"]),
                frame_count=header["frame_count"],
                shots=tuple(Shot(*shot) for shot in header["shots"]),
                tracks=tuple(_track_from_json(track, arrays) for track in header["tracks"]),
                identities=tuple(_identity_from_json(identity, arrays) for identity in header["identities"]),
                settings_digest=header["settings_digest"],
                faces_model=header["faces_model"],
                warnings=tuple(header["warnings"]),
                candidates=tuple(_candidate_from_json(*item, arrays) for item in enumerate(header["candidates"])),
                margin=None if header["margin"] is None else IdentityMargin(**header["margin"]),
                scan=Scan(**header["scan"]),
                film_cycles=arrays["film_cycles"],
            )
    except FileNotFoundError as error:
        raise AnalysisError(f"no analysis in {folder}: run 'vidrestore analyze' first") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, AnalysisError):
            raise
        raise AnalysisError(f"the analysis in {folder} is damaged ({error}): analyze the video again") from error


def _video_to_json(video: VideoInfo) -> dict[str, Any]:
    values = dataclasses.asdict(video)
    values["path"] = str(video.path)
    for name in ("time_base", "average_rate", "sample_aspect_ratio"):
        values[name] = None if values[name] is None else str(values[name])
    return values


def _video_from_json(values: dict[str, Any]) -> VideoInfo:
    rate = values["average_rate"]
    return VideoInfo(
        **{
            **values,
            "path": Path(values["path"]),
            "time_base": Fraction(values["time_base"]),
            "average_rate": None if rate is None else Fraction(rate),
            "sample_aspect_ratio": Fraction(values["sample_aspect_ratio"]),
            "color": ColorInfo(**values["color"]),
            "streams": tuple(StreamInfo(**stream) for stream in values["streams"]),
        }
    )


_TRACK_COLUMNS = ("pts", "boxes", "landmarks", "scores", "embedding")


def _track_to_json(track: Track, arrays: dict[str, Any]) -> dict[str, Any]:
    for name in _TRACK_COLUMNS:
        if getattr(track, name) is not None:
            arrays[f"track{track.id}_{name}"] = getattr(track, name)
    return {"id": track.id, "embedding": track.embedding is not None}


def _track_from_json(values: dict[str, Any], arrays: Any) -> Track:
    number = values["id"]
    columns = {name: arrays[f"track{number}_{name}"] for name in _TRACK_COLUMNS[:-1]}
    return Track(id=number, embedding=arrays[f"track{number}_embedding"] if values["embedding"] else None, **columns)


def _identity_to_json(identity: Identity, arrays: dict[str, Any]) -> dict[str, Any]:
    if identity.embedding is not None:
        arrays[f"identity{identity.id}_embedding"] = identity.embedding
    references = []
    for number, reference in enumerate(identity.references):
        arrays[f"identity{identity.id}_reference{number}_image"] = reference.image
        arrays[f"identity{identity.id}_reference{number}_landmarks"] = reference.landmarks
        references.append(
            {
                "source": reference.source,
                "sharpness": reference.sharpness,
                "score": reference.score,
                "reason": reference.reason,
            }
        )
    return {
        "id": identity.id,
        "name": identity.name,
        "tracks": list(identity.track_ids),
        "embedding": identity.embedding is not None,
        "references": references,
        "strength": identity.strength,
        "enabled": identity.enabled,
        "span": [identity.span.start, identity.span.stop],
    }


def _identity_from_json(values: dict[str, Any], arrays: Any) -> Identity:
    stem = f"identity{values['id']}"
    return Identity(
        id=values["id"],
        name=values["name"],
        track_ids=tuple(values["tracks"]),
        embedding=arrays[f"{stem}_embedding"] if values["embedding"] else None,
        references=tuple(
            Reference(
                image=arrays[f"{stem}_reference{number}_image"],
                landmarks=arrays[f"{stem}_reference{number}_landmarks"],
                **reference,
            )
            for number, reference in enumerate(values["references"])
        ),
        strength=values["strength"],
        enabled=values["enabled"],
        span=Span(*values["span"]),
    )


_CANDIDATE_VALUES = ("track_id", "pts", "seconds", "eye_distance", "pose", "sharpness", "score")


def _candidate_to_json(number: int, candidate: Candidate, arrays: dict[str, Any]) -> dict[str, Any]:
    stem = f"candidate{number}"
    arrays[f"{stem}_packed"] = np.frombuffer(candidate.packed, np.uint8)
    arrays[f"{stem}_landmarks"] = candidate.landmarks
    if candidate.embedding is not None:
        arrays[f"{stem}_embedding"] = candidate.embedding
    values = {name: getattr(candidate, name) for name in _CANDIDATE_VALUES}
    return {**values, "embedding": candidate.embedding is not None}


def _candidate_from_json(number: int, values: dict[str, Any], arrays: Any) -> Candidate:
    stem = f"candidate{number}"
    return Candidate(
        **{
            **values,
            "pose": tuple(values["pose"]),
            "packed": arrays[f"{stem}_packed"].tobytes(),
            "landmarks": arrays[f"{stem}_landmarks"],
            "embedding": arrays[f"{stem}_embedding"] if values["embedding"] else None,
        }
    )
