"""Who is who in a kept analysis, as a user calls it: look, and edit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vidrestore import people, store
from vidrestore.api.analyze import photographs_in, work_folder
from vidrestore.config import Settings
from vidrestore.errors import AnalysisError
from vidrestore.people import Edit
from vidrestore.types import Analysis
from vidrestore.video import fingerprint, probe


def people_of(
    source: Path | str, *, settings: Settings | None = None, work: Path | str | None = None, edits: Sequence[Edit] = ()
) -> Analysis:
    """The kept analysis of a video with the people of ``people.toml``, after ``edits`` of it.

    Args:
        source: A video file.
        settings: Those of references and faces matter, where references are selected again.
        work: The folder of the analysis; by default ``NAME.vidrestore`` beside the video.
        edits: ``Merge``, ``Split`` and ``Change`` of ``vidrestore.people``; all are made, or none.

    Raises:
        VideoError: the video cannot be read.
        AnalysisError: there is no analysis, it is of another video, or the file cannot be written.
        ConfigError: the file is wrong, an edit does not fit, or would make it wrong; nothing is changed then.
    """
    source, settings = Path(source), settings or Settings()
    folder = work_folder(source, work)
    video = probe(source)
    found = dataclasses.replace(store.load(folder), video=video)
    if found.fingerprint != fingerprint(source):
        raise AnalysisError(f"{folder} holds the analysis of another video: name another folder with --work")
    photograph = photographs_in(folder, settings)
    if not edits:
        return people.obey(found, folder, settings.references, photograph)
    return people.edit_and_obey(found, folder, edits, settings.references, photograph)
