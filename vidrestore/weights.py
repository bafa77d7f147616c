"""Where a weight file is, its checksum, its licence, and how to fetch it.

``models/manifest.json`` lists what ships with vidrestore and what can be fetched.
Fetched files go to ``VIDRESTORE_CACHE``, or ``~/.cache/vidrestore``.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from vidrestore.errors import WeightsError
from vidrestore.places import shipped_folder

CACHE_VARIABLE = "VIDRESTORE_CACHE"
_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: path under its folder, and SHA-256, or None where the publisher gives none."""

    path: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the manifest."""

    name: str
    kind: str
    """``faces`` (a pack of face networks) or ``restorer``."""
    description: str
    licence: str
    embedded: bool
    """Ships with vidrestore; else it must be fetched."""
    files: tuple[ModelFile, ...]
    same_person: float | None = None
    """Cosine of the embeddings of two tracks from which they show one person; of ``faces`` alone."""
    url: str | None = None
    """Where to fetch from; insightface's own packs are fetched by insightface."""


def cache_folder() -> Path:
    """The folder fetched weights go to; it may not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "vidrestore")


def list_models() -> tuple[Model, ...]:
    """All models of the manifest.

    Raises:
        WeightsError: the manifest is missing or damaged.
    """
    path = shipped_folder("models") / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["models"]
        return tuple(
            Model(
                name=entry["name"],
                kind=entry["kind"],
                description=entry["description"],
                licence=entry["licence"],
                embedded=entry["embedded"],
                files=tuple(ModelFile(file["path"], file["sha256"]) for file in entry["files"]),
                same_person=entry.get("same_person"),
                url=entry.get("url"),
            )
            for entry in entries
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}): install vidrestore again") from error


def is_known(name: str, kind: str) -> bool:
    """Whether the manifest has a model of that name and kind."""
    return any(model.name == name and model.kind == kind for model in list_models())


def find_model(name: str, kind: str) -> Model:
    """The model called ``name``.

    Raises:
        WeightsError: there is none of that name and kind.
    """
    for model in list_models():
        if model.name == name and model.kind == kind:
            return model
    raise unknown(name, kind)


def unknown(name: str, kind: str) -> WeightsError:
    """The error for a name that is in no manifest."""
    names = ", ".join(model.name for model in list_models() if model.kind == kind)
    return WeightsError(f"no {kind} model is called {name!r}; there are: {names} (or give a path)")


def model_folder(model: Model) -> Path:
    """Where the files of ``model`` are, or would be once fetched."""
    if model.embedded:
        return shipped_folder("models") / model.kind / model.name
    if model.kind == "faces":
        return cache_folder() / "insightface" / "models" / model.name
    return cache_folder() / model.kind / model.name


def is_present(model: Model) -> bool:
    """Whether all files of ``model`` are there."""
    folder = model_folder(model)
    if not model.files:
        return any(folder.glob("*.onnx"))
    return all((folder / file.path).is_file() for file in model.files)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(model: Model) -> list[str]:
    """What is wrong with the files of ``model``, in sentences; empty when all is well."""
    problems = []
    for file in model.files:
        path = model_folder(model) / file.path
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif file.sha256 is not None and sha256(path) != file.sha256:
            problems.append(f"{path} is damaged: its checksum is not the one in manifest.json")
    if not model.files and not is_present(model):
        problems.append(f"no ONNX files in {model_folder(model)}")
    return problems


def checked_folder(model: Model) -> Path:
    """The folder of a model that is there and undamaged.

    Raises:
        WeightsError: something is missing or damaged; says how to get it.
    """
    if not model.embedded and not is_present(model):
        raise WeightsError(
            f"{model.name} is not on this machine: fetch it with 'vidrestore models fetch {model.name}' "
            f"(licence: {model.licence})"
        )
    problems = verify(model)
    if problems:
        cure = "install vidrestore again" if model.embedded else f"fetch it with 'vidrestore models fetch {model.name}'"
        raise WeightsError(f"{'; '.join(problems)}: {cure}")
    return model_folder(model)


def fetch(model: Model) -> Path:
    """Bring a model that does not ship with vidrestore onto this machine; returns its folder.

    Raises:
        WeightsError: it cannot be reached, or what came is not what was asked for.
    """
    folder = model_folder(model)
    if model.embedded or (is_present(model) and not verify(model)):
        return checked_folder(model)
    if model.kind == "faces":
        _fetch_with_insightface(model)
    else:
        for file in model.files:
            _download(f"{model.url}/{file.path}", folder / file.path)
    return checked_folder(model)


def _fetch_with_insightface(model: Model) -> None:
    from insightface.utils import ensure_available

    try:
        ensure_available("models", model.name, root=str(cache_folder() / "insightface"))
    except Exception as error:  # insightface raises whatever its downloader raised
        raise WeightsError(
            f"insightface could not fetch {model.name} ({type(error).__name__}: {error}): check the network, or put "
            f"its ONNX files into {model_folder(model)}; the embedded pack needs no network: --faces compact"
        ) from error


def _download(url: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer, part.open("wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
            promised = answer.headers.get("Content-Length")
            if promised is not None and file.tell() != int(promised):
                raise OSError(f"{file.tell()} of {promised} bytes came")
        part.replace(destination)
    except (urllib.error.URLError, OSError) as error:
        raise WeightsError(
            f"{url} could not be fetched ({error}): check the network, or put the file at {destination}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
