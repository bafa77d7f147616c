"""The record of a training run, ``recipe.json``: all that is needed to do it again, and what came of it.

It is written when the run begins, after every report, and when it ends, in whatever way it does.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidrestore import __version__
from vidrestore.types import TrainingProgress

RECORD = "recipe.json"
_LIBRARIES = ("torch", "numpy", "opencv-python", "av", "onnxruntime", "insightface")
_RANDOM_NUMBERS = "the samples of step n of a process are drawn from numpy.random.default_rng([seed, n, process])"


class Record:
    """Keeps ``folder/recipe.json`` while the block runs; sessions of earlier runs in that folder stay listed.

    Args:
        folder: of the run; made where it is missing.
        content: what the run is: settings and data, as JSON takes them.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self._path = folder / RECORD
        self._content = {**content, "random_numbers": _RANDOM_NUMBERS, "versions": versions()}
        self._earlier = _sessions(self._path)
        self._begun = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._first: TrainingProgress | None = None
        self.last = TrainingProgress("", 0, 0.0, 0.0, {})

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write(finished=False)
        return self

    def note(self, progress: TrainingProgress) -> None:
        """How far the run is."""
        news = progress.figures != self.last.figures
        self._first, self.last = self._first or progress, progress
        if news:
            self._write(finished=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(finished=kind is None)

    def _write(self, finished: bool) -> None:
        session = {
            "begun": self._begun,
            "from_step": self._first.step if self._first else 0,
            "to_step": self.last.step,
            "versions": self._content["versions"],
        }
        content = {
            **self._content,
            "sessions": [*self._earlier, session],
            "finished": finished,
            "steps": self.last.step,
            "minutes_trained": round(self.last.minutes, 3),
            "figures": dict(self.last.figures),
        }
        part = self._path.with_name(RECORD + ".part")
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        part.replace(self._path)


def _sessions(path: Path) -> list[Any]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8")).get("sessions", []))
    except (OSError, ValueError):
        return []


def versions() -> dict[str, str]:
    """Versions of vidrestore, Python and the libraries that decide the result."""
    found = {"vidrestore": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # another distribution of the same library
            found[name] = "unknown"
    return found
