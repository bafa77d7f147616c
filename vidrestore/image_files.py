"""Still pictures in files: read upright as RGB, written whole or not at all, with what is known of them kept."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps

from vidrestore.errors import PictureError
from vidrestore.types import Image

FORMATS: Final = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""Formats by extension."""
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "BMP": {},
}
"""How each is written: without loss where the format can. A TIFF that Pillow compresses loses the camera's settings."""
_ORIENTATION: Final = 0x0112
_SOFTWARE: Final = 0x000B
"""EXIF's tag for the program that processed the picture after the camera."""
_SUB_DIRECTORIES: Final = (0x8769, 0x8825)
"""Of the camera's settings, and of the place."""
_KEPT_TAGS: Final = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Description, make, model, software, date, artist and copyright. In a TIFF, tags say also how its pixels are stored,
which is no longer true of another file."""


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A picture from a file."""

    path: Path
    image: Image
    """(H, W, 3), upright."""
    alpha: npt.NDArray[np.uint8] | None = None
    """(H, W), or None where all of it is opaque."""
    grey: bool = False
    """Whether the file holds no colours; what is written holds none either."""
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)
    """EXIF, colour profile, XMP and resolution, as Pillow takes them."""
    notes: tuple[str, ...] = ()
    """What is not as in the file, for people to read."""


def is_image_file(path: Path) -> bool:
    """Whether ``path`` is a still picture by its extension or, where that says nothing, by its content."""
    if path.suffix.lower() in FORMATS:
        return True
    try:
        with Pillow.open(path, formats=sorted(set(FORMATS.values()))):
            return True
    except (OSError, ValueError, SyntaxError):
        return False


def image_files(folder: Path) -> list[Path]:
    """The pictures in ``folder``, by extension, in order of their names; hidden ones and sub-folders are left out.

    Raises:
        PictureError: the folder cannot be read.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in FORMATS and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise PictureError(f"the folder {folder} cannot be read ({error.strerror or error})") from error


def read_still(path: Path) -> Still:
    """Read a picture: turned as the camera says, 8 bits for each colour.

    Raises:
        PictureError: there is no such file, or it is no picture, damaged, or enormous.
    """
    try:
        with Pillow.open(path) as stored:
            return _still_of(path, stored)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"there is no picture {path}") from error
    except (OSError, ValueError, SyntaxError, EOFError, Pillow.DecompressionBombError) as error:
        raise PictureError(f"{path} cannot be read as a picture ({error})") from error


def _still_of(path: Path, stored: Any) -> Still:
    notes = []
    if getattr(stored, "n_frames", 1) > 1:
        notes.append(f"{path.name} holds {stored.n_frames} pictures; the first was taken")
    deep = any("16" in str(tile.args) for tile in stored.tile)
    if deep:
        notes.append(f"{path.name} has 16 bits for each colour; it was reduced to 8")
    if stored.getexif().get(_ORIENTATION, 1) != 1:
        notes.append(f"{path.name} was turned upright as its EXIF orientation says")
    upright = ImageOps.exif_transpose(stored)
    if upright.mode.startswith("I;16"):
        upright = Pillow.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode in ("I", "F"):
        raise PictureError(f"{path} has 32 bits for each pixel, which is not supported; convert it to 8 or 16")
    metadata = {name: upright.info[name] for name in ("icc_profile", "xmp", "dpi") if upright.info.get(name)}
    metadata["exif"] = _kept_exif(upright.getexif())
    if upright.mode in ("CMYK", "YCCK", "LAB") and metadata.pop("icc_profile", None) is not None:
        notes.append(f"{path.name} is stored as {upright.mode} with a profile; it was converted to RGB without it")
    transparent = upright.has_transparency_data
    alpha = np.array(upright.convert("RGBA").getchannel("A")) if transparent else None
    grey = upright.mode in ("1", "L", "LA")
    return Still(path, np.array(upright.convert("RGB")), alpha, grey, metadata, tuple(notes))


def _kept_exif(exif: Pillow.Exif) -> Pillow.Exif:
    """What ``exif`` says of the picture and the camera, and nothing of how the pixels are stored."""
    kept = Pillow.Exif()
    for tag in _KEPT_TAGS:
        if tag in exif:
            kept[tag] = exif[tag]
    for tag in _SUB_DIRECTORIES:
        if directory := exif.get_ifd(tag):
            kept[tag] = dict(directory)
    return kept


def check_image_destination(source: Path, destination: Path) -> None:
    """Check, before any work is done, that a picture can be written to ``destination``.

    Raises:
        PictureError: it is ``source`` itself, a folder, in a folder that is missing or cannot be written, or of a
            format that is not known.
    """
    if destination.suffix.lower() not in FORMATS:
        raise PictureError(f"{destination} has no extension of a picture; there are: {', '.join(FORMATS)}")
    if destination.is_dir():
        raise PictureError(f"{destination} is a folder; name a file")
    if not destination.parent.is_dir():
        raise PictureError(f"the folder {destination.parent} does not exist; create it first")
    if destination.exists() and destination.samefile(source):
        raise PictureError(f"{destination} is the input itself; choose another output")
    if not os.access(destination.parent, os.W_OK | os.X_OK):
        raise PictureError(f"the folder {destination.parent} cannot be written to")


def write_still(destination: Path, still: Still, image: Image, comment: str = "") -> list[str]:
    """Write ``image`` (H, W, 3) in place of that of ``still``, with all else that is known of it.

    The extension of ``destination`` names the format; ``comment`` says in EXIF what processed the picture. Returns a
    sentence for each thing that the format cannot hold.

    Raises:
        PictureError: the file cannot be written; nothing is left of it.
    """
    name = FORMATS[destination.suffix.lower()]
    notes = []
    picture = Pillow.fromarray(image).convert("L" if still.grey else "RGB")
    if still.alpha is not None and name == "JPEG":
        notes.append(f"{destination.name}: JPEG has no transparency, so it was left out")
    elif still.alpha is not None:
        picture.putalpha(Pillow.fromarray(still.alpha))
    metadata = dict(still.metadata)
    if name == "BMP" and (metadata.get("exif") or metadata.get("icc_profile")):
        notes.append(f"{destination.name}: BMP holds neither EXIF nor a colour profile, so they were left out")
    exif = Pillow.Exif()
    exif.load(metadata.pop("exif", Pillow.Exif()).tobytes())
    if comment:
        exif[_SOFTWARE] = comment
    part = destination.with_name(f"{destination.stem}.part{destination.suffix}")
    try:
        picture.save(part, format=name, exif=exif, **metadata, **_OPTIONS[name])
        part.replace(destination)
    except (OSError, ValueError) as error:
        raise PictureError(f"{destination} could not be written ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return notes
