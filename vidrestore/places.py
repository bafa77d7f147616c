"""Where the folders that ship with vidrestore are: ``models``, ``configs`` and ``samples``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from vidrestore.errors import ConfigError

_MARKERS = {"models": "manifest.json", "configs": "default.toml", "samples": "README.md"}
"""A file that tells the right folder from another of the same name."""


def shipped_folder(name: Literal["models", "configs", "samples"]) -> Path:
    """The folder called ``name``: the one that ``VIDRESTORE_NAME`` names, else the installed package's, else the
    repository's that the package runs from.

    Raises:
        ConfigError: there is none, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    variable = f"VIDRESTORE_{name.upper()}"
    named = os.environ.get(variable)
    places = [Path(named)] if named else [package / name, package.parent / name]
    for place in places:
        if (place / _MARKERS[name]).is_file():
            return place
    looked = " or ".join(str(place / _MARKERS[name]) for place in places)
    raise ConfigError(f"there is no {looked}: install vidrestore again, or set {variable} to its folder {name}")
