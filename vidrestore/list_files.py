"""The list files of DMDNet's program, and the references and landmarks that they name.

A line names a picture, or, with tabs between, a picture, a folder of references of the person on it, and a folder of
text files with the references' 68 landmarks (136 numbers each). Formats: Li et al., "Learning Dual Memory Dictionaries
for Blind Face Restoration", IEEE TPAMI 2022, arXiv 2210.08160.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidrestore.alignment import TEMPLATE_SIZE, crop_face
from vidrestore.errors import PictureError
from vidrestore.face_quality import sharpness
from vidrestore.image_files import image_files, read_still
from vidrestore.landmark_files import read_landmarks
from vidrestore.types import Face, Floats, Reference


@dataclass(frozen=True, slots=True)
class ListRow:
    """One line of a list file."""

    picture: Path
    references: Path | None = None
    """Folder of pictures; None where the line has one column."""
    landmarks: Path | None = None
    """Folder of ``NAME.txt``, or ``NAME.EXT.txt``, for each reference ``NAME.EXT``."""


def read_list(path: Path) -> tuple[ListRow, ...]:
    """The rows of a list file; empty lines are left out.

    Relative paths are from the list's own folder or, where nothing is there, from the current one.

    Raises:
        PictureError: the list cannot be read, is empty, has a line of two or more than three columns, names a folder
            that is not there, or two pictures of one name, whose results would be one file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PictureError(f"the list {path} cannot be read ({error})") from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise PictureError(f"the list {path} names no pictures; write one in each line")
    seen: dict[str, Path] = {}
    for row in rows:
        other = seen.setdefault(row.picture.name, row.picture)
        if other is not row.picture:
            raise PictureError(f"{path} names {other} and {row.picture}, whose results would have one name; rename one")
    return tuple(rows)


def _row(path: Path, number: int, line: str) -> ListRow:
    columns = [column.strip() for column in line.rstrip("\r\n").split("\t")]
    if len(columns) not in (1, 3) or not all(columns):
        raise PictureError(
            f"{path}, line {number}: {len(columns)} columns; there is one (a picture) or three with tabs between them "
            "(a picture, a folder of references, a folder of their landmarks)"
        )
    places = [_found(path.parent, column) for column in columns]
    for folder in places[1:]:
        if not folder.is_dir():
            raise PictureError(f"{path}, line {number}: there is no folder {folder}")
    return ListRow(*places)


def _found(folder: Path, name: str) -> Path:
    beside = folder / name
    return beside if beside.exists() else Path(name)


def read_references(row: ListRow) -> tuple[Reference, ...]:
    """All references of a row with three columns, aligned; a 512 x 512 picture is taken to be aligned already.

    Raises:
        PictureError: a folder has no pictures, one has no landmarks, or a file cannot be read.
    """
    assert row.references is not None
    assert row.landmarks is not None
    files = image_files(row.references)
    if not files:
        raise PictureError(f"the folder {row.references} holds no pictures to be references")
    return tuple(aligned_reference(file, read_landmarks(_landmark_file(file, row.landmarks))) for file in files)


def _landmark_file(picture: Path, folder: Path) -> Path:
    names = (f"{picture.stem}.txt", f"{picture.name}.txt")
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise PictureError(
            f"the reference {picture} has no landmarks: there is neither {' nor '.join(names)} in {folder}"
        )
    return found


def aligned_reference(path: Path, landmarks: Floats) -> Reference:
    """The picture ``path``, aligned by its ``landmarks`` (68, 2); a 512 x 512 picture is taken to be aligned already.

    Raises:
        PictureError: the picture cannot be read, or the landmarks are no face.
    """
    image = read_still(path).image
    if image.shape[:2] != (TEMPLATE_SIZE, TEMPLATE_SIZE):
        try:
            crop = crop_face(image, Face(0, None, landmarks, 1.0))
        except ValueError as error:
            raise PictureError(f"the landmarks of {path} are no face ({error})") from error
        image, landmarks = crop.image, crop.landmarks
    return Reference(image, landmarks, path.name, sharpness(image), 1.0, "named in a list")
