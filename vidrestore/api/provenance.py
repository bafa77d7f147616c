"""All that decides the bits of a restored video, in a form that can be kept and compared."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vidrestore import __version__, weights
from vidrestore.config import FacesSettings, Settings
from vidrestore.restorers import find_weight_file
from vidrestore.types import Analysis, Identity, Restorer, Span

_LIBRARIES = ("av", "numpy", "onnxruntime", "opencv-python", "torch")
_DIGEST_LENGTH = 16
"""Hexadecimal digits that are kept of a digest."""


def provenance(analysis: Analysis, span: Span, settings: Settings, restorer: Restorer) -> dict[str, Any]:
    """By name, in words for people: everything that decides the result of a run. Two runs with the same are the same.

    Args:
        analysis: With the user's hand and photographs applied.
        span: The part that is restored.
        settings: All of them, also those that decide the analysis: a user knows what they have changed.
        restorer: The network.

    Raises:
        WeightsError: weights are missing or damaged.

    """
    found: dict[str, Any] = {"the input file": analysis.fingerprint, "the range": [span.start, span.stop]}
    for section in dataclasses.fields(settings):
        values = dataclasses.asdict(getattr(settings, section.name))
        found |= {f"{section.name}.{name}": value for name, value in values.items()}
    return {
        **found,
        "the device": restorer.device,
        "the content of the weights": _of_restorer(settings.restoration.weights),
        "the content of the faces pack": _digest([of_faces(settings.faces)]),
        "the analysis": _digest(_of_tracks(analysis)),
        "who is restored, and their references": _digest(_of_people(analysis.identities)),
        "the version of vidrestore": __version__,
        **{f"the version of {name}": _version(name) for name in _LIBRARIES},
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in two provenances, in words."""
    return [
        f"{name} has changed"
        if name.startswith(("the input", "the content", "the analysis", "who"))
        else f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def of_faces(settings: FacesSettings) -> str:
    """Digest of the files of a model pack, or of the user's own module."""
    name, pack = settings.pack, Path(settings.pack)
    if weights.is_known(name, "faces"):
        return "".join(str(file.sha256) for file in weights.find_model(name, "faces").files)
    if pack.is_dir():
        return "".join(weights.sha256(file) for file in sorted(pack.glob("*.onnx")))
    return _of_module(name)


def _of_restorer(name: str) -> str:
    file = find_weight_file(name)
    return (_of_module(name) if file is None else weights.sha256(file.path))[:_DIGEST_LENGTH]


def _of_module(name: str) -> str:
    """Digest of the file of the ``module:Class`` that is called ``name``; empty where it has none."""
    module = importlib.util.find_spec(name.partition(":")[0])
    return "" if module is None or module.origin is None else weights.sha256(Path(module.origin))


def _of_people(people: Iterable[Identity]) -> Iterable[Any]:
    for person in people:
        yield (person.id, person.track_ids, person.strength, person.enabled, person.span)
        yield person.embedding
        for reference in person.references:
            yield from (reference.image, reference.landmarks)


def _of_tracks(analysis: Analysis) -> Iterable[Any]:
    yield from (analysis.shots, analysis.scan)
    for track in analysis.tracks:
        yield from (getattr(track, item.name) for item in dataclasses.fields(track))


def _digest(parts: Iterable[Any]) -> str:
    """Digest of arrays and of whatever has a ``repr`` that tells all of it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:_DIGEST_LENGTH]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
