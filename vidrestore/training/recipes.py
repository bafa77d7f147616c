"""Train a network and leave a finished weight file: what ``vidrestore train`` runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.training.loop import RunSettings

Network = Literal["detector", "landmarks", "embedding", "restorer"]
_BATCHES = {"detector": 16, "landmarks": 32, "embedding": 96, "restorer": 4}
_LEARNING_RATES = {"detector": 2e-3, "landmarks": 2e-3, "embedding": 2e-3, "restorer": 8e-4}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, for how long."""

    what: Network
    portraits: Path
    groups: Path | None
    backgrounds: Path | None
    output: Path
    minutes: float
    batch: int | None = None
    seed: int = 0
    threads: int = 0
    device: str = "auto"

    def settings(self) -> RunSettings:
        """The run, with the defaults the embedded networks were trained with."""
        device = choose_device(self.device) if self.what == "restorer" else "cpu"
        return RunSettings(
            folder=self.output,
            minutes=self.minutes,
            batch=self.batch or _BATCHES[self.what],
            learning_rate=_LEARNING_RATES[self.what],
            seed=self.seed,
            device=device,
            threads=self.threads,
        )


def run_recipe(recipe: Recipe) -> Path:
    """Train, or go on with a training, and write the weight file; returns its path.

    Raises:
        ConfigError: a folder is missing or not annotated, or a number makes no sense.
    """
    if not 0 < recipe.minutes < math.inf:
        raise ConfigError(f"--minutes is {recipe.minutes:g}, allowed: more than 0")
    if recipe.batch is not None and recipe.batch < 1:
        raise ConfigError(f"--batch is {recipe.batch}, allowed: 1 or more")
    if recipe.threads < 0:
        raise ConfigError(f"--threads is {recipe.threads}, allowed: 0 or more")
    settings = recipe.settings()
    if recipe.what == "restorer":
        from vidrestore.restorers.compact import save_compact
        from vidrestore.training.restorer import train_restorer

        path = recipe.output / "compact.safetensors"
        save_compact(train_restorer(_folder(recipe.portraits, "portraits"), settings), path)
        return path
    from vidrestore.training import export

    path = recipe.output / f"{recipe.what}.onnx"
    portraits = _folder(recipe.portraits, "portraits")
    if recipe.what == "detector":
        from vidrestore.training.detector import train_detector

        groups, scenery = _folder(recipe.groups, "groups"), _folder(recipe.backgrounds, "backgrounds")
        export.export_detector(train_detector(portraits, groups, scenery, settings), path)
    elif recipe.what == "landmarks":
        from vidrestore.training.landmarks import train_landmarks

        scenery = _folder(recipe.backgrounds, "backgrounds")
        export.export_landmarks(train_landmarks(portraits, scenery, settings), path)
    else:
        from vidrestore.training.embedding import train_embedding

        export.export_embedding(train_embedding(portraits, settings), path)
    return path


def _folder(path: Path | None, flag: str) -> Path:
    if path is None:
        raise ConfigError(f"this network is trained on {flag} too: give their folder with --{flag}")
    if not path.is_dir():
        raise ConfigError(f"--{flag} is {path}, which is no folder")
    return path
