"""Still pictures as a user restores or checks them: one, a folder of them, or a list file."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from vidrestore.api.analyze import Listener, nobody
from vidrestore.api.check import Check, CheckResult
from vidrestore.api.frames import faces_restored, gate_of
from vidrestore.api.references import photographed_people
from vidrestore.api.restore import RestoreResult, comment_of, result_of
from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError, PictureError
from vidrestore.fusion import ALONE
from vidrestore.gallery import analyze_gallery
from vidrestore.image_files import Still, check_image_destination, image_files, is_image_file, read_still, write_still
from vidrestore.list_files import ListRow, read_list, read_references
from vidrestore.photographs import with_photographs
from vidrestore.restoration import Mode, Tally
from vidrestore.restorers import build_restorer
from vidrestore.timeline import build_timeline
from vidrestore.types import Analysis, Detector, Floats, Frame, Identity, Progress, Reference, Restorer, Track
from vidrestore.video import picture_from_rgb

_LIST = ".txt"
GENERIC: Final = "generic"
SPECIFIC: Final = "specific"
CHECKED: Final = "check"
"""Folders of a list's results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StillsResult(RestoreResult):
    """What was done with pictures; ``frames`` counts those that were written."""

    unreadable: dict[str, str]
    """By path: what is wrong with pictures that could not be read."""


def is_stills(source: Path) -> bool:
    """Whether ``source`` is a picture, a folder or a list file, and so no video."""
    return source.is_dir() or source.suffix.lower() == _LIST or is_image_file(source)


def restore_stills(
    source: Path | str,
    output: Path | str,
    *,
    settings: Settings | None = None,
    references: Path | str | None = None,
    on_progress: Listener = nobody,
) -> StillsResult:
    """Restore the faces on still pictures, each large and frontal enough, as those of a video.

    A picture becomes a picture, whose format the extension of ``output`` names; a folder of pictures, without its
    sub-folders, becomes the folder ``output`` with the same names. People are looked for on all pictures of a folder,
    and one who is on several gets the best of them as references. Of a list file (``vidrestore.list_files``), the
    results by the network's general knowledge go into ``output/generic``, and those by references, for lines that name
    some, into ``output/specific``; the setting ``mode`` may ask for one of them only. The references are taken to be
    of the face that is most like them.

    ``references`` is a folder with a folder of photographs for each person; those who look alike are restored with
    them. Pictures that cannot be read are named in the result, and the others go on.

    Raises:
        PictureError: nothing can be read, or the output not be written, or would overwrite the input.
        ConfigError, DeviceError: a setting cannot be used here.
        WeightsError: weights are missing, damaged or of another shape.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    rows = read_list(source) if source.suffix.lower() == _LIST else None
    if rows and references is not None:
        raise ConfigError(f"{source} names references itself; leave --references out")
    files = [row.picture for row in rows] if rows else _files_of(source)
    _prepare(source, output, files)
    photographed = photographed_people(references, settings)
    taught = [] if rows is None else _taught(rows, settings)
    device = choose_device(settings.restoration.device)
    restorer = build_restorer(settings.restoration, device)
    detector = build_detector(settings.faces, device)
    pictures = _Pictures(files)
    analysis = pictures.analyzed(source, detector, settings, on_progress)
    analysis, unused = with_photographs(analysis, photographed, settings.references.count)
    analysis = _unjudged_by_themselves(analysis)
    run = _Run(pictures, restorer, on_progress)
    if rows is None:
        run.restore(analysis, _destinations(source, output, files), settings)
    else:
        mode = settings.restoration.mode
        if mode != SPECIFIC:
            run.restore(analysis, _into(output / GENERIC, files), _in_mode(settings, GENERIC))
        if taught:
            analysis = _with_taught(analysis, taught, detector)
            run.restore(analysis, _into(output / SPECIFIC, files, {number for number, _ in taught}), settings)
    warnings = list(dict.fromkeys([*pictures.notes, *unused, *run.warnings]))
    done = result_of(output, analysis, restorer, settings, run.tally, warnings, begun, run.first)
    values = {item.name: getattr(done, item.name) for item in dataclasses.fields(done)}
    return StillsResult(**values, unreadable=pictures.unreadable)


def check_stills(
    source: Path | str, output: Path | str, *, settings: Settings | None = None, on_progress: Listener = nobody
) -> CheckResult:
    """Draw into copies of still pictures what is found on them, and restore nothing.

    Input and output are those of :func:`restore_stills`; the drawings of a list go into ``output/check``.

    Raises:
        PictureError: nothing can be read, or the output not be written, or would overwrite the input.
        WeightsError: the model pack is missing or damaged.
    """
    source, output, settings = Path(source), Path(output), settings or Settings()
    begun = time.monotonic()
    is_list = source.suffix.lower() == _LIST
    files = [row.picture for row in read_list(source)] if is_list else _files_of(source)
    _prepare(source, output, files)
    detector = build_detector(settings.faces, choose_device(settings.restoration.device))
    pictures = _Pictures(files)
    analysis = pictures.analyzed(source, detector, settings, on_progress)
    check = Check(analysis, settings)
    destinations = _into(output / CHECKED, files) if is_list else _destinations(source, output, files)
    comment = f"what vidrestore knows of its faces, found by {analysis.faces_model}; nothing was restored"
    for number, still in pictures.read():
        drawn = check.drawn(number, still.image)
        in_colour = dataclasses.replace(still, grey=False)
        pictures.notes += write_still(destinations[number], in_colour, drawn, comment)
        on_progress(Progress("check", check.frames, len(files), check.faces))
    return check.result(output, begun, pictures.notes, pictures.unreadable)


class _Pictures:
    """Numbered pictures, read one by one when it is their turn; those that cannot be read are noted and left out."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.unreadable: dict[str, str] = {}
        self.notes: list[str] = []

    def read(self) -> Iterator[tuple[int, Still]]:
        for number, path in enumerate(self.files):
            if str(path) in self.unreadable:
                continue
            try:
                still = read_still(path)
            except PictureError as error:
                self.unreadable[str(path)] = str(error)
                continue
            self.notes += still.notes
            yield number, still

    def analyzed(self, source: Path, detector: Detector, settings: Settings, on_progress: Listener) -> Analysis:
        """Who is on them.

        Raises:
            PictureError: none of them can be read.
        """
        images = ((number, still.image) for number, still in self.read())
        analysis = analyze_gallery(images, source, detector, settings, on_progress, len(self.files))
        if not analysis.frame_count:
            first, *others = self.unreadable.values()
            raise PictureError(f"{first}, and neither can {len(others)} others" if others else first)
        return analysis


class _Run:
    """Restores pictures, once or with one knowledge after another, and counts all of it."""

    def __init__(self, pictures: _Pictures, restorer: Restorer, on_progress: Listener) -> None:
        self.tally = Tally()
        self.first: float | None = None
        """When the first picture was written, on the monotonic clock."""
        self.warnings: list[str] = []
        self._pictures, self._restorer, self._on_progress = pictures, restorer, on_progress

    def restore(self, analysis: Analysis, destinations: Mapping[int, Path], settings: Settings) -> None:
        """Restore the pictures that have a destination, by number, into it."""
        waiting: dict[int, Still] = {}

        def frames() -> Iterator[Frame]:
            for number, still in self._pictures.read():
                if number in destinations:
                    waiting[number] = still
                    yield Frame(number, Fraction(1), picture_from_rgb(still.image, pixel_format="rgb24"))

        timeline = build_timeline(analysis, settings.fading)
        gate = gate_of(analysis, settings)
        alone = dataclasses.replace(settings, fusion=ALONE)
        comment = comment_of(self._restorer, analysis.faces_model)
        restored = faces_restored(frames(), analysis, timeline, self._restorer, gate, alone, self.tally)
        for done, frame in enumerate(restored, start=1):
            still = waiting.pop(frame.pts)
            self.warnings += write_still(destinations[frame.pts], still, frame.image, comment)
            self.first = self.first or time.monotonic()
            self._on_progress(Progress("restore", done, len(destinations), self.tally.faces_restored))
        self.warnings += [] if gate is None else gate.warnings


def _files_of(source: Path) -> list[Path]:
    """The picture, or the pictures of the folder."""
    if not source.is_dir():
        return [source]
    files = image_files(source)
    if not files:
        raise PictureError(f"{source} is a folder without pictures (.jpg, .png, .webp, .tif or .bmp)")
    return files


def _prepare(source: Path, output: Path, files: Sequence[Path]) -> None:
    """Check, before any work is done, that results can be written; make the folder where they are several.

    Raises:
        PictureError: they cannot, or would overwrite the input.
    """
    if not source.exists():
        raise PictureError(f"there is no file or folder {source}")
    if not source.is_dir() and source.suffix.lower() != _LIST:
        check_image_destination(source, output)
        return
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise PictureError(f"the folder {output} cannot be made ({error.strerror}); choose another with -o") from error
    if any(file.exists() and file.parent.samefile(output) for file in files):
        raise PictureError(f"{output} is the folder of the input itself; choose another output")


def _destinations(source: Path, output: Path, files: Sequence[Path]) -> dict[int, Path]:
    """By number, where each picture of a folder goes, or the only one."""
    return _into(output, files) if source.is_dir() else {0: output}


def _into(folder: Path, files: Sequence[Path], numbers: set[int] | None = None) -> dict[int, Path]:
    """By number, a file of the same name in ``folder``, which is made."""
    folder.mkdir(exist_ok=True)
    return {n: folder / file.name for n, file in enumerate(files) if numbers is None or n in numbers}


def _unjudged_by_themselves(analysis: Analysis) -> Analysis:
    """``analysis`` without the looks of people who are known from a single face: it would be judged by itself."""
    people = (
        person if len(person.track_ids) > 1 or person.references else dataclasses.replace(person, embedding=None)
        for person in analysis.identities
    )
    return dataclasses.replace(analysis, identities=tuple(people))


def _in_mode(settings: Settings, mode: Mode) -> Settings:
    return dataclasses.replace(settings, restoration=dataclasses.replace(settings.restoration, mode=mode))


def _taught(rows: Sequence[ListRow], settings: Settings) -> list[tuple[int, tuple[Reference, ...]]]:
    """Number and references of each row that names some, unless nobody wants them.

    Raises:
        ConfigError: mode is ``specific``, and no row does.
        PictureError: references or landmarks cannot be read.
    """
    if settings.restoration.mode == GENERIC:
        return []
    found = [(number, read_references(row)) for number, row in enumerate(rows) if row.references is not None]
    if not found and settings.restoration.mode == SPECIFIC:
        raise ConfigError("mode is specific, but no line of the list names references; take --mode generic")
    return found


def _with_taught(
    analysis: Analysis, taught: Sequence[tuple[int, tuple[Reference, ...]]], detector: Detector
) -> Analysis:
    """``analysis`` with the people whom a list's references show, on the faces most like them."""
    people: list[Identity] = []
    for number, references in taught:
        present = [track for track in analysis.tracks if track.pts[0] == number]
        if present:
            face = _most_like(references, present, detector)
            people.append(Identity(len(people), f"references of picture {number + 1}", (face.id,), None, references))
    return dataclasses.replace(analysis, identities=tuple(people))


def _most_like(references: Sequence[Reference], tracks: Sequence[Track], detector: Detector) -> Track:
    """The face most like the references, by the mean cosine; the largest where there are no embeddings."""
    looks = [look for r in references if (look := detector.embed(r.image, r.landmarks)) is not None]

    def likeness(track: Track) -> tuple[float, float]:
        similarity = -1.0
        if looks and track.embedding is not None:
            similarity = float(np.mean([look @ track.embedding for look in looks]))
        return similarity, _width(track.boxes[0])

    return max(tracks, key=likeness)


def _width(box: Floats) -> float:
    return float(box[2] - box[0])
