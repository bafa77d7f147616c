"""Portraits with 68 landmarks, read from a folder with an ``annotations.json``.

Folders without one are made into such a folder by :mod:`vidrestore.training.survey`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidrestore.alignment import alignment_matrix, cut_aligned
from vidrestore.errors import ConfigError
from vidrestore.geometry import transform
from vidrestore.types import Floats, Image

INDEX = "annotations.json"
_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_JAW = [*range(16, -1, -1)]
_BROWS = [*range(26, 16, -1)]
_NOSE = [27, 28, 29, 30, 35, 34, 33, 32, 31]
_EYES = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
_LIPS = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
MIRRORED_ORDER = np.array(_JAW + _BROWS + _NOSE + _EYES + _LIPS)
"""Index of the landmark that takes each landmark's place in a mirrored picture."""


def mirrored_points(landmarks: Floats, width: int) -> Floats:
    """Landmarks (68, 2) of a picture ``width`` pixels wide, in its mirror image."""
    points: Floats = landmarks[MIRRORED_ORDER].copy()
    points[:, 0] = width - 1 - points[:, 0]
    return points


@dataclass(frozen=True, eq=False)
class Portrait:
    """One annotated photograph of one face."""

    path: Path
    person: str
    landmarks: Floats
    """(68, 2)."""
    box: Floats
    """(4,), forehead to chin, ear to ear."""
    hq: bool
    """Sharp and large enough to learn restoration from."""
    synthetic: bool
    grey: bool


@dataclass(frozen=True, eq=False)
class LoadedPortrait:
    """A portrait's pixels, perhaps scaled down, with landmarks and box in those pixels."""

    person: str
    image: Image
    landmarks: Floats
    box: Floats


def list_portraits(folder: Path, split: str) -> list[Portrait]:
    """The portraits of one split (``train`` or ``val``) of ``folder``.

    Raises:
        ConfigError: the folder has no ``annotations.json`` or nothing of that split.
    """
    index = folder / INDEX
    if not index.is_file():
        raise ConfigError(f"no {INDEX} in {folder}: name a folder of annotated portraits")
    try:
        rows = json.loads(index.read_text(encoding="utf-8"))
        found = [_portrait(folder, row) for row in rows if row["split"] == split]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{index} is not as expected ({type(error).__name__}: {error})") from error
    if not found:
        raise ConfigError(f"{index} lists no portraits of split {split!r}")
    return found


def _portrait(folder: Path, row: dict[str, Any]) -> Portrait:
    return Portrait(
        folder / row["file"],
        row["person"],
        np.array(row["landmarks68"], dtype=np.float32),
        np.array(row["face_box"], dtype=np.float32),
        bool(row["hq"]),
        bool(row["synthetic"]),
        bool(row["grey"]),
    )


def picture_files(folder: Path) -> list[Path]:
    """The pictures in ``folder`` and its sub-folders, in order of their names, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_rgb(path: Path) -> Image:
    """A photograph as RGB (H, W, 3), upright where the camera says how it was held.

    Raises:
        ConfigError: it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f"{path} is not a picture that can be read")
    return np.ascontiguousarray(image[:, :, ::-1])


def load_portraits(portraits: Sequence[Portrait], face_width: float) -> list[LoadedPortrait]:
    """Read portraits into memory, scaled down (never up) so that faces are ``face_width`` pixels wide."""
    loaded = []
    for portrait in portraits:
        image = read_rgb(portrait.path)
        scale = min(1.0, face_width / float(portrait.box[2] - portrait.box[0]))
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        loaded.append(LoadedPortrait(portrait.person, image, portrait.landmarks * scale, portrait.box * scale))
    return loaded


@dataclass(frozen=True, eq=False)
class AlignedPortrait:
    """A portrait aligned to the FFHQ template."""

    person: str
    image: Image
    """(S, S, 3)."""
    landmarks: Floats
    """(68, 2) in ``image``."""


def align_portrait(portrait: Portrait, size: int) -> AlignedPortrait:
    """Read a portrait and cut its face out, aligned, into ``size`` x ``size``."""
    matrix = alignment_matrix(portrait.landmarks, size)
    image = cut_aligned(read_rgb(portrait.path), matrix, size)
    return AlignedPortrait(portrait.person, image, transform(matrix, portrait.landmarks))
