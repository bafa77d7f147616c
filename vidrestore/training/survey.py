"""Look at plain folders of pictures: whose they are, where the face is, and whether it is sharp enough to learn from.

What is found is kept in the folder of the training run as an ``annotations.json``, the form in which all of training
reads pictures, so a resumed run looks only at what is new. Nothing is written into the user's own folder.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from vidrestore import store
from vidrestore.alignment import TEMPLATE_SIZE, alignment_matrix, cut_aligned
from vidrestore.detectors.insightface import face_box
from vidrestore.errors import ConfigError
from vidrestore.face_quality import sharpness
from vidrestore.training.portraits import INDEX, picture_files, read_rgb
from vidrestore.types import Analysis, Detection, Detector, Floats, Identity, Image, Progress

MIN_SHARPNESS = 0.5
"""Of the aligned face (:func:`vidrestore.face_quality.sharpness`), to learn restoration from.

95 of 100 pictures that were chosen by hand for it are above, at 512 x 512.
"""
MIN_FACE_WIDTH = 200.0
"""Width in pixels of a face to learn restoration from; it stands about 300 pixels wide in an aligned picture."""
_SURE = 0.6
"""Detections with a lower score, 0..1, are not taken for a face; on portraits scores are above 0.9."""
_SMALLER = 0.5
"""A face less than this share as wide as the largest one stands in the background."""
_VAL_SHARE = 0.1
_GREY_LEVELS = 4.0
"""Mean distance between the largest and the smallest colour level below which a picture is grey."""
NO_FACE, SEVERAL_FACES, UNREADABLE = "no face was found", "more than one face was found", "the file cannot be read"
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A folder that is ready to train on, and what is to be told about it."""

    folder: Path
    """Has an ``annotations.json``."""
    source: Path
    """What the user named."""
    made_from: str = "annotations"
    """``annotations`` of the folder itself, ``pictures`` looked at by us, or ``footage``: the references of a video."""
    left_out: dict[str, int] | None = None
    """How many pictures could not be used, by reason."""
    split: str = "as annotated"
    """How the pictures were divided into those to train on and those held out."""

    def warnings(self) -> list[str]:
        """What a user should know of pictures that were left out."""
        if not self.left_out:
            return []
        reasons = ", ".join(f"{count} where {reason}" for reason, count in sorted(self.left_out.items()))
        return [f"pictures left out of training: {reasons}; {self.folder / INDEX} names them"]


def survey_portraits(
    source: Path,
    kept: Path,
    build: Callable[[], Detector],
    *,
    seed: int,
    min_face_width: float,
    on_progress: Callable[[Progress], None],
) -> Survey:
    """The portraits of ``source`` with landmarks, boxes, sharpness and a split.

    Args:
        source: A folder with an ``annotations.json``, which is taken as it is; the work folder of a video's analysis,
            whose references become the portraits; or a plain folder with a sub-folder of photographs for each person,
            where a photograph beside them is a person of its own.
        kept: The folder for what is found; nothing is written where ``source`` is annotated.
        build: Makes the detector, if one is needed.
        seed: Of the split. A tenth of the people, at least one, is held out; of footage, and of a single person, a
            tenth of the pictures.
        min_face_width: Pixels; see :data:`MIN_FACE_WIDTH`.
        on_progress: Called after every picture looked at.

    Raises:
        ConfigError: there are no pictures, or fewer than two that can be used.
        AnalysisError: the work folder is damaged.
    """
    if (source / INDEX).is_file():
        return Survey(folder=source, source=source)
    kept.mkdir(parents=True, exist_ok=True)
    is_footage = (source / store.HEADER).is_file()
    rows = _references(store.load(source), kept) if is_footage else _looked_at(source, kept, build, on_progress)
    usable = [row for row in rows if row["problem"] is None]
    if len(usable) < 2:
        raise ConfigError(
            f"{source} has {len(usable)} usable pictures of {len(rows)}, and training needs two: one to learn from and "
            f"one to hold out. Give a folder with a sub-folder of photographs for each person, one with an {INDEX}, or "
            "the work folder of 'vidrestore analyze'"
        )
    for row in usable:
        row["hq"] = bool(row["face_width"] >= min_face_width and row["sharpness"] >= MIN_SHARPNESS)
    by_picture = is_footage or len({row["person"] for row in usable}) == 1
    _split(usable, "file" if by_picture else "person", seed)
    _write(rows, kept / INDEX)
    return Survey(
        folder=kept,
        source=source,
        made_from="footage" if is_footage else "pictures",
        left_out=_problems(rows),
        split=f"by {'picture' if by_picture else 'person'}, seed {seed}",
    )


def survey_groups(
    source: Path, kept: Path, build: Callable[[], Detector], on_progress: Callable[[Progress], None]
) -> Survey:
    """Photographs of several people, with the boxes and keypoints that our own detector finds where none are given.

    Faces of which it is not sure are to be ignored: neither wanted nor punished. Arguments and errors are those of
    :func:`survey_portraits`.
    """
    if (source / INDEX).is_file():
        return Survey(folder=source, source=source)
    kept.mkdir(parents=True, exist_ok=True)
    detector = build()
    rows: list[Row] = []
    paths = picture_files(source)
    for done, path in enumerate(paths, start=1):
        rows.append({"file": str(path.resolve()), **_group_row(path, detector)})
        on_progress(Progress("look at groups", done, len(paths), sum(len(row["faces"]) for row in rows)))
    if all(row["problem"] for row in rows):
        raise ConfigError(f"there are no pictures that can be read in {source}: give a folder of photographs of groups")
    _write({"images": rows}, kept / INDEX)
    return Survey(
        folder=kept,
        source=source,
        made_from="pictures",
        left_out=_problems(rows),
        split="all to train on",
    )


def _group_row(path: Path, detector: Detector) -> Row:
    """The faces of one picture."""
    try:
        found = detector.detect(read_rgb(path))
    except ConfigError:
        return {"problem": UNREADABLE, "split": None, "faces": []}
    sure = [face for face in found if face.score >= _SURE]
    return {
        "problem": None,
        "split": "train",
        "faces": [{"box": face.box.tolist(), "points": face.keypoints.tolist()} for face in sure],
        "ignore": [face.box.tolist() for face in found if face.score < _SURE],
    }


def _problems(rows: Sequence[Row]) -> dict[str, int]:
    """How many pictures cannot be used, by reason."""
    return dict(Counter(row["problem"] for row in rows if row["problem"] is not None))


def _looked_at(
    source: Path, kept: Path, build: Callable[[], Detector], on_progress: Callable[[Progress], None]
) -> list[Row]:
    """A row for each picture of a plain folder, those of an earlier look among them."""
    detector = build()
    known = {_key(row): row for row in _read(kept / INDEX)}
    rows: list[Row] = []
    paths = picture_files(source)
    for done, path in enumerate(paths, start=1):
        inside = path.relative_to(source)
        status = path.stat()
        row = {
            "file": str(path.resolve()),
            "person": inside.parts[0] if len(inside.parts) > 1 else inside.stem,
            "bytes": status.st_size,
            "modified": status.st_mtime_ns,
            "found_by": detector.name,
        }
        rows.append(known.get(_key(row)) or row | _look(path, detector))
        usable = sum(row["problem"] is None for row in rows)
        on_progress(Progress("look at pictures", done, len(paths), usable))
    return rows


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("file", "person", "bytes", "modified", "found_by"))


def _look(path: Path, detector: Detector) -> Row:
    """What one picture shows."""
    try:
        image = read_rgb(path)
    except ConfigError:
        return _useless(UNREADABLE)
    found = [face for face in detector.detect(image) if face.score >= _SURE and face.landmarks is not None]
    widest = max((_width(face.box) for face in found), default=0.0)
    faces = [face for face in found if _width(face.box) >= _SMALLER * widest]
    if len(faces) != 1:
        return _useless(SEVERAL_FACES if faces else NO_FACE)
    return _portrait_row(image, faces[0])


def _useless(problem: str) -> Row:
    return {"problem": problem, "split": None}


def _portrait_row(image: Image, face: Detection) -> Row:
    assert face.landmarks is not None
    aligned = cut_aligned(image, alignment_matrix(face.landmarks))
    return _described(image, face.landmarks, sharpness(aligned), _width(face.box))


def _described(image: Image, landmarks: Floats, sharp: float, face_width: float) -> Row:
    return {
        "problem": None,
        "landmarks68": landmarks.round(2).tolist(),
        "face_box": face_box(landmarks).round(2).tolist(),
        "face_width": round(face_width, 1),
        "sharpness": round(sharp, 4),
        "grey": bool((image.max(axis=2) - image.min(axis=2)).mean() < _GREY_LEVELS),
        "synthetic": False,
    }


def _width(box: Floats) -> float:
    return float(box[2] - box[0])


def _references(analysis: Analysis, kept: Path) -> list[Row]:
    """A row for each reference of each enabled person, with its picture in ``kept``; widths are those in the frame."""
    rows = []
    for identity in analysis.identities:
        if not identity.enabled:
            continue
        for number, reference in enumerate(identity.references):
            path = kept / f"person_{identity.id}_{number}.png"
            cv2.imwrite(str(path), reference.image[:, :, ::-1])
            width = _width_in_frame(analysis, identity, reference.source) or TEMPLATE_SIZE
            described = _described(reference.image, reference.landmarks, reference.sharpness, width)
            rows.append({"file": path.name, "person": identity.name, **described})
    return rows


def _width_in_frame(analysis: Analysis, identity: Identity, source: str) -> float | None:
    """Pixels that the face of a reference is wide in its frame; None where it is not from a frame of the video."""
    for track in analysis.tracks:
        if track.id in identity.track_ids:
            for pts, box in zip(track.pts.tolist(), track.boxes, strict=True):
                if source == f"pts {pts}":
                    return _width(box)
    return None


def _split(rows: Sequence[Row], unit: str, seed: int) -> None:
    """Hold out a tenth of the units (``person`` or ``file``): first of those with a picture that is sharp.

    The order is that of digests of seed and name, so a picture or person that is added moves few of the others.
    """

    def order(name: str) -> str:
        return hashlib.sha256(f"{seed} {Path(name).name}".encode()).hexdigest()

    sharp = sorted({row[unit] for row in rows if row["hq"]}, key=order)
    others = sorted({row[unit] for row in rows} - set(sharp), key=order)
    count = max(1, round(_VAL_SHARE * (len(sharp) + len(others))))
    # One sharp unit at least is left to learn from.
    held_out = {*sharp[: min(count, max(len(sharp) - 1, 0))]} or {*others[:count]} or {*sharp[:1]}
    for row in rows:
        row["split"] = "val" if row[unit] in held_out else "train"


def _read(index: Path) -> list[Row]:
    """The rows of an earlier look; none where it cannot be read."""
    try:
        rows: list[Row] = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return rows


def _write(content: object, index: Path) -> None:
    part = index.with_name(index.name + ".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(index)
