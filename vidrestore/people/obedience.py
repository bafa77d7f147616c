"""The work folder's people: ``people.toml`` read or made, obeyed, and shown in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from vidrestore.errors import AnalysisError, ConfigError
from vidrestore.people.application import Photograph, apply
from vidrestore.people.changes import Edit
from vidrestore.people.edits import read
from vidrestore.people.folder import draw_folder
from vidrestore.people.template import is_of, is_untouched, template
from vidrestore.references import ReferenceSettings
from vidrestore.types import Analysis

FILE: Final = "people.toml"


def obey(analysis: Analysis, work: Path, settings: ReferenceSettings, photograph: Photograph) -> Analysis:
    """``analysis``, as it was found and is kept in ``work``, with the people of ``work``/people.toml.

    The file is made where there is none. Pictures in ``work``/people that are no longer right are drawn again. What
    cannot be written is among the warnings.

    Raises:
        ConfigError: the file is wrong; it names the line.
    """
    text, notes = _text_of(analysis, work)
    edited = apply(analysis, read(text, str(work / FILE)), settings, photograph)
    try:
        draw_folder(edited, work)
    except OSError as error:
        notes.append(f"the pictures of people in {work} cannot be drawn ({error})")
    return replace(edited, warnings=(*edited.warnings, *notes))


def edit_and_obey(
    analysis: Analysis, work: Path, edits: Sequence[Edit], settings: ReferenceSettings, photograph: Photograph
) -> Analysis:
    """Make ``edits`` in ``work``/people.toml and obey it; where they would make it wrong, nothing is changed.

    Raises:
        ConfigError: the file is wrong, or would be, and the line is named; or an edit does not fit.
        AnalysisError: the file cannot be written.
    """
    where = str(work / FILE)
    text, notes = _text_of(analysis, work)
    for edit in edits:
        text = edit(text, where, analysis)
    try:
        apply(analysis, read(text, where), settings, photograph)
    except ConfigError as error:
        raise ConfigError(f"nothing was changed, or the file would be wrong: {error}") from None
    try:
        _write(work / FILE, text)
    except OSError as error:
        raise AnalysisError(f"{where} cannot be written ({error}); nothing was changed") from error
    edited = obey(analysis, work, settings, photograph)
    return replace(edited, warnings=(*edited.warnings, *notes))


def _text_of(analysis: Analysis, work: Path) -> tuple[str, list[str]]:
    """The text of the file, and what to tell the user; one of other tracks is set aside for a new one."""
    path, notes = work / FILE, []
    try:
        if path.exists():
            text = _read(path)
            if is_of(text, analysis):
                return text, []
            if not is_untouched(text):
                aside = _free_name(path)
                path.rename(aside)
                notes.append(f"{path} was of another analysis, with other tracks; it is kept as {aside.name}")
        _write(path, template(analysis))
    except OSError as error:
        notes.append(f"{path} cannot be made anew ({error}); people are as they were found")
    return template(analysis), notes


def _read(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: {error.object[error.start]:#x} is no UTF-8; save it as UTF-8"
        ) from None


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _free_name(path: Path) -> Path:
    """``NAME.old``, or where there is one already ``NAME.old2`` and so on."""
    free, number = path.with_name(path.name + ".old"), 2
    while free.exists():
        free, number = path.with_name(f"{path.name}.old{number}"), number + 1
    return free
