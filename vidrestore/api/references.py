"""The user's own references, as a user gives them: a folder with a folder of photographs for each person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidrestore.config import Settings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.photographs import PhotographedPerson, read_people


def photographed_people(references: Path | str | None, settings: Settings) -> Mapping[str, PhotographedPerson]:
    """The people in the folder ``references``, by name; nobody where it is None.

    Raises:
        PictureError: the folder is not as it should be; see ``vidrestore.photographs.read_people``.
        ConfigError: the mode is ``generic``, which uses no references.
    """
    if references is None:
        return {}
    if settings.restoration.mode == "generic":
        raise ConfigError("the mode generic uses no references: leave --references out, or take another mode")
    return read_people(Path(references), build_detector(settings.faces, choose_device(settings.restoration.device)))
